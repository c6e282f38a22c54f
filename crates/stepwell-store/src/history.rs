//! The tree of a run's spans: the run, its steps, and the attempts of whatever did not succeed at once.
//!
//! It is made of rows when someone asks, in the shape that clients of the protocol know. Names of spans below the root:
//! a step's own; `execute` for a call whose outcome is still to come; `function success` or `function error` for the
//! function's own end; `Attempt 0`, `Attempt 1`, … below any of them; and what the app calls its own spans.

mod attempts;
mod notes;
mod output;
mod tree;

pub use output::{Output, OutputId, Outputs, ParseOutputIdError, output};

use crate::{History, MetadataRecord, Reader, StoreError};
use sha2::{Digest, Sha256};
use stepwell_engine::{Cause, StepDetail, Timestamp, UnderWay};
use stepwell_protocol::otlp::UserSpan;
use stepwell_protocol::{AppId, EventId, FunctionId, RunId, StepId};

/// A run's spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The run.
    pub run: RunId,
    /// Its function.
    pub function: FunctionId,
    /// The function's app, if it is known.
    pub app: Option<AppId>,
    /// The trace's id: 32 hex digits.
    pub id: String,
    /// The run's span, above all others.
    pub root: Span,
}

/// Something that took time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The span's id, 16 hex digits; the same whenever the tree is made.
    pub id: String,
    /// The span above it; nothing for the root.
    pub parent: Option<String>,
    /// Its name for people.
    pub name: String,
    /// Where it stands.
    pub status: SpanStatus,
    /// How many attempts it took, if it took more than one; for an attempt, which one it is, from 0.
    pub attempts: u32,
    /// The step.
    pub step: Option<StepId>,
    /// What the step does.
    pub op: Option<StepOp>,
    /// The step's kind: what the SDK calls it, e.g. `step.sendEvent`, or else its op.
    pub kind: Option<String>,
    /// What else there is to say of the step.
    pub info: Option<StepInfo>,
    /// When it was asked for.
    pub queued_at: Timestamp,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Where its output is.
    pub output: Option<OutputId>,
    /// The HTTP status by which its call failed, if it did by one.
    pub http_status: Option<u16>,
    /// Why a run was skipped.
    pub skip: Option<Skip>,
    /// What is noted of it.
    pub metadata: Vec<MetadataRecord>,
    /// The span of the app that it tells of, if it is one.
    pub userland: Option<Box<UserSpan>>,
    /// What it is made of, in the order of their beginnings.
    pub children: Vec<Span>,
}

impl Span {
    /// Whether this is the run's own span.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// How long it took, in milliseconds; nothing while it goes on.
    #[must_use]
    pub fn duration_ms(&self) -> Option<u64> {
        Some(self.ended_at?.ms_since(self.started_at?))
    }

    /// This span and all below it.
    pub fn each(&self, visit: &mut impl FnMut(&Self)) {
        visit(self);
        for child in &self.children {
            child.each(visit);
        }
    }
}

/// Where a span stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanStatus {
    /// It has not begun.
    Queued,
    /// It goes on.
    Running,
    /// It waits for a time, an event or a signal.
    Waiting,
    /// It ended well, or by its time.
    Completed,
    /// It failed.
    Failed,
    /// It was cut short by the end of its run.
    Cancelled,
    /// It never began, and will not.
    Skipped,
}

impl SpanStatus {
    /// The status on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Waiting => "WAITING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Skipped => "SKIPPED",
        }
    }
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOp {
    /// It runs code of the function.
    Run,
    /// It sleeps.
    Sleep,
    /// It waits for an event.
    WaitForEvent,
    /// It waits for a signal.
    WaitForSignal,
    /// It runs another function.
    Invoke,
    /// It has the server make a request, to an AI provider or to another address.
    Gateway,
}

impl StepOp {
    /// The op on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "RUN",
            Self::Sleep => "SLEEP",
            Self::WaitForEvent => "WAIT_FOR_EVENT",
            Self::WaitForSignal => "WAIT_FOR_SIGNAL",
            Self::Invoke => "INVOKE",
            // The protocol has no name of its own for requests to other addresses.
            Self::Gateway => "AI_GATEWAY",
        }
    }

    /// What a step does that was recorded with this op.
    fn of(recorded: &str) -> Self {
        match recorded {
            "Sleep" => Self::Sleep,
            "WaitForEvent" => Self::WaitForEvent,
            "WaitForSignal" => Self::WaitForSignal,
            "InvokeFunction" => Self::Invoke,
            "Gateway" | "AIGateway" => Self::Gateway,
            _ => Self::Run,
        }
    }

    /// Whether calls or requests carry it out, which may be tried again.
    fn is_attempted(self) -> bool {
        matches!(self, Self::Run | Self::Gateway)
    }
}

/// What else there is to say of a step. What is known only in the end is absent before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepInfo {
    /// A step that runs code of the function.
    Run {
        /// Its kind, if it is not a plain one.
        kind: Option<String>,
    },
    /// A sleep.
    Sleep {
        /// When it ends.
        until: Timestamp,
    },
    /// A wait for an event.
    WaitForEvent {
        /// The event's name.
        event: String,
        /// Which of the events.
        expression: Option<String>,
        /// When it gives up.
        timeout: Timestamp,
        /// The event that came.
        found: Option<EventId>,
        /// Whether it gave up.
        timed_out: Option<bool>,
    },
    /// A wait for a signal.
    WaitForSignal {
        /// The signal's name.
        signal: String,
        /// When it gives up.
        timeout: Timestamp,
        /// Whether it gave up.
        timed_out: Option<bool>,
    },
    /// An invoked function.
    Invoke {
        /// The event of the invocation.
        event: EventId,
        /// What the step asked for.
        function: String,
        /// When it gives up.
        timeout: Timestamp,
        /// The event of the run's end.
        returned: Option<EventId>,
        /// The run that it started.
        run: Option<RunId>,
        /// Whether it gave up.
        timed_out: Option<bool>,
    },
}

impl StepInfo {
    /// What a detail says of a step that ended then, or of one that has not.
    fn of(detail: StepDetail, ended_at: Option<Timestamp>, invoked: &[(EventId, RunId)]) -> Self {
        match detail {
            StepDetail::Run { kind } => Self::Run { kind: Some(kind) },
            StepDetail::Sleep { until_ms } => Self::Sleep {
                until: Timestamp::from_ms(until_ms),
            },
            StepDetail::WaitForEvent {
                event,
                condition,
                until_ms,
                found,
            } => Self::WaitForEvent {
                event: event.to_string(),
                expression: condition.map(|condition| condition.to_string()),
                timeout: Timestamp::from_ms(until_ms),
                found,
                timed_out: ended_at.map(|_| found.is_none()),
            },
            StepDetail::WaitForSignal {
                signal,
                until_ms,
                found,
            } => Self::WaitForSignal {
                signal: signal.to_string(),
                timeout: Timestamp::from_ms(until_ms),
                timed_out: ended_at.map(|_| !found),
            },
            StepDetail::Invoke {
                function,
                event,
                until_ms,
                run,
                timed_out,
            } => {
                let started = invoked.iter().find(|(of, _)| *of == event);
                Self::Invoke {
                    event,
                    function: function.to_string(),
                    timeout: Timestamp::from_ms(until_ms),
                    // The step ends in the moment in which the run does.
                    returned: ended_at
                        .zip(run)
                        .map(|(at, run)| EventId::of_end(run, at.ms())),
                    run: match ended_at {
                        Some(_) => run,
                        None => started.map(|(_, run)| *run),
                    },
                    timed_out: ended_at.map(|_| timed_out),
                }
            }
        }
    }
}

/// Why a run was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skip {
    /// The protocol's word for it.
    pub reason: &'static str,
    /// The run that has its place.
    pub existing_run: Option<RunId>,
}

impl Skip {
    fn of(cause: Cause) -> Option<Self> {
        let (reason, existing_run) = match cause {
            Cause::FunctionPaused => ("FunctionPaused", None),
            Cause::Singleton { run } => ("Singleton", Some(run)),
            _ => return None,
        };
        Some(Self {
            reason,
            existing_run,
        })
    }
}

/// The spans of a run; `None` when there is no such run. `under_way` are its calls in flight, which no store knows.
///
/// # Errors
/// The store's.
pub fn trace(
    reader: &dyn Reader,
    run: RunId,
    under_way: &[UnderWay],
) -> Result<Option<Trace>, StoreError> {
    let history = reader.history(run)?;
    Ok(history.map(|history| Trace::of(&history, under_way)))
}

impl Trace {
    /// The spans of what there is to tell of a run.
    #[must_use]
    pub fn of(history: &History, under_way: &[UnderWay]) -> Self {
        let run = &history.run;
        Self {
            run: run.id,
            function: run.function,
            app: history.function.as_ref().map(|function| function.app),
            id: trace_id(run.id),
            root: tree::root(history, under_way),
        }
    }
}

/// The id of a run's trace: 32 hex digits.
#[must_use]
pub fn trace_id(run: RunId) -> String {
    hex::encode(&hash(run, "trace")[..16])
}

/// The id of a run's own span: 16 hex digits.
#[must_use]
pub fn root_id(run: RunId) -> String {
    hex::encode(&hash(run, "run")[..8])
}

/// What tells one part of a run from all others, of this run and of others.
fn hash(run: RunId, what: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(run.to_bytes());
    hasher.update(what.as_bytes());
    hasher.finalize().into()
}
