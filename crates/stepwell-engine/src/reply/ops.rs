//! The ops of an answer: what each does, and what becomes of the run then.

use super::{Returned, record_attempt};
use crate::arrival::Approach;
use crate::decision::Decision;
use crate::engine::Engine;
use crate::input::Ask;
use crate::lifecycle::{Recorded, StepEnd, note};
use crate::ops::Asked;
use crate::{
    IdSource, ItemId, ItemKind, NewEvent, ReportedOp, RunStatus, StepDetail, Timestamp,
    handler_failure,
};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::reply::Failure;
use stepwell_protocol::{FunctionId, RunId, SharedJson, StepId, UserError, limits};

/// What became of an op that asks for something.
pub(crate) enum Granted {
    /// It is done or under way.
    Asked,
    /// Its step has ended on the spot, or the run has.
    Ended,
    /// The event of an invocation is still to come in.
    Invoked(Box<(FunctionId, NewEvent, Approach)>),
}

/// How the ops of one answer are dealt with when an op ends the run or the attempt early.
enum Verdict {
    /// Go on; whether a step has ended, in which way the next call is caused, and whether that would be as this one:
    /// every step that was reported had its value in the call.
    Continue {
        ended: bool,
        race: bool,
        cause: Option<StepId>,
        stalled: bool,
    },
    /// The run has ended.
    Ended,
    /// The attempt failed and is tried again.
    Retried,
}

impl Engine {
    pub(crate) fn ops_reported(
        &mut self,
        returned: &mut Returned,
        mut ops: Vec<ReportedOp>,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) {
        if ops.len() > limits::OPS_PER_REPLY_MAX {
            return self.fail_for_steps(returned.run, now, out);
        }
        let oversized = |op: &ReportedOp| {
            op.value
                .as_ref()
                .is_some_and(|value| value.get().len() > limits::STEP_OUTPUT_BYTES_MAX)
        };
        if let Some(op) = ops.iter().find(|op| oversized(op)) {
            let message = format!(
                "step output size is greater than the limit (step '{}')",
                op.title
            );
            let failure = Failure::of(UserError::new("Error", message));
            return self.attempt_failed(returned, failure, now, ids, out);
        }
        if let Some(failed) = handler_failure::take(&mut ops) {
            let verdict = self.apply_ops(returned, ops, now, ids, out);
            if !matches!(verdict, Verdict::Ended | Verdict::Retried) {
                returned.no_retry = failed.no_retry;
                self.attempt_failed(returned, failed.failure, now, ids, out);
            }
            return;
        }
        self.plan_group(returned.run, &ops, out);
        match self.apply_ops(returned, ops, now, ids, out) {
            Verdict::Ended | Verdict::Retried => {}
            Verdict::Continue {
                ended,
                race,
                cause,
                stalled,
            } => {
                if stalled {
                    // Called again with the same values, it would say the same, and so on without end.
                    const MESSAGE: &str = "the function reported only steps that had ended before it was called; \
                        it has to take their results from the call";
                    let failure = Failure::of(UserError::new("Error", MESSAGE));
                    self.attempt_failed(returned, failure, now, ids, out);
                } else if ended && (race || !self.waits_for_group(returned.run, returned.item)) {
                    self.allow_immediate(returned.run, out);
                    self.remove_item(returned.item, out);
                    self.add_discovery(returned.run, cause, now, out);
                } else if ended || self.may_end_quietly(returned) {
                    self.remove_item(returned.item, out);
                } else {
                    // Nothing was reported and nothing else will move the run on: not an answer to wait for.
                    let message = match &returned.kind {
                        ItemKind::Step(step) => {
                            format!("the function was called to run step '{step}' and did not report it")
                        }
                        _ => "the function reported no step, no result and no error, and no step of it is pending"
                            .to_owned(),
                    };
                    let failure = Failure::of(UserError::new("Error", message));
                    self.attempt_failed(returned, failure, now, ids, out);
                }
            }
        }
    }

    fn apply_ops(
        &mut self,
        returned: &mut Returned,
        ops: Vec<ReportedOp>,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> Verdict {
        let run = returned.run;
        let (mut ended, mut race, mut cause, mut retry) = (false, false, None, None);
        let mut asked = false;
        let items = self.runs[&run].items.len();
        let mut result = None;
        let mut invocations = Vec::new();
        let only_rides_along = ops
            .iter()
            .all(|op| matches!(op.op, Opcode::DeferAdd | Opcode::DeferAbort))
            && !ops.is_empty();
        for op in ops {
            race |= op.race;
            match op.op {
                Opcode::None => {}
                Opcode::DiscoveryRequest => (ended, asked) = (true, true),
                Opcode::RunComplete | Opcode::SyncRunComplete => result = Some(result_of(op)),
                Opcode::StepPlanned => self.plan_step(returned, op, now, out),
                Opcode::StepError if self.may_retry(returned) => retry = Some(op),
                Opcode::StepRun | Opcode::Step | Opcode::StepError | Opcode::StepFailed => {
                    cause = Some(op.step.clone());
                    ended = true;
                    match self.end_step(returned, op, now, out) {
                        Recorded::First | Recorded::Repeated => {}
                        Recorded::TooMany => {
                            self.fail_for_steps(run, now, out);
                            return Verdict::Ended;
                        }
                        Recorded::TooLarge => {
                            self.fail_for_state(run, now, out);
                            return Verdict::Ended;
                        }
                    }
                }
                Opcode::DeferAdd
                | Opcode::DeferAbort
                | Opcode::Sleep
                | Opcode::WaitForEvent
                | Opcode::WaitForSignal
                | Opcode::InvokeFunction
                | Opcode::AiGateway
                | Opcode::Gateway => {
                    let step = op.step.clone();
                    match self.grant(returned, op, now, ids, out) {
                        Granted::Asked => {}
                        Granted::Ended => (ended, cause) = (true, Some(step)),
                        Granted::Invoked(invocation) => invocations.push(*invocation),
                    }
                    // What takes no time is recorded at once, which may be one step too many.
                    if !self.runs.contains_key(&run) {
                        return Verdict::Ended;
                    }
                }
            }
        }
        for (function, event, approach) in invocations {
            self.receive_event(event, Some((function, approach)), now, ids, out);
            // An invoked function may cancel the run that invoked it.
            if !self.runs.contains_key(&run) {
                return Verdict::Ended;
            }
        }
        if only_rides_along {
            (ended, asked) = (true, true);
        }
        if let Some(output) = result {
            let last_call = returned.last_call();
            self.end_returned(returned, RunStatus::Completed, output, last_call, now, out);
            return Verdict::Ended;
        }
        if let Some(op) = retry {
            let due = self
                .config
                .backoff
                .next(returned.attempt, returned.retry_after, now, ids);
            note(run, &op.step, returned.attempt, op.metadata, now, out);
            record_attempt(
                returned,
                Some(op.step),
                op.title,
                error_json(op.error),
                Some(due),
                now,
                out,
            );
            self.requeue(returned, returned.attempt + 1, due, now, out);
            return Verdict::Retried;
        }
        // Steps that a checkpoint or a parallel call has recorded meanwhile are news to the next call.
        let standing = &self.runs[&run];
        let moved = standing.steps.len() > returned.steps_ended || standing.items.len() > items;
        let stalled = ended && !asked && !moved;
        Verdict::Continue {
            ended,
            race,
            cause,
            stalled,
        }
    }

    fn end_step(
        &mut self,
        returned: &mut Returned,
        op: ReportedOp,
        now: Timestamp,
        out: &mut Decision,
    ) -> Recorded {
        let failed = matches!(op.op, Opcode::StepError | Opcode::StepFailed);
        // By the app's clock, which may differ: never before the call, nor after its answer.
        let started_at = op.started_at.unwrap_or(returned.since);
        let started_at = started_at.clamp(returned.since, now.max(returned.since));
        let value = if failed {
            let error = error_json(op.error);
            record_attempt(
                returned,
                Some(op.step.clone()),
                op.title.clone(),
                error.clone(),
                None,
                now,
                out,
            );
            stepwell_protocol::shared_json(format!("{{\"error\":{error}}}"))
                .expect("an error in an object is JSON")
        } else {
            op.value.unwrap_or_else(no_data)
        };
        // A step with an item of its own finds that item's failures by itself.
        let asked_after = self.items[&returned.item].row.failures_of;
        let end = StepEnd {
            step: op.step,
            op: op.op.as_str(),
            name: op.title,
            value,
            failed,
            attempt: returned.attempt,
            queued_at: match returned.attempt {
                0 => returned.queued_at.min(started_at),
                _ => returned.item.made_at().min(started_at),
            },
            started_at,
            detail: StepDetail::of_run(op.kind).map(|detail| detail.encode()),
            failures_of: asked_after.or(returned.failures_of.take()),
            metadata: op.metadata,
        };
        self.record_step(returned.run, end, now, out)
    }

    /// Queues a planned step, unless it has ended or is queued.
    fn plan_step(
        &mut self,
        returned: &mut Returned,
        op: ReportedOp,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let run = returned.run;
        let kind = ItemKind::Step(op.step);
        if !self.has_item(run, &kind) {
            let asked = Asked {
                run,
                failures_of: returned.failures_of.take(),
                title: &op.title,
                race: op.race,
                now,
            };
            self.queue(&asked, kind, now, None, out);
        }
    }

    /// Does what an op asks for, unless that is done or under way already.
    fn grant(
        &mut self,
        returned: &mut Returned,
        op: ReportedOp,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) -> Granted {
        let ReportedOp {
            op: opcode,
            step,
            title,
            ask,
            race,
            ..
        } = op;
        let run = returned.run;
        let is_known = self.has_step(run, &step);
        let asked = Asked {
            run,
            failures_of: match ask {
                Ask::Defer(_) | Ask::AbortDefer(_) => None,
                _ if is_known => None,
                _ => returned.failures_of.take(),
            },
            title: &title,
            race,
            now,
        };
        match ask {
            Ask::Defer(deferral) => self.add_defer(run, step, *deferral, out),
            Ask::AbortDefer(target) => self.abort_defer(run, &target, out),
            _ if is_known => {}
            Ask::Nothing => {
                let message =
                    format!("the op {opcode} of step '{title}' does not say what it asks for");
                self.fail_for_limit(run, "InvalidOp", &message, &message, now, out);
            }
            Ask::Sleep(text) => self.start_sleep(&asked, step, &text, out),
            Ask::Event(wait) => self.start_wait_for_event(&asked, step, *wait, out),
            Ask::Signal(wait) => self.start_wait_for_signal(&asked, step, *wait, out),
            Ask::Invoke(invocation) => {
                return self.start_invoke(&asked, step, *invocation, ids, out);
            }
            Ask::Request(request) => {
                let ai = opcode == Opcode::AiGateway;
                return self.start_gateway(&asked, step, ai, request, out);
            }
        }
        Granted::Asked
    }

    /// Whether a step has ended or something that it asked for is under way.
    fn has_step(&self, id: RunId, step: &StepId) -> bool {
        let run = &self.runs[&id];
        let under_way = |item: &ItemId| {
            let kind = &self.items[item].row.kind;
            !matches!(kind, ItemKind::Discovery(_)) && kind.step() == Some(step)
        };
        run.steps.contains(step) || run.items.iter().any(under_way)
    }

    /// Whether the step of this item has ended or is queued already.
    fn has_item(&self, run: RunId, kind: &ItemKind) -> bool {
        let run = &self.runs[&run];
        kind.step().is_some_and(|step| run.steps.contains(step))
            || run.items.iter().any(|id| self.items[id].row.kind == *kind)
    }
}

/// Whether an op asks for nothing that the run waits for.
pub(crate) fn rides_along(op: &ReportedOp) -> bool {
    matches!(op.op, Opcode::None | Opcode::DeferAdd | Opcode::DeferAbort)
}

/// What the op that ends a run gives.
pub(crate) fn result_of(op: ReportedOp) -> SharedJson {
    match op.op {
        Opcode::SyncRunComplete => answer_of(op.value),
        _ => op.value.unwrap_or_else(no_data),
    }
}

/// What a durable endpoint answered: `{"data": {status, headers, body, duration}}`.
fn answer_of(value: Option<SharedJson>) -> SharedJson {
    let Some(value) = value else {
        return no_data();
    };
    match serde_json::from_str::<serde_json::Value>(value.get()) {
        Ok(mut wrapped) if wrapped.get("data").is_some() => {
            let inner = wrapped["data"].take().to_string();
            stepwell_protocol::shared_json(inner).expect("serialised JSON is JSON")
        }
        _ => value,
    }
}

/// The value of a step that reported none.
pub(crate) fn no_data() -> SharedJson {
    stepwell_protocol::shared_json("null".to_owned()).expect("null is JSON")
}

fn error_json(error: Option<UserError>) -> String {
    let error =
        error.unwrap_or_else(|| UserError::new("Error", "the step failed without saying why"));
    serde_json::to_string(&error).expect("an error serialises")
}
