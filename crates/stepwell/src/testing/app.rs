//! An app under test, with its engine and its time.

use super::agenda::{Agenda, Deed};
use super::builder::Builder;
use super::disk::Disk;
use super::drive::Goal;
use super::error::TestError;
use super::lives::{Keeper, Life, Lives};
use super::run::{SentEvent, TestRun};
use super::sink::OwnEvents;
use super::stand_ins::StandIns;
use crate::app::App;
use crate::client::Client;
use crate::embedded::{FunctionNames, Message};
use crate::event::OutgoingEvent;
use crate::moment::Moment;
use crate::step::to_json;
use serde::Serialize;
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stepwell_engine::{RunStatus, Timestamp, Verdict};
use stepwell_protocol::event::RESERVED_PREFIX;
use stepwell_protocol::{EventId, RunId, SharedJson};
use stepwell_runtime::{Handle, ManualClock, Unavailable};
use stepwell_store::{Reader, RunFilter, RunQuery, RunRecord};
use tokio::sync::Mutex;

/// How much time one wait of a test may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) virtual_time: Duration,
    pub(super) real_time: Duration,
}

/// What a [`TestApp`] is made of.
pub(super) struct Parts {
    pub(super) lives: Lives,
    pub(super) keeper: Keeper,
    pub(super) disk: Arc<Disk>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) clients: Vec<Client>,
    pub(super) names: Arc<FunctionNames>,
    pub(super) own_events: Arc<OwnEvents>,
    pub(super) messages: Arc<std::sync::Mutex<Vec<Message>>>,
    pub(super) stand_ins: Arc<StandIns>,
    pub(super) limits: Limits,
    pub(super) unused_allowed: bool,
}

/// An app under test: the real engine with its state in memory, and a clock that only this test moves.
///
/// Time passes in [`run`](TestApp::run), [`settle`](TestApp::settle), [`run_for`](TestApp::run_for) and their like, and
/// nowhere else: whenever nothing is under way, the clock jumps to what is due next. What is sent between them is taken
/// in at once, and carried out in the next of them.
///
/// When it is dropped, mocks that no run has reached end the test; see [`Builder::allow_unused_mocks`].
pub struct TestApp {
    pub(super) parts: Parts,
    pub(super) agenda: Agenda,
    /// Time is moved by one at a time.
    pub(super) driving: Mutex<()>,
    /// Whether the test was told of an error, and likely ends with it.
    failed: AtomicBool,
}

impl fmt::Debug for TestApp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TestApp")
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

/// Work that is queued, or waits.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Queued {
    /// The run.
    pub run: RunId,
    /// The public id of its function.
    pub function_id: String,
    /// What is to be done: `start`, `discovery`, `step`, `sleep`, `wait-for-event`, `wait-for-signal`, `invoke`,
    /// `gateway` or `announce`.
    pub kind: &'static str,
    /// The step's id, if there is one.
    pub step: Option<String>,
    /// When.
    pub due: Moment,
    /// Which attempt it will be, from 0.
    pub attempt: u32,
}

impl TestApp {
    /// Begins one.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts an app as it is, without mocks.
    ///
    /// # Errors
    /// [`TestError::Start`].
    pub async fn start(app: App) -> Result<Self, TestError> {
        Self::builder().app(app).start().await
    }

    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            agenda: Agenda::default(),
            driving: Mutex::default(),
            failed: AtomicBool::new(false),
        }
    }

    /// The time by the test's clock, which the app's functions see as well.
    #[must_use]
    pub fn now(&self) -> Moment {
        moment(self.clock_now())
    }

    pub(super) fn clock_now(&self) -> Timestamp {
        stepwell_runtime::Clock::Manual(Arc::clone(&self.parts.clock)).now()
    }

    pub(super) fn reader(&self) -> &dyn Reader {
        &*self.parts.disk.reader
    }

    /// The client of the first app, for code under test that sends events. What it sends counts as sent by the test.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.parts.clients[0]
    }

    /// Sends an event, now; it is taken in when this returns, and carried out once the test lets time pass.
    ///
    /// # Errors
    /// [`TestError::Send`].
    pub async fn send(&self, event: impl Into<OutgoingEvent>) -> Result<EventId, TestError> {
        let sent = self.client().send(event).await;
        self.noting(sent.map_err(TestError::from))
    }

    /// Sends several events, now.
    ///
    /// # Errors
    /// [`TestError::Send`].
    pub async fn send_all<I>(&self, events: I) -> Result<Vec<EventId>, TestError>
    where
        I: IntoIterator<Item: Into<OutgoingEvent>>,
    {
        let sent = self.client().send_all(events).await;
        self.noting(sent.map_err(TestError::from))
    }

    /// Sends an event once so much virtual time has passed.
    pub fn send_in(&self, delay: Duration, event: impl Into<OutgoingEvent>) {
        self.put_off(self.after(delay), Deed::Send(Box::new(event.into())));
    }

    /// Sends an event at a moment of virtual time; at once when the clock next moves, if that has passed.
    pub fn send_at(&self, moment: impl Into<Moment>, event: impl Into<OutgoingEvent>) {
        self.put_off(timestamp(moment.into()), Deed::Send(Box::new(event.into())));
    }

    /// Sends a signal, now: the run that it resumes, if one waits for it.
    ///
    /// # Errors
    /// [`TestError`] when the data is not JSON, or there is no engine.
    pub async fn signal(
        &self,
        signal: &str,
        data: impl Serialize,
    ) -> Result<Option<RunId>, TestError> {
        let data = self.noting(json_of(&data))?;
        self.deliver_signal(signal, data).await
    }

    /// Sends a signal once so much virtual time has passed.
    ///
    /// # Errors
    /// [`TestError`] when the data is not JSON.
    pub fn signal_in(
        &self,
        delay: Duration,
        signal: &str,
        data: impl Serialize,
    ) -> Result<(), TestError> {
        let data = self.noting(json_of(&data))?;
        self.put_off(self.after(delay), Deed::Signal(signal.to_owned(), data));
        Ok(())
    }

    pub(super) async fn deliver_signal(
        &self,
        signal: &str,
        data: SharedJson,
    ) -> Result<Option<RunId>, TestError> {
        super::sink::signal(self.lives(), &self.parts.disk, signal, data).await
    }

    fn after(&self, delay: Duration) -> Timestamp {
        self.clock_now().after_ms(ms(delay))
    }

    fn put_off(&self, at: Timestamp, deed: Deed) {
        self.agenda.put(at, deed);
    }

    /// Sends an event and runs the one run that it starts to its end.
    ///
    /// # Errors
    /// [`TestError`] when it starts none or several, or the run does not end.
    pub async fn run(&self, event: impl Into<OutgoingEvent>) -> Result<TestRun, TestError> {
        let event = event.into();
        let name = event.name().to_owned();
        let mut runs = self.run_all(event).await?;
        match (runs.len(), runs.pop()) {
            (1, Some(run)) => Ok(run),
            (count, last) => {
                let others = runs.iter().chain(&last).map(TestRun::function_id);
                self.noting(Err(TestError::ManyRuns {
                    event: name,
                    count,
                    functions: others.collect::<Vec<_>>().join(", "),
                }))
            }
        }
    }

    /// Sends an event and runs all runs that it starts to their ends, also those that a debounce or a batch starts later.
    ///
    /// # Errors
    /// [`TestError`] when it starts none, or one does not end.
    pub async fn run_all(
        &self,
        event: impl Into<OutgoingEvent>,
    ) -> Result<Vec<TestRun>, TestError> {
        let event = event.into();
        let name = event.name().to_owned();
        let id = self.send(event).await?;
        self.drive(Goal::Event(id, name)).await?;
        self.runs_of_event(id)
    }

    /// Invokes a function (`refund`, or `shop-refund` with its app), whatever its triggers, and runs it to its end.
    ///
    /// # Errors
    /// [`TestError`] when there is no such function, or the run does not end.
    pub async fn invoke(&self, function: &str, data: impl Serialize) -> Result<TestRun, TestError> {
        let run = self.noting(self.begin_invocation(function, &data).await)?;
        self.finish(run).await
    }

    async fn begin_invocation(
        &self,
        function: &str,
        data: &impl Serialize,
    ) -> Result<RunId, TestError> {
        let not_invoked = |reason: String| TestError::NotInvoked {
            function: function.to_owned(),
            reason,
        };
        let known = self.reader().functions()?;
        let mut slugs = known.into_iter().map(|known| known.slug);
        let slug = slugs.find(|slug| self.parts.stand_ins.is_function(function, slug));
        let slug = slug.ok_or_else(|| not_invoked("there is no such function".to_owned()))?;
        let data = json_of(data)?;
        let data: serde_json::Value = serde_json::from_str(data.get())
            .map_err(|error| not_invoked(format!("its data is not JSON: {error}")))?;
        let mut life = self.lives().alive().await?;
        // The same id after a crash: it is invoked once.
        let payload = json!({"data": data, "id": life.handle.new_event_id().to_string()});
        let verdict = loop {
            match life.handle.invoke(slug.clone(), &payload).await {
                Ok((id, verdict)) => {
                    self.parts.own_events.note(&[id]);
                    break verdict;
                }
                Err(_) => life = self.lives().after(&life).await?,
            }
        };
        match verdict {
            Some(Verdict::Started { run } | Verdict::Duplicate { run: Some(run) }) => Ok(run),
            Some(verdict) => Err(not_invoked(describe(&verdict))),
            None => Err(not_invoked("there is no such function".to_owned())),
        }
    }

    /// Lets time pass until a run has ended; the run as it stands then.
    ///
    /// # Errors
    /// [`TestError`] when it does not end.
    pub async fn finish(&self, run: RunId) -> Result<TestRun, TestError> {
        self.drive(Goal::Run(run)).await?;
        self.run_by_id(run)
    }

    /// Lets time pass until no run is unfinished and no window or batch is open: the queue is drained. Schedules tick
    /// meanwhile, but are not waited for.
    ///
    /// # Errors
    /// [`TestError`] when that does not come to be.
    pub async fn settle(&self) -> Result<(), TestError> {
        self.drive(Goal::Settled).await
    }

    /// Lets so much virtual time pass, with all that happens in it.
    ///
    /// # Errors
    /// [`TestError`] when it takes too much real time.
    pub async fn run_for(&self, duration: Duration) -> Result<(), TestError> {
        self.drive(Goal::Until(self.after(duration))).await
    }

    /// Lets virtual time pass up to a moment, with all that happens until then.
    ///
    /// # Errors
    /// [`TestError`] when it takes too much real time.
    pub async fn run_until(&self, moment: impl Into<Moment>) -> Result<(), TestError> {
        self.drive(Goal::Until(timestamp(moment.into()))).await
    }

    /// Does all that is due now, and lets no time pass.
    ///
    /// # Errors
    /// [`TestError`] when it takes too much real time.
    pub async fn run_due(&self) -> Result<(), TestError> {
        self.drive(Goal::Until(self.clock_now())).await
    }

    /// Cancels a run. Whether there was something to cancel.
    ///
    /// # Errors
    /// [`TestError`] when there is no engine.
    pub async fn cancel(&self, run: RunId) -> Result<bool, TestError> {
        let cancelled = self.ask(async |handle| handle.cancel_run(run).await).await;
        Ok(self.noting(cancelled)?.is_ok())
    }

    /// Crashes the engine, whatever it is doing, and starts another one that goes on from what was recorded.
    ///
    /// # Errors
    /// [`TestError`] when it cannot be started again.
    pub async fn crash(&self) -> Result<(), TestError> {
        self.parts.keeper.crash().await;
        self.noting(self.lives().alive().await.map(drop))
    }

    async fn ask<T>(
        &self,
        question: impl AsyncFn(&Handle) -> Result<T, Unavailable>,
    ) -> Result<T, TestError> {
        let mut life: Life = self.lives().alive().await?;
        loop {
            match question(&life.handle).await {
                Ok(answer) => return Ok(answer),
                Err(_) => life = self.lives().after(&life).await?,
            }
        }
    }

    /// A run, as it stands now.
    ///
    /// # Errors
    /// [`TestError`] when there is no such run.
    pub fn run_by_id(&self, id: RunId) -> Result<TestRun, TestError> {
        let record = self.reader().run(id)?;
        let record = record.ok_or_else(|| TestError::Stopped {
            reason: format!("run {id} is not there"),
        });
        self.read_run(self.noting(record)?)
    }

    /// The runs that an event has started so far, oldest first.
    ///
    /// # Errors
    /// [`TestError`] when they cannot be read.
    pub fn runs_of_event(&self, event: EventId) -> Result<Vec<TestRun>, TestError> {
        let records = self.reader().runs_of_event(event)?;
        records.into_iter().map(|run| self.read_run(run)).collect()
    }

    /// All runs, oldest first.
    ///
    /// # Errors
    /// [`TestError`] when they cannot be read.
    pub fn runs(&self) -> Result<Vec<TestRun>, TestError> {
        let records = self.find_runs(&[])?;
        records.into_iter().map(|run| self.read_run(run)).collect()
    }

    /// All runs of a function (`refund`, or `shop-refund` with its app), oldest first.
    ///
    /// # Errors
    /// [`TestError`] when they cannot be read.
    pub fn runs_of(&self, function: &str) -> Result<Vec<TestRun>, TestError> {
        let mut records = self.find_runs(&[])?;
        records.retain(|run| {
            let slug = self.parts.names.of(run.function);
            self.parts.stand_ins.is_function(function, &slug)
        });
        records.into_iter().map(|run| self.read_run(run)).collect()
    }

    pub(super) fn find_runs(&self, statuses: &[RunStatus]) -> Result<Vec<RunRecord>, TestError> {
        let query = RunQuery {
            filter: RunFilter {
                statuses: statuses.to_vec(),
                ..RunFilter::default()
            },
            oldest_first: true,
            output_bytes_max: Some(usize::MAX),
            ..RunQuery::newest(usize::MAX)
        };
        Ok(self.reader().find_runs(&query)?.runs)
    }

    fn read_run(&self, record: RunRecord) -> Result<TestRun, TestError> {
        let run = TestRun::read(
            record,
            self.reader(),
            &self.parts.names,
            &self.parts.stand_ins,
        );
        self.noting(run.map_err(TestError::from))
    }

    /// The events that the app's functions have sent, in their order; not those that the test sent, nor the engine's own.
    ///
    /// # Errors
    /// [`TestError`] when they cannot be read.
    pub fn sent_events(&self) -> Result<Vec<SentEvent>, TestError> {
        let mut events = self.reader().events(None, None, usize::MAX)?;
        events.reverse();
        let by_app = |id: EventId, name: &str| {
            !self.parts.own_events.contains(id) && !name.starts_with(RESERVED_PREFIX)
        };
        events.retain(|event| by_app(event.id, &event.name));
        Ok(events.into_iter().map(SentEvent::new).collect())
    }

    /// The messages that functions and clients have published, in their order. A step that is executed again publishes
    /// again.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        let messages = self.parts.messages.lock();
        messages
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// What is queued and what waits, in the order in which it is due.
    ///
    /// # Errors
    /// [`TestError`] when it cannot be read.
    pub fn queue(&self) -> Result<Vec<Queued>, TestError> {
        let mut queued = Vec::new();
        for run in self.find_runs(&[RunStatus::Scheduled, RunStatus::Running])? {
            for item in self.reader().items(run.id)? {
                let step = item.kind.own_step().map(|step| {
                    let named = self.parts.stand_ins.name_of(step).map(|(id, _)| id);
                    named.unwrap_or_else(|| step.to_string())
                });
                queued.push(Queued {
                    run: run.id,
                    function_id: self.parts.names.of(run.function),
                    kind: item.kind.as_str(),
                    step,
                    due: moment(item.due),
                    attempt: item.attempt,
                });
            }
        }
        queued.sort_by_key(|item| item.due);
        Ok(queued)
    }

    /// What became of an event with the functions that listen to its name, other than that it started a run: a sentence for
    /// each, by the function's public id.
    ///
    /// # Errors
    /// [`TestError`] when it cannot be read.
    pub fn verdicts(&self, event: EventId) -> Result<Vec<(String, String)>, TestError> {
        let verdicts = self.reader().verdicts(event)?;
        Ok(verdicts
            .into_iter()
            .map(|(function, verdict)| (self.parts.names.of(function), describe(&verdict)))
            .collect())
    }

    /// Ends the test if a mock was never reached.
    ///
    /// # Panics
    /// If a mock was never reached, and that is not allowed.
    #[track_caller]
    pub fn assert_mocks_used(&self) {
        let unused = self.parts.stand_ins.unused();
        assert!(
            self.parts.unused_allowed || unused.is_empty(),
            "never reached: {}; mend the id, or call allow_unused_mocks()",
            unused.join(", ")
        );
    }

    pub(super) fn lives(&self) -> &Lives {
        &self.parts.lives
    }

    /// Notes that the test was told of an error.
    pub(super) fn noting<T>(&self, result: Result<T, TestError>) -> Result<T, TestError> {
        if result.is_err() {
            self.noting_failure();
        }
        result
    }

    /// Notes that the test has failed in some other way.
    pub(super) fn noting_failure(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.failed.load(Ordering::Relaxed) {
            self.assert_mocks_used();
        }
    }
}

fn json_of(data: &impl Serialize) -> Result<SharedJson, TestError> {
    to_json(data).map_err(|error| TestError::Stopped {
        reason: error.to_string(),
    })
}

pub(super) fn moment(timestamp: Timestamp) -> Moment {
    Moment::from_unix_ms(i64::try_from(timestamp.ms()).unwrap_or(i64::MAX))
}

fn timestamp(moment: Moment) -> Timestamp {
    Timestamp::from_ms(u64::try_from(moment.unix_ms()).unwrap_or(0))
}

pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// What was decided about an event, for people.
pub(super) fn describe(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Started { run } => format!("started run {run}"),
        Verdict::Filtered { part, values } => {
            let values = values
                .iter()
                .map(|(path, value)| format!("{path} is {value}"));
            let values = values.collect::<Vec<_>>().join(", ");
            match values.is_empty() {
                true => format!("its condition is not met: {part}"),
                false => format!("its condition is not met: {part} ({values})"),
            }
        }
        Verdict::Debounced { .. } => "waits in a debounce window".to_owned(),
        Verdict::Superseded { .. } => {
            "a later event took its place in the debounce window".to_owned()
        }
        Verdict::Batched { .. } => "waits in a batch".to_owned(),
        Verdict::BatchKeyInvalid => "the batch's key fails for it".to_owned(),
        Verdict::RateLimited { key } if key.is_empty() => {
            "one too many for the rate limit".to_owned()
        }
        Verdict::RateLimited { key } => format!("one too many for the rate limit of {key}"),
        Verdict::Duplicate { .. } => "a duplicate of an earlier event".to_owned(),
        Verdict::Skipped { cause, .. } => format!("its run was skipped: {cause:?}"),
    }
}
