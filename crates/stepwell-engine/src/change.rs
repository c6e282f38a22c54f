//! Changes: the rows that a decision writes.

use crate::origin::Origin;
use crate::{BulkCancelRow, CancelRow, Cause, ItemId, ItemRow, RunStatus, Timestamp};
use smallvec::SmallVec;
use stepwell_protocol::metadata;
use stepwell_protocol::otlp::UserSpan;
use stepwell_protocol::{
    AppId, BulkCancelId, EventId, FunctionId, RunId, SharedJson, StepId, limits,
};

/// One row to write. A batch of changes is written atomically and in order.
#[derive(Debug, Clone)]
pub enum Change {
    /// Insert or replace an app.
    AppPut(AppRow),
    /// Insert or replace a function.
    FunctionPut(FunctionRow),
    /// Insert an event; one that is there already stays as it is.
    EventPut(EventRow),
    /// Insert a run.
    RunPut(Box<RunRow>),
    /// Update an unfinished run.
    RunProgress(Box<RunProgress>),
    /// End a run.
    RunEnd(RunEnd),
    /// Insert a step's result.
    StepPut(Box<StepRow>),
    /// Record an attempt that failed or was cut short.
    AttemptPut(Box<AttemptRow>),
    /// Insert or replace a queue item.
    ItemPut(Box<ItemRow>),
    /// Delete a queue item.
    ItemDelete(ItemId),
    /// Insert or replace a throttle's state.
    ThrottlePut(ThrottleRow),
    /// Delete a throttle's state.
    ThrottleDelete(u128),
    /// Insert a cancellation's listener.
    CancelPut(Box<CancelRow>),
    /// Delete a cancellation's listener.
    CancelDelete(ItemId),
    /// Insert or replace a bulk cancellation.
    BulkCancelPut(Box<BulkCancelRow>),
    /// Delete a bulk cancellation.
    BulkCancelDelete(BulkCancelId),
    /// Remember an event that is still to reach waits.
    DeliveryPut(DeliveryRow),
    /// Forget it: it has reached all.
    DeliveryDelete(ItemId),
    /// Insert or replace a debounce window.
    DebouncePut(Box<DebounceRow>),
    /// Delete a debounce window.
    DebounceDelete(u128),
    /// Insert a batch.
    BatchPut(Box<BatchRow>),
    /// Insert an event of a batch.
    BatchEventPut(Box<BatchEventRow>),
    /// Delete a batch with its events.
    BatchDelete(ItemId),
    /// Remember a duplicate key that no run remembers.
    KeyPut(KeyRow),
    /// Forget it.
    KeyDelete(u128),
    /// Insert or replace how far a schedule has come.
    SchedulePut(ScheduleRow),
    /// Delete a schedule.
    ScheduleDelete(FunctionId, std::sync::Arc<str>),
    /// Insert a deferred run, or replace its status.
    DeferPut(Box<DeferRow>),
    /// Insert what a step gets instead of its own arguments.
    InputPut(Box<StepInputRow>),
    /// Note something of a run; nothing when the run is not there, or when that would be more than is kept of one
    /// (`limits::METADATA_PER_RUN_MAX` and its like).
    MetadataPut(Box<MetadataRow>),
    /// Insert spans that an app made within a run, as far as they are kept of one; those that are there stay as they are.
    UserSpansPut(Box<UserSpansRow>),
    /// Record why an event did not simply start a function.
    VerdictPut(Box<VerdictRow>),
}

/// An app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRow {
    /// The app.
    pub id: AppId,
    /// Its name.
    pub name: String,
    /// Where it is called.
    pub url: String,
    /// Its SDK, e.g. `js:v4.1.2`.
    pub sdk: String,
    /// The web framework under the SDK.
    pub framework: String,
    /// Hash of the registration, to see whether one changes anything.
    pub checksum: String,
    /// When it last registered.
    pub synced_at: Timestamp,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRow {
    /// The function.
    pub id: FunctionId,
    /// Its app.
    pub app: AppId,
    /// Its public id, `<app>-<function>`.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Its configuration, as registered, in JSON.
    pub config: String,
    /// How often it has changed, from 1.
    pub version: u32,
    /// Whether the app's last registration no longer had it.
    pub archived: bool,
    /// Whether someone has paused it: it starts nothing and is not called.
    pub paused: bool,
    /// How large its runs may become.
    pub bounds: Bounds,
}

/// How large the runs of a function may become, where that is less than any run may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The most steps.
    pub steps: Option<u32>,
    /// The most bytes of all values.
    pub state_bytes: Option<u32>,
}

impl Bounds {
    /// The most steps of a run.
    #[must_use]
    pub fn steps_max(self) -> usize {
        within(self.steps, limits::STEPS_PER_RUN_MAX)
    }

    /// The most bytes of all values of a run.
    #[must_use]
    pub fn state_bytes_max(self) -> usize {
        within(self.state_bytes, limits::RUN_STATE_BYTES_MAX)
    }
}

fn within(bound: Option<u32>, most: usize) -> usize {
    bound.map_or(most, |bound| most.min(bound as usize))
}

/// An event.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// The internal id.
    pub id: EventId,
    /// The event's name.
    pub name: String,
    /// The sender's id, or the internal one's text.
    pub external_id: String,
    /// When it happened, in milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// When it came in.
    pub received_at: Timestamp,
    /// The whole event as functions get it.
    pub body: SharedJson,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// The run.
    pub id: RunId,
    /// Its function.
    pub function: FunctionId,
    /// The function's version when it was scheduled.
    pub function_version: u32,
    /// The events that started it.
    pub events: SmallVec<[EventId; 1]>,
    /// Hash of function and event id, which keeps others away for 24 hours; nothing when the event cannot come
    /// again.
    pub dedupe_key: Option<u128>,
    /// Whether its end may be announced; not for runs that an announcement started.
    pub announces: bool,
    /// When it was scheduled.
    pub queued_at: Timestamp,
    /// The values of its function's flow-control keys, as [`crate::flow::Keys`] writes them.
    pub keys: Option<String>,
    /// Where it comes from, when that is more than an event.
    pub origin: Option<Box<Origin>>,
    /// What changes while it runs.
    pub progress: RunProgress,
}

impl RunRow {
    /// From when the run's duplicate key counts: from the time of its id, by which stores find it. An endpoint's run has an id
    /// from before it was reported.
    #[must_use]
    pub fn key_since(id: RunId, queued_at: Timestamp) -> Timestamp {
        queued_at.min(Timestamp::from_ms(id.timestamp_ms()))
    }
}

/// What changes while a run runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunProgress {
    /// The run.
    pub id: RunId,
    /// Scheduled or running.
    pub status: RunStatus,
    /// When it was first called.
    pub started_at: Option<Timestamp>,
    /// The request version that its first answer fixed; -1 before.
    pub request_version: i32,
    /// Whether steps must be planned rather than run at once.
    pub force_plan: bool,
    /// The planned steps of a parallel group that have not ended.
    pub pending: Vec<StepId>,
}

/// The end of a run.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// The run.
    pub id: RunId,
    /// Its final status.
    pub status: RunStatus,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it returned, or its error; nothing for a cancelled run.
    pub output: Option<SharedJson>,
    /// Why it ended when its function did not end it.
    pub cause: Option<Cause>,
    /// The call whose answer ended it, if one did.
    pub last_call: Option<LastCall>,
}

/// The call whose answer ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastCall {
    /// The queue item.
    pub item: ItemId,
    /// When it was due.
    pub queued_at: Timestamp,
    /// When it began.
    pub started_at: Timestamp,
    /// The HTTP status by which the answer failed, if it did by one.
    pub status: Option<u16>,
}

/// A step's result.
#[derive(Debug, Clone)]
pub struct StepRow {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// The how-manieth of the run to end, from 0.
    pub position: u32,
    /// The op that reported it, e.g. `StepRun`; `Sleep` for a sleep.
    pub op: &'static str,
    /// The step's name for people.
    pub name: String,
    /// What the function gets for it from now on.
    pub value: SharedJson,
    /// Whether it failed for good.
    pub failed: bool,
    /// Failed attempts before.
    pub attempt: u32,
    /// When it was first asked for.
    pub queued_at: Timestamp,
    /// When the attempt began.
    pub started_at: Timestamp,
    /// When its end was recorded.
    pub ended_at: Timestamp,
    /// What else there is to say of it, in JSON: [`crate::StepDetail`].
    pub detail: Option<String>,
    /// The queue item whose failed attempts led to it; nothing when none failed.
    pub failures_of: Option<ItemId>,
}

/// An attempt of a step or of the function that failed, or that the run's end cut short.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// The run.
    pub run: RunId,
    /// The queue item.
    pub item: ItemId,
    /// Which attempt, from 0.
    pub attempt: u32,
    /// The step, if one failed rather than the function.
    pub step: Option<StepId>,
    /// The step's name for people.
    pub name: String,
    /// The error, in JSON; nothing when the run's end cut it short.
    pub error: Option<String>,
    /// When the attempt was due.
    pub queued_at: Timestamp,
    /// When it began.
    pub started_at: Timestamp,
    /// When it failed, or was cut short.
    pub ended_at: Timestamp,
    /// When the next one is due; nothing when there is none.
    pub retry_at: Option<Timestamp>,
    /// The op of a step that was cut short.
    pub op: Option<&'static str>,
    /// What else there is to say of such a step, in JSON: [`crate::StepDetail`].
    pub detail: Option<String>,
}

/// A throttle's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThrottleRow {
    /// Hash of function and key.
    pub key: u128,
    /// The theoretical arrival time, in microseconds since the Unix epoch.
    pub tat_us: u64,
}

/// An event on its way to the waits that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Waits made before this get it.
    pub id: ItemId,
    /// The event.
    pub event: EventId,
}

/// A debounce window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebounceRow {
    /// Hash of function and key.
    pub key: u128,
    /// The function.
    pub function: FunctionId,
    /// Its last event.
    pub event: EventId,
    /// When its first event came.
    pub opened_at: Timestamp,
    /// When it closes if no other event comes.
    pub closes_at: Timestamp,
    /// The time of its last event, in milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// The run that its last event starts when it closes: [`crate::schedule::Draft`] in JSON.
    pub draft: String,
}

/// An open batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// The batch.
    pub id: ItemId,
    /// Hash of function and key.
    pub key: u128,
    /// The function.
    pub function: FunctionId,
    /// When it closes if it does not fill.
    pub closes_at: Timestamp,
    /// The values of the function's flow-control keys for its first event.
    pub keys: Option<String>,
}

/// An event of an open batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchEventRow {
    /// The batch.
    pub batch: ItemId,
    /// Which of its events, from 0.
    pub position: u32,
    /// The event.
    pub event: EventId,
    /// The size of its body.
    pub bytes: u64,
    /// Who invoked the function with it.
    pub reply_to: Option<crate::origin::ReplyTo>,
}

/// A duplicate key of an event that shares a run with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRow {
    /// Hash of function and event id.
    pub key: u128,
    /// When the event came.
    pub at: Timestamp,
}

/// How far a schedule has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    /// The function.
    pub function: FunctionId,
    /// The cron expression.
    pub cron: std::sync::Arc<str>,
    /// Ticks until this moment are dealt with.
    pub after: Timestamp,
}

/// A run to be scheduled when another one ends.
#[derive(Debug, Clone)]
pub struct DeferRow {
    /// The run that asked for it.
    pub run: RunId,
    /// The step that asked for it.
    pub step: StepId,
    /// The function to run.
    pub slug: String,
    /// What to give it: a JSON object. Nothing when there is nothing to give, or when it was called off.
    pub input: Option<SharedJson>,
    /// What its sender noted, in JSON.
    pub meta: Option<SharedJson>,
    /// Where it stands.
    pub status: crate::DeferStatus,
}

/// Why an event did not simply start a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictRow {
    /// The event.
    pub event: EventId,
    /// The function that listens to its name.
    pub function: FunctionId,
    /// What was decided.
    pub verdict: crate::Verdict,
}

/// Something that is noted of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataRow {
    /// The run.
    pub run: RunId,
    /// What of it.
    pub target: metadata::Target,
    /// What is noted, and what becomes of what was.
    pub update: metadata::Update,
    /// When.
    pub at: Timestamp,
}

/// Spans that an app made within a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSpansRow {
    /// The run.
    pub run: RunId,
    /// The spans.
    pub spans: Vec<UserSpan>,
}

/// What a step of a repetition gets instead of its own arguments, until it has a result.
#[derive(Debug, Clone)]
pub struct StepInputRow {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// A JSON array.
    pub input: SharedJson,
}
