//! What steps ask for that is not run by a call: one file an op.

pub(crate) mod defer;
pub(crate) mod gateway;
pub(crate) mod invoke;
pub(crate) mod sleep;
pub(crate) mod wait_for_event;
pub(crate) mod wait_for_signal;

use crate::decision::Decision;
use crate::engine::Engine;
use crate::item::ItemState;
use crate::lifecycle::{Recorded, StepEnd};
use crate::waits::WaitFor;
use crate::{ItemId, ItemKind, ItemRow, StepDetail, Timestamp};
use std::sync::Arc;
use stepwell_protocol::{RunId, SharedJson, limits, span};

/// How long a step waits for a signal or another function when it does not say, in milliseconds: a year.
const TIMEOUT_MS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// The longest such wait, in milliseconds: a century, so that its end is a moment that stores and clocks can hold.
const WAIT_MS_MAX: u64 = 100 * TIMEOUT_MS;

/// An op that asks for something.
pub(crate) struct Asked<'a> {
    pub(crate) run: RunId,
    /// The item whose call asks, if that has failed before.
    pub(crate) failures_of: Option<ItemId>,
    pub(crate) title: &'a str,
    pub(crate) race: bool,
    pub(crate) now: Timestamp,
}

impl Engine {
    /// When something ends that a step asked to take this long. Fails the run and gives nothing when that is no time, or
    /// too long.
    pub(crate) fn until(
        &mut self,
        asked: &Asked<'_>,
        verb: &str,
        text: &str,
        out: &mut Decision,
    ) -> Option<Timestamp> {
        let until = self.moment(asked, verb, text, out)?;
        let (run, title, now) = (asked.run, asked.title, asked.now);
        if until.ms_since(now) > limits::SLEEP_MS_MAX {
            let message = format!("step '{title}' cannot {verb} longer than 366 days");
            let name = "InngestErrTimeoutTooLong";
            self.fail_for_limit(run, name, &message, &message, now, out);
            return None;
        }
        Some(until)
    }

    /// The same for waits that a signal or another function ends, which may take any time, and a year when they do not
    /// say.
    pub(crate) fn until_or_a_year(
        &mut self,
        asked: &Asked<'_>,
        text: &str,
        out: &mut Decision,
    ) -> Option<Timestamp> {
        if text.is_empty() {
            return Some(asked.now.after_ms(TIMEOUT_MS));
        }
        let until = self.moment(asked, "wait", text, out)?;
        Some(until.min(asked.now.after_ms(WAIT_MS_MAX)))
    }

    fn moment(
        &mut self,
        asked: &Asked<'_>,
        verb: &str,
        text: &str,
        out: &mut Decision,
    ) -> Option<Timestamp> {
        let (run, title, now) = (asked.run, asked.title, asked.now);
        let Some(until_ms) = span::sleep_until_ms(text, now.ms()) else {
            let message = format!(
                "step '{title}' cannot {verb} '{text}': write a duration like 90s or 1d, or an RFC 3339 date"
            );
            self.fail_for_limit(run, "InvalidTimeout", &message, &message, now, out);
            return None;
        };
        Some(Timestamp::from_ms(until_ms))
    }

    /// Queues what a step asked for.
    pub(crate) fn queue(
        &mut self,
        asked: &Asked<'_>,
        kind: ItemKind,
        due: Timestamp,
        wait: Option<WaitFor>,
        out: &mut Decision,
    ) -> ItemId {
        let row = ItemRow {
            race: asked.race,
            title: (!asked.title.is_empty()).then(|| Arc::from(asked.title)),
            wait: wait.map(Box::new),
            failures_of: asked.failures_of,
            ..ItemRow::new(self.next_item_id(asked.now), asked.run, kind, due)
        };
        let id = row.id;
        self.add_item_row(row, asked.now, out);
        id
    }

    /// The time of an item has come that ends its step by itself.
    pub(crate) fn give_up_waiting(&mut self, id: ItemId, now: Timestamp, out: &mut Decision) {
        let row = &self.items[&id].row;
        let detail = StepDetail::of_item(row);
        let (value, failed) = match row.kind {
            ItemKind::Invoke(_) => (invoke::timed_out(), true),
            _ => (crate::reply::no_data(), false),
        };
        self.end_waiting(id, value, failed, detail, now, out);
    }

    /// Ends the step of an item that waited, and turns the item into the call that goes on from there, unless others
    /// of its parallel group are waited for.
    pub(crate) fn end_waiting(
        &mut self,
        id: ItemId,
        value: SharedJson,
        failed: bool,
        detail: Option<StepDetail>,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let row = &self.items[&id].row;
        let (run, race) = (row.run, row.race);
        let step = row.kind.step().expect("what waits has a step").clone();
        let end = StepEnd {
            step: step.clone(),
            op: row.kind.op(),
            name: row.title.as_deref().unwrap_or("").to_owned(),
            value,
            failed,
            attempt: row.attempt,
            queued_at: id.made_at(),
            started_at: match self.items[&id].state {
                ItemState::InFlight { since, .. } => since,
                _ => id.made_at(),
            },
            detail: detail.map(|detail| detail.encode()),
            failures_of: row.failures_of,
            metadata: Vec::new(),
        };
        match self.record_step(run, end, now, out) {
            Recorded::First | Recorded::Repeated => {}
            Recorded::TooMany => return self.fail_for_steps(run, now, out),
            Recorded::TooLarge => return self.fail_for_state(run, now, out),
        }
        self.forget_wait(id);
        let goes_on = race || !self.waits_for_group(run, id);
        if goes_on {
            self.allow_immediate(run, out);
        }
        if !goes_on || self.has_queued_discovery(run) {
            self.remove_item(id, out);
            return;
        }
        self.take_off_the_timer(id);
        let item = self.items.get_mut(&id).expect("the item was just there");
        item.row = ItemRow::new(id, run, ItemKind::Discovery(Some(step)), now);
        let row = item.row.clone();
        out.changes.push(crate::Change::ItemPut(Box::new(row)));
        self.schedule_item(id, now, out);
    }
}
