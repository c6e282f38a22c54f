//! The handle: how the rest of the program talks to the engine.

use crate::audience::{Audience, Audiences};
use crate::clock::Clock;
use crate::decider::Message;
use crate::ends::{End, Ends};
use crate::metrics::Metrics;
use crate::news::News;
use crate::report::weight;
use crate::rest::Rest;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use stepwell_engine::{
    Answer, AppSync, Bound, BulkCancelError, BulkCancelRow, CancelError, Census, CheckpointError,
    CheckpointedStep, Engine, IdSource, Input, ItemId, MetadataRow, NewEvent, Standing, Timestamp,
    UnderWay, UserSpansRow, Verdict, invocation_event,
};
use stepwell_protocol::event::{self, EventError, IdSeed};
use stepwell_protocol::metadata::bytes_of;
use stepwell_protocol::otlp::UserSpan;
use stepwell_protocol::{AppId, BulkCancelId, EventId, FunctionId, RunId, SharedJson};
use stepwell_store::{Reader, StoreError};
use tokio::sync::{Semaphore, broadcast, oneshot};
use tokio_util::sync::CancellationToken;

/// Bytes of events that may wait to be written; more wait at the door.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The unit in which that is counted.
const PERMIT_BYTES: usize = 256;
const PERMITS: usize = WAITING_BYTES_MAX / PERMIT_BYTES;

/// Why nothing can be taken in now. What was asked for did not happen, or it is not known whether it did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The store refuses writes.
    #[error("the store cannot be written: {0}")]
    Store(String),
    /// The program is stopping.
    #[error("the server is shutting down")]
    Stopping,
}

/// How the runtime is doing.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    failure: Mutex<Option<String>>,
    stopping: AtomicBool,
    ended: CancellationToken,
    runs: AtomicUsize,
    calls: AtomicUsize,
    leaving: AtomicBool,
    pub(crate) metrics: Metrics,
}

impl Vitals {
    pub(crate) fn fail(&self, reason: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    pub(crate) fn recover(&self) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn unavailable(&self) -> Unavailable {
        self.failure()
            .map_or(Unavailable::Stopping, Unavailable::Store)
    }

    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(crate) fn observe(&self, engine: &Engine) {
        self.runs.store(engine.runs_unfinished(), Ordering::Relaxed);
        self.calls
            .store(engine.calls_in_flight(), Ordering::Relaxed);
    }
}

/// Talks to a running engine; cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) decider: Sender<Message>,
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) news: broadcast::Sender<Arc<News>>,
    pub(crate) audiences: Arc<Audiences>,
    pub(crate) ends: Arc<Ends>,
    pub(crate) room: Arc<Semaphore>,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) clock: Clock,
    pub(crate) ids: Arc<Mutex<IdSource>>,
}

impl Handle {
    pub(crate) fn room() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(PERMITS))
    }

    /// The time by the runtime's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A new internal event id.
    #[must_use]
    pub fn new_event_id(&self) -> EventId {
        self.ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .event_id(self.clock.now())
    }

    /// Checks an event from outside, one JSON text, and gives it its internal id: the seed's id for its place in the
    /// request, or a new one.
    ///
    /// # Errors
    /// [`EventError`] with what is wrong with it.
    pub fn accept_event(
        &self,
        text: &str,
        index: usize,
        seed: Option<&IdSeed>,
    ) -> Result<NewEvent, EventError> {
        let accepted = event::accept(text, i64::try_from(self.now().ms()).unwrap_or(i64::MAX))?;
        let id = seed.map_or_else(|| self.new_event_id(), |seed| seed.event_id(index));
        Ok(NewEvent {
            id,
            body: accepted.render(id),
            name: Arc::from(accepted.name.as_str()),
            ts_ms: accepted.ts_ms,
            repeatable: seed.is_some() || accepted.external_id.is_some(),
            external_id: accepted.external_id,
        })
    }

    /// Records events and starts the runs they call for; returns once that is durable. Events beyond what may wait
    /// to be written wait here first.
    ///
    /// # Errors
    /// [`Unavailable`]; the events may be sent again.
    pub async fn receive_events(&self, events: Vec<NewEvent>) -> Result<(), Unavailable> {
        if events.is_empty() {
            return Ok(());
        }
        let bytes: usize = events
            .iter()
            .map(|event| event.body.get().len() + PERMIT_BYTES)
            .sum();
        self.ask(Input::EventsReceived(events), bytes)
            .await
            .map(|_| ())
    }

    /// Registers an app; returns its id and whether anything changed.
    ///
    /// # Errors
    /// [`Unavailable`]; the app may register again.
    pub async fn sync_app(&self, sync: AppSync) -> Result<(AppId, bool), Unavailable> {
        match self
            .ask(Input::AppSynced(Box::new(sync)), PERMIT_BYTES)
            .await?
        {
            Answer::AppSynced { app, modified } => Ok((app, modified)),
            other => unreachable!("a registration is answered as one, not {other:?}"),
        }
    }

    /// Records steps that a running function reports ahead of its answer.
    ///
    /// # Errors
    /// [`Unavailable`] outside, [`CheckpointError`] inside.
    pub async fn checkpoint(
        &self,
        run: RunId,
        item: ItemId,
        generation: Option<u64>,
        steps: Vec<CheckpointedStep>,
    ) -> Result<Result<(), CheckpointError>, Unavailable> {
        let bytes = weight(&steps);
        match self
            .ask(
                Input::StepsCheckpointed {
                    run,
                    item,
                    generation,
                    steps,
                },
                bytes,
            )
            .await?
        {
            Answer::Checkpointed(result) => Ok(result),
            other => unreachable!("a checkpoint is answered as one, not {other:?}"),
        }
    }

    /// Cancels a run.
    ///
    /// # Errors
    /// [`Unavailable`] outside, [`CancelError`] inside.
    pub async fn cancel_run(&self, run: RunId) -> Result<Result<(), CancelError>, Unavailable> {
        match self.ask(Input::CancelRun(run), PERMIT_BYTES).await? {
            Answer::Cancelled(result) => Ok(result),
            other => unreachable!("a cancellation is answered as one, not {other:?}"),
        }
    }

    /// Cancels the unfinished runs of a function that were scheduled within a span of time, as far as their events meet
    /// the condition: the bulk cancellation, which goes on after this returns.
    ///
    /// # Errors
    /// [`Unavailable`] outside, [`BulkCancelError`] inside.
    pub async fn bulk_cancel(
        &self,
        function: FunctionId,
        started_after: Option<Timestamp>,
        started_before: Timestamp,
        condition: Option<Arc<str>>,
    ) -> Result<Result<BulkCancelRow, BulkCancelError>, Unavailable> {
        let created_at = self.clock.now();
        let id = {
            let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            ids.bulk_cancel_id(created_at)
        };
        let row = BulkCancelRow {
            id,
            function,
            started_after,
            started_before,
            condition,
            created_at,
            after: None,
            done: false,
        };
        let input = Input::BulkCancelAsked(Box::new(row.clone()));
        match self.ask(input, PERMIT_BYTES).await? {
            Answer::BulkCancelled(result) => Ok(result.map(|()| row)),
            other => unreachable!("a bulk cancellation is answered as one, not {other:?}"),
        }
    }

    /// Ends a bulk cancellation: runs that it has not come by go on. Whether there was such a one.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn drop_bulk_cancel(&self, id: BulkCancelId) -> Result<bool, Unavailable> {
        match self.ask(Input::BulkCancelDropped(id), PERMIT_BYTES).await? {
            Answer::BulkCancelDropped(found) => Ok(found),
            other => {
                unreachable!("the end of a bulk cancellation is answered as one, not {other:?}")
            }
        }
    }

    /// Notes metadata of runs, ended ones too, and spans that apps made within them. What is not kept of a run (see
    /// [`stepwell_engine::Change::MetadataPut`]) is dropped.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn note(
        &self,
        metadata: Vec<MetadataRow>,
        spans: Vec<UserSpansRow>,
    ) -> Result<(), Unavailable> {
        let noted = metadata.iter().map(|row| bytes_of(&row.update.values));
        let made = spans.iter().flat_map(|row| &row.spans).map(UserSpan::bytes);
        let bytes = noted.chain(made).map(|bytes| bytes + PERMIT_BYTES).sum();
        match self.ask(Input::Noted { metadata, spans }, bytes).await? {
            Answer::Noted => Ok(()),
            other => unreachable!("a note is answered as one, not {other:?}"),
        }
    }

    /// Sends a signal: the run that it resumes, if one waits for it.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn signal(
        &self,
        signal: String,
        data: SharedJson,
    ) -> Result<Option<RunId>, Unavailable> {
        let bytes = data.get().len() + PERMIT_BYTES;
        match self.ask(Input::SignalSent { signal, data }, bytes).await? {
            Answer::Signalled(run) => Ok(run),
            other => unreachable!("a signal is answered as one, not {other:?}"),
        }
    }

    /// Runs a function, whatever its triggers, with a payload like an event's (`data`, `user`, `v`, `meta`, `id`): the
    /// invocation's event, and what became of it; nothing when there is no such function.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn invoke(
        &self,
        function: String,
        payload: &Value,
    ) -> Result<(EventId, Option<Verdict>), Unavailable> {
        let event = {
            let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            let inngest = json!({"fn_id": function});
            invocation_event(payload, Some(inngest), self.clock.now(), &mut ids)
        };
        let (id, bytes) = (event.id, event.body.get().len() + PERMIT_BYTES);
        let event = Box::new(event);
        match self
            .ask(Input::FunctionInvoked { function, event }, bytes)
            .await?
        {
            Answer::Invoked(verdict) => Ok((id, verdict)),
            other => unreachable!("an invocation is answered as one, not {other:?}"),
        }
    }

    /// Pauses a function, or lets it go on. Whether there is such a function.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn pause(&self, function: FunctionId, paused: bool) -> Result<bool, Unavailable> {
        let input = Input::FunctionPaused { function, paused };
        match self.ask(input, PERMIT_BYTES).await? {
            Answer::Paused(found) => Ok(found),
            other => unreachable!("a pause is answered as one, not {other:?}"),
        }
    }

    /// Bounds the runs of a function, or lets them be as large as any. Whether there is such a function.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn bound(&self, function: FunctionId, bound: Bound) -> Result<bool, Unavailable> {
        let input = Input::FunctionBounded { function, bound };
        match self.ask(input, PERMIT_BYTES).await? {
            Answer::Bounded(found) => Ok(found),
            other => unreachable!("a bound is answered as one, not {other:?}"),
        }
    }

    /// What an unfinished run waits for; nothing when there is no such run.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn standing(&self, run: RunId) -> Result<Option<Standing>, Unavailable> {
        let (asker, answer) = oneshot::channel();
        self.decider
            .send(Message::Standing(run, asker))
            .map_err(|_| Unavailable::Stopping)?;
        answer.await.map_err(|_| Unavailable::Stopping)
    }

    /// The calls and requests of a run that are in flight.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn under_way(&self, run: RunId) -> Result<Vec<UnderWay>, Unavailable> {
        let (asker, answer) = oneshot::channel();
        self.decider
            .send(Message::UnderWay(run, asker))
            .map_err(|_| Unavailable::Stopping)?;
        answer.await.map_err(|_| Unavailable::Stopping)
    }

    /// How much there is of everything. Costs the engine a look at the functions that have a backlog.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn census(&self) -> Result<Census, Unavailable> {
        let (asker, answer) = oneshot::channel();
        self.decider
            .send(Message::Census(asker))
            .map_err(|_| Unavailable::Stopping)?;
        answer.await.map_err(|_| Unavailable::Stopping)
    }

    /// What has been counted since the start.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.vitals.metrics
    }

    /// Waits until nothing is under way: every input is decided and written, every call and request answered, and nothing
    /// is due. With a manual clock nothing happens from then on until that is moved, or someone tells the engine something.
    ///
    /// # Errors
    /// [`Unavailable`] when the engine stops, or its store refuses a write, before that.
    pub async fn rest(&self) -> Result<Rest, Unavailable> {
        let (asker, answer) = oneshot::channel();
        self.decider
            .send(Message::Rest(asker))
            .map_err(|_| self.vitals.unavailable())?;
        answer.await.map_err(|_| self.vitals.unavailable())
    }

    /// Has the engine check the next part of what is live: what it found wrong and mended.
    pub(crate) async fn audit(&self) -> Result<Vec<String>, Unavailable> {
        match self.ask(Input::Audit, PERMIT_BYTES).await? {
            Answer::Audited(violations) => {
                self.vitals.metrics.audited(violations.len());
                Ok(violations)
            }
            other => unreachable!("an audit is answered as one, not {other:?}"),
        }
    }

    /// How many mistakes audits have found since the start. There must be none.
    #[must_use]
    pub fn violations(&self) -> usize {
        usize::try_from(self.vitals.metrics.violations()).unwrap_or(usize::MAX)
    }

    /// Puts a question to the store's reading side, off the async threads.
    ///
    /// # Errors
    /// The store's.
    pub async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = Arc::clone(&self.reader);
        tokio::task::spawn_blocking(move || question(&*reader))
            .await
            .map_err(|error| StoreError::Damaged(format!("the question broke: {error}")))?
    }

    /// News of all runs from now on. A receiver that falls behind is told how much it missed.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Arc<News>> {
        self.news.subscribe()
    }

    /// Begins to wait for the end of a run: one that is recorded from now on is not missed.
    #[must_use]
    pub fn end_of(&self, run: RunId) -> End {
        self.ends.wait_for(run)
    }

    /// Tells this audience from now on, for as long as someone else holds it.
    pub fn admit(&self, audience: &Arc<dyn Audience>) {
        self.audiences.admit(audience);
    }

    /// Why nothing can be written now, if so.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.vitals.failure()
    }

    /// Whether new work should be sent here: the engine is loaded, the last commit succeeded, and nobody has said that the
    /// program is about to stop.
    ///
    /// # Errors
    /// [`Unavailable`], why not.
    pub fn readiness(&self) -> Result<(), Unavailable> {
        let leaving = [&self.vitals.leaving, &self.vitals.stopping];
        if leaving.iter().any(|flag| flag.load(Ordering::SeqCst)) {
            return Err(Unavailable::Stopping);
        }
        match self.vitals.failure() {
            Some(reason) => Err(Unavailable::Store(reason)),
            None if self.vitals.ended.is_cancelled() => Err(Unavailable::Stopping),
            None => Ok(()),
        }
    }

    /// Is not ready from now on, and goes on taking in what comes: so that others are asked before the program stops.
    pub fn withdraw(&self) {
        self.vitals.leaving.store(true, Ordering::SeqCst);
    }

    /// Unfinished runs.
    #[must_use]
    pub fn runs_unfinished(&self) -> usize {
        self.vitals.runs.load(Ordering::Relaxed)
    }

    /// Calls in flight.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.vitals.calls.load(Ordering::Relaxed)
    }

    pub(crate) async fn ask(&self, input: Input, bytes: usize) -> Result<Answer, Unavailable> {
        // A checkpoint is part of a call in flight, which gets its time to end.
        let ends_a_call = matches!(
            input,
            Input::StepsCheckpointed { .. } | Input::EndpointReported { .. }
        );
        if self.vitals.stopping.load(Ordering::SeqCst) && !ends_a_call {
            return Err(Unavailable::Stopping);
        }
        if let Some(reason) = self.vitals.failure() {
            return Err(Unavailable::Store(reason));
        }
        let permits =
            u32::try_from((bytes / PERMIT_BYTES).clamp(1, PERMITS)).expect("PERMITS fits");
        let permit = Arc::clone(&self.room)
            .acquire_many_owned(permits)
            .await
            .map_err(|_| Unavailable::Stopping)?;
        let (asker, answer) = oneshot::channel();
        self.decider
            .send(Message::Input {
                input,
                asker: Some(asker),
                permit: Some(permit),
            })
            .map_err(|_| Unavailable::Stopping)?;
        answer.await.unwrap_or(Err(Unavailable::Stopping))
    }
}
