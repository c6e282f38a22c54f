//! Inputs: everything that can happen.

use crate::function::Function;
use crate::{AppRow, ItemId, Timestamp};
use std::sync::Arc;
use stepwell_protocol::op::Opcode;
use stepwell_protocol::reply::{Failure, RetryAfter};
use stepwell_protocol::{EventId, RunId, SharedJson, StepId, UserError};

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// Events came in.
    EventsReceived(Vec<NewEvent>),
    /// An app registered.
    AppSynced(Box<AppSync>),
    /// A call was answered, or could not be made.
    CallReturned {
        /// The queue item of the call.
        item: ItemId,
        /// The dispatch of the call.
        generation: u64,
        /// What came back.
        reply: Box<ReportedReply>,
    },
    /// A running function reported steps ahead of its answer.
    StepsCheckpointed {
        /// The run.
        run: RunId,
        /// The queue item of the call.
        item: ItemId,
        /// The dispatch of the call, when the SDK says.
        generation: Option<u64>,
        /// The steps.
        steps: Vec<CheckpointedStep>,
    },
    /// The events of a run's end were built.
    Announced {
        /// The queue item of the announcement.
        item: ItemId,
        /// The events.
        events: Vec<NewEvent>,
    },
    /// Someone wants a run cancelled.
    CancelRun(RunId),
    /// [`crate::Engine::next_due`] has come.
    TimersDue,
}

/// An event on its way in.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The internal id.
    pub id: EventId,
    /// The event's name.
    pub name: Arc<str>,
    /// The sender's id, if it gave one.
    pub external_id: Option<String>,
    /// When it happened, in milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// Whether it can come again: it carries a sender's id or a seed. Others need no place in the window of
    /// duplicates.
    pub repeatable: bool,
    /// The whole event as functions get it.
    pub body: SharedJson,
}

/// An app's registration, checked.
#[derive(Debug, Clone)]
pub struct AppSync {
    /// The app. Its `synced_at` is set by the engine.
    pub app: AppRow,
    /// Its functions.
    pub functions: Vec<Function>,
}

/// An answer to a call, in the engine's terms.
#[derive(Debug, Clone)]
pub struct ReportedReply {
    /// The request version that the SDK speaks, if it said so.
    pub request_version: Option<i32>,
    /// When a retry may come, if the SDK said so.
    pub retry_after: Option<RetryAfter>,
    /// Whether the SDK asked not to retry.
    pub no_retry: bool,
    /// The meaning itself.
    pub outcome: ReportedOutcome,
}

/// What became of a call.
#[derive(Debug, Clone)]
pub enum ReportedOutcome {
    /// Steps ran or are asked for.
    Ops(Vec<ReportedOp>),
    /// The function returned this.
    Returned(SharedJson),
    /// The attempt failed.
    Failed(Failure),
    /// The call could not be made now through no fault of the function; it is tried again without counting.
    NotMade,
}

/// One op of an answer.
#[derive(Debug, Clone)]
pub struct ReportedOp {
    /// What it is.
    pub op: Opcode,
    /// The step.
    pub step: StepId,
    /// The step's name for people.
    pub title: String,
    /// Result, as the function will get it, i.e. already wrapped.
    pub value: Option<SharedJson>,
    /// The error of `StepError` and `StepFailed`.
    pub error: Option<UserError>,
    /// How long a `Sleep` is asked to take, as a time string or a moment; empty for other ops.
    pub sleep: String,
    /// Whether one ended step of a parallel group is enough to go on.
    pub race: bool,
    /// When the SDK says the step began.
    pub started_at: Option<Timestamp>,
}

/// One step of a checkpoint.
pub type CheckpointedStep = ReportedOp;
