//! The model of what functions gather: debounce windows and batches.

use crate::ledger::{Sent, tells_of_an_end};
use crate::plan::gather::{Batch, Debounce};
use std::collections::BTreeMap;
use stepwell_engine::Timestamp;
use stepwell_protocol::{EventId, FunctionId};

/// A function, and the value of the key by which it gathers.
type Place = (FunctionId, String);

/// Open debounce windows.
#[derive(Default)]
pub(super) struct Windows(BTreeMap<Place, Window>);

/// Open batches.
#[derive(Default)]
pub(super) struct Batches(BTreeMap<Place, Open>);

struct Window {
    opened_at: Timestamp,
    closes_at: Timestamp,
    event: Sent,
    /// The function's variant when the event came.
    variant: usize,
}

struct Open {
    closes_at: Timestamp,
    events: Vec<EventId>,
    variant: usize,
}

/// Events that are to start a function together.
pub(super) struct Closing {
    place: Place,
    pub(super) at: Timestamp,
    pub(super) function: FunctionId,
    pub(super) events: Vec<EventId>,
    pub(super) variant: usize,
    pub(super) identity: Option<String>,
    /// When the event says that it happens; nothing for a batch.
    pub(super) ts: Option<Timestamp>,
    /// Whether the run's end may be announced; by its function for a batch.
    pub(super) announces: Option<bool>,
}

impl Windows {
    /// An event comes: of two, the later one by their own times has the place, and of two of one time the later to come.
    pub(super) fn add(
        &mut self,
        function: FunctionId,
        rule: Debounce,
        event: &Sent,
        variant: usize,
        now: Timestamp,
    ) {
        let place = (function, rule.key.text(event.data));
        let before = self.0.get(&place);
        if before.is_some_and(|window| window.event.ts > event.ts) {
            return;
        }
        let opened_at = before.map_or(now, |window| window.opened_at);
        let quiet = now.after_ms(rule.period_ms);
        let most = rule.timeout_ms.map(|ms| opened_at.after_ms(ms).max(now));
        let window = Window {
            opened_at,
            closes_at: most.map_or(quiet, |most| most.min(quiet)),
            event: event.clone(),
            variant,
        };
        self.0.insert(place, window);
    }

    pub(super) fn due(&self, now: Timestamp) -> Vec<Closing> {
        let due = self.0.iter().filter(|(_, window)| window.closes_at <= now);
        due.map(|(place, window)| Closing {
            place: place.clone(),
            at: window.closes_at,
            function: place.0,
            events: vec![window.event.id],
            variant: window.variant,
            identity: window.event.identity.clone(),
            ts: Some(window.event.ts),
            announces: Some(!tells_of_an_end(window.event.name)),
        })
        .collect()
    }

    pub(super) fn remove(&mut self, closing: &Closing) {
        if closing.ts.is_some() {
            self.0.remove(&closing.place);
        }
    }

    pub(super) fn holds(&self, event: EventId) -> bool {
        self.0.values().any(|window| window.event.id == event)
    }
}

impl Batches {
    /// An event comes: the batch that is full with it.
    pub(super) fn add(
        &mut self,
        function: FunctionId,
        rule: Batch,
        event: &Sent,
        variant: usize,
        now: Timestamp,
    ) -> Option<Closing> {
        let place = (function, rule.key.text(event.data));
        let open = self.0.entry(place.clone()).or_insert_with(|| Open {
            closes_at: now.after_ms(rule.timeout_ms),
            events: Vec::new(),
            variant,
        });
        open.events.push(event.id);
        if open.events.len() < rule.size {
            return None;
        }
        let open = self.0.remove(&place)?;
        Some(closing(place, &open))
    }

    pub(super) fn due(&self, now: Timestamp) -> Vec<Closing> {
        let due = self.0.iter().filter(|(_, open)| open.closes_at <= now);
        due.map(|(place, open)| closing(place.clone(), open))
            .collect()
    }

    pub(super) fn remove(&mut self, closing: &Closing) {
        if closing.ts.is_none() {
            self.0.remove(&closing.place);
        }
    }

    pub(super) fn holds(&self, event: EventId) -> bool {
        self.0.values().any(|open| open.events.contains(&event))
    }
}

fn closing(place: Place, open: &Open) -> Closing {
    Closing {
        at: open.closes_at,
        function: place.0,
        place,
        events: open.events.clone(),
        variant: open.variant,
        identity: None,
        ts: None,
        announces: None,
    }
}
