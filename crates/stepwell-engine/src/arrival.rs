//! Events come in: which functions they start.

use crate::decision::Decision;
use crate::engine::Engine;
use crate::flow::idempotency::Window;
use crate::flow::rate_limit::Limited;
use crate::flow::{Keys, event_bindings, priority};
use crate::function::Function;
use crate::run::Run;
use crate::{
    Change, EventRow, IdSource, ItemKind, NewEvent, RunRow, RunStatus, Timestamp, triggers,
};
use indexmap::IndexSet;
use serde_json::Value;
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;
use stepwell_protocol::event::RESERVED_PREFIX;

impl Engine {
    pub(crate) fn receive_events(
        &mut self,
        events: Vec<NewEvent>,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) {
        for event in events {
            let listeners = self.triggers.listeners(&event.name);
            // Parsed only when a condition or key looks into it, and once for all of them.
            let mut parsed = Parsed {
                body: event.body.get(),
                value: None,
            };
            for id in listeners {
                let Some(function) = self.functions.get(&id).map(Arc::clone) else {
                    continue;
                };
                if starts(&function, &event.name, &mut parsed, now) {
                    self.schedule_run(&function, &event, &mut parsed, now, ids, out);
                }
            }
            let external_id = event.external_id.unwrap_or_else(|| event.id.to_string());
            out.changes.push(Change::EventPut(EventRow {
                id: event.id,
                name: event.name.to_string(),
                external_id,
                ts_ms: event.ts_ms,
                received_at: now,
                body: event.body,
            }));
        }
    }

    fn schedule_run(
        &mut self,
        function: &Function,
        event: &NewEvent,
        parsed: &mut Parsed<'_>,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) {
        let dedupe_key = event.repeatable.then(|| match &event.external_id {
            Some(external_id) => Window::key(function.id, external_id),
            None => Window::key(function.id, &event.id.to_string()),
        });
        if dedupe_key.is_some_and(|key| self.window.contains(key, now)) {
            return;
        }
        if let Some(rate_limit) = &function.rate_limit {
            match rate_limit.take(function.id, parsed.get(), &self.throttles, now) {
                Err(Limited) => return,
                Ok(None) => {}
                Ok(Some((key, tat_us))) => {
                    self.throttles.record(key, tat_us, now, &mut out.changes);
                }
            }
        }
        if let Some(key) = dedupe_key {
            self.window.insert(key, now, now);
        }
        let id = ids.run_id(now);
        let run = Run {
            function: function.id,
            function_version: function.version,
            events: smallvec![event.id],
            dedupe_key,
            announces: !event.name.starts_with(RESERVED_PREFIX),
            queued_at: now,
            keys: keys_of(function, parsed, now),
            status: RunStatus::Scheduled,
            started_at: None,
            request_version: -1,
            force_plan: false,
            pending: Vec::new(),
            steps: IndexSet::new(),
            state_bytes: 0,
            items: SmallVec::new(),
        };
        out.changes.push(Change::RunPut(Box::new(RunRow {
            id,
            function: function.id,
            function_version: function.version,
            events: run.events.clone(),
            dedupe_key,
            announces: run.announces,
            queued_at: now,
            keys: run.keys.encode(),
            progress: run.progress(id),
        })));
        self.runs.insert(id, run);
        let asked = Timestamp::from_ms(u64::try_from(event.ts_ms).unwrap_or(0));
        self.add_item(id, ItemKind::Start, asked.max(now), now, out);
    }
}

/// An event's body, parsed when first looked into.
struct Parsed<'e> {
    body: &'e str,
    value: Option<Value>,
}

impl Parsed<'_> {
    /// The event's value. One that no parser reads, e.g. for a run's deeply nested output in the announcement of its end,
    /// has nothing in it.
    fn get(&mut self) -> &Value {
        let body = self.body;
        self.value
            .get_or_insert_with(|| serde_json::from_str(body).unwrap_or_default())
    }
}

/// Whether one of the function's triggers passes. A condition that fails counts as not passed.
fn starts(function: &Function, name: &str, parsed: &mut Parsed<'_>, now: Timestamp) -> bool {
    function
        .triggers
        .iter()
        .filter(|trigger| triggers::covers(&trigger.event, name))
        .any(|trigger| match &trigger.condition {
            None => true,
            Some(condition) => {
                let (bindings, now_ms) = event_bindings(parsed.get(), now);
                condition.eval_bool(&bindings, now_ms).unwrap_or(false)
            }
        })
}

fn keys_of(function: &Function, parsed: &mut Parsed<'_>, now: Timestamp) -> Keys {
    if function.concurrency.is_empty() && function.throttle.is_none() && function.priority.is_none()
    {
        return Keys::default();
    }
    let event = parsed.get();
    Keys {
        concurrency: function
            .concurrency
            .iter()
            .map(|limit| (limit.definition, limit.place(function.id, event, now)))
            .collect(),
        throttle: function
            .throttle
            .as_ref()
            .map(|throttle| throttle.bucket(function.id, event, now)),
        priority_s: function
            .priority
            .as_ref()
            .map_or(0, |priority| priority::head_start_s(priority, event, now)),
    }
}
