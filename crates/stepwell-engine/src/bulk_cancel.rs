//! Bulk cancellations: all runs of a function that were scheduled within a span of time end.
//!
//! Which runs those are is found by a sweep over the store, oldest first, a portion at a time, each in a commit of its
//! own: how many there are holds up nobody. A sweep remembers how far it came, so it survives a crash. A run that is
//! scheduled later and falls into the span nevertheless (the span may end a little in the future, and an endpoint's run
//! has an id from before it was reported) ends before it is called, or has the sweep come by again if its event is to
//! be asked first.

use crate::decision::Decision;
use crate::engine::Engine;
use crate::flow::event_bindings;
use crate::{Cause, Change, Effect, RunStatus, Timestamp};
use hashbrown::HashMap;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use stepwell_expr::Expr;
use stepwell_protocol::{BulkCancelId, FunctionId, RunId};

/// Bulk cancellations that are kept. The oldest that is done makes room for a new one.
const KEPT_MAX: usize = 1_000;

/// A bulk cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkCancelRow {
    /// Which one.
    pub id: BulkCancelId,
    /// The function whose runs it ends.
    pub function: FunctionId,
    /// Runs that were scheduled from then on, as their ids say.
    pub started_after: Option<Timestamp>,
    /// And before then.
    pub started_before: Timestamp,
    /// Which of them: an expression over `event`, the first that started the run.
    pub condition: Option<Arc<str>>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The sweep has come by all runs up to this one.
    pub after: Option<RunId>,
    /// Whether it has come by all.
    pub done: bool,
}

impl BulkCancelRow {
    /// Whether a run is within the span.
    #[must_use]
    pub fn spans(&self, run: RunId) -> bool {
        let at = Timestamp::from_ms(run.timestamp_ms());
        self.started_after.is_none_or(|after| at >= after) && at < self.started_before
    }
}

/// Whether a run's event meets the condition of a bulk cancellation. One that fails counts as not met.
#[must_use]
pub fn bulk_condition_holds(condition: &str, event: &Value, now: Timestamp) -> bool {
    let (bindings, now_ms) = event_bindings(event, now);
    let condition = Expr::compile(condition).ok();
    condition
        .and_then(|condition| condition.eval_bool(&bindings, now_ms).ok())
        .unwrap_or(false)
}

/// A question: which unfinished runs does a bulk cancellation end next?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// The bulk cancellation, as it stands.
    pub row: BulkCancelRow,
    /// Which of its questions, which the report must name.
    pub generation: u64,
}

/// Why a bulk cancellation was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BulkCancelError {
    /// As many as are kept are still under way.
    #[error(
        "{KEPT_MAX} bulk cancellations are under way; wait until some are done, or delete some"
    )]
    TooMany,
}

/// All bulk cancellations.
#[derive(Debug, Default)]
pub(crate) struct BulkCancels {
    all: BTreeMap<BulkCancelId, Sweeping>,
    of_function: HashMap<FunctionId, Vec<BulkCancelId>>,
    /// New runs that some of them may be about; looked at before anything is called.
    met: Vec<RunId>,
}

#[derive(Debug)]
struct Sweeping {
    row: BulkCancelRow,
    /// The question that is being asked; none when it is done.
    asked: Option<u64>,
    /// A run before the place of that question that is to be come by again.
    again_from: Option<RunId>,
}

impl BulkCancels {
    fn insert(&mut self, row: BulkCancelRow, asked: Option<u64>) {
        let ids = self.of_function.entry(row.function).or_default();
        if !ids.contains(&row.id) {
            ids.push(row.id);
        }
        let sweeping = Sweeping {
            row,
            asked,
            again_from: None,
        };
        self.all.insert(sweeping.row.id, sweeping);
    }

    fn remove(&mut self, id: BulkCancelId) -> bool {
        let Some(removed) = self.all.remove(&id) else {
            return false;
        };
        if let Some(ids) = self.of_function.get_mut(&removed.row.function) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.of_function.remove(&removed.row.function);
            }
        }
        true
    }

    /// A stored one; [`Engine::sweep_again`] goes on with it.
    pub(crate) fn load(&mut self, row: BulkCancelRow) {
        self.insert(row, None);
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &BulkCancelRow> {
        self.all.values().map(|sweeping| &sweeping.row)
    }

    /// Notes a new run, if one of them may be about it.
    pub(crate) fn meet(&mut self, function: FunctionId, run: RunId) {
        let Some(ids) = self.of_function.get(&function) else {
            return;
        };
        if ids.iter().any(|id| self.all[id].row.spans(run)) {
            self.met.push(run);
        }
    }
}

impl Engine {
    /// Takes a bulk cancellation and begins its sweep.
    pub(crate) fn bulk_cancel(
        &mut self,
        row: BulkCancelRow,
        out: &mut Decision,
    ) -> Result<(), BulkCancelError> {
        if self.bulk_cancels.all.len() >= KEPT_MAX {
            let all = &self.bulk_cancels.all;
            let done = all.values().find(|sweeping| sweeping.row.done);
            let oldest = done.ok_or(BulkCancelError::TooMany)?.row.id;
            self.drop_bulk_cancel(oldest, out);
        }
        out.changes
            .push(Change::BulkCancelPut(Box::new(row.clone())));
        let generation = self.next_generation();
        self.bulk_cancels.insert(row.clone(), Some(generation));
        ask(row, generation, out);
        Ok(())
    }

    /// Forgets a bulk cancellation: runs that it has not come by go on. Whether there was one.
    pub(crate) fn drop_bulk_cancel(&mut self, id: BulkCancelId, out: &mut Decision) -> bool {
        let found = self.bulk_cancels.remove(id);
        if found {
            out.changes.push(Change::BulkCancelDelete(id));
        }
        found
    }

    /// Ends the runs that a sweep has found, and asks for the next.
    pub(crate) fn swept(
        &mut self,
        id: BulkCancelId,
        generation: u64,
        runs: Vec<RunId>,
        next: Option<RunId>,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let Some(sweeping) = self.bulk_cancels.all.get(&id) else {
            return;
        };
        if sweeping.asked != Some(generation) {
            return;
        }
        let row = &sweeping.row;
        let of_it = |engine: &Self, run: RunId| {
            let found = engine.runs.get(&run);
            found.is_some_and(|found| found.function == row.function) && row.spans(run)
        };
        let runs: Vec<RunId> = runs.into_iter().filter(|run| of_it(self, *run)).collect();
        for run in runs {
            // One may have ended with another of the same portion.
            if self.runs.contains_key(&run) {
                self.end_by_bulk_cancel(run, id, now, out);
            }
        }
        let generation = self.next_generation();
        let sweeping = self.bulk_cancels.all.get_mut(&id);
        let sweeping = sweeping.expect("ending a run removes no bulk cancellation");
        let again_from = sweeping.again_from.take();
        sweeping.row.done = next.is_none() && again_from.is_none();
        sweeping.row.after = next.into_iter().chain(again_from).min();
        sweeping.asked = (!sweeping.row.done).then_some(generation);
        let row = sweeping.row.clone();
        out.changes
            .push(Change::BulkCancelPut(Box::new(row.clone())));
        if !row.done {
            ask(row, generation, out);
        }
    }

    /// Asks again for all sweeps that are not done: to be called once after a load.
    pub(crate) fn sweep_again(&mut self, out: &mut Decision) {
        let unfinished = self.bulk_cancels.rows().filter(|row| !row.done);
        let unfinished: Vec<BulkCancelRow> = unfinished.cloned().collect();
        for row in unfinished {
            let generation = self.next_generation();
            let sweeping = self.bulk_cancels.all.get_mut(&row.id);
            sweeping.expect("it was just there").asked = Some(generation);
            ask(row, generation, out);
        }
    }

    /// Deals with new runs within the span of a bulk cancellation.
    pub(crate) fn end_new_runs_in_bulk(&mut self, now: Timestamp, out: &mut Decision) {
        for run in std::mem::take(&mut self.bulk_cancels.met) {
            let Some(found) = self.runs.get(&run) else {
                continue;
            };
            let ids = self.bulk_cancels.of_function.get(&found.function);
            for id in ids.cloned().unwrap_or_default() {
                let row = &self.bulk_cancels.all[&id].row;
                if !row.spans(run) {
                    continue;
                }
                if row.condition.is_none() {
                    self.end_by_bulk_cancel(run, id, now, out);
                    break;
                }
                self.come_by_again(id, run, out);
            }
        }
    }

    /// Has a sweep come by a run that it may have passed already.
    fn come_by_again(&mut self, id: BulkCancelId, run: RunId, out: &mut Decision) {
        let generation = self.next_generation();
        let sweeping = self.bulk_cancels.all.get_mut(&id);
        let sweeping = sweeping.expect("only known ones are met");
        let before = just_before(run);
        let is_asking = sweeping.asked.is_some();
        if is_asking {
            // What is being asked may have been answered without the new run.
            let again_from = sweeping.again_from.map_or(before, |from| from.min(before));
            sweeping.again_from = Some(again_from);
        }
        let row = &mut sweeping.row;
        if !row.done && row.after.is_none_or(|after| after <= before) {
            return;
        }
        row.after = Some(if row.done {
            before
        } else {
            row.after.map_or(before, |after| after.min(before))
        });
        row.done = false;
        let row = row.clone();
        out.changes
            .push(Change::BulkCancelPut(Box::new(row.clone())));
        if !is_asking {
            sweeping.asked = Some(generation);
            ask(row, generation, out);
        }
    }

    fn end_by_bulk_cancel(
        &mut self,
        run: RunId,
        cancellation: BulkCancelId,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let cause = Some(Cause::Bulk { cancellation });
        self.end_run_for(run, RunStatus::Cancelled, None, cause, now, out);
    }
}

fn ask(row: BulkCancelRow, generation: u64, out: &mut Decision) {
    let sweep = Sweep { row, generation };
    out.effects.push(Effect::Sweep(Box::new(sweep)));
}

/// The id after which a walk comes by this run.
fn just_before(run: RunId) -> RunId {
    let place = u128::from_be_bytes(run.to_bytes());
    RunId::from_bytes(place.saturating_sub(1).to_be_bytes())
}
