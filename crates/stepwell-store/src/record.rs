//! What a store answers: rows as people and calls read them.

use crate::MetadataRecord;
use stepwell_engine::{
    Cause, DeferStatus, ItemId, ItemRow, LastCall, Origin, RunStatus, StepDetail, Timestamp,
};
use stepwell_protocol::otlp::UserSpan;
use stepwell_protocol::{AppId, EventId, FunctionId, RunId, SharedJson, StepId};

/// A run.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// The run.
    pub id: RunId,
    /// Its function.
    pub function: FunctionId,
    /// The function's version when it was scheduled.
    pub function_version: u32,
    /// The events that started it.
    pub events: Vec<EventId>,
    /// Where it stands.
    pub status: RunStatus,
    /// When it was scheduled.
    pub queued_at: Timestamp,
    /// When it was first called.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it returned, or its error.
    pub output: Option<SharedJson>,
    /// Where it comes from, when that is more than an event.
    pub origin: Option<Origin>,
    /// Why it ended when its function did not end it.
    pub cause: Option<Cause>,
    /// The call whose answer ended it, if one did.
    pub last_call: Option<LastCall>,
}

/// An event.
#[derive(Debug, Clone)]
pub struct EventRecord {
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

/// An ended step.
#[derive(Debug, Clone)]
pub struct StepRecord {
    /// The step.
    pub step: StepId,
    /// The op that reported it.
    pub op: String,
    /// Its name for people.
    pub name: String,
    /// What the function gets for it.
    pub value: SharedJson,
    /// Whether it failed for good.
    pub failed: bool,
    /// Failed attempts before its last.
    pub attempt: u32,
    /// When it was first asked for.
    pub queued_at: Timestamp,
    /// When the last attempt began.
    pub started_at: Timestamp,
    /// When its end was recorded.
    pub ended_at: Timestamp,
    /// What else there is to say of it.
    pub detail: Option<StepDetail>,
    /// The queue item whose failed attempts led to it; nothing when none failed.
    pub failures_of: Option<ItemId>,
}

/// An ended step without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOutline {
    /// The step.
    pub step: StepId,
    /// The op that reported it.
    pub op: String,
    /// Its name for people.
    pub name: String,
    /// Whether it failed for good.
    pub failed: bool,
    /// When it was first asked for.
    pub queued_at: Timestamp,
    /// When the last attempt began.
    pub started_at: Timestamp,
    /// When its end was recorded.
    pub ended_at: Timestamp,
    /// What else there is to say of it.
    pub detail: Option<StepDetail>,
    /// The queue item whose failed attempts led to it; nothing when none failed.
    pub failures_of: Option<ItemId>,
}

/// What there is to tell of a run, all of one moment.
#[derive(Debug, Clone)]
pub struct History {
    /// The run.
    pub run: RunRecord,
    /// Its function.
    pub function: Option<FunctionRecord>,
    /// Its ended steps, in the order of their ends.
    pub steps: Vec<StepOutline>,
    /// Its attempts that failed or were cut short, in order.
    pub attempts: Vec<AttemptRecord>,
    /// Its queue items.
    pub items: Vec<ItemRow>,
    /// The runs of the functions that its steps wait for, by the invocation's event.
    pub invoked: Vec<(EventId, RunId)>,
    /// What is noted of it.
    pub metadata: Vec<MetadataRecord>,
    /// Spans that its app made within it.
    pub user_spans: Vec<UserSpan>,
}

impl History {
    /// The invocations that have no answer.
    pub(crate) fn invocations(items: &[ItemRow], attempts: &[AttemptRecord]) -> Vec<EventId> {
        let waiting = items.iter().filter_map(StepDetail::of_item);
        let cut_short = attempts.iter().filter_map(|attempt| attempt.detail.clone());
        let details = waiting.chain(cut_short);
        details
            .filter_map(|detail| match detail {
                StepDetail::Invoke { event, .. } => Some(event),
                _ => None,
            })
            .collect()
    }
}

/// An attempt that failed, or that the run's end cut short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The queue item.
    pub item: ItemId,
    /// Which attempt, from 0.
    pub attempt: u32,
    /// The step, if one failed rather than the function.
    pub step: Option<StepId>,
    /// The step's name for people.
    pub name: String,
    /// The error, in JSON; nothing when it was cut short.
    pub error: Option<String>,
    /// When it was due.
    pub queued_at: Timestamp,
    /// When it began.
    pub started_at: Timestamp,
    /// When it failed, or was cut short.
    pub ended_at: Timestamp,
    /// When the next one was due.
    pub retry_at: Option<Timestamp>,
    /// The op of a step that was cut short.
    pub op: Option<String>,
    /// What else there is to say of such a step.
    pub detail: Option<StepDetail>,
}

/// A registered app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRecord {
    /// The app.
    pub id: AppId,
    /// Its name.
    pub name: String,
    /// Where it is called; empty for one that was removed.
    pub url: String,
    /// Its SDK, e.g. `js:v4.1.2`.
    pub sdk: String,
    /// The web framework under the SDK.
    pub framework: String,
    /// Hash of its registration.
    pub checksum: String,
    /// When it last registered.
    pub synced_at: Timestamp,
}

impl AppRecord {
    /// Whether someone has removed it, and it has not registered since.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.url.is_empty()
    }
}

/// A registered function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRecord {
    /// The function.
    pub id: FunctionId,
    /// Its app.
    pub app: AppId,
    /// The app's name.
    pub app_name: String,
    /// Its public id.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Its configuration, as registered, in JSON.
    pub config: String,
    /// How often it has changed, from 1.
    pub version: u32,
    /// Whether someone has paused it.
    pub paused: bool,
    /// Whether its app's last registration no longer had it.
    pub archived: bool,
}

/// What a call carries: the run's events, and its ended steps in order.
#[derive(Debug, Clone, Default)]
pub struct RunState {
    /// The events' bodies.
    pub events: Vec<SharedJson>,
    /// Ended steps and their values.
    pub steps: Vec<(StepId, SharedJson)>,
    /// What steps get instead of their own arguments: JSON arrays.
    pub inputs: Vec<(StepId, SharedJson)>,
}

/// A deferred run.
#[derive(Debug, Clone)]
pub struct DeferRecord {
    /// The step that asked for it.
    pub step: StepId,
    /// The function to run.
    pub slug: String,
    /// What it gets: a JSON object.
    pub input: Option<SharedJson>,
    /// Where it stands.
    pub status: DeferStatus,
}
