//! Simulated functions: they replay as SDKs do. Given the steps that a call carries, what they answer follows from
//! the plan.

mod liar;
mod walk;

use crate::dice::Dice;
use crate::plan::defer::Defer;
use crate::plan::flow::Data;
use crate::plan::program::{Conduct, Ending, Program, Sleep, Step};
use crate::plan::{Body, Function};
pub(crate) use walk::Memo;
use walk::{Stand, Wanted, What, walk};

use stepwell_engine::{Ask, Call, Deferral, ReportedOp, ReportedOutcome, ReportedReply};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::reply::Failure;
use stepwell_protocol::{SharedJson, StepId, UserError, shared_json};

/// What a function answers.
pub(crate) type Answer = ReportedReply;

/// A call, seen from the app that it is made to.
#[derive(Debug)]
pub(crate) struct Visit<'p> {
    pub(crate) call: Call,
    function: &'p Function,
    /// What the run's event carries.
    data: Data,
    /// Steps whose results the call carries, or that have run in it.
    memo: Memo,
    /// Steps that have run and were not reported yet.
    buffered: Vec<ReportedOp>,
    /// The answer, once it is clear, while what is buffered is reported first.
    ready: Option<Answer>,
    /// What it has come by so far that defers runs.
    deferred: Vec<&'p Defer>,
    moves: u64,
}

/// What an app does next.
#[derive(Debug)]
pub(crate) struct Move {
    /// The step that it has just executed.
    pub(crate) executed: Option<StepId>,
    pub(crate) next: Next,
}

#[derive(Debug)]
pub(crate) enum Next {
    /// It runs on.
    GoOn,
    /// It reports steps and runs on when it has heard.
    Checkpoint(Vec<ReportedOp>),
    Answer(Answer),
}

/// What the world lends an app for a move.
pub(crate) struct Surroundings<'w> {
    pub(crate) dice: &'w mut Dice,
    /// A number that no other move gets.
    pub(crate) value: u64,
    pub(crate) span_ms: u64,
    /// Whether apps have stopped lying.
    pub(crate) calm: bool,
}

impl<'p> Visit<'p> {
    pub(crate) fn new(call: Call, function: &'p Function, data: Data, memo: Memo) -> Self {
        Self {
            call,
            function,
            data,
            memo,
            buffered: Vec::new(),
            ready: None,
            deferred: Vec::new(),
            moves: 0,
        }
    }

    /// How often it has moved.
    pub(crate) fn moves(&self) -> u64 {
        self.moves
    }

    pub(crate) fn says_generation(&self) -> bool {
        self.function.says_generation
    }

    /// Does the next thing.
    pub(crate) fn advance(&mut self, around: &mut Surroundings<'_>) -> Move {
        self.moves += 1;
        if let Some(answer) = self.ready.take() {
            return done(answer);
        }
        let program = match &self.function.body {
            Body::Program(program) => program,
            Body::Liar => return self.lie(around),
        };
        self.run(program, around)
    }

    /// A checkpoint was answered. One that was refused ends the visit: what it held goes along with the answer.
    pub(crate) fn checkpointed(&mut self, accepted: bool) {
        let steps = std::mem::take(&mut self.buffered);
        if !accepted && matches!(self.function.body, Body::Program(_)) {
            self.ready = Some(self.answer(ReportedOutcome::Ops(steps), false));
        }
    }

    fn lie(&mut self, around: &mut Surroundings<'_>) -> Move {
        if around.calm {
            return done(liar::tell_the_truth(&self.call, around.value));
        }
        if self.moves == 1 && around.dice.chance(25) {
            let steps = liar::checkpoint(around.dice, around.value);
            return Move {
                executed: None,
                next: Next::Checkpoint(steps),
            };
        }
        done(liar::lie(
            around.dice,
            &self.call,
            around.value,
            around.span_ms,
        ))
    }

    fn run(&mut self, program: &'p Program, around: &Surroundings<'_>) -> Move {
        let mut wanted = Vec::new();
        let attempt = self.call.target.is_none().then_some(self.call.attempt);
        let mut deferred = Vec::new();
        let stand = walk(
            &program.body,
            &self.memo,
            attempt,
            false,
            &mut wanted,
            &mut deferred,
        );
        self.deferred = deferred;
        if let Some(target) = self.call.target.clone() {
            return self.run_target(&target, &wanted, around.value);
        }
        let answer = match stand {
            Stand::Failed => self.answer(failure("a step has failed"), true),
            Stand::Threw { no_retry } => self.answer(failure("the code threw"), no_retry),
            Stand::Done if wanted.is_empty() || self.function.abandons => {
                return self.end(program.ending, around.value);
            }
            Stand::Done | Stand::Blocked => {
                if let [
                    Wanted {
                        what: What::Step(step),
                        in_race,
                    },
                ] = wanted[..]
                    && !self.call.force_plan
                {
                    return self.run_inline(step, in_race, around.value);
                }
                let ops = wanted.iter().map(|wanted| self.ask_for(wanted)).collect();
                self.answer(ReportedOutcome::Ops(ops), false)
            }
        };
        self.flush_before(None, answer)
    }

    fn run_target(&self, target: &StepId, wanted: &[Wanted<'_>], value: u64) -> Move {
        let step = wanted.iter().find_map(|wanted| match wanted.what {
            What::Step(step) if step.id == *target => Some((step, wanted.in_race)),
            _ => None,
        });
        let Some((step, in_race)) = step else {
            return done(self.answer(failure("step not found"), true));
        };
        Move {
            executed: Some(step.id.clone()),
            next: Next::Answer(match self.execute(step, in_race, value) {
                Ok(op) => self.answer(ReportedOutcome::Ops(vec![op]), false),
                Err(answer) => *answer,
            }),
        }
    }

    /// Runs the only step there is in the call that found it.
    fn run_inline(&mut self, step: &Step, in_race: bool, value: u64) -> Move {
        let executed = Some(step.id.clone());
        let result = self.execute(step, in_race, value);
        let (op, most) = match (result, self.function.checkpoints) {
            (Ok(op), Some(most)) => (op, most),
            (Ok(op), None) => {
                return Move {
                    executed,
                    next: Next::Answer(self.answer(ReportedOutcome::Ops(vec![op]), false)),
                };
            }
            (Err(answer), _) => return self.flush_before(executed, *answer),
        };
        self.memo.insert(step.id.clone(), false);
        self.buffered.push(op);
        let next = if self.buffered.len() >= most {
            Next::Checkpoint(self.buffered.clone())
        } else {
            Next::GoOn
        };
        Move { executed, next }
    }

    fn end(&mut self, ending: Ending, value: u64) -> Move {
        if let Ending::Throws { no_retry } = ending {
            let answer = self.answer(failure("the end threw"), no_retry);
            return self.flush_before(None, answer);
        }
        if self.function.checkpoints.is_none() {
            let output = ReportedOutcome::Returned(text(value.to_string()));
            return done(self.answer(output, false));
        }
        let mut ops = std::mem::take(&mut self.buffered);
        ops.push(ReportedOp {
            value: Some(text(value.to_string())),
            ..op(Opcode::RunComplete, StepId::of("complete", 0))
        });
        done(self.answer(ReportedOutcome::Ops(ops), false))
    }

    /// An answer that follows what is buffered.
    fn flush_before(&mut self, executed: Option<StepId>, answer: Answer) -> Move {
        if self.buffered.is_empty() {
            return Move {
                executed,
                next: Next::Answer(answer),
            };
        }
        self.ready = Some(answer);
        Move {
            executed,
            next: Next::Checkpoint(self.buffered.clone()),
        }
    }

    /// What became of a step: its op, or the answer that it left no choice about.
    fn execute(&self, step: &Step, in_race: bool, value: u64) -> Result<ReportedOp, Box<Answer>> {
        let named = |op: ReportedOp| ReportedOp {
            race: in_race && self.function.speaks >= 2,
            title: step.name.clone(),
            ..op
        };
        let error = |opcode, no_retry| {
            let ops = vec![named(failed_op(opcode, step.id.clone()))];
            Err(Box::new(self.answer(ReportedOutcome::Ops(ops), no_retry)))
        };
        match step.conduct {
            Conduct::Flaky(times) if self.call.attempt < times => error(Opcode::StepError, false),
            Conduct::Breaks => error(Opcode::StepFailed, false),
            Conduct::RefusesRetry => error(Opcode::StepError, true),
            Conduct::Collapses(times) if self.call.attempt < times => {
                Err(Box::new(self.answer(failure("the call broke"), false)))
            }
            Conduct::Succeeds | Conduct::Flaky(_) | Conduct::Collapses(_) => {
                Ok(named(ReportedOp {
                    value: Some(text(format!("{{\"data\":{value}}}"))),
                    ..op(Opcode::StepRun, step.id.clone())
                }))
            }
        }
    }

    fn ask_for(&self, wanted: &Wanted<'_>) -> ReportedOp {
        let race = wanted.in_race && self.function.speaks >= 2;
        match wanted.what {
            What::Step(step) => ReportedOp {
                race,
                title: step.name.clone(),
                ..op(Opcode::StepPlanned, step.id.clone())
            },
            What::Sleep(Sleep { id, name, ms }) => ReportedOp {
                title: name.clone(),
                ..sleep_op(id.clone(), *ms, race)
            },
            What::Wait(wait) => ReportedOp {
                race,
                title: wait.name.clone(),
                ask: wait.ask(self.data),
                ..op(wait.opcode(), wait.id.clone())
            },
        }
    }

    /// What the run at hand defers, as far as the server does not know of it.
    fn defers(&self) -> Vec<ReportedOp> {
        let known = |id: &StepId| self.call.defers.iter().find(|(known, _)| known == id);
        let new = self.deferred.iter().filter_map(|defer| {
            let (opcode, ask) = match &defer.aborts {
                None if known(&defer.id).is_none() => {
                    let data = format!("{{\"u\":{},\"n\":{}}}", self.data.user, self.data.number);
                    let deferral = Deferral {
                        slug: "later".to_owned(),
                        input: Some(text(data)),
                        meta: None,
                    };
                    (Opcode::DeferAdd, Ask::Defer(Box::new(deferral)))
                }
                Some(target) if known(target).is_none_or(|(_, abortable)| *abortable) => {
                    (Opcode::DeferAbort, Ask::AbortDefer(target.clone()))
                }
                _ => return None,
            };
            Some(ReportedOp {
                title: defer.name.clone(),
                ask,
                ..op(opcode, defer.id.clone())
            })
        });
        new.collect()
    }

    fn answer(&self, outcome: ReportedOutcome, no_retry: bool) -> Answer {
        // They ride along with whatever else is reported; what fails as a whole reports nothing.
        let outcome = match (outcome, self.defers()) {
            (outcome, defers) if defers.is_empty() => outcome,
            (ReportedOutcome::Ops(ops), mut defers) => {
                defers.extend(ops);
                ReportedOutcome::Ops(defers)
            }
            (ReportedOutcome::Returned(value), mut defers) => {
                defers.push(ReportedOp {
                    value: Some(value),
                    ..op(Opcode::RunComplete, StepId::of("complete", 0))
                });
                ReportedOutcome::Ops(defers)
            }
            (outcome, _) => outcome,
        };
        Answer {
            request_version: Some(self.function.speaks),
            ..answer(outcome, no_retry)
        }
    }
}

fn done(answer: Answer) -> Move {
    Move {
        executed: None,
        next: Next::Answer(answer),
    }
}

fn answer(outcome: ReportedOutcome, no_retry: bool) -> Answer {
    Answer {
        request_version: Some(2),
        retry_after: None,
        no_retry,
        outcome,
    }
}

fn returned(value: u64) -> Answer {
    answer(ReportedOutcome::Returned(text(value.to_string())), false)
}

fn failure(message: &str) -> ReportedOutcome {
    ReportedOutcome::Failed(Failure::of(UserError::new("Error", message)))
}

fn op(op: Opcode, step: StepId) -> ReportedOp {
    ReportedOp {
        op,
        title: step.to_string(),
        step,
        value: None,
        error: None,
        ask: Ask::Nothing,
        race: false,
        kind: None,
        started_at: None,
        metadata: Vec::new(),
    }
}

fn failed_op(opcode: Opcode, step: StepId) -> ReportedOp {
    ReportedOp {
        error: Some(UserError::new("Error", "it broke")),
        ..op(opcode, step)
    }
}

fn sleep_op(step: StepId, ms: u64, race: bool) -> ReportedOp {
    ReportedOp {
        ask: Ask::Sleep(format!("{ms}ms")),
        race,
        ..op(Opcode::Sleep, step)
    }
}

fn text(json: String) -> SharedJson {
    shared_json(json).expect("apps write JSON")
}
