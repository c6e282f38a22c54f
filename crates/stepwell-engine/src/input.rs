//! Inputs: everything that can happen.

use crate::function::Function;
use crate::{
    AppRow, BulkCancelRow, EndpointStart, EventRow, ItemId, MetadataRow, Timestamp, UserSpansRow,
};
use serde_json::Value;
use std::sync::Arc;
use stepwell_protocol::gateway::Request;
use stepwell_protocol::op::{self, Opcode};
use stepwell_protocol::reply::{Failure, RetryAfter};
use stepwell_protocol::{BulkCancelId, EventId, RunId, SharedJson, StepId, UserError};

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
    /// An app executes an endpoint by itself, and reports its run for the first time.
    EndpointStarted(Box<EndpointStart>),
    /// It reports more.
    EndpointReported {
        /// The run.
        run: RunId,
        /// What was done since.
        steps: Vec<ReportedOp>,
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
    /// Someone wants the runs of a function cancelled that were scheduled within a span of time.
    BulkCancelAsked(Box<BulkCancelRow>),
    /// Someone wants that no more.
    BulkCancelDropped(BulkCancelId),
    /// Runs were found that a bulk cancellation ends.
    Swept {
        /// The bulk cancellation.
        id: BulkCancelId,
        /// Which of its questions this answers.
        generation: u64,
        /// The runs.
        runs: Vec<RunId>,
        /// Where to go on; nothing when there are no more.
        next: Option<RunId>,
    },
    /// An HTTP request was answered, or could not be made.
    Fetched {
        /// The queue item of the request.
        item: ItemId,
        /// The dispatch of the request.
        generation: u64,
        /// What the step gets, i.e. already wrapped; or why there is none.
        result: Result<SharedJson, Box<FetchFailure>>,
    },
    /// The past has been looked through for a wait.
    LookedBack {
        /// The queue item of the wait.
        item: ItemId,
        /// The event that matches it, if one does.
        event: Option<Box<NewEvent>>,
    },
    /// An event is read again, to reach more of the waits that it matches.
    Delivered {
        /// The delivery.
        id: ItemId,
        /// The event; nothing when it is gone.
        event: Option<Box<NewEvent>>,
    },
    /// A signal comes.
    SignalSent {
        /// Its name.
        signal: String,
        /// What it carries.
        data: SharedJson,
    },
    /// Someone wants a function run, whatever its triggers.
    FunctionInvoked {
        /// The function's public id, or its internal one.
        function: String,
        /// The event of the invocation.
        event: Box<NewEvent>,
    },
    /// Someone wants a run repeated.
    RunRepeated(Box<Repetition>),
    /// Things are noted of runs, ended ones too.
    Noted {
        /// Metadata.
        metadata: Vec<MetadataRow>,
        /// Spans that apps made.
        spans: Vec<UserSpansRow>,
    },
    /// Someone wants a function paused, or no longer.
    FunctionPaused {
        /// The function.
        function: stepwell_protocol::FunctionId,
        /// Whether it is to be paused.
        paused: bool,
    },
    /// Someone wants the runs of a function bounded, or no longer.
    FunctionBounded {
        /// The function.
        function: stepwell_protocol::FunctionId,
        /// How.
        bound: Bound,
    },
    /// It is time to check some of what is live.
    Audit,
    /// [`crate::Engine::next_due`] has come.
    TimersDue,
}

/// A bound on the runs of a function; none is the one that all runs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Of their steps.
    Steps(Option<u32>),
    /// Of the bytes of all their values.
    StateBytes(Option<u32>),
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
    /// What else it asks for.
    pub ask: Ask,
    /// Whether one ended step of a parallel group is enough to go on.
    pub race: bool,
    /// The kind of a step that ran, e.g. `step.sendEvent`; nothing for a plain one.
    pub kind: Option<String>,
    /// When the SDK says the step began.
    pub started_at: Option<Timestamp>,
    /// What the SDK notes of the step or its run.
    pub metadata: Vec<op::Metadata>,
}

/// What an op asks for besides what all ops carry.
#[derive(Debug, Clone, Default)]
pub enum Ask {
    /// Nothing.
    #[default]
    Nothing,
    /// To sleep this long, or until then.
    Sleep(String),
    /// To wait for an event.
    Event(Box<EventWait>),
    /// To wait for a signal.
    Signal(Box<SignalWait>),
    /// To run another function.
    Invoke(Box<Invocation>),
    /// To make an HTTP request; or why that cannot be.
    Request(Result<Arc<Request>, String>),
    /// To schedule a run when this one ends.
    Defer(Box<Deferral>),
    /// To call that off.
    AbortDefer(StepId),
}

/// A wait for an event. Times are time strings or moments.
#[derive(Debug, Clone)]
pub struct EventWait {
    /// The event's name.
    pub event: String,
    /// Which of the events, as [`crate::waits::condition_for`] gives it.
    pub condition: Result<Option<Arc<str>>, String>,
    /// When it gives up; at once when empty.
    pub timeout: String,
    /// Events of so long ago count, too, in milliseconds.
    pub look_back_ms: Option<u64>,
}

/// A wait for a signal.
#[derive(Debug, Clone)]
pub struct SignalWait {
    /// The signal's name.
    pub signal: String,
    /// When it gives up; after a year when empty.
    pub timeout: String,
    /// Whether it takes the name from another wait.
    pub replaces: bool,
}

/// A function to run.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Its public id, or its internal one.
    pub function: String,
    /// What it gets: `data`, `user`, `v`, `meta` and perhaps an `id`.
    pub payload: Value,
    /// When the step stops waiting; after a year when empty.
    pub timeout: String,
}

/// A run to schedule when another one ends.
#[derive(Debug, Clone)]
pub struct Deferral {
    /// The function's id.
    pub slug: String,
    /// What it gets: a JSON object.
    pub input: Option<SharedJson>,
    /// What the sender notes, in JSON.
    pub meta: Option<SharedJson>,
}

/// Why an HTTP request gave nothing.
#[derive(Debug, Clone)]
pub struct FetchFailure {
    /// What the step gets.
    pub error: UserError,
    /// When a retry may come, if the other side said so.
    pub retry_after: Option<RetryAfter>,
    /// Whether another attempt may fare better.
    pub retriable: bool,
}

/// A run to repeat, with what is to be taken over from it.
#[derive(Debug, Clone)]
pub struct Repetition {
    /// The run to repeat; the first one, if it is a repetition itself.
    pub original: RunId,
    /// Its function.
    pub function: stepwell_protocol::FunctionId,
    /// The event that started it, as it was recorded. It is written again, since it may be pruned meanwhile.
    pub event: EventRow,
    /// Steps that keep their results, in order.
    pub steps: Vec<KeptStep>,
    /// The step to begin from, if it runs in a call of its own.
    pub target: Option<StepId>,
    /// What that step gets instead of its own arguments: a JSON array.
    pub input: Option<(StepId, SharedJson)>,
}

/// A step that keeps its result in a repetition.
#[derive(Debug, Clone)]
pub struct KeptStep {
    /// The step.
    pub step: StepId,
    /// The op that reported it.
    pub op: Opcode,
    /// Its name for people.
    pub name: String,
    /// Its value.
    pub value: SharedJson,
    /// Whether it had failed.
    pub failed: bool,
}

/// One step of a checkpoint.
pub type CheckpointedStep = ReportedOp;
