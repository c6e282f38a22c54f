//! Snapshots: the live rows of a store.

use crate::{
    AppRow, BatchEventRow, BatchRow, BulkCancelRow, CancelRow, DebounceRow, DeferStatus,
    DeliveryRow, FunctionRow, ItemRow, RunRow, RunStatus, ScheduleRow, ThrottleRow, Timestamp,
};
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
    /// The duplicate keys of the last 24 hours, their runs (nothing for events that shared one), and when they came up.
    pub recent_keys: Vec<(u128, Option<RunId>, Timestamp)>,
    /// Throttle states.
    pub throttles: Vec<ThrottleRow>,
    /// Listeners of cancellations.
    pub cancels: Vec<CancelRow>,
    /// Bulk cancellations.
    pub bulk_cancels: Vec<BulkCancelRow>,
    /// Events that are still to reach waits.
    pub deliveries: Vec<DeliveryRow>,
    /// Open debounce windows.
    pub debounces: Vec<DebounceRow>,
    /// Open batches, with their events in order.
    pub batches: Vec<(BatchRow, Vec<BatchEventRow>)>,
    /// How far schedules have come.
    pub schedules: Vec<ScheduleRow>,
    /// The deferred runs of unfinished runs: the run, the step, the status, and the bytes of the input.
    pub defers: Vec<(RunId, StepId, DeferStatus, usize)>,
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
        self.cancels.sort_by_key(|cancel| cancel.id);
        self.bulk_cancels.sort_by_key(|row| row.id);
        self.deliveries.sort_by_key(|delivery| delivery.id);
        self.debounces.sort_by_key(|window| window.key);
        self.batches.sort_by_key(|(batch, _)| batch.id);
        self.schedules
            .sort_by(|a, b| (a.function, &a.cron).cmp(&(b.function, &b.cron)));
        self.defers.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    }
}
