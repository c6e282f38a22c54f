//! Whatever an endpoint's app reports, late, twice or not at all, and whatever its re-entries answer: the engine stays what
//! its store holds, no run is stuck or forgotten, each ends once, and no recorded step changes.

use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use stepwell_engine::function::Function;
use stepwell_engine::{
    Answer, AppRow, Ask, Backoff, Call, Change, Config, Decision, Effect, EndpointStart, Engine,
    IdSource, Input, NewEvent, ReportedOp, ReportedOutcome, ReportedReply, Timestamp,
};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::reply::Failure;
use stepwell_protocol::{RunId, SharedJson, StepId, UserError, shared_json};
use stepwell_store::history;
use stepwell_store::{Store, memory};

/// Rounds of answers and timers in which everything must be over.
const ROUNDS_MAX: usize = 5_000;
/// Runs whose spans are looked at after each act: the newest.
const TOLD_RUNS: usize = 3;

#[derive(Debug, Clone)]
enum Act {
    Start {
        path: u8,
        said: Said,
    },
    StartAgain {
        which: usize,
    },
    Report {
        which: usize,
        said: Said,
    },
    Reply {
        which: usize,
        said: Said,
        no_retry: bool,
    },
    LateReply {
        which: usize,
        said: Said,
    },
    Cancel(usize),
    Pause(bool),
    Advance(u64),
    Restart,
    /// A decision is made and never written; the engine is loaded again.
    FailedCommit,
}

/// What an app says of a run, in a report or in an answer.
#[derive(Debug, Clone)]
enum Said {
    Nothing,
    Ran(u8),
    RanAndSlept(u8, u64),
    Slept(u64),
    Planned(u8, bool),
    StepError(u8),
    StepFailed(u8),
    HandlerError,
    HandlerFailed,
    CallAgain,
    Complete,
}

fn said() -> impl Strategy<Value = Said> {
    let step = 0_u8..5;
    prop_oneof![
        1 => Just(Said::Nothing),
        6 => step.clone().prop_map(Said::Ran),
        2 => (step.clone(), 0_u64..30_000).prop_map(|(step, ms)| Said::RanAndSlept(step, ms)),
        2 => (0_u64..30_000).prop_map(Said::Slept),
        3 => (1_u8..32, any::<bool>()).prop_map(|(steps, race)| Said::Planned(steps, race)),
        2 => step.clone().prop_map(Said::StepError),
        1 => step.prop_map(Said::StepFailed),
        1 => Just(Said::HandlerError),
        1 => Just(Said::HandlerFailed),
        1 => Just(Said::CallAgain),
        1 => Just(Said::Complete),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_u8..3, said()).prop_map(|(path, said)| Act::Start { path, said }),
        1 => any::<usize>().prop_map(|which| Act::StartAgain { which }),
        8 => (any::<usize>(), said()).prop_map(|(which, said)| Act::Report { which, said }),
        8 => (any::<usize>(), said(), any::<bool>())
            .prop_map(|(which, said, no_retry)| Act::Reply { which, said, no_retry }),
        1 => (any::<usize>(), said()).prop_map(|(which, said)| Act::LateReply { which, said }),
        1 => any::<usize>().prop_map(Act::Cancel),
        1 => any::<bool>().prop_map(Act::Pause),
        3 => (0_u64..40_000).prop_map(Act::Advance),
        2 => (0_u64..1_000_000).prop_map(Act::Advance),
        1 => Just(Act::Restart),
        1 => Just(Act::FailedCommit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_history_breaks_the_promise(acts in prop::collection::vec(act(), 1..120)) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        world.finish_everything();
    }
}

struct World {
    config: Config,
    engine: Engine,
    store: Store,
    ids: IdSource,
    now: Timestamp,
    in_flight: Vec<Call>,
    over: Vec<Call>,
    runs: Vec<RunId>,
    ended: BTreeSet<RunId>,
    recorded: BTreeMap<(RunId, StepId), String>,
    values: u64,
}

impl World {
    fn new() -> Self {
        let config = Config {
            backoff: Backoff::Constant(10_000),
            ..Config::default()
        };
        let now = Timestamp::from_ms(1_767_225_600_000);
        Self {
            engine: Engine::new(config.clone(), now),
            config,
            store: memory::open(),
            ids: IdSource::from_seed(1),
            now,
            in_flight: Vec::new(),
            over: Vec::new(),
            runs: Vec::new(),
            ended: BTreeSet::new(),
            recorded: BTreeMap::new(),
            values: 0,
        }
    }

    fn act(&mut self, act: Act) {
        self.act_out(act);
        for run in self.runs.iter().rev().take(TOLD_RUNS) {
            self.assert_told(*run);
        }
    }

    /// Each part of a run has a span of its own, and none outlives the run.
    fn assert_told(&self, run: RunId) {
        let under_way = self.engine.under_way(run);
        let trace = history::trace(&*self.store.reader, run, &under_way).expect("it reads");
        let root = trace.expect("it is kept").root;
        let mut ids = BTreeSet::new();
        root.each(&mut |span| {
            assert!(ids.insert(span.id.clone()), "there twice: {root:#?}");
            let lasts = span.ended_at.is_none() && root.ended_at.is_some();
            assert!(!lasts, "it goes on: {root:#?}");
        });
        for step in self.store.reader.steps(run).expect("it reads") {
            let mut told = false;
            root.each(&mut |span| told |= span.step.as_ref() == Some(&step.step));
            assert!(told, "{} is not told: {root:#?}", step.step);
        }
    }

    fn act_out(&mut self, act: Act) {
        match act {
            Act::Start { path, said } => {
                let run = self.ids.run_id(self.now);
                let answer = self.start(run, path, &said);
                assert!(matches!(answer, Some(Answer::EndpointStarted(Ok(_)))));
                assert_eq!(self.runs.last(), Some(&run));
            }
            Act::StartAgain { which } => {
                if let Some(run) = pick(&self.runs, which).copied() {
                    let before = self.engine.snapshot(self.now);
                    self.start(run, 0, &Said::Complete);
                    assert_eq!(self.engine.snapshot(self.now), before, "a run began twice");
                }
            }
            Act::Report { which, said } => {
                if let Some(run) = pick(&self.runs, which).copied() {
                    let (before, over) =
                        (self.engine.snapshot(self.now), self.ended.contains(&run));
                    let steps = self.ops(&said, None);
                    self.handle(Input::EndpointReported { run, steps });
                    if over {
                        let after = self.engine.snapshot(self.now);
                        assert_eq!(after, before, "a run that is over took a report");
                    }
                }
            }
            Act::Reply {
                which,
                said,
                no_retry,
            } => {
                if !self.in_flight.is_empty() {
                    let call = self.in_flight.remove(which % self.in_flight.len());
                    self.reply(&call, &said, no_retry);
                    self.over.push(call);
                }
            }
            Act::LateReply { which, said } => {
                if let Some(call) = pick(&self.over, which).cloned() {
                    let before = self.engine.snapshot(self.now);
                    self.reply(&call, &said, false);
                    let after = self.engine.snapshot(self.now);
                    assert_eq!(after, before, "a late answer was taken");
                }
            }
            Act::Cancel(which) => {
                if let Some(run) = pick(&self.runs, which).copied() {
                    self.handle(Input::CancelRun(run));
                    assert!(self.ended.contains(&run));
                }
            }
            Act::Pause(paused) => {
                let function = endpoint(0).id;
                self.handle(Input::FunctionPaused { function, paused });
            }
            Act::Advance(ms) => self.advance(self.now.after_ms(ms)),
            Act::Restart => self.restart(),
            Act::FailedCommit => {
                let start = self.start_input(RunId::from_bytes([7; 16]), 1, &Said::Ran(0));
                let mut lost = Decision::default();
                self.engine
                    .handle(start, self.now, &mut self.ids, &mut lost);
                self.restart();
            }
        }
    }

    /// From here on apps say nothing by themselves and answer well: everything must come to its end.
    fn finish_everything(&mut self) {
        let function = endpoint(0).id;
        let paused = false;
        self.handle(Input::FunctionPaused { function, paused });
        for _ in 0..ROUNDS_MAX {
            if let Some(call) = self.in_flight.pop() {
                let said = match call.target {
                    Some(_) => Said::Ran(0),
                    None => Said::Complete,
                };
                self.reply(&call, &said, false);
            } else if let Some(due) = self.engine.next_due() {
                self.advance(self.now.max(due));
            } else {
                break;
            }
        }
        assert_eq!(self.engine.runs_unfinished(), 0, "runs are left over");
        assert_eq!(self.engine.calls_in_flight(), 0, "calls are left over");
        assert_eq!(self.ended.len(), self.runs.len());
        for run in &self.runs {
            for step in self.store.reader.steps(*run).expect("it reads") {
                let recorded = self.recorded.remove(&(*run, step.step));
                assert_eq!(recorded.as_deref(), Some(step.value.get()));
            }
        }
        assert!(self.recorded.is_empty(), "steps are gone");
    }

    fn start(&mut self, run: RunId, path: u8, said: &Said) -> Option<Answer> {
        let start = self.start_input(run, path, said);
        self.handle(start)
    }

    fn start_input(&mut self, run: RunId, path: u8, said: &Said) -> Input {
        let function = endpoint(path);
        let id = self.ids.event_id(self.now);
        let steps = self.ops(said, None);
        Input::EndpointStarted(Box::new(EndpointStart {
            run,
            app: AppRow {
                id: function.app,
                name: "http://api.test".to_owned(),
                url: "http://api.test".to_owned(),
                sdk: String::new(),
                framework: String::new(),
                checksum: String::new(),
                synced_at: self.now,
            },
            function,
            event: NewEvent {
                id,
                name: "inngest/http.request".into(),
                external_id: None,
                ts_ms: 0,
                repeatable: false,
                body: text("{\"data\":{}}"),
            },
            request_version: 1 + i32::from(path % 2),
            steps,
        }))
    }

    fn reply(&mut self, call: &Call, said: &Said, no_retry: bool) {
        assert!(call.endpoint);
        let outcome = match said {
            Said::HandlerError | Said::HandlerFailed => {
                ReportedOutcome::Failed(Failure::of(UserError::new("Error", "boom")))
            }
            said => ReportedOutcome::Ops(self.ops(said, call.target.clone())),
        };
        let reply = Box::new(ReportedReply {
            request_version: Some(2),
            retry_after: None,
            no_retry: no_retry && !matches!(said, Said::Ran(_)),
            outcome,
        });
        self.handle(Input::CallReturned {
            item: call.item,
            generation: call.generation,
            reply,
        });
    }

    fn ops(&mut self, said: &Said, target: Option<StepId>) -> Vec<ReportedOp> {
        // Each value differs from all others, so that a change of a recorded one shows.
        self.values += 1;
        let value = text(&json!({"data": self.values}).to_string());
        let step = |number: u8| StepId::parse(&format!("s{number}"));
        let ran = |number| ReportedOp {
            value: Some(value.clone()),
            ..op(
                Opcode::StepRun,
                target.clone().unwrap_or_else(|| step(number)),
            )
        };
        let handler = |opcode| ReportedOp {
            title: String::new(),
            ..op(opcode, StepId::of("complete", 0))
        };
        match *said {
            Said::Nothing => Vec::new(),
            Said::Ran(number) => vec![ran(number)],
            Said::RanAndSlept(number, ms) => vec![ran(number), sleep(ms)],
            Said::Slept(ms) => vec![sleep(ms)],
            Said::Planned(steps, race) => (0..5)
                .filter(|number| steps & (1 << number) != 0)
                .map(|number| ReportedOp {
                    race,
                    ..op(Opcode::StepPlanned, step(number))
                })
                .collect(),
            Said::StepError(number) => vec![op(Opcode::StepError, step(number))],
            Said::StepFailed(number) => vec![op(Opcode::StepFailed, step(number))],
            Said::HandlerError => vec![handler(Opcode::StepError)],
            Said::HandlerFailed => vec![ran(0), handler(Opcode::StepFailed)],
            Said::CallAgain => vec![op(Opcode::DiscoveryRequest, step(9))],
            Said::Complete => vec![handler(Opcode::SyncRunComplete)],
        }
    }

    fn advance(&mut self, until: Timestamp) {
        while let Some(due) = self.engine.next_due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.handle(Input::TimersDue);
        }
        self.now = self.now.max(until);
    }

    fn restart(&mut self) {
        self.now = self.now.after_ms(1);
        // Calls go on in the world, and their answers come to nothing.
        self.over.append(&mut self.in_flight);
        let snapshot = self.store.writer.load(self.now).expect("it loads");
        self.engine = Engine::load(snapshot, self.config.clone(), self.now).expect("it loads");
        let mut decision = Decision::default();
        self.engine.resume(self.now, &mut self.ids, &mut decision);
        self.commit(decision);
    }

    fn handle(&mut self, input: Input) -> Option<Answer> {
        let mut decision = Decision::default();
        self.engine
            .handle(input, self.now, &mut self.ids, &mut decision);
        self.commit(decision)
    }

    fn commit(&mut self, decision: Decision) -> Option<Answer> {
        let writer = &mut self.store.writer;
        writer.commit(&decision.changes).expect("each fits");
        for change in decision.changes {
            match change {
                Change::RunPut(row) => self.runs.push(row.id),
                Change::RunEnd(end) => assert!(self.ended.insert(end.id), "a run ended twice"),
                Change::StepPut(row) => {
                    assert!(!self.ended.contains(&row.run), "a step of an ended run");
                    let key = (row.run, row.step);
                    let before = self.recorded.insert(key, row.value.get().to_owned());
                    assert_eq!(before, None, "a step was recorded twice");
                }
                _ => {}
            }
        }
        for effect in decision.effects {
            match effect {
                Effect::Call(call) => {
                    assert!(!self.ended.contains(&call.run), "an ended run is called");
                    self.in_flight.push(*call);
                }
                // Its answer comes all the same, and is not heard.
                Effect::GiveUp { .. } => {}
                other => unreachable!("nothing in these histories asks for {other:?}"),
            }
        }
        assert_eq!(self.engine.stuck_runs().next(), None, "a run is stuck");
        assert_eq!(self.engine.calls_in_flight(), self.in_flight.len());
        let stored = self.store.writer.load(self.now).expect("it loads");
        let held = self.engine.snapshot(self.now);
        assert_eq!(held, stored, "the engine is not what it stored");
        decision.answer
    }
}

fn endpoint(path: u8) -> Function {
    Function::of_endpoint("http://api.test", &format!("GET /{path}"), Some(1)).expect("it compiles")
}

fn op(op: Opcode, step: StepId) -> ReportedOp {
    let failed = matches!(op, Opcode::StepError | Opcode::StepFailed);
    ReportedOp {
        op,
        title: step.to_string(),
        step,
        value: None,
        error: failed.then(|| UserError::new("Error", "boom")),
        ask: Ask::Nothing,
        race: false,
        kind: None,
        started_at: None,
        metadata: Vec::new(),
    }
}

fn sleep(ms: u64) -> ReportedOp {
    ReportedOp {
        ask: Ask::Sleep(format!("{ms}ms")),
        ..op(Opcode::Sleep, StepId::parse("nap"))
    }
}

fn text(json: &str) -> SharedJson {
    shared_json(json.to_owned()).expect("the test writes JSON")
}

fn pick<T>(items: &[T], which: usize) -> Option<&T> {
    items.get(which % items.len().max(1))
}
