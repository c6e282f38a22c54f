//! A run as the engine holds it while it is unfinished.

use crate::flow::Keys;
use crate::origin::Origin;
use crate::{DeferStatus, ItemId, RunProgress, RunStatus, Timestamp};
use indexmap::IndexSet;
use smallvec::SmallVec;
use std::sync::Arc;
use stepwell_protocol::{EventId, FunctionId, RunId, StepId};

/// An unfinished run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) function: FunctionId,
    pub(crate) function_version: u32,
    pub(crate) events: SmallVec<[EventId; 1]>,
    pub(crate) dedupe_key: Option<u128>,
    pub(crate) announces: bool,
    pub(crate) queued_at: Timestamp,
    /// Shared by all runs that have none.
    pub(crate) keys: Arc<Keys>,
    pub(crate) origin: Option<Box<Origin>>,
    pub(crate) status: RunStatus,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) request_version: i32,
    pub(crate) force_plan: bool,
    /// Planned steps of a parallel group that have not ended; the next discovery waits for them.
    pub(crate) pending: Vec<StepId>,
    /// Ended steps in the order of their ends.
    pub(crate) steps: IndexSet<StepId>,
    /// Bytes of the ended steps' values.
    pub(crate) state_bytes: usize,
    pub(crate) items: SmallVec<[ItemId; 2]>,
    /// Listeners that cancel it.
    pub(crate) listeners: Vec<ItemId>,
    /// Runs that it has deferred, by the step that did, and the bytes that they take.
    pub(crate) defers: Vec<(StepId, DeferStatus, usize)>,
    /// The timer of its timeout.
    pub(crate) over_at: Option<Timestamp>,
}

impl Run {
    pub(crate) fn progress(&self, id: RunId) -> RunProgress {
        RunProgress {
            id,
            status: self.status,
            started_at: self.started_at,
            request_version: self.request_version,
            force_plan: self.force_plan,
            pending: self.pending.clone(),
        }
    }

    /// Where the run stands among its function's, in milliseconds; lower goes first.
    pub(crate) fn score(&self) -> u64 {
        self.queued_at
            .ms()
            .saturating_add_signed(self.keys.priority_s.saturating_mul(-1_000))
    }

    /// One past the position of an ended step, 0 for none: the protocol's `stack.current`.
    pub(crate) fn stack_current(&self, cause: Option<&StepId>) -> usize {
        cause
            .and_then(|step| self.steps.get_index_of(step))
            .map_or(0, |index| index + 1)
    }
}

/// Why a run was not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// No unfinished run has this id.
    #[error("no unfinished run has this id")]
    NotRunning,
}
