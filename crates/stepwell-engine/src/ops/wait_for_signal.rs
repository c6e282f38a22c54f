//! WaitForSignal: a step that ends with a signal. A name goes to one wait at a time.

use super::Asked;
use crate::decision::Decision;
use crate::engine::Engine;
use crate::input::SignalWait;
use crate::waits::WaitFor;
use crate::{Change, ItemId, ItemKind, StepDetail, Timestamp};
use serde_json::json;
use std::sync::Arc;
use stepwell_protocol::{RunId, SharedJson, StepId, shared_json};

impl Engine {
    pub(crate) fn start_wait_for_signal(
        &mut self,
        asked: &Asked<'_>,
        step: StepId,
        wait: SignalWait,
        out: &mut Decision,
    ) {
        let now = asked.now;
        let name: Arc<str> = wait.signal.into();
        let holder = self.waits.signals.get(&name).copied();
        if holder.is_some_and(|holder| self.is_pending(holder, now)) && !wait.replaces {
            const CONFLICT: &str = "Signal conflict; signal wait already exists for another run";
            return self.fail_for_limit(asked.run, "Error", CONFLICT, CONFLICT, now, out);
        }
        let Some(until) = self.until_or_a_year(asked, &wait.timeout, out) else {
            return;
        };
        if let Some(holder) = holder {
            self.lose_signal(holder, out);
        }
        let wait = WaitFor::Signal { name, holds: true };
        self.queue(asked, ItemKind::WaitForSignal(step), until, Some(wait), out);
    }

    /// Whether a wait's time has not come, late as its timer may be.
    fn is_pending(&self, id: ItemId, now: Timestamp) -> bool {
        self.items[&id].row.due > now
    }

    /// A wait that has lost its name to another waits on for its timeout.
    fn lose_signal(&mut self, id: ItemId, out: &mut Decision) {
        self.forget_wait(id);
        let item = self.items.get_mut(&id).expect("who holds a signal waits");
        if let Some(WaitFor::Signal { holds, .. }) = item.row.wait.as_deref_mut() {
            *holds = false;
        }
        out.changes
            .push(Change::ItemPut(Box::new(item.row.clone())));
    }

    /// A signal comes: the run that it resumes, if one waits for it.
    pub(crate) fn signal(
        &mut self,
        name: &str,
        data: &SharedJson,
        now: Timestamp,
        out: &mut Decision,
    ) -> Option<RunId> {
        let id = self.waits.signals.get(name).copied()?;
        if !self.is_pending(id, now) {
            return None;
        }
        let row = &self.items[&id].row;
        let run = row.run;
        let detail = StepDetail::WaitForSignal {
            signal: Arc::from(name),
            until_ms: row.due.ms(),
            found: true,
        };
        let quoted = json!(name);
        let value = format!(
            "{{\"data\":{{\"signal\":{quoted},\"data\":{}}}}}",
            data.get()
        );
        let value = shared_json(value).expect("JSON in an object is JSON");
        self.end_waiting(id, value, false, Some(detail), now, out);
        Some(run)
    }
}
