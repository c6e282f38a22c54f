//! An engine, its store, and what must be true of them.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use stepwell_engine::function::Function;
use stepwell_engine::{
    Announcement, AppRow, AppSync, Ask, Backoff, Call, Change, Config, Decision, Effect,
    EndpointStart, Engine, IdSource, Input, NewEvent, ReportedOp, ReportedOutcome, ReportedReply,
    Timestamp, function,
};
use stepwell_protocol::event::{FUNCTION_FINISHED, HTTP_REQUEST};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::register::Registration;
use stepwell_protocol::reply::Failure;
use stepwell_protocol::{
    AppId, EventId, FunctionId, RunId, SharedJson, StepId, UserError, shared_json,
};
use stepwell_store::{Store, memory};

/// How many different registrations there are.
pub(crate) const FUNCTION_SETS: u8 = 4;
/// Rounds of answers and timers in which everything must be over.
const ROUNDS_MAX: usize = 5_000;

#[derive(Debug, Clone)]
pub(crate) enum Act {
    Event {
        name: u8,
        user: u8,
        id: Option<u8>,
        later_ms: u64,
    },
    Reply {
        which: usize,
        answered: Answered,
        version: i32,
        no_retry: bool,
    },
    /// An answer to a call that is over, or of before a restart.
    LateReply {
        which: usize,
        answered: Answered,
    },
    Checkpoint {
        which: usize,
        step: u8,
        says_generation: bool,
    },
    LateCheckpoint {
        which: usize,
        step: u8,
    },
    /// An app reports a run of an endpoint.
    Endpoint {
        path: u8,
        answered: Answered,
    },
    /// It reports one of before.
    EndpointAgain {
        which: usize,
        path: u8,
    },
    /// It reports more of some run.
    Report {
        which: usize,
        answered: Answered,
    },
    Cancel(usize),
    Sync(u8),
    Announce(usize),
    Advance(u64),
    Restart,
    /// A decision is made and never written; the engine is loaded again.
    FailedCommit,
}

#[derive(Debug, Clone)]
pub(crate) enum Answered {
    Return,
    Fail,
    FailForGood,
    NotMade,
    Nothing,
    Complete,
    Unsupported,
    Ran(u8),
    RanTarget,
    StepError(u8),
    StepFailed(u8),
    Sleep {
        step: u8,
        ms: u64,
    },
    Plan {
        steps: u8,
        race: bool,
        nap: Option<u64>,
    },
    RanAndError {
        ran: u8,
        failed: u8,
    },
}

/// A registered function as the model knows it: which events start it, and its limits.
#[derive(Debug, Clone)]
struct Known {
    listens: &'static [&'static str],
    /// Calls at once in the function.
    own: Option<usize>,
    /// Calls at once of the user's value, across functions.
    shared: Option<usize>,
}

pub(crate) struct World {
    config: Config,
    engine: Engine,
    store: Store,
    ids: IdSource,
    now: Timestamp,
    /// Registered functions that are not archived, and those that were.
    known: HashMap<FunctionId, Known>,
    archived: HashMap<FunctionId, Known>,
    endpoints: BTreeSet<FunctionId>,
    in_flight: Vec<Call>,
    over: Vec<Call>,
    announcements: Vec<Announcement>,
    runs: Vec<RunId>,
    run_user: HashMap<RunId, u8>,
    run_function: HashMap<RunId, FunctionId>,
    ended: BTreeSet<RunId>,
    event_key: HashMap<EventId, (String, u8)>,
    started: BTreeSet<(FunctionId, String)>,
    recorded: BTreeMap<(RunId, StepId), String>,
    events_sent: u64,
}

impl World {
    pub(crate) fn new(calls_max: usize) -> Self {
        let config = Config {
            calls_max,
            backoff: Backoff::Constant(10_000),
            ..Config::default()
        };
        let now = Timestamp::from_ms(1_767_225_600_000);
        let mut world = Self {
            engine: Engine::new(config.clone(), now),
            config,
            store: memory::open(),
            ids: IdSource::from_seed(1),
            now,
            known: HashMap::new(),
            archived: HashMap::new(),
            endpoints: BTreeSet::new(),
            in_flight: Vec::new(),
            over: Vec::new(),
            announcements: Vec::new(),
            runs: Vec::new(),
            run_user: HashMap::new(),
            run_function: HashMap::new(),
            ended: BTreeSet::new(),
            event_key: HashMap::new(),
            started: BTreeSet::new(),
            recorded: BTreeMap::new(),
            events_sent: 0,
        };
        world.sync(0);
        world
    }

    pub(crate) fn act(&mut self, act: Act) {
        match act {
            Act::Event {
                name,
                user,
                id,
                later_ms,
            } => {
                let name = ["x/a", "x/b"][usize::from(name)];
                self.send(name, user, id.map(|id| id.to_string()), later_ms);
            }
            Act::Reply {
                which,
                answered,
                version,
                no_retry,
            } => {
                if !self.in_flight.is_empty() {
                    let call = self.in_flight.remove(which % self.in_flight.len());
                    self.reply(&call, &answered, version, no_retry);
                    self.over.push(call);
                }
            }
            Act::LateReply { which, answered } => {
                if let Some(call) = pick(&self.over, which).cloned() {
                    let before = self.engine.snapshot(self.now);
                    self.reply(&call, &answered, 2, false);
                    assert_eq!(
                        self.engine.snapshot(self.now),
                        before,
                        "a late answer was taken"
                    );
                }
            }
            Act::Checkpoint {
                which,
                step,
                says_generation,
            } => {
                if let Some(call) = pick(&self.in_flight, which).cloned() {
                    self.checkpoint(&call, step, says_generation);
                }
            }
            Act::LateCheckpoint { which, step } => {
                if let Some(call) = pick(&self.over, which).cloned() {
                    self.checkpoint(&call, step, true);
                }
            }
            Act::Endpoint { path, answered } => {
                let (run, steps) = (self.ids.run_id(self.now), self.ops(None, &answered));
                self.endpoint(run, path, steps);
            }
            Act::EndpointAgain { which, path } => {
                if let Some(run) = pick(&self.runs, which).copied()
                    && self.endpoints.contains(&self.run_function[&run])
                {
                    let before = self.engine.snapshot(self.now);
                    self.endpoint(run, path, Vec::new());
                    assert_eq!(self.engine.snapshot(self.now), before, "a run began twice");
                }
            }
            Act::Report { which, answered } => {
                if let Some(run) = pick(&self.runs, which).copied() {
                    let steps = self.ops(None, &answered);
                    let own = self.endpoints.contains(&self.run_function[&run]);
                    let was_over = self.ended.contains(&run);
                    let before = self.engine.snapshot(self.now);
                    self.handle(Input::EndpointReported { run, steps });
                    if !own || was_over {
                        let after = self.engine.snapshot(self.now);
                        assert_eq!(after, before, "a report that is nobody's was taken");
                    }
                }
            }
            Act::Cancel(which) => {
                if let Some(run) = pick(&self.runs, which).copied() {
                    self.handle(Input::CancelRun(run));
                    assert!(self.ended.contains(&run));
                }
            }
            Act::Sync(set) => self.sync(set),
            Act::Announce(which) => {
                if let Some(announcement) = pick(&self.announcements, which).copied() {
                    // It stays: it may be reported again.
                    self.announce(announcement);
                }
            }
            Act::Advance(ms) => self.advance(self.now.after_ms(ms)),
            Act::Restart => self.restart(),
            Act::FailedCommit => {
                let event = self.event("x/a", 0, None, 0);
                let mut lost = Decision::default();
                self.engine.handle(
                    Input::EventsReceived(vec![event]),
                    self.now,
                    &mut self.ids,
                    &mut lost,
                );
                self.restart();
            }
        }
    }

    /// From here on all goes well: everything must come to its end.
    pub(crate) fn finish_everything(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if let Some(call) = self.in_flight.pop() {
                let answered = match call.target {
                    Some(_) => Answered::RanTarget,
                    None => Answered::Return,
                };
                self.reply(&call, &answered, 2, false);
            } else if let Some(announcement) = self.announcements.pop() {
                self.announce(announcement);
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
            let record = self.store.reader.run(*run).unwrap().expect("it is kept");
            assert!(record.status.has_ended(), "{record:?}");
            for step in self.store.reader.steps(*run).unwrap() {
                let recorded = self.recorded.remove(&(*run, step.step));
                assert_eq!(recorded.as_deref(), Some(step.value.get()));
            }
        }
        assert!(self.recorded.is_empty(), "steps are gone");
    }

    fn sync(&mut self, set: u8) {
        let (functions, known) = functions(set);
        let url = format!("http://app-{}.test", set % 2);
        let configs: Vec<Value> = functions
            .into_iter()
            .map(|mut config| {
                let runtime = json!({"type": "http", "url": url});
                config["steps"] =
                    json!({"step": {"id": "step", "name": "step", "runtime": runtime}});
                config
            })
            .collect();
        let body = json!({"appName": "app", "url": url, "functions": configs}).to_string();
        let registration = Registration::parse(body.as_bytes()).expect("it decodes");
        let functions = function::compile_all(&registration).expect("it compiles");
        let now: HashMap<_, _> = functions
            .iter()
            .map(|function| function.id)
            .zip(known)
            .collect();
        let before = std::mem::replace(&mut self.known, now);
        self.archived.extend(before);
        let app = AppRow {
            id: AppId::of("app"),
            name: "app".to_owned(),
            url,
            sdk: String::new(),
            framework: String::new(),
            checksum: body,
            synced_at: self.now,
        };
        self.handle(Input::AppSynced(Box::new(AppSync { app, functions })));
    }

    fn event(
        &mut self,
        name: &str,
        user: u8,
        external_id: Option<String>,
        later_ms: u64,
    ) -> NewEvent {
        let id = self.ids.event_id(self.now);
        self.events_sent += 1;
        let key = match &external_id {
            Some(id) => id.clone(),
            None => format!("event {}", self.events_sent),
        };
        self.event_key.insert(id, (key, user));
        let ts_ms = i64::try_from(self.now.ms() + later_ms).expect("a moment of this era");
        NewEvent {
            id,
            name: name.into(),
            repeatable: external_id.is_some(),
            external_id,
            ts_ms,
            body: text(&json!({"name": name, "data": {"u": user}, "ts": ts_ms}).to_string()),
        }
    }

    fn endpoint(&mut self, run: RunId, path: u8, steps: Vec<ReportedOp>) {
        let domain = "http://api.test".to_owned();
        let function = Function::of_endpoint(&domain, &format!("GET /{path}"), Some(1));
        let function = function.expect("it compiles");
        self.endpoints.insert(function.id);
        let known = Known {
            listens: &[],
            own: None,
            shared: None,
        };
        self.archived.insert(function.id, known);
        let event = self.event(HTTP_REQUEST, 0, None, 0);
        self.handle(Input::EndpointStarted(Box::new(EndpointStart {
            run,
            app: AppRow {
                id: function.app,
                name: domain.clone(),
                url: domain,
                sdk: String::new(),
                framework: String::new(),
                checksum: String::new(),
                synced_at: self.now,
            },
            function,
            event,
            request_version: 1 + i32::from(path % 2),
            steps,
        })));
    }

    fn send(&mut self, name: &str, user: u8, external_id: Option<String>, later_ms: u64) {
        let event = self.event(name, user, external_id, later_ms);
        let key = self.event_key[&event.id].0.clone();
        let id = event.id;
        self.handle(Input::EventsReceived(vec![event]));
        for (function, known) in &self.known {
            if known.listens.contains(&name) {
                assert!(
                    self.started.contains(&(*function, key.clone())),
                    "an event started nothing"
                );
            }
        }
        assert!(self.store.reader.event(id).unwrap().is_some());
    }

    fn announce(&mut self, announcement: Announcement) {
        let event = self.event(FUNCTION_FINISHED, 0, None, 0);
        self.handle(Input::Announced {
            item: announcement.item,
            events: vec![event],
        });
    }

    fn reply(&mut self, call: &Call, answered: &Answered, version: i32, no_retry: bool) {
        let outcome = match answered {
            Answered::Return => ReportedOutcome::Returned(text("\"done\"")),
            Answered::Fail | Answered::FailForGood => {
                ReportedOutcome::Failed(Failure::of(UserError::new("Error", "boom")))
            }
            Answered::NotMade => ReportedOutcome::NotMade,
            other => ReportedOutcome::Ops(self.ops(call.target.clone(), other)),
        };
        self.handle(Input::CallReturned {
            item: call.item,
            generation: call.generation,
            reply: Box::new(ReportedReply {
                request_version: Some(version),
                retry_after: None,
                no_retry: no_retry && matches!(answered, Answered::StepError(_))
                    || matches!(answered, Answered::FailForGood),
                outcome,
            }),
        });
    }

    fn ops(&mut self, target: Option<StepId>, answered: &Answered) -> Vec<ReportedOp> {
        // Each value differs from all others, so that a change of a recorded one shows.
        self.events_sent += 1;
        let value = format!("{{\"data\":{}}}", self.events_sent);
        let step = |number: &u8| StepId::parse(&format!("s{number}"));
        let ran = |step| ReportedOp {
            value: Some(text(&value)),
            ..op(Opcode::StepRun, step)
        };
        match answered {
            Answered::Complete => vec![op(Opcode::RunComplete, StepId::parse("end"))],
            Answered::Unsupported => vec![op(Opcode::WaitForEvent, StepId::parse("wait"))],
            Answered::Ran(number) => vec![ran(step(number))],
            Answered::RanTarget => target.map(ran).into_iter().collect(),
            Answered::StepError(number) => vec![failed(Opcode::StepError, step(number))],
            Answered::StepFailed(number) => vec![failed(Opcode::StepFailed, step(number))],
            Answered::Sleep { step: number, ms } => vec![sleep(step(number), *ms, false)],
            Answered::RanAndError {
                ran: number,
                failed: other,
            } => vec![ran(step(number)), failed(Opcode::StepError, step(other))],
            Answered::Plan { steps, race, nap } => {
                let planned = (0..5).filter(|number| steps & (1 << number) != 0);
                let mut ops: Vec<_> = planned
                    .map(|number| ReportedOp {
                        race: *race,
                        ..op(Opcode::StepPlanned, step(&number))
                    })
                    .collect();
                ops.extend(nap.map(|ms| sleep(StepId::parse("nap"), ms, *race)));
                ops
            }
            Answered::Nothing
            | Answered::Return
            | Answered::Fail
            | Answered::FailForGood
            | Answered::NotMade => Vec::new(),
        }
    }

    fn checkpoint(&mut self, call: &Call, step: u8, says_generation: bool) {
        let steps = self.ops(None, &Answered::Ran(step));
        self.handle(Input::StepsCheckpointed {
            run: call.run,
            item: call.item,
            generation: says_generation.then_some(call.generation),
            steps,
        });
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
        self.announcements.clear();
        let snapshot = self.store.writer.load(self.now).expect("it loads");
        self.engine = Engine::load(snapshot, self.config.clone(), self.now).expect("it loads");
        let mut decision = Decision::default();
        self.engine.resume(self.now, &mut self.ids, &mut decision);
        self.commit(decision);
    }

    fn handle(&mut self, input: Input) {
        let mut decision = Decision::default();
        self.engine
            .handle(input, self.now, &mut self.ids, &mut decision);
        self.commit(decision);
    }

    fn commit(&mut self, decision: Decision) {
        self.store
            .writer
            .commit(&decision.changes)
            .expect("every decision fits");
        for change in decision.changes {
            self.note(change);
        }
        for effect in decision.effects {
            match effect {
                Effect::Call(call) => {
                    assert!(!self.ended.contains(&call.run), "an ended run is called");
                    self.in_flight.push(*call);
                    self.assert_limits();
                }
                Effect::Announce(announcement) => self.announcements.push(announcement),
                // Its answer comes all the same, and is not heard.
                Effect::GiveUp { .. } => {}
                other => unreachable!("no function of these histories asks for {other:?}"),
            }
        }
        assert_eq!(self.engine.stuck_runs().next(), None, "a run is stuck");
        assert!(self.in_flight.len() <= self.config.calls_max);
        assert_eq!(self.engine.calls_in_flight(), self.in_flight.len());
        let stored = self.store.writer.load(self.now).expect("it loads");
        assert_eq!(
            self.engine.snapshot(self.now),
            stored,
            "the engine is not what it stored"
        );
        let loaded = Engine::load(stored.clone(), self.config.clone(), self.now);
        assert_eq!(loaded.expect("it loads").snapshot(self.now), stored);
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::RunPut(row) => {
                let (key, user) = self.event_key[&row.events[0]].clone();
                assert!(
                    self.started.insert((row.function, key)),
                    "an event started a function twice"
                );
                self.runs.push(row.id);
                self.run_user.insert(row.id, user);
                self.run_function.insert(row.id, row.function);
            }
            Change::RunEnd(end) => assert!(self.ended.insert(end.id), "a run ended twice"),
            Change::StepPut(row) => {
                assert!(!self.ended.contains(&row.run), "a step of an ended run");
                let before = self
                    .recorded
                    .insert((row.run, row.step), row.value.get().to_owned());
                assert_eq!(before, None, "a step was recorded twice");
            }
            _ => {}
        }
    }

    /// The newest call is within the limits that its function has now.
    fn assert_limits(&self) {
        let newest = self.in_flight.last().expect("one was just made");
        let known = self
            .known
            .get(&newest.function)
            .or_else(|| self.archived.get(&newest.function))
            .expect("only registered functions are called");
        if let Some(own) = known.own {
            let count = self
                .in_flight
                .iter()
                .filter(|call| call.function == newest.function)
                .count();
            assert!(
                count <= own,
                "{count} calls in a function that allows {own}"
            );
        }
        if let Some(shared) = known.shared {
            let user = self.run_user[&newest.run];
            let counts = |call: &&Call| {
                let known = self
                    .known
                    .get(&call.function)
                    .or_else(|| self.archived.get(&call.function));
                known.is_some_and(|known| known.shared.is_some())
                    && self.run_user[&call.run] == user
            };
            let count = self.in_flight.iter().filter(counts).count();
            assert!(
                count <= shared,
                "{count} calls of a value that allows {shared}"
            );
        }
    }
}

/// The functions of a registration. Their limits change from one to the other, what limits them does not.
fn functions(set: u8) -> (Vec<Value>, Vec<Known>) {
    let more = u32::from(set % 2);
    let mut configs = vec![
        json!({
            "id": "own", "name": "own", "retries": 2,
            "triggers": [{"event": "x/a"}, {"event": "x/*", "expression": "false"}],
            "concurrency": 1 + more,
        }),
        json!({
            "id": "shared", "name": "shared", "retries": 1,
            "triggers": [{"event": "x/a"}, {"event": "x/b"}],
            "concurrency": {"limit": 1 + more, "key": "event.data.u", "scope": "env"},
            "throttle": {"limit": 1, "period": "2s", "key": "event.data.u"},
        }),
        json!({
            "id": "finished", "name": "finished", "retries": 0,
            "triggers": [{"event": FUNCTION_FINISHED}],
        }),
        json!({
            "id": "both", "name": "both", "retries": 1,
            "triggers": [{"event": "x/b"}],
            "concurrency": [
                {"limit": 2, "key": "event.data.u", "scope": "env"},
                {"limit": 3 - more},
            ],
        }),
    ];
    let more = more as usize;
    let mut known = vec![
        Known {
            listens: &["x/a"],
            own: Some(1 + more),
            shared: None,
        },
        Known {
            listens: &["x/a", "x/b"],
            own: None,
            shared: Some(1 + more),
        },
        Known {
            listens: &[FUNCTION_FINISHED],
            own: None,
            shared: None,
        },
        Known {
            listens: &["x/b"],
            own: Some(3 - more),
            shared: Some(2),
        },
    ];
    if set >= 2 {
        // Archived, and not heard of again until another registration.
        configs.remove(usize::from(set - 2));
        known.remove(usize::from(set - 2));
    }
    (configs, known)
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
        started_at: None,
    }
}

fn failed(opcode: Opcode, step: StepId) -> ReportedOp {
    ReportedOp {
        error: Some(UserError::new("Error", "boom")),
        ..op(opcode, step)
    }
}

fn sleep(step: StepId, ms: u64, race: bool) -> ReportedOp {
    ReportedOp {
        ask: Ask::Sleep(format!("{ms}ms")),
        race,
        ..op(Opcode::Sleep, step)
    }
}

fn text(json: &str) -> SharedJson {
    shared_json(json.to_owned()).expect("the test writes JSON")
}

fn pick<T>(items: &[T], which: usize) -> Option<&T> {
    items.get(which % items.len().max(1))
}
