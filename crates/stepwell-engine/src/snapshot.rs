//! Snapshots: the live rows of a store.

use crate::{AppRow, FunctionRow, ItemRow, RunRow, RunStatus, ThrottleRow, Timestamp};
use std::collections::HashSet;
use stepwell_protocol::{RunId, StepId};

/// The live rows of a store: what an engine is loaded from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// All apps.
    pub apps: Vec<AppRow>,
    /// All functions, archived ones too.
    pub functions: Vec<FunctionRow>,
    /// Unfinished runs, with the steps that have ended, in order, and the bytes of their values.
    pub runs: Vec<(RunRow, Vec<StepId>, usize)>,
    /// All queue items.
    pub items: Vec<ItemRow>,
    /// The final status of ended runs that still have a queue item.
    pub ended: Vec<(RunId, RunStatus)>,
    /// The duplicate keys of the last 24 hours, and when their runs were scheduled.
    pub recent_keys: Vec<(u128, Timestamp)>,
    /// Throttle states.
    pub throttles: Vec<ThrottleRow>,
}

impl Snapshot {
    /// Puts the rows in the order of their ids and leaves ended steps out of what is pending, so that equal snapshots
    /// compare equal.
    pub fn normalize(&mut self) {
        for (run, steps, _) in &mut self.runs {
            if !run.progress.pending.is_empty() {
                let ended: HashSet<&StepId> = steps.iter().collect();
                run.progress.pending.retain(|step| !ended.contains(step));
            }
        }
        self.apps.sort_by_key(|app| app.id);
        self.functions.sort_by_key(|function| function.id);
        self.runs.sort_by_key(|(run, _, _)| run.id);
        self.items.sort_by_key(|item| item.id);
        self.ended.sort_by_key(|(run, _)| *run);
        self.recent_keys.sort_unstable();
        self.throttles.sort_by_key(|throttle| throttle.key);
    }
}
