//! WaitForEvent: a step that ends with an event.

use super::Asked;
use crate::decision::Decision;
use crate::engine::Engine;
use crate::input::EventWait;
use crate::item::ItemState;
use crate::waits::WaitFor;
use crate::{Change, Effect, ItemId, ItemKind, LookBack, NewEvent, Timestamp};
use std::sync::Arc;
use stepwell_protocol::StepId;

impl Engine {
    pub(crate) fn start_wait_for_event(
        &mut self,
        asked: &Asked<'_>,
        step: StepId,
        wait: EventWait,
        out: &mut Decision,
    ) {
        let (run, now) = (asked.run, asked.now);
        if wait.event.is_empty() {
            let message = format!("step '{}' waits for an event without a name", asked.title);
            return self.fail_for_limit(run, "InvalidOp", &message, &message, now, out);
        }
        let condition = match wait.condition {
            Ok(condition) => condition,
            Err(why) => {
                const SUMMARY: &str = "Wait for event If expression failed to compile";
                let message = format!("{SUMMARY}: {why} (step '{}')", asked.title);
                let error = format!("InvalidExpression: {SUMMARY}");
                return self.fail_for_limit(run, "InvalidExpression", &error, &message, now, out);
            }
        };
        let Some(until) = self.until(asked, "wait", &wait.timeout, out) else {
            return;
        };
        let since = wait
            .look_back_ms
            .map(|ms| Timestamp::from_ms(now.ms().saturating_sub(ms)));
        let name: Arc<str> = wait.event.into();
        let wait = WaitFor::Event {
            name: Arc::clone(&name),
            condition: condition.clone(),
            since_ms: since.map(Timestamp::ms),
        };
        let kind = ItemKind::WaitForEvent(step);
        let item = self.queue(asked, kind, until, Some(wait), out);
        if let Some(since) = since {
            out.effects.push(Effect::LookBack(Box::new(LookBack {
                item,
                run,
                name,
                condition,
                since,
                until,
            })));
        }
    }

    /// The past has been looked through for a wait.
    pub(crate) fn looked_back(
        &mut self,
        id: ItemId,
        found: Option<&NewEvent>,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let Some(item) = self.items.get_mut(&id) else {
            return;
        };
        let Some(WaitFor::Event { since_ms, .. }) = item.row.wait.as_deref_mut() else {
            return;
        };
        // Asked twice, it counts once.
        if since_ms.take().is_none() {
            return;
        }
        let overdue = item.state == ItemState::LookingBack;
        let row = item.row.clone();
        match found {
            Some(event) => self.resume_with_event(id, event, now, out),
            None => {
                out.changes.push(Change::ItemPut(Box::new(row)));
                if overdue {
                    self.schedule_item(id, now, out);
                }
            }
        }
    }
}
