//! News of runs, for watchers. They are told what has been committed; a watcher that falls behind misses some and
//! reads the store instead.

use stepwell_engine::{Change, Effect, RunStatus, Timestamp};
use stepwell_protocol::{FunctionId, RunId};

/// Something that became true of a run.
#[derive(Debug, Clone)]
pub enum News {
    /// It was scheduled.
    Queued {
        /// The run.
        run: RunId,
        /// Its function.
        function: FunctionId,
    },
    /// It was called for the first time.
    Started {
        /// The run.
        run: RunId,
    },
    /// A step has ended.
    StepEnded {
        /// The run.
        run: RunId,
        /// The step's name.
        name: String,
        /// Whether it failed for good.
        failed: bool,
        /// Milliseconds since its last attempt began.
        took_ms: u64,
    },
    /// An attempt has failed.
    AttemptFailed {
        /// The run.
        run: RunId,
        /// The step's name; empty when the function itself failed.
        name: String,
        /// Which attempt, from 0.
        attempt: u32,
        /// The error, in JSON.
        error: String,
        /// When the next attempt is due; nothing when there is none.
        retry_at: Option<Timestamp>,
    },
    /// The run has ended.
    Ended {
        /// The run.
        run: RunId,
        /// How.
        status: RunStatus,
    },
}

impl News {
    /// The run that the news is of.
    #[must_use]
    pub fn run(&self) -> RunId {
        match self {
            Self::Queued { run, .. }
            | Self::Started { run }
            | Self::StepEnded { run, .. }
            | Self::AttemptFailed { run, .. }
            | Self::Ended { run, .. } => *run,
        }
    }

    /// What a committed decision's call tells: the first one of a run starts it.
    pub(crate) fn of_effect(effect: &Effect) -> Option<Self> {
        match effect {
            Effect::Call(call) if call.starts => Some(Self::Started { run: call.run }),
            _ => None,
        }
    }

    /// What a committed change tells; most tell nothing.
    pub(crate) fn of(change: &Change) -> Option<Self> {
        match change {
            Change::RunPut(row) => Some(Self::Queued {
                run: row.id,
                function: row.function,
            }),
            Change::StepPut(row) => Some(Self::StepEnded {
                run: row.run,
                name: row.name.clone(),
                failed: row.failed,
                took_ms: row.ended_at.ms_since(row.started_at),
            }),
            Change::AttemptPut(row) => Some(Self::AttemptFailed {
                run: row.run,
                name: row.name.clone(),
                attempt: row.attempt,
                // One that was cut short did not fail.
                error: row.error.clone()?,
                retry_at: row.retry_at,
            }),
            Change::RunEnd(row) => Some(Self::Ended {
                run: row.id,
                status: row.status,
            }),
            _ => None,
        }
    }
}
