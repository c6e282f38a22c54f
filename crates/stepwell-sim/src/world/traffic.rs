//! What goes to apps and comes back from them: calls, checkpoints, answers, announcements.

use super::decider::Asker;
use super::edge::last_report;
use super::{Happening, Phase, Report, Visiting, World};
use crate::app::{Answer, Memo, Next, Surroundings, Visit};
use crate::faults::{CallFault, CheckpointFault};
use crate::invariant::{Violation, broken};
use crate::ledger::{Cause, Sent};
use serde_json::json;
use stepwell_engine::{
    Announcement, Ask, Call, DeferStatus, Input, ItemId, NewEvent, ReportedOp, ReportedOutcome,
    RunStatus,
};
use stepwell_protocol::event::{
    DEFERRED_SCHEDULE, FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED,
};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::{RunId, StepId, reply, shared_json};

/// How long a call may take before it is given up: two hours and a little.
const CALL_MS_MAX: u64 = (2 * 60 * 60 + 5) * 1_000;
/// How often an SDK sends a checkpoint before it gives up.
const CHECKPOINT_TRIES: u32 = 3;
/// How many answers of a hundred get through though nobody waits for them any more.
const LATE_PERCENT: u64 = 30;

impl World<'_> {
    /// A call may be made.
    pub(super) fn call(&mut self, call: Box<Call>, decision: u64) {
        let nth = self.calls;
        self.calls += 1;
        self.tally.calls += 1;
        if self.story.is_kept() {
            let name = self.ledger.name_of(call.run);
            let what = if call.target.is_some() {
                "for one step"
            } else {
                "for what comes next"
            };
            self.tell(|| {
                format!(
                    "call {nth} of {name} {what}, attempt {}, with {} steps",
                    call.attempt, call.steps_ended
                )
            });
        }
        let engine = self.engines;
        let ms = self.latency("way", &[nth]);
        self.after(
            ms,
            Happening::CallOut {
                call,
                nth,
                decision,
                engine,
            },
        );
    }

    fn latency(&self, purpose: &str, numbers: &[u64]) -> u64 {
        let most = self.scenario.latency_ms_max;
        self.dice(purpose, numbers).between(0, most)
    }

    /// A call is built and leaves, unless the engine that asked for it is gone.
    pub(super) fn call_out(
        &mut self,
        call: Call,
        nth: u64,
        decision: u64,
        engine: u64,
    ) -> Result<(), Violation> {
        if engine != self.engines || self.phase != Phase::Up {
            return Ok(());
        }
        if self.given_up.remove(&(call.item, call.generation)) {
            self.reply_after(0, &call, bare(ReportedOutcome::NotMade), false, engine);
            return Ok(());
        }
        let fault = self.call_fault(nth);
        let failed = ReportedOutcome::Failed(reply::unreachable("nobody answers"));
        match fault {
            Some(CallFault::NotMade) => {
                self.tell(|| format!("call {nth} cannot be made"));
                self.reply_after(0, &call, bare(ReportedOutcome::NotMade), false, engine);
                return Ok(());
            }
            Some(CallFault::Unreachable) => {
                self.tell(|| format!("call {nth} reaches nobody"));
                self.reply_after(0, &call, bare(failed), true, engine);
                return Ok(());
            }
            Some(CallFault::TimesOut | CallFault::Late { .. }) => {
                self.tell(|| format!("call {nth} will be given up"));
                self.reply_after(CALL_MS_MAX, &call, bare(failed), true, engine);
            }
            Some(CallFault::Lost) => {
                self.tell(|| format!("call {nth} will never be answered"));
                self.lost_calls = true;
            }
            Some(CallFault::Doubled { .. } | CallFault::Slow { .. }) | None => {}
        }
        let reader = self.store.reader();
        let state = reader
            .run_state(call.run)
            .map_err(|error| broken("store")(format!("a call cannot be built: {error}")))?;
        let name = self.ledger.name_of(call.run);
        let run = self.ledger.runs.get(&call.run);
        if state.is_none() && run.is_some_and(|run| run.pruned) {
            // It has ended meanwhile.
            self.reply_after(0, &call, bare(ReportedOutcome::NotMade), false, engine);
            return Ok(());
        }
        let Some(mut state) = state else {
            return Err(broken("store")(format!("{name} is called and not stored")));
        };
        state.steps.truncate(call.steps_ended);
        self.watch.called(&self.ledger, &call, &state.steps)?;
        let memo: Memo = state
            .steps
            .into_iter()
            .map(|(step, value)| (step, value.get().starts_with("{\"error\"")))
            .collect();
        let data = self.ledger.runs.get(&call.run).map(|run| run.data);
        let data = data.unwrap_or_default();
        let Some(function) = self.ledger.function(call.function) else {
            return Err(broken("effects")(format!("{name} is called")));
        };
        let visiting = Visiting {
            visit: Visit::new(call, function, data, memo),
            nth,
            decision,
            engine,
            waits_for: None,
            fault,
            given_up: false,
            edge: None,
        };
        self.visits.insert(nth, visiting);
        let ms = self.app_latency(nth, 0);
        self.after(ms, Happening::Visit(nth));
        Ok(())
    }

    /// How long the app of a visit takes for its next move.
    fn app_latency(&self, nth: u64, moves: u64) -> u64 {
        let ms = self.latency("app", &[nth, moves]);
        let visit = self.visits.get(&nth);
        match visit.and_then(|visit| visit.fault).filter(|_| !self.calm) {
            Some(CallFault::Slow { ms: more }) => ms + more,
            Some(CallFault::Late { after_ms }) => ms + CALL_MS_MAX + after_ms,
            _ => ms,
        }
    }

    /// The app does the next thing.
    pub(super) fn visit(&mut self, nth: u64) -> Result<(), Violation> {
        self.values += 1;
        let (value, calm, span_ms) = (self.values, self.calm, self.scenario.span_ms);
        let seed = self.scenario.seed;
        let Some(visiting) = self.visits.get_mut(&nth) else {
            return Ok(());
        };
        let mut dice = crate::dice::Dice::of(seed, "move", &[nth, visiting.visit.moves()]);
        let moved = visiting.visit.advance(&mut Surroundings {
            dice: &mut dice,
            value,
            span_ms,
            calm,
        });
        let decision = visiting.decision;
        if let Some(step) = &moved.executed {
            let call = &visiting.visit.call;
            self.watch.executed(&self.ledger, call, decision, step)?;
            self.tell(|| format!("call {nth} executes a step"));
        }
        match moved.next {
            Next::GoOn => {
                let moves = self.visits.get(&nth).map_or(0, |visit| visit.visit.moves());
                let ms = self.app_latency(nth, moves);
                self.after(ms, Happening::Visit(nth));
            }
            Next::Checkpoint(steps) => {
                if !self.report_edge(nth, &steps, false) {
                    self.send_checkpoint(nth, steps);
                }
            }
            Next::Answer(answer) => {
                if !self.report_edge(nth, &last_report(&answer), true) {
                    self.send_answer(nth, answer);
                }
            }
        }
        Ok(())
    }

    fn send_checkpoint(&mut self, visit: u64, steps: Vec<ReportedOp>) {
        let nth = self.checkpoints;
        self.checkpoints += 1;
        let fault = self.checkpoint_fault(nth);
        let Some(visiting) = self.visits.get_mut(&visit) else {
            return;
        };
        let call = &visiting.visit.call;
        let says = visiting.visit.says_generation();
        let report = Report {
            visit: Some(visit),
            run: call.run,
            item: call.item,
            generation: says.then_some(call.generation),
            steps,
            tries: 1,
        };
        visiting.waits_for = Some(report.clone());
        let mut ms = self.latency("checkpoint", &[nth]);
        match fault {
            Some(CheckpointFault::Lost) => ms += self.again_ms(),
            Some(CheckpointFault::Slow { ms: more }) => ms += more,
            Some(CheckpointFault::Doubled { after_ms }) => {
                let double = Report {
                    visit: None,
                    ..report.clone()
                };
                self.after(ms + after_ms, Happening::Checkpoint(double));
            }
            None => {}
        }
        self.after(ms, Happening::Checkpoint(report));
    }

    pub(super) fn checkpoint_arrives(&mut self, mut report: Report) -> Result<(), Violation> {
        if self.phase != Phase::Up {
            if report.tries < CHECKPOINT_TRIES {
                report.tries += 1;
                self.after(self.again_ms(), Happening::Checkpoint(report));
            } else if let Some(visit) = report.visit {
                self.checkpoint_answered(visit, false);
            }
            return Ok(());
        }
        if self.story.is_kept() {
            let name = self.ledger.name_of(report.run);
            let count = report.steps.len();
            self.tell(|| format!("a checkpoint of {name} with {count} steps comes in"));
        }
        let steps = report.steps.iter();
        let steps = steps
            .filter(|step| step.op != Opcode::StepPlanned)
            .map(|step| step.step.clone())
            .collect();
        let cause = Cause::Checkpointed {
            run: report.run,
            item: report.item,
            generation: report.generation,
            steps,
        };
        let asker = report.visit.map_or(Asker::Nobody, Asker::Visit);
        self.decide(
            Input::StepsCheckpointed {
                run: report.run,
                item: report.item,
                generation: report.generation,
                steps: report.steps,
            },
            cause,
            asker,
        )
    }

    pub(super) fn checkpoint_answered(&mut self, nth: u64, accepted: bool) {
        let Some(visiting) = self.visits.get_mut(&nth) else {
            return;
        };
        if visiting.waits_for.take().is_none() {
            return;
        }
        visiting.visit.checkpointed(accepted);
        let moves = visiting.visit.moves();
        let ms = self.app_latency(nth, moves);
        self.after(ms, Happening::Visit(nth));
    }

    /// Who was to answer a checkpoint is gone, or says that it cannot: the SDK tries again.
    pub(super) fn checkpoint_unanswered(&mut self, nth: u64) {
        let waits_for = self
            .visits
            .get(&nth)
            .and_then(|visit| visit.waits_for.clone());
        if let Some(report) = waits_for {
            self.after(self.again_ms(), Happening::Checkpoint(report));
        }
    }

    fn send_answer(&mut self, nth: u64, answer: Answer) {
        let Some(visiting) = self.visits.remove(&nth) else {
            return;
        };
        if visiting.given_up {
            return;
        }
        let ms = self.latency("reply", &[nth]);
        let (call, engine) = (visiting.visit.call, visiting.engine);
        match visiting.fault {
            Some(CallFault::Lost | CallFault::TimesOut) => return,
            Some(CallFault::Doubled { after_ms }) => {
                self.reply_after(ms + after_ms, &call, answer.clone(), false, engine);
            }
            _ => {}
        }
        if self.story.is_kept() {
            let what = outcome(&answer.outcome);
            self.tell(|| format!("call {} is answered: {what}", visiting.nth));
        }
        self.reply_after(ms, &call, answer, false, engine);
    }

    /// Nobody wants the answer to a call any more. The app goes on all the same.
    pub(super) fn give_up(&mut self, item: ItemId, generation: u64) {
        let engine = self.engines;
        let waiting = self.agenda.values().any(|happening| match happening {
            Happening::CallOut { call, .. } => (call.item, call.generation) == (item, generation),
            _ => false,
        });
        if waiting {
            self.given_up.insert((item, generation));
            return;
        }
        let visiting = self.visits.values_mut().find(|visiting| {
            let call = &visiting.visit.call;
            visiting.engine == engine && (call.item, call.generation) == (item, generation)
        });
        let Some(visiting) = visiting.filter(|visiting| !visiting.given_up) else {
            return;
        };
        visiting.given_up = true;
        let call = visiting.visit.call.clone();
        self.tell(|| "a call is given up".to_owned());
        self.reply_after(0, &call, bare(ReportedOutcome::NotMade), false, engine);
    }

    fn reply_after(&mut self, ms: u64, call: &Call, answer: Answer, strained: bool, engine: u64) {
        let reply = Happening::Reply {
            item: call.item,
            generation: call.generation,
            run: call.run,
            answer: Box::new(answer),
            strained,
            engine,
        };
        self.after(ms, reply);
    }

    pub(super) fn reply_arrives(
        &mut self,
        (item, generation, run): (ItemId, u64, RunId),
        answer: Answer,
        strained: bool,
        engine: u64,
    ) -> Result<(), Violation> {
        // Calls of an engine that is gone are given up; now and then one gets through all the same.
        let late = engine != self.engines;
        let mut dice = self.dice("late", &[generation]);
        if self.phase != Phase::Up || (late && !dice.chance(LATE_PERCENT)) {
            return Ok(());
        }
        let cause = Cause::Returned {
            item,
            generation,
            run,
            defers: defers_of(&answer),
            strained,
        };
        let input = Input::CallReturned {
            item,
            generation,
            reply: Box::new(answer),
        };
        self.decide(input, cause, Asker::Nobody)
    }

    /// The events of a run's end may be built.
    pub(super) fn announce(&mut self, announcement: Announcement) {
        let ms = self.latency("announce", &[announcement.item.0]);
        let life = self.life;
        self.after(ms, Happening::Announced { announcement, life });
        if !self.calm && self.dice("announce", &[announcement.item.0, 1]).chance(5) {
            let again = ms + self.again_ms();
            self.after(again, Happening::Announced { announcement, life });
        }
    }

    pub(super) fn announced(
        &mut self,
        announcement: Announcement,
        life: u64,
    ) -> Result<(), Violation> {
        if self.phase != Phase::Up || life != self.life {
            return Ok(());
        }
        let mut names = vec![FUNCTION_FINISHED];
        match announcement.status {
            RunStatus::Failed => names.push(FUNCTION_FAILED),
            RunStatus::Cancelled => names.push(FUNCTION_CANCELLED),
            RunStatus::Scheduled
            | RunStatus::Running
            | RunStatus::Completed
            | RunStatus::Skipped => {}
        }
        let data = self.ledger.runs.get(&announcement.run);
        let data = data.map(|run| run.data).unwrap_or_default();
        let wall = self.clock.wall();
        let ts_ms = i64::try_from(wall.ms()).expect("a moment of this era");
        let (mut events, mut sent) = (Vec::new(), Vec::new());
        for name in names {
            let id = self.ids.event_id(wall);
            let body = json!({"name": name, "data": {"u": data.user, "n": data.number}});
            events.push(NewEvent {
                id,
                name: name.into(),
                external_id: Some(announcement.run.to_string()),
                ts_ms,
                repeatable: false,
                body: shared_json(body.to_string()).expect("serialised JSON is JSON"),
            });
            sent.push(Sent {
                id,
                name,
                identity: None,
                data,
                ts: wall,
                received: None,
            });
        }
        let defers = self.store.reader().defers(announcement.run);
        for defer in defers.map_err(|error| broken("store")(error.to_string()))? {
            if defer.status != DeferStatus::AfterRun {
                continue;
            }
            let external_id = format!("defer-event:{}:{}", announcement.run, defer.step);
            let input = defer.input.map(|input| input.get().to_owned());
            let body = format!(
                "{{\"name\":\"{DEFERRED_SCHEDULE}\",\"data\":{}}}",
                input.unwrap_or_default()
            );
            let id = self.ids.event_id(wall);
            events.push(NewEvent {
                id,
                name: DEFERRED_SCHEDULE.into(),
                external_id: Some(external_id.clone()),
                ts_ms,
                repeatable: true,
                body: shared_json(body)
                    .map_err(|error| broken("defers")(format!("what was deferred: {error}")))?,
            });
            sent.push(Sent {
                id,
                name: DEFERRED_SCHEDULE,
                identity: Some(external_id),
                data,
                ts: wall,
                received: None,
            });
        }
        let name = self.ledger.name_of(announcement.run);
        self.tell(|| format!("the end of {name} is announced"));
        let item = announcement.item;
        let cause = Cause::Announced {
            announcement,
            events: sent,
        };
        self.decide(Input::Announced { item, events }, cause, Asker::Nobody)
    }
}

/// What an answer defers and calls off.
fn defers_of(answer: &Answer) -> Vec<(StepId, Option<StepId>)> {
    let ReportedOutcome::Ops(ops) = &answer.outcome else {
        return Vec::new();
    };
    let defers = ops.iter().filter_map(|op| match &op.ask {
        Ask::Defer(_) => Some((op.step.clone(), None)),
        Ask::AbortDefer(target) => Some((op.step.clone(), Some(target.clone()))),
        _ => None,
    });
    defers.collect()
}

/// What comes back from a call that no app has seen.
fn bare(outcome: ReportedOutcome) -> Answer {
    Answer {
        request_version: None,
        retry_after: None,
        no_retry: false,
        outcome,
    }
}

fn outcome(outcome: &ReportedOutcome) -> String {
    match outcome {
        ReportedOutcome::Returned(_) => "it returned".to_owned(),
        ReportedOutcome::Failed(failure) => format!("it failed, {}", failure.error.message),
        ReportedOutcome::NotMade => "it was not made".to_owned(),
        ReportedOutcome::Ops(ops) => {
            let ops: Vec<String> = ops
                .iter()
                .map(|op| {
                    format!(
                        "{} {}{}",
                        op.op,
                        op.title,
                        if op.race { " (race)" } else { "" }
                    )
                })
                .collect();
            format!("[{}]", ops.join(", "))
        }
    }
}
