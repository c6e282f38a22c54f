//! The dispatcher: carries out effects, each as a task of its own.

use crate::audience::Audiences;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::decider::Message;
use crate::gateway::{Failure, OnDemand};
use crate::handle::Vitals;
use crate::in_flight::InFlight;
use crate::invoke::{CallError, Invocation, Invoker, Invokers};
use crate::metrics::Outcome;
use crate::report::{report_endpoint_reply, report_reply};
use crate::{announcer, call, past, sweep};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stepwell_engine::{
    Announcement, Answer, Call, DeliveryRow, Effect, Fetch, FetchFailure, IdSource, Input,
    LookBack, ReportedReply, Sweep,
};
use stepwell_protocol::UserError;
use stepwell_protocol::reply::RawReply;
use stepwell_store::{Reader, StoreError};
use tokio::runtime::Handle as Tokio;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long an announcement waits that could not be read.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// How long any call may take: the protocol's two hours, and a little for the invoker to notice first.
const CALL_MAX: Duration = Duration::from_secs(2 * 60 * 60 + 5);

#[derive(Debug, Clone)]
pub(crate) struct Dispatcher {
    pub(crate) tokio: Tokio,
    pub(crate) decider: Sender<Message>,
    pub(crate) invokers: Arc<Invokers>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) clock: Clock,
    pub(crate) ids: Arc<Mutex<IdSource>>,
    /// Bounds how many announcements are built, events looked up, and taken in at once.
    pub(crate) announcing: Arc<Semaphore>,
    pub(crate) gateway: OnDemand,
    /// Calls that can be given up one by one.
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) audiences: Arc<Audiences>,
    pub(crate) vitals: Arc<Vitals>,
    /// Ends all calls, for good.
    pub(crate) all_calls: CancellationToken,
    /// Ends the calls of the engine at hand.
    pub(crate) calls: CancellationToken,
}

/// Makes a call in a task of its own, so that a panic is an answer too, and ends the task with the wait for it.
async fn answer_of(
    invoker: &Arc<dyn Invoker>,
    invocation: Invocation,
) -> Result<RawReply, CallError> {
    let call = AbortOnDropHandle::new(tokio::spawn(invoker.call(invocation)));
    match tokio::time::timeout(CALL_MAX, call).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(CallError::Unreachable(format!("the call broke: {error}"))),
        Err(_) => Err(CallError::Unreachable(format!(
            "the function did not answer within {} s",
            CALL_MAX.as_secs()
        ))),
    }
}

impl Dispatcher {
    /// Gives up the calls in flight: the engine that asked for them is no more.
    pub(crate) fn give_up_calls(&mut self) {
        self.calls.cancel();
        self.calls = self.all_calls.child_token();
    }

    pub(crate) fn carry_out(&self, effect: Effect) {
        let dispatcher = self.clone();
        match effect {
            Effect::Call(call) => {
                // Known from now on, so that the next effect may give it up.
                let given_up = self.in_flight.begin(call.item, call.generation);
                drop(self.tokio.spawn(dispatcher.make_call(call, given_up)));
            }
            Effect::Announce(announcement) => {
                drop(self.tokio.spawn(dispatcher.announce(announcement)))
            }
            Effect::GiveUp { item, generation } => self.in_flight.give_up(item, generation),
            Effect::Fetch(fetch) => {
                let given_up = self.in_flight.begin(fetch.item, fetch.generation);
                drop(self.tokio.spawn(dispatcher.fetch(fetch, given_up)));
            }
            Effect::LookBack(look) => drop(self.tokio.spawn(dispatcher.look_back(look))),
            Effect::Deliver(row) => drop(self.tokio.spawn(dispatcher.deliver(row))),
            Effect::Sweep(sweep) => drop(self.tokio.spawn(dispatcher.sweep(sweep))),
        }
    }

    /// Makes an HTTP request that a step asked for.
    async fn fetch(self, fetch: Box<Fetch>, given_up: CancellationToken) {
        let (item, generation) = (fetch.item, fetch.generation);
        let result = tokio::select! {
            result = self.gateway.perform(&fetch.request) => result,
            () = given_up.cancelled() => Err(Failure {
                error: UserError::new("GatewayError", "the run was cancelled"),
                retry_after: None,
                retriable: false,
            }),
            () = self.calls.cancelled() => return self.in_flight.end(item, generation),
        };
        self.in_flight.end(item, generation);
        let result = result.map_err(|failure| {
            Box::new(FetchFailure {
                error: failure.error,
                retry_after: failure.retry_after,
                retriable: failure.retriable,
            })
        });
        let published = fetch.request.publish.is_some() && self.audiences.are_present();
        let answer = result.as_ref().ok().filter(|_| published).map(Arc::clone);
        let input = Input::Fetched {
            item,
            generation,
            result,
        };
        let Some(value) = answer else {
            return self.tell(input, None);
        };
        // Not before it is recorded, nor if the run has ended meanwhile.
        if self.tell_and_wait(input).await == Some(Answer::Fetched(true)) {
            let now = self.clock.now();
            self.audiences
                .tell_answer(fetch.run, &fetch.request, &value, now);
        }
    }

    /// Finds the earliest event of the past that a wait would have matched.
    async fn look_back(self, look: Box<LookBack>) {
        let Ok(permit) = Arc::clone(&self.announcing).acquire_owned().await else {
            return;
        };
        let item = look.item;
        let look = Arc::new(*look);
        let event = self
            .insist("look back", move |dispatcher| {
                past::matching(&look, &*dispatcher.reader, dispatcher.clock.now())
            })
            .await;
        let event = event.map(Box::new);
        self.tell(Input::LookedBack { item, event }, Some(permit));
    }

    /// Reads an event again that is still to reach waits.
    async fn deliver(self, row: DeliveryRow) {
        let Ok(permit) = Arc::clone(&self.announcing).acquire_owned().await else {
            return;
        };
        let event = self
            .insist("read an event", move |dispatcher| {
                let found = dispatcher.reader.event(row.event)?;
                Ok(found.map(past::event_of))
            })
            .await;
        let (id, event) = (row.id, event.map(Box::new));
        self.tell(Input::Delivered { id, event }, Some(permit));
    }

    /// Finds the next runs that a bulk cancellation ends.
    async fn sweep(self, asked: Box<Sweep>) {
        let Ok(permit) = Arc::clone(&self.announcing).acquire_owned().await else {
            return;
        };
        let Sweep { row, generation } = *asked;
        let id = row.id;
        let row = Arc::new(row);
        let (runs, next) = self
            .insist("find the runs of a bulk cancellation", move |dispatcher| {
                sweep::next(&row, &*dispatcher.reader, dispatcher.clock.now())
            })
            .await;
        let input = Input::Swept {
            id,
            generation,
            runs,
            next,
        };
        self.tell(input, Some(permit));
    }

    /// Reads from the store until that works.
    async fn insist<T: Send + 'static>(
        &self,
        what: &str,
        read: impl Fn(&Self) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> T {
        loop {
            let (dispatcher, read) = (self.clone(), read.clone());
            match tokio::task::spawn_blocking(move || read(&dispatcher)).await {
                Ok(Ok(found)) => return found,
                Ok(Err(error)) => tracing::warn!(%error, "cannot {what} yet"),
                Err(error) => tracing::error!(%error, "could not {what}: it broke"),
            }
            tokio::time::sleep(READ_AGAIN).await;
        }
    }

    async fn make_call(self, call: Box<Call>, given_up: CancellationToken) {
        let request_id = call::request_id(&self.ids, self.clock.now());
        let (item, generation) = (call.item, call.generation);
        let begun = Instant::now();
        let mut event = None;
        let answer = match call::build(&call, &self.cache, &self.reader, request_id).await {
            Ok((invocation, own_event)) => {
                event = own_event;
                match self.invokers.of(&invocation.url) {
                    Ok(invoker) => {
                        tokio::select! {
                            made = answer_of(invoker, invocation) => made,
                            // Its run was cancelled; whatever it would answer means nothing.
                            () = given_up.cancelled() => Err(CallError::NotMade),
                            // It is made again by the next engine.
                            () = self.calls.cancelled() => return self.in_flight.end(item, generation),
                        }
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => {
                tracing::error!(run = %call.run, %error, "cannot read what a call carries; it is made again");
                Err(CallError::NotMade)
            }
        };
        self.in_flight.end(item, generation);
        let error = answer.as_ref().err().cloned();
        let reply = Box::new(if call.endpoint {
            report_endpoint_reply(answer, event.as_ref())
        } else {
            report_reply(answer, event.as_ref())
        });
        let outcome = if given_up.is_cancelled() {
            Outcome::GivenUp
        } else {
            Outcome::of(error.as_ref(), &reply.outcome)
        };
        let metrics = &self.vitals.metrics;
        metrics.called(&call.slug, outcome, begun.elapsed());
        log_failure(&call, &reply);
        let input = Input::CallReturned {
            item,
            generation,
            reply,
        };
        self.tell(input, None);
    }

    async fn announce(self, announcement: Announcement) {
        let Ok(permit) = Arc::clone(&self.announcing).acquire_owned().await else {
            return;
        };
        loop {
            let dispatcher = self.clone();
            let built =
                tokio::task::spawn_blocking(move || dispatcher.end_events(announcement)).await;
            match built {
                Ok(Ok(events)) => {
                    let item = announcement.item;
                    return self.tell(Input::Announced { item, events }, Some(permit));
                }
                Ok(Err(error)) => {
                    tracing::warn!(run = %announcement.run, %error, "cannot announce the run's end yet")
                }
                Err(error) => {
                    tracing::error!(run = %announcement.run, %error, "announcing the run's end broke")
                }
            }
            tokio::time::sleep(READ_AGAIN).await;
        }
    }

    fn end_events(
        &self,
        announcement: Announcement,
    ) -> Result<Vec<stepwell_engine::NewEvent>, StoreError> {
        let now = self.clock.now();
        announcer::events(announcement, &*self.reader, now, || {
            self.ids
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .event_id(now)
        })
    }

    /// Tells the decider; its answer, once what it decided is written.
    async fn tell_and_wait(&self, input: Input) -> Option<Answer> {
        let (asker, written) = oneshot::channel();
        let told = self.decider.send(Message::Input {
            input,
            asker: Some(asker),
            permit: None,
        });
        told.ok()?;
        written.await.ok()?.ok()
    }

    fn tell(&self, input: Input, permit: Option<OwnedSemaphorePermit>) {
        // A decider that is gone needs no news: what it has not heard of is asked for again at the next start.
        drop(self.decider.send(Message::Input {
            input,
            asker: None,
            permit,
        }));
    }
}

fn log_failure(call: &Call, reply: &ReportedReply) {
    if let stepwell_engine::ReportedOutcome::Failed(failure) = &reply.outcome {
        tracing::debug!(
            run = %call.run,
            function = %call.slug,
            attempt = call.attempt,
            error = %failure.error.message,
            "an attempt failed"
        );
    }
}
