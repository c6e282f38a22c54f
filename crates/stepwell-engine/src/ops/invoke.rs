//! InvokeFunction: a step that runs another function and ends with its end.
//!
//! The invocation is an event of its own. The run that it starts knows whom to answer; whatever keeps a run from
//! starting answers at once.

use super::Asked;
use crate::arrival::Approach;
use crate::decision::Decision;
use crate::engine::Engine;
use crate::input::Invocation;
use crate::lifecycle::StepEnd;
use crate::origin::{Origin, ReplyTo};
use crate::reply::Granted;
use crate::waits::WaitFor;
use crate::{IdSource, ItemId, ItemKind, NewEvent, RunStatus, StepDetail, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use stepwell_protocol::event::{AcceptedEvent, FUNCTION_INVOKED};
use stepwell_protocol::{FunctionId, RunId, SharedJson, StepId, UserError, shared_json};

/// An answer on its way to the step that invoked a function.
#[derive(Debug)]
pub(crate) struct Reply {
    to: ReplyTo,
    from: Option<RunId>,
    value: SharedJson,
    failed: bool,
}

/// What a step gets whose invoked function did not end in time.
pub(crate) fn timed_out() -> SharedJson {
    const NAME: &str = "InngestInvokeTimeoutError";
    const MESSAGE: &str = "Timed out waiting for invoked function to complete";
    let error = json!({"error": {
        "error": format!("{NAME}: {MESSAGE}"), "name": NAME, "message": MESSAGE,
    }});
    shared_json(error.to_string()).expect("serialised JSON is JSON")
}

impl Engine {
    /// The function that a step or a request names, by its public or internal id; those of the app at hand first.
    pub(crate) fn function_named(
        &self,
        name: &str,
        near: Option<FunctionId>,
    ) -> Option<FunctionId> {
        if let Ok(id) = name.parse::<FunctionId>()
            && self
                .functions
                .get(&id)
                .is_some_and(|function| !function.archived && !function.endpoint)
        {
            return Some(id);
        }
        let found = self.slugs.get(name)?;
        let app = near
            .and_then(|id| self.functions.get(&id))
            .map(|near| near.app);
        let near = found.iter().find(|id| Some(self.functions[*id].app) == app);
        near.or_else(|| found.first()).copied()
    }

    /// Queues the wait of an invoking step; the event that is to come in when the answer at hand is dealt with. A step that
    /// names no function ends at once.
    pub(crate) fn start_invoke(
        &mut self,
        asked: &Asked<'_>,
        step: StepId,
        invocation: Invocation,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> Granted {
        let (run, now) = (asked.run, asked.now);
        let Some(until) = self.until_or_a_year(asked, &invocation.timeout, out) else {
            return Granted::Ended;
        };
        let caller = &self.functions[&self.runs[&run].function];
        let Some(target) = self.function_named(&invocation.function, Some(caller.id)) else {
            let message = format!("could not find function with ID: {}", invocation.function);
            self.fail_invocation(asked, step, &message, out);
            return Granted::Ended;
        };
        let app_name = self.apps.get(&caller.app).map_or("", |app| &app.name);
        let inngest = json!({
            "type": "invoke",
            "source_app_id": app_name,
            "source_fn_id": caller.slug,
            "source_fn_v": caller.version,
            "fn_id": self.functions[&target].slug,
            "correlation_id": format!("{run}.{step}"),
            "expire": until.ms(),
            "name": asked.title,
        });
        let event = invocation_event(&invocation.payload, Some(inngest), now, ids);
        let wait = WaitFor::Invoke {
            function: invocation.function.into(),
            event: event.id,
        };
        let reply_to = ReplyTo {
            run,
            step: step.clone(),
        };
        self.queue(asked, ItemKind::Invoke(step), until, Some(wait), out);
        let approach = Approach {
            reply_to: Some(reply_to),
            ..Approach::default()
        };
        Granted::Invoked(Box::new((target, event, approach)))
    }

    /// Ends an invoking step that names no function.
    fn fail_invocation(
        &mut self,
        asked: &Asked<'_>,
        step: StepId,
        message: &str,
        out: &mut Decision,
    ) {
        let (run, now) = (asked.run, asked.now);
        let end = StepEnd {
            step,
            op: "InvokeFunction",
            name: asked.title.to_owned(),
            value: error_value(&UserError::new("Error", message)),
            failed: true,
            attempt: 0,
            queued_at: now,
            started_at: now,
            detail: None,
            failures_of: asked.failures_of,
            metadata: Vec::new(),
        };
        self.record_step_or_fail(run, end, now, out);
    }

    /// Runs a function for a payload from outside.
    pub(crate) fn invoke_from_outside(
        &mut self,
        function: &str,
        event: NewEvent,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> Option<crate::Verdict> {
        let target = self.function_named(function, None)?;
        let meant_for = Some((target, Approach::default()));
        self.receive_event(event, meant_for, now, ids, out)
    }

    /// Answers the steps that wait for a run's end.
    pub(crate) fn reply_with_end(
        &mut self,
        origin: Option<Box<Origin>>,
        from: RunId,
        status: RunStatus,
        output: Option<&SharedJson>,
    ) {
        let Some(origin) = origin.filter(|origin| !origin.replies_to.is_empty()) else {
            return;
        };
        let text = output.map_or("null", |output| output.get());
        let (value, failed) = match status {
            RunStatus::Completed => {
                let value = shared_json(format!("{{\"data\":{text}}}"));
                (value.expect("JSON in an object is JSON"), false)
            }
            RunStatus::Failed => (error_value(&UserError::from_body(text.as_bytes())), true),
            _ => {
                let error = UserError::new("Error", "the invoked function's run was cancelled");
                (error_value(&error), true)
            }
        };
        for to in origin.replies_to {
            self.replies.push_back(Reply {
                to,
                from: Some(from),
                value: SharedJson::clone(&value),
                failed,
            });
        }
    }

    /// Answers the steps that wait for a run which will never be.
    pub(crate) fn reply_with_error(&mut self, origin: Option<Box<Origin>>, message: &str) {
        let Some(origin) = origin.filter(|origin| !origin.replies_to.is_empty()) else {
            return;
        };
        let value = error_value(&UserError::new("Error", message));
        for to in origin.replies_to {
            self.replies.push_back(Reply {
                to,
                from: None,
                value: SharedJson::clone(&value),
                failed: true,
            });
        }
    }

    /// Brings answers to the steps that wait for them; one that has stopped waiting needs none.
    pub(crate) fn bring_replies(&mut self, now: Timestamp, out: &mut Decision) {
        while let Some(reply) = self.replies.pop_front() {
            let Some(item) = self.invoking_item(&reply.to) else {
                continue;
            };
            let detail = match StepDetail::of_item(&self.items[&item].row) {
                Some(StepDetail::Invoke {
                    function,
                    event,
                    until_ms,
                    ..
                }) => Some(StepDetail::Invoke {
                    function,
                    event,
                    until_ms,
                    run: reply.from,
                    timed_out: false,
                }),
                other => other,
            };
            self.end_waiting(item, reply.value, reply.failed, detail, now, out);
        }
    }

    fn invoking_item(&self, to: &ReplyTo) -> Option<ItemId> {
        let run = self.runs.get(&to.run)?;
        let invoking = |id: &&ItemId| match &self.items[*id].row.kind {
            ItemKind::Invoke(step) => *step == to.step,
            _ => false,
        };
        run.items.iter().find(invoking).copied()
    }
}

/// The event of an invocation, of a payload like an event's: `data`, `user`, `v`, `meta` and perhaps an `id`. `inngest` says
/// whom it is for.
#[must_use]
pub fn invocation_event(
    payload: &Value,
    inngest: Option<Value>,
    now: Timestamp,
    ids: &mut IdSource,
) -> NewEvent {
    let id = ids.event_id(now);
    let ts_ms = i64::try_from(now.ms()).unwrap_or(i64::MAX);
    let accepted = AcceptedEvent::invocation(payload, inngest, ts_ms);
    NewEvent {
        id,
        name: Arc::from(FUNCTION_INVOKED),
        repeatable: accepted.external_id.is_some(),
        external_id: accepted.external_id.clone(),
        ts_ms,
        body: accepted.render(id),
    }
}

fn error_value(error: &UserError) -> SharedJson {
    let error = serde_json::to_string(error).expect("an error serialises");
    shared_json(format!("{{\"error\":{error}}}")).expect("an error in an object is JSON")
}
