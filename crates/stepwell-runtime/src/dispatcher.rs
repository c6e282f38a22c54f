//! The dispatcher: carries out effects, each as a task of its own.

use crate::cache::Cache;
use crate::clock::Clock;
use crate::decider::Message;
use crate::invoke::{CallError, Invocation, Invoker, Invokers};
use crate::report::report_reply;
use crate::{announcer, call};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stepwell_engine::{Announcement, Call, Effect, IdSource, Input, ReportedReply, Timestamp};
use stepwell_protocol::reply::RawReply;
use stepwell_store::{Reader, StoreError};
use tokio::runtime::Handle as Tokio;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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
    /// Bounds how many announcements are built and taken in at once.
    pub(crate) announcing: Arc<Semaphore>,
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
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Gives up the calls in flight: the engine that asked for them is no more.
    pub(crate) fn give_up_calls(&mut self) {
        self.calls.cancel();
        self.calls = self.all_calls.child_token();
    }

    pub(crate) fn carry_out(&self, effect: Effect) {
        let dispatcher = self.clone();
        match effect {
            Effect::Call(call) => drop(self.tokio.spawn(dispatcher.make_call(call))),
            Effect::Announce(announcement) => {
                drop(self.tokio.spawn(dispatcher.announce(announcement)))
            }
        }
    }

    async fn make_call(self, call: Box<Call>) {
        let request_id = call::request_id(&self.ids, self.clock.now());
        let answer = match call::build(&call, &self.cache, &self.reader, request_id).await {
            Ok(invocation) => match self.invokers.of(&invocation.url) {
                Ok(invoker) => {
                    tokio::select! {
                        made = answer_of(invoker, invocation) => made,
                        // It is made again by the next engine.
                        () = self.calls.cancelled() => return,
                    }
                }
                Err(error) => Err(error),
            },
            Err(error) => {
                tracing::error!(run = %call.run, %error, "cannot read what a call carries; it is made again");
                Err(CallError::NotMade)
            }
        };
        let reply = Box::new(report_reply(answer));
        log_failure(&call, &reply);
        let (item, generation) = (call.item, call.generation);
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
