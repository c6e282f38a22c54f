//! The audit: every unfinished run is moved on by something, and every queue item stands where it says it does.
//!
//! It looks at a part of the unfinished runs at a time, in turn, so that it never holds up anyone. What it finds wrong is
//! a bug; it is told, and mended so that the run goes on.

use crate::decision::Decision;
use crate::engine::{Engine, Timer};
use crate::item::ItemState;
use crate::lifecycle::lane_key;
use crate::waits::WaitFor;
use crate::{ItemId, Timestamp};
use stepwell_protocol::RunId;

/// Runs that one audit looks at, at least.
const RUNS_MIN: usize = 1_000;
/// All runs are looked at in about this many audits.
const AUDITS_PER_ROUND: usize = 16;

impl Engine {
    /// Unfinished runs that nothing will ever move on: no queue item waits for them. There must be none.
    pub fn stuck_runs(&self) -> impl Iterator<Item = RunId> {
        self.runs
            .iter()
            .filter(|(_, run)| run.items.is_empty())
            .map(|(id, _)| *id)
    }

    /// Checks the next runs and mends what is wrong with them: a text for each violation.
    pub(crate) fn audit(&mut self, now: Timestamp, out: &mut Decision) -> Vec<String> {
        let mut violations = Vec::new();
        let count = (self.audit_ring.len() / AUDITS_PER_ROUND).max(RUNS_MIN);
        for _ in 0..count.min(self.audit_ring.len()) {
            let Some(id) = self.audit_ring.pop_front() else {
                break;
            };
            // Those that have ended leave the ring here.
            let Some(run) = self.runs.get(&id) else {
                continue;
            };
            self.audit_ring.push_back(id);
            if run.items.is_empty() {
                violations.push(format!("run {id} has nothing that will move it on"));
                self.add_discovery(id, None, now, out);
                continue;
            }
            for item in run.items.clone() {
                if let Some(what) = self.misplaced(item) {
                    violations.push(format!("queue item {item} of run {id} {what}"));
                    if let Some(found) = self.items.get_mut(&item) {
                        if found.state == ItemState::Ready {
                            let function = self.runs[&id].function;
                            self.backlogs.remove(function, found.row.due);
                        }
                        found.state = ItemState::Later;
                        self.schedule_item(item, now, out);
                    }
                }
            }
        }
        violations
    }

    /// What is wrong with an item's place, if anything.
    fn misplaced(&self, id: ItemId) -> Option<&'static str> {
        let Some(item) = self.items.get(&id) else {
            return Some("does not exist");
        };
        let run = &self.runs[&item.row.run];
        let (stands, what) = match item.state {
            ItemState::Later => (
                self.timers.contains(&(item.row.due, Timer::Item(id))),
                "waits for a time without a timer",
            ),
            ItemState::Ready => {
                let key = lane_key(run);
                (
                    self.queue.holds(key, run.score(), id),
                    "is due without a place in the queue",
                )
            }
            ItemState::InFlight { generation, .. } => (
                self.queue.is_in_flight(id, generation),
                "is being called by nobody",
            ),
            ItemState::LookingBack => {
                let wait = item.row.wait.as_deref();
                let looks = matches!(
                    wait,
                    Some(WaitFor::Event {
                        since_ms: Some(_),
                        ..
                    })
                );
                (looks, "waits for an answer that nobody looks for")
            }
        };
        (!stands).then_some(what)
    }
}
