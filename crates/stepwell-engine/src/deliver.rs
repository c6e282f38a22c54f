//! Delivery: an event reaches the waits and cancellations that it matches.
//!
//! One event may match any number of them. The first few hundred are dealt with when it comes in; the rest follow in
//! portions, each in a commit of its own, so that nobody else has to wait for all of them. Waits made after the event
//! came in do not get it.

use crate::arrival::Arriving;
use crate::decision::Decision;
use crate::engine::Engine;
use crate::waits::WaitFor;
use crate::{
    Cause, Change, DeliveryRow, Effect, ItemId, NewEvent, RunStatus, StepDetail, Timestamp,
};
use serde_json::Value;
use std::collections::VecDeque;
use stepwell_protocol::SharedJson;

/// Runs that one decision resumes or cancels for an event: what a commit writes in a few milliseconds.
const RESUMED_MAX: usize = 250;
/// Conditions that one decision asks, met or not.
const ASKED_MAX: usize = 5_000;

/// An event that is still to reach waits.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) row: DeliveryRow,
    /// The waits that are still to be asked, oldest first; nothing before they are looked up, after a load.
    candidates: Option<VecDeque<ItemId>>,
}

impl Delivery {
    /// A delivery as it was stored.
    pub(crate) fn stored(row: DeliveryRow) -> Self {
        Self {
            row,
            candidates: None,
        }
    }
}

impl Engine {
    /// Gives a new event to the waits that it matches.
    pub(crate) fn deliver_first(
        &mut self,
        arriving: &mut Arriving<'_>,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let row = DeliveryRow {
            id: self.next_item_id(now),
            event: arriving.event.id,
        };
        let event = arriving.event;
        let value = arriving.parsed.get();
        let mut candidates = self.waits.candidates(&event.name, value, row.id).into();
        self.deliver_portion(event, value, &mut candidates, now, out);
        if !candidates.is_empty() {
            out.changes.push(Change::DeliveryPut(row));
            out.effects.push(Effect::Deliver(row));
            let candidates = Some(candidates);
            self.deliveries.insert(row.id, Delivery { row, candidates });
        }
    }

    /// Goes on with a delivery, for which the event has been read again.
    pub(crate) fn delivered(
        &mut self,
        id: ItemId,
        event: Option<&NewEvent>,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let Some(mut delivery) = self.deliveries.remove(&id) else {
            return;
        };
        let mut left = VecDeque::new();
        if let Some(event) = event {
            let mut arriving = Arriving::new(event);
            let value = arriving.parsed.get();
            left = match delivery.candidates.take() {
                Some(candidates) => candidates,
                None => self.waits.candidates(&event.name, value, id).into(),
            };
            self.deliver_portion(event, value, &mut left, now, out);
        }
        if left.is_empty() {
            out.changes.push(Change::DeliveryDelete(id));
            return;
        }
        delivery.candidates = Some(left);
        out.effects.push(Effect::Deliver(delivery.row));
        self.deliveries.insert(id, delivery);
    }

    fn deliver_portion(
        &mut self,
        event: &NewEvent,
        value: &Value,
        candidates: &mut VecDeque<ItemId>,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let (mut resumed, mut asked) = (0, 0);
        while resumed < RESUMED_MAX && asked < ASKED_MAX {
            let Some(id) = candidates.pop_front() else {
                return;
            };
            asked += 1;
            resumed += usize::from(self.offer(id, event, value, now, out));
        }
    }

    /// Gives an event to one wait or listener, if it matches.
    fn offer(
        &mut self,
        id: ItemId,
        event: &NewEvent,
        value: &Value,
        now: Timestamp,
        out: &mut Decision,
    ) -> bool {
        if let Some(listener) = self.waits.cancels.get(&id) {
            let (run, condition) = (listener.run, listener.condition.clone());
            let matches = listener.expires_at > now
                && !self.runs[&run].events.contains(&event.id)
                && self.waits.meets(condition.as_ref(), value, now);
            if matches {
                let cause = Some(Cause::Event { event: event.id });
                self.end_run_for(run, RunStatus::Cancelled, None, cause, now, out);
            }
            return matches;
        }
        // It may have ended for another reason since it was looked up.
        let Some(item) = self.items.get(&id) else {
            return false;
        };
        let Some(WaitFor::Event { condition, .. }) = item.row.wait.as_deref() else {
            return false;
        };
        // Its timer may be late, or what was asked about the past not answered yet.
        if item.row.due <= now {
            return false;
        }
        let condition = condition.clone();
        let matches = self.waits.meets(condition.as_ref(), value, now);
        if matches {
            self.resume_with_event(id, event, now, out);
        }
        matches
    }

    /// Ends a wait with the event that it waited for.
    pub(crate) fn resume_with_event(
        &mut self,
        id: ItemId,
        event: &NewEvent,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let row = &self.items[&id].row;
        let detail = match row.wait.as_deref() {
            Some(WaitFor::Event {
                name, condition, ..
            }) => StepDetail::wait_for_event(name, condition.as_ref(), row.due, Some(event.id)),
            _ => return,
        };
        let value = SharedJson::clone(&event.body);
        self.end_waiting(id, value, false, Some(detail), now, out);
    }
}
