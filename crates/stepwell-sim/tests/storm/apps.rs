//! Apps: what they answer to calls, and what those who are asked by the server do.

use super::{FUNCTIONS, Storm, json_text};
use serde_json::{Value, json};
use std::sync::Arc;
use stepwell_engine::waits::condition_for;
use stepwell_engine::{
    Ask, Call, Deferral, EventWait, FetchFailure, Input, Invocation, NewEvent, ReportedOp,
    ReportedOutcome, ReportedReply, RunStatus, SignalWait,
};
use stepwell_protocol::event::{FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED};
use stepwell_protocol::gateway::Request;
use stepwell_protocol::op::{Op, Opcode};
use stepwell_protocol::reply::Failure;
use stepwell_protocol::{SharedJson, StepId, UserError};

impl Storm {
    pub(super) fn take<T>(&mut self, from: impl Fn(&mut Self) -> &mut Vec<T>) -> Option<T> {
        let count = from(self).len();
        if count == 0 {
            return None;
        }
        let at = self.below(count);
        Some(from(self).swap_remove(at))
    }

    pub(super) fn answer(&mut self) {
        let Some(call) = self.take(|storm| &mut storm.calls) else {
            return;
        };
        let reply = self.reply(&call);
        let input = Input::CallReturned {
            item: call.item,
            generation: call.generation,
            reply: Box::new(reply),
        };
        if self.chance(5) && !self.calm {
            self.handle(input.clone());
        }
        self.handle(input);
    }

    pub(super) fn reply(&mut self, call: &Call) -> ReportedReply {
        let outcome = if self.calm {
            match &call.target {
                None => ReportedOutcome::Returned(json_text(&json!("done"))),
                Some(step) => ReportedOutcome::Ops(vec![self.ran(step.clone())]),
            }
        } else {
            match self.below(20) {
                0 => ReportedOutcome::Failed(Failure::of(UserError::new("Error", "no"))),
                1 => ReportedOutcome::NotMade,
                2..=4 => ReportedOutcome::Returned(json_text(&json!("done"))),
                5..=8 if call.target.is_some() => {
                    let step = call.target.clone().expect("it was just there");
                    ReportedOutcome::Ops(vec![self.ran(step)])
                }
                _ => {
                    let count = 1 + self.below(3);
                    ReportedOutcome::Ops((0..count).map(|_| self.op(call)).collect())
                }
            }
        };
        ReportedReply {
            request_version: Some(self.pick(&[1, 2])),
            retry_after: None,
            no_retry: self.chance(5),
            outcome,
        }
    }

    pub(super) fn ran(&mut self, step: StepId) -> ReportedOp {
        let value = json_text(&json!({"data": self.below(1_000)}));
        reported(Opcode::StepRun, step, Some(value), Ask::Nothing, false)
    }

    pub(super) fn op(&mut self, call: &Call) -> ReportedOp {
        let step = StepId::parse(&format!("s{}", self.below(6)));
        let race = self.chance(20);
        let timeout = self.pick(&["1s", "30s", "1h", ""]).to_owned();
        let (opcode, ask) = match self.below(14) {
            0 | 1 => return self.ran(step),
            2 => (Opcode::StepError, Ask::Nothing),
            3 => (Opcode::StepFailed, Ask::Nothing),
            4 | 5 => (Opcode::StepPlanned, Ask::Nothing),
            6 => (Opcode::Sleep, Ask::Sleep(timeout)),
            7 | 8 => {
                let condition =
                    self.pick(&["", "async.data.n == 1", "async.data.n == event.data.n"]);
                let event = self.runs.iter().find(|(run, ..)| *run == call.run);
                let event = event.and_then(|(.., event)| self.events.get(event));
                let event = event.and_then(|event| serde_json::from_str(event.body.get()).ok());
                let look_back_ms = self.chance(30).then_some(10_000);
                let wait = EventWait {
                    event: self.pick(&["x/wait", "x/a", FUNCTION_FINISHED]).to_owned(),
                    condition: condition_for(condition, &event.unwrap_or(Value::Null)),
                    timeout,
                    look_back_ms,
                };
                (Opcode::WaitForEvent, Ask::Event(Box::new(wait)))
            }
            9 => {
                let wait = SignalWait {
                    signal: format!("g{}", self.below(2)),
                    timeout,
                    replaces: self.chance(70),
                };
                (Opcode::WaitForSignal, Ask::Signal(Box::new(wait)))
            }
            10 | 11 => {
                let invocation = Invocation {
                    function: format!("app-{}", self.below(FUNCTIONS + 1)),
                    payload: json!({"data": {"n": self.below(3)}}),
                    timeout,
                };
                (Opcode::InvokeFunction, Ask::Invoke(Box::new(invocation)))
            }
            12 => {
                let mut op = Op::new(Opcode::Gateway, step.clone(), "g");
                let url = self.pick(&["http://host.test/", "ftp://host.test/"]);
                op.opts = json!({"url": url}).as_object().cloned();
                (
                    Opcode::Gateway,
                    Ask::Request(Request::from_op(&op).map(Arc::new)),
                )
            }
            _ => {
                let deferral = Deferral {
                    slug: "app-3".to_owned(),
                    input: Some(json_text(&json!({"n": 1}))),
                    meta: None,
                };
                match self.chance(70) {
                    true => (Opcode::DeferAdd, Ask::Defer(Box::new(deferral))),
                    false => (Opcode::DeferAbort, Ask::AbortDefer(step.clone())),
                }
            }
        };
        reported(opcode, step, None, ask, race)
    }

    pub(super) fn answer_fetch(&mut self) {
        let Some(fetch) = self.take(|storm| &mut storm.fetches) else {
            return;
        };
        let result = if self.calm || self.chance(60) {
            Ok(json_text(&json!({"data": 1})))
        } else {
            Err(Box::new(FetchFailure {
                error: UserError::new("GatewayError", "no"),
                retry_after: None,
                retriable: self.chance(70),
            }))
        };
        self.handle(Input::Fetched {
            item: fetch.item,
            generation: fetch.generation,
            result,
        });
    }

    pub(super) fn look_back(&mut self) {
        let Some(look) = self.take(|storm| &mut storm.looks) else {
            return;
        };
        let found = self
            .store
            .reader
            .events_since(&look.name, look.since, None, 100);
        let found = found.expect("it is read").into_iter();
        let mut found = found.filter(|record| {
            let value: Value = serde_json::from_str(record.body.get()).expect("an event is JSON");
            stepwell_engine::waits::condition_holds(look.condition.as_deref(), &value, self.now)
        });
        let event = found.next().map(|record| {
            Box::new(NewEvent {
                id: record.id,
                name: record.name.into(),
                external_id: Some(record.external_id),
                ts_ms: record.ts_ms,
                repeatable: false,
                body: record.body,
            })
        });
        let item = look.item;
        self.handle(Input::LookedBack { item, event });
    }

    pub(super) fn deliver(&mut self) {
        if let Some(row) = self.take(|storm| &mut storm.deliveries) {
            let event = self.events.get(&row.event).cloned().map(Box::new);
            self.handle(Input::Delivered { id: row.id, event });
        }
    }

    pub(super) fn announce(&mut self) {
        let Some(announcement) = self.take(|storm| &mut storm.announcements) else {
            return;
        };
        let mut names = vec![FUNCTION_FINISHED];
        match announcement.status {
            RunStatus::Failed => names.push(FUNCTION_FAILED),
            RunStatus::Cancelled => names.push(FUNCTION_CANCELLED),
            _ => {}
        }
        let mut events: Vec<NewEvent> = names.into_iter().map(|name| self.event(name)).collect();
        let defers = self
            .store
            .reader
            .defers(announcement.run)
            .expect("they are read");
        if defers
            .iter()
            .any(|defer| defer.status == stepwell_engine::DeferStatus::AfterRun)
        {
            events.push(self.event("inngest/deferred.schedule"));
        }
        let item = announcement.item;
        self.handle(Input::Announced { item, events });
    }
}

fn reported(
    op: Opcode,
    step: StepId,
    value: Option<SharedJson>,
    ask: Ask,
    race: bool,
) -> ReportedOp {
    let failed = matches!(op, Opcode::StepError | Opcode::StepFailed);
    ReportedOp {
        op,
        title: step.to_string(),
        step,
        value,
        error: failed.then(|| UserError::new("Error", "no")),
        ask,
        race,
        kind: None,
        started_at: None,
        metadata: Vec::new(),
    }
}
