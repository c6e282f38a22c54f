//! Forgetting what is old, as every store does, besides the bounds in number.

use super::{Tables, has_second};
use crate::prune::{Budget, end_of};
use crate::{Mark, Pruned, Slice};
use std::ops::Bound::{Excluded, Unbounded};
use stepwell_engine::{ItemId, RunRow, Timestamp};
use stepwell_protocol::{EventId, RunId, limits};

/// Something that a walk comes by.
enum Found {
    Run(RunId),
    Event(EventId),
}

impl Tables {
    pub(super) fn prune_slice(&mut self, slice: &Slice) -> Pruned {
        let mut budget = Budget::of(slice);
        let mut pruned = Pruned::default();
        let keys_since = slice.now.ms().saturating_sub(limits::IDEMPOTENCY_MS);
        let keys_since = Timestamp::from_ms(keys_since);
        let over = (keys_since.after_ms(1), 0);
        self.forgotten_keys = self.forgotten_keys.split_off(&over);
        let mut after = Mark::id(slice.after);
        while !budget.is_spent() {
            let Some((id, found)) = self.next(after, end_of(slice)) else {
                self.forget_ends(&pruned);
                return pruned;
            };
            budget.spend(1, 0);
            match found {
                Found::Run(id) => self.prune_run(id, slice, keys_since, &mut budget, &mut pruned),
                Found::Event(id) => self.prune_event(id, slice, &mut budget, &mut pruned),
            }
            after = id;
        }
        self.forget_ends(&pruned);
        pruned.next = Some(Mark::at(after));
        pruned
    }

    /// The run or event with the next id, before `end`.
    fn next(&self, after: u128, end: u128) -> Option<(u128, Found)> {
        let after = after.to_be_bytes();
        let mut runs = self
            .runs
            .range((Excluded(RunId::from_bytes(after)), Unbounded));
        let mut events = self
            .events
            .range((Excluded(EventId::from_bytes(after)), Unbounded));
        let run = runs.next().map(|(id, _)| {
            let place = u128::from_be_bytes(id.to_bytes());
            (place, Found::Run(*id))
        });
        let event = events.next().map(|(id, _)| {
            let place = u128::from_be_bytes(id.to_bytes());
            (place, Found::Event(*id))
        });
        let both = run.into_iter().chain(event);
        both.min_by_key(|(place, _)| *place)
            .filter(|(place, _)| *place < end)
    }

    fn prune_run(
        &mut self,
        id: RunId,
        slice: &Slice,
        keys_since: Timestamp,
        budget: &mut Budget,
        pruned: &mut Pruned,
    ) {
        let ended_at = self.runs[&id].end.as_ref().map(|end| end.ended_at);
        let old = ended_at.is_some_and(|at| at < slice.before);
        if !old || has_second(&self.run_items, id, ItemId(0)) {
            return;
        }
        let Some(run) = self.forget(id) else {
            return;
        };
        let steps: usize = run.steps.iter().map(|step| step.value.get().len()).sum();
        let attempts: usize = run
            .attempts
            .iter()
            .map(|attempt| attempt.error.as_ref().map_or(0, String::len))
            .sum();
        let output = run.end.and_then(|end| end.output);
        let output = output.map_or(0, |output| output.get().len());
        budget.spend(
            1 + run.steps.len() + run.attempts.len(),
            steps + attempts + output,
        );
        pruned.runs += 1;
        let at = RunRow::key_since(run.row.id, run.row.queued_at);
        if let Some(key) = run.row.dedupe_key.filter(|_| at > keys_since) {
            self.forgotten_keys.insert((at, key));
        }
        for event in run.row.events {
            self.prune_event(event, slice, budget, pruned);
        }
    }

    fn prune_event(
        &mut self,
        id: EventId,
        slice: &Slice,
        budget: &mut Budget,
        pruned: &mut Pruned,
    ) {
        let Some(event) = self.events.get(&id) else {
            return;
        };
        if event.received_at < slice.before && !self.needed(id) {
            budget.spend(1, event.body.get().len());
            pruned.events += 1;
            self.forget_event(id);
            self.unneeded.remove(&id);
        }
    }

    /// Runs that are gone do not count among those that ended.
    fn forget_ends(&mut self, pruned: &Pruned) {
        if pruned.runs > 0 {
            let runs = &self.runs;
            self.finished.retain(|id| runs.contains_key(id));
        }
    }
}
