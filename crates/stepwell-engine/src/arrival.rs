//! Events come in: which functions they start.

use crate::decision::Decision;
use crate::engine::Engine;
use crate::flow::batch::Place;
use crate::flow::idempotency::Window;
use crate::flow::rate_limit::Limited;
use crate::flow::{Keys, event_bindings, priority};
use crate::function::Function;
use crate::origin::{Origin, ReplyTo};
use crate::schedule::Draft;
use crate::{Change, EventRow, IdSource, NewEvent, Timestamp, Verdict, VerdictRow, triggers};
use serde_json::Value;
use smallvec::smallvec;
use std::sync::Arc;
use stepwell_protocol::FunctionId;
use stepwell_protocol::event::{FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED};

/// Bytes of a key's value that a verdict keeps: enough to tell it by.
const KEY_BYTES_MAX: usize = 200;

/// An event on its way to the functions that it starts.
pub(crate) struct Arriving<'e> {
    pub(crate) event: &'e NewEvent,
    pub(crate) parsed: Parsed<'e>,
}

impl<'e> Arriving<'e> {
    pub(crate) fn new(event: &'e NewEvent) -> Self {
        let parsed = Parsed {
            body: event.body.get(),
            value: None,
        };
        Self { event, parsed }
    }
}

/// How an event comes to a function.
#[derive(Debug, Clone, Default)]
pub(crate) struct Approach {
    /// Who invoked the function and waits for its end.
    pub(crate) reply_to: Option<ReplyTo>,
    /// The cron expression whose tick it is; such a run is never batched.
    pub(crate) cron: Option<Arc<str>>,
}

impl Engine {
    pub(crate) fn receive_events(
        &mut self,
        events: Vec<NewEvent>,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) {
        for event in events {
            self.receive_event(event, None, now, ids, out);
        }
    }

    /// Takes an event in: records it, resumes and cancels the runs that wait for it, starts the functions that listen
    /// to it, and the one that it is meant for.
    pub(crate) fn receive_event(
        &mut self,
        event: NewEvent,
        meant_for: Option<(FunctionId, Approach)>,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> Option<Verdict> {
        let external_id = event.external_id.clone();
        out.changes.push(Change::EventPut(EventRow {
            id: event.id,
            name: event.name.to_string(),
            external_id: external_id.unwrap_or_else(|| event.id.to_string()),
            ts_ms: event.ts_ms,
            received_at: now,
            body: event.body.clone(),
        }));
        let mut arriving = Arriving::new(&event);
        if self.waits.any(&event.name) {
            self.deliver_first(&mut arriving, now, out);
        }
        let mut verdict = None;
        let aim = meant_for.as_ref().map(|(function, _)| *function);
        if let Some((id, approach)) = meant_for
            && let Some(function) = self.functions.get(&id).map(Arc::clone)
        {
            let found = self.consider(&function, &mut arriving, approach, now, ids, out);
            note(event.id, id, &found, out);
            verdict = Some(found);
        }
        for id in self.triggers.listeners(&event.name) {
            let Some(function) = self.functions.get(&id).map(Arc::clone) else {
                continue;
            };
            if aim == Some(id) {
                continue;
            }
            let found = match filtered(&function, &mut arriving, now) {
                Some(filtered) => filtered,
                None => {
                    let approach = Approach::default();
                    self.consider(&function, &mut arriving, approach, now, ids, out)
                }
            };
            note(event.id, id, &found, out);
        }
        verdict
    }

    /// Decides what an event that passed a function's triggers does there, rule by rule.
    fn consider(
        &mut self,
        function: &Arc<Function>,
        arriving: &mut Arriving<'_>,
        approach: Approach,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> Verdict {
        let event = arriving.event;
        let dedupe_key = event.repeatable.then(|| {
            let external_id = event.external_id.clone();
            let external_id = external_id.unwrap_or_else(|| event.id.to_string());
            match &approach.cron {
                // Two schedules of a function that tick at once start one run; a sender's id never meets a tick's.
                Some(_) => Window::key(function.id, &format!("cron {external_id}")),
                None => Window::key(function.id, &external_id),
            }
        });
        if let Some(run) = dedupe_key.and_then(|key| self.window.get(key, now)) {
            let of = match run {
                Some(run) => format!("run {run} is of the same event id"),
                None => "it has had an event of the same id".to_owned(),
            };
            self.refuse_caller(approach, &format!("the invoked function was not run: {of}"));
            return Verdict::Duplicate { run };
        }
        if let Some(batch) = &function.batch
            && approach.cron.is_none()
        {
            match batch.place(function.id, arriving.parsed.get(), now) {
                Place::Alone => {}
                Place::Invalid => {
                    let why = "the invoked function's batch key fails for this event";
                    self.refuse_caller(approach, why);
                    return Verdict::BatchKeyInvalid;
                }
                Place::Batch(key) => {
                    return self.add_to_batch(
                        function, key, dedupe_key, arriving, approach, now, ids, out,
                    );
                }
            }
        }
        if let Some(rate_limit) = &function.rate_limit {
            match rate_limit.take(function.id, arriving.parsed.get(), &self.throttles, now) {
                Err(Limited { mut key }) => {
                    self.refuse_caller(approach, "invoked function is rate limited");
                    key.truncate(key.floor_char_boundary(KEY_BYTES_MAX));
                    return Verdict::RateLimited { key };
                }
                Ok(None) => {}
                Ok(Some((key, tat_us))) => {
                    self.throttles.record(key, tat_us, now, &mut out.changes);
                }
            }
        }
        let draft = self.draft(function, dedupe_key, arriving, approach, now);
        match &function.debounce {
            None => self.schedule(function, draft, now, ids, out),
            Some(debounce) => {
                let window = debounce.window(function.id, arriving.parsed.get(), now);
                self.debounce(function, window, event, draft, now, out)
            }
        }
    }

    fn draft(
        &self,
        function: &Function,
        dedupe_key: Option<u128>,
        arriving: &mut Arriving<'_>,
        approach: Approach,
        now: Timestamp,
    ) -> Draft {
        let event = arriving.event;
        let listeners = match &function.cancel_on {
            entries if entries.is_empty() => Vec::new(),
            entries => {
                let value = arriving.parsed.get();
                let found = entries.iter().filter_map(|entry| entry.listener(value));
                found.collect()
            }
        };
        Draft {
            events: smallvec![event.id],
            dedupe_key,
            announces: announces(&event.name),
            keys: keys_of(function, &mut arriving.parsed, now),
            listeners,
            origin: Origin {
                replies_to: approach.reply_to.into_iter().collect(),
                cron: approach.cron,
                ..Origin::default()
            },
            starts_ms: u64::try_from(event.ts_ms).unwrap_or(0),
        }
    }

    /// Tells whoever invoked the function that nothing will come of it.
    pub(crate) fn refuse_caller(&mut self, approach: Approach, why: &str) {
        if let Some(reply_to) = approach.reply_to {
            let origin = Origin {
                replies_to: vec![reply_to],
                ..Origin::default()
            };
            self.reply_with_error(Some(Box::new(origin)), why);
        }
    }
}

/// Whether the end of a run that this event started may be announced: not when it is an announcement itself, which
/// would go on for ever.
pub(crate) fn announces(name: &str) -> bool {
    !matches!(
        name,
        FUNCTION_FINISHED | FUNCTION_FAILED | FUNCTION_CANCELLED
    )
}

/// Writes a verdict down, unless the run that it started tells as much.
pub(crate) fn note(
    event: stepwell_protocol::EventId,
    function: FunctionId,
    verdict: &Verdict,
    out: &mut Decision,
) {
    if !matches!(verdict, Verdict::Started { .. }) {
        out.changes.push(Change::VerdictPut(Box::new(VerdictRow {
            event,
            function,
            verdict: verdict.clone(),
        })));
    }
}

/// An event's body, parsed when first looked into.
pub(crate) struct Parsed<'e> {
    body: &'e str,
    value: Option<Value>,
}

impl Parsed<'_> {
    /// The event's value. One that no parser reads, e.g. for a run's deeply nested output in the announcement of its end,
    /// has nothing in it.
    pub(crate) fn get(&mut self) -> &Value {
        let body = self.body;
        self.value
            .get_or_insert_with(|| serde_json::from_str(body).unwrap_or_default())
    }
}

/// Why none of the function's triggers passes, if none does. A condition that fails counts as not passed.
fn filtered(function: &Function, arriving: &mut Arriving<'_>, now: Timestamp) -> Option<Verdict> {
    let name = &arriving.event.name;
    let mut why = None;
    let listening = function
        .triggers
        .iter()
        .filter(|trigger| triggers::covers(&trigger.event, name));
    for trigger in listening {
        let condition = trigger.condition.as_ref()?;
        let (bindings, now_ms) = event_bindings(arriving.parsed.get(), now);
        if condition.eval_bool(&bindings, now_ms).unwrap_or(false) {
            return None;
        }
        if why.is_none() {
            why = condition.explain(&bindings, now_ms);
        }
    }
    let (part, values) = match why {
        Some(why) => (why.part, why.values),
        None => (String::new(), Vec::new()),
    };
    Some(Verdict::Filtered { part, values })
}

pub(crate) fn keys_of(function: &Function, parsed: &mut Parsed<'_>, now: Timestamp) -> Keys {
    if function.concurrency.is_empty()
        && function.run_limits.is_empty()
        && function.throttle.is_none()
        && function.priority.is_none()
        && function.singleton.is_none()
    {
        return Keys::default();
    }
    let event = parsed.get();
    let places = |limits: &[crate::flow::concurrency::Limit]| -> Vec<(u64, u128)> {
        limits
            .iter()
            .map(|limit| (limit.definition, limit.place(function.id, event, now)))
            .collect()
    };
    Keys {
        concurrency: places(&function.concurrency),
        runs: places(&function.run_limits),
        throttle: function
            .throttle
            .as_ref()
            .map(|throttle| throttle.bucket(function.id, event, now)),
        singleton: function
            .singleton
            .as_ref()
            .and_then(|singleton| singleton.place(function.id, event, now)),
        priority_s: function
            .priority
            .as_ref()
            .map_or(0, |priority| priority::head_start_s(priority, event, now)),
    }
}
