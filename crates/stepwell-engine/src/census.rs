//! A census: how much there is of everything, counted as it comes and goes.

use crate::engine::Engine;
use crate::item::ItemState;
use crate::{RunStatus, Timestamp};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use stepwell_protocol::FunctionId;

/// How much there is, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// Runs that have not been called.
    pub runs_scheduled: usize,
    /// Runs that have been called, and not ended.
    pub runs_running: usize,
    /// Waits for events.
    pub waits_for_events: usize,
    /// Waits for signals.
    pub waits_for_signals: usize,
    /// Cancellations that listen for events.
    pub cancellations: usize,
    /// Whatever is to happen at a time: sleeps, retries, timeouts, windows, ticks.
    pub timers: usize,
    /// Calls in flight.
    pub calls: usize,
    /// Functions with due items that wait for their turn, in no order.
    pub backlogs: Vec<Backlog>,
}

/// Due items of a function that wait for their turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The function's public id.
    pub slug: Arc<str>,
    /// How many there are.
    pub items: usize,
    /// When the first of them was due, to the second.
    pub oldest: Timestamp,
}

/// Due items by function and by the second in which they were due: to the second, because that makes a handful of counters of a
/// backlog of any length.
#[derive(Debug, Default)]
pub(crate) struct Backlogs(HashMap<FunctionId, BTreeMap<u64, usize>>);

impl Backlogs {
    pub(crate) fn add(&mut self, function: FunctionId, due: Timestamp) {
        let seconds = self.0.entry(function).or_default();
        *seconds.entry(due.ms() / 1_000).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, function: FunctionId, due: Timestamp) {
        let Some(seconds) = self.0.get_mut(&function) else {
            return;
        };
        let second = due.ms() / 1_000;
        if let Some(count) = seconds.get_mut(&second) {
            *count -= 1;
            if *count == 0 {
                seconds.remove(&second);
            }
        }
        if seconds.is_empty() {
            self.0.remove(&function);
        }
    }
}

impl Engine {
    /// Counts what there is. It looks at functions that have a backlog, never at runs or items.
    #[must_use]
    pub fn census(&self) -> Census {
        self.tell(&self.backlogs, self.runs_running)
    }

    /// The same, counted one by one: slow, and for those only who check that nothing was miscounted.
    #[must_use]
    pub fn recount(&self) -> Census {
        let mut backlogs = Backlogs::default();
        for item in self.items.values() {
            if item.state == ItemState::Ready {
                backlogs.add(self.runs[&item.row.run].function, item.row.due);
            }
        }
        let runs = self.runs.values();
        let running = runs.filter(|run| run.status == RunStatus::Running).count();
        self.tell(&backlogs, running)
    }

    fn tell(&self, backlogs: &Backlogs, runs_running: usize) -> Census {
        let backlogs = backlogs.0.iter().filter_map(|(id, seconds)| {
            Some(Backlog {
                slug: Arc::clone(&self.functions.get(id)?.slug),
                items: seconds.values().sum(),
                oldest: Timestamp::from_ms(seconds.keys().next()?.saturating_mul(1_000)),
            })
        });
        let cancellations = self.waits.cancels.len();
        Census {
            runs_scheduled: self.runs.len() - runs_running,
            runs_running,
            waits_for_events: self.waits.len() - cancellations,
            waits_for_signals: self.waits.signals.len(),
            cancellations,
            timers: self.timers.len(),
            calls: self.queue.in_flight(),
            backlogs: backlogs.collect(),
        }
    }
}
