//! Storms: functions that ask for anything — every op, every flow control — while the process dies and comes back.
//!
//! Unlike the simulation's plans, nothing here follows a model of what should happen. What must hold all the same: what
//! is stored makes the engine that wrote it, nothing is stuck, an audit finds nothing, a run ends once and nothing of it is
//! called afterwards, a place of a singleton and a limit on runs hold, a bulk cancellation that is done has left none of
//! its runs unfinished, and once functions behave, everything ends.
//!
//! `STEPWELL_STORMS=FROM..TO cargo test -p stepwell-sim --test storm` plays other seeds than the usual ones.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use stepwell_engine::waits::condition_for;
use stepwell_engine::{
    Announcement, Answer, AppRow, AppSync, Ask, Backoff, BulkCancelRow, Call, Change, Config,
    Decision, Deferral, DeliveryRow, Effect, Engine, EventRow, EventWait, Fetch, FetchFailure,
    IdSource, Input, Invocation, LookBack, NewEvent, Repetition, ReportedOp, ReportedOutcome,
    ReportedReply, RunStatus, SignalWait, Sweep, Timestamp, bulk_condition_holds, function,
    invocation_event,
};
use stepwell_protocol::event::{FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED};
use stepwell_protocol::gateway::Request;
use stepwell_protocol::op::{Op, Opcode};
use stepwell_protocol::reply::Failure;
use stepwell_protocol::{
    AppId, EventId, FunctionId, RunId, SharedJson, StepId, UserError, register, shared_json,
};
use stepwell_store::{RunFilter, RunPlace, RunQuery, Store, memory};

/// The seeds that are played when nobody says.
const SEEDS: std::ops::Range<u64> = 0..80;
/// What happens in one storm.
const ACTS: usize = 120;
/// Decisions in which everything must end once functions behave.
const CALM_MAX: usize = 20_000;
const FUNCTIONS: usize = 4;

struct Storm {
    random: SmallRng,
    ids: IdSource,
    now: Timestamp,
    config: Config,
    engine: Engine,
    store: Store,
    calls: Vec<Call>,
    fetches: Vec<Fetch>,
    looks: Vec<LookBack>,
    deliveries: Vec<DeliveryRow>,
    announcements: Vec<Announcement>,
    sweeps: Vec<Sweep>,
    events: HashMap<EventId, NewEvent>,
    /// Runs and the functions and events that they are of.
    runs: Vec<(RunId, FunctionId, EventId)>,
    unfinished: HashSet<RunId>,
    /// Runs that were called before they ended, by function.
    under_way: HashMap<FunctionId, HashSet<RunId>>,
    ended: HashSet<RunId>,
    run_limits: HashMap<FunctionId, usize>,
    singletons: HashSet<FunctionId>,
    calm: bool,
}

fn json_text(value: &Value) -> SharedJson {
    shared_json(value.to_string()).expect("serialised JSON is JSON")
}

impl Storm {
    fn of(seed: u64) -> Self {
        let now = Timestamp::from_ms(1_767_225_600_000);
        let mut random = SmallRng::seed_from_u64(seed);
        let config = Config {
            calls_max: random.random_range(1..20),
            backoff: Backoff::Constant(random.random_range(0..5_000)),
            ..Config::default()
        };
        Self {
            random,
            ids: IdSource::from_seed(seed),
            now,
            engine: Engine::new(config.clone(), now),
            config,
            store: memory::open(),
            calls: Vec::new(),
            fetches: Vec::new(),
            looks: Vec::new(),
            deliveries: Vec::new(),
            announcements: Vec::new(),
            sweeps: Vec::new(),
            events: HashMap::new(),
            runs: Vec::new(),
            unfinished: HashSet::new(),
            under_way: HashMap::new(),
            ended: HashSet::new(),
            run_limits: HashMap::new(),
            singletons: HashSet::new(),
            calm: false,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.random_range(0..bound)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn play(mut self) {
        self.register();
        for _ in 0..ACTS {
            self.act();
        }
        self.calm = true;
        self.crash();
        self.register();
        for _ in 0..CALM_MAX {
            if !self.settle() {
                break;
            }
        }
        assert!(
            self.unfinished.is_empty(),
            "runs never end: {:?}",
            self.unfinished
        );
        assert_eq!(self.engine.runs_unfinished(), 0);
        assert_eq!(self.engine.calls_in_flight(), 0);
        assert_eq!(self.engine.waits(), 0, "waits outlive their runs");
    }

    fn act(&mut self) {
        match self.below(100) {
            0..=24 => self.send(),
            25..=54 => self.answer(),
            55..=64 => self.advance(),
            65..=69 => self.answer_fetch(),
            70..=74 => self.look_back(),
            75..=77 => self.deliver(),
            78..=79 => self.sweep(),
            80..=84 => self.announce(),
            85..=87 => self.signal(),
            88..=89 => self.invoke(),
            90 => self.cancel(),
            91 => self.bulk_cancel(),
            92 => self.pause(),
            93 => self.repeat(),
            94 => self.register(),
            95 => self.handle(Input::Audit),
            _ => self.crash(),
        }
    }

    /// One thing that gets on; whether there was any.
    fn settle(&mut self) -> bool {
        if !self.deliveries.is_empty() {
            self.deliver();
        } else if !self.sweeps.is_empty() {
            self.sweep();
        } else if !self.looks.is_empty() {
            self.look_back();
        } else if !self.announcements.is_empty() {
            self.announce();
        } else if !self.fetches.is_empty() {
            self.answer_fetch();
        } else if !self.calls.is_empty() {
            self.answer();
        } else if self.unfinished.is_empty() {
            return false;
        } else if let Some(due) = self.engine.next_due() {
            self.now = self.now.max(due);
            self.handle(Input::TimersDue);
        } else {
            // What waits for a paused function goes on.
            for number in 0..FUNCTIONS {
                let function = FunctionId::of(AppId::of("app"), &format!("app-{number}"));
                self.handle(Input::FunctionPaused {
                    function,
                    paused: false,
                });
            }
        }
        true
    }

    fn register(&mut self) {
        let mut functions = Vec::new();
        for number in 0..FUNCTIONS {
            let function = self.function(number);
            if !self.chance(5) {
                functions.push(function);
            }
        }
        let body = json!({"appName": "app", "url": "http://app.test", "functions": functions});
        let registration = register::Registration::parse(body.to_string().as_bytes());
        let registration = registration.expect("it decodes");
        let functions = match function::compile_all(&registration) {
            Ok(functions) => functions,
            Err(errors) => panic!("{errors:?}"),
        };
        for function in &functions {
            let limit = function.run_limits.first();
            // A changed limit holds for what starts from now on.
            match limit.filter(|limit| limit.key.is_none()) {
                Some(limit) if !self.run_limits.contains_key(&function.id) => {
                    self.run_limits.insert(function.id, limit.limit as usize);
                }
                _ => {}
            }
        }
        let app = AppRow {
            id: AppId::of("app"),
            name: "app".to_owned(),
            url: "http://app.test".to_owned(),
            sdk: String::new(),
            framework: String::new(),
            checksum: body.to_string(),
            synced_at: self.now,
        };
        self.handle(Input::AppSynced(Box::new(AppSync { app, functions })));
    }

    fn function(&mut self, number: usize) -> Value {
        let id = format!("app-{number}");
        let mut config = json!({
            "id": id, "name": id, "retries": self.below(3),
            "triggers": [{"event": self.pick(&["x/a", "x/b", "x/*"])}],
            "steps": {"step": {"id": "step", "name": "step", "runtime":
                {"type": "http", "url": format!("http://app.test/?fnId={id}&stepId=step")}}},
        });
        if self.chance(15) {
            config["triggers"] = json!([{"event": self.pick(&[FUNCTION_FINISHED, FUNCTION_FAILED,
                FUNCTION_CANCELLED, "inngest/deferred.schedule"])}]);
        }
        if self.chance(10) {
            config["triggers"][0]["expression"] = json!("event.data.n > 1");
        }
        // Schedules would go on for ever.
        if self.chance(10) && !self.calm {
            config["triggers"]
                .as_array_mut()
                .expect("a list")
                .push(json!({"cron": "0 * * * *"}));
        }
        // Shape, not numbers, differs from function to function, so that it stays when an app registers again.
        let key = self.pick(&[Value::Null, json!("event.data.n")]);
        let combined = number == 0;
        if combined {
            config["batchEvents"] =
                json!({"maxSize": 2 + self.below(3), "timeout": "5s", "key": key});
        } else {
            if self.chance(30) {
                config["debounce"] = json!({"period": "2s", "timeout": "5s", "key": key});
            }
            if number == 1 {
                let mode = self.pick(&["skip", "cancel"]);
                config["singleton"] = json!({"mode": mode});
            }
            if self.chance(40) {
                let condition = self.pick(&[Value::Null, json!("event.data.n == async.data.n")]);
                config["cancel"] = json!([{"event": self.pick(&["x/stop", "x/a"]), "if": condition,
                    "timeout": self.pick(&["1h", "10s"])}]);
            }
        }
        if number == 2 {
            config["concurrency"] = json!({"fn": [{"limit": 2}]});
        } else if self.chance(30) {
            config["concurrency"] = json!([{"limit": 1 + self.below(2), "key": key}]);
        }
        if self.chance(20) {
            config["throttle"] = json!({"limit": 1, "period": "2s", "key": key});
        }
        if self.chance(15) {
            config["rateLimit"] = json!({"limit": 2, "period": "5s", "key": key});
        }
        if self.chance(30) {
            config["timeouts"] = json!({"start": "20s", "finish": self.pick(&["10s", "1h"])});
        }
        if number == 1 {
            self.singletons
                .insert(FunctionId::of(AppId::of("app"), &id));
        }
        config
    }

    fn event(&mut self, name: &str) -> NewEvent {
        let id = self.ids.event_id(self.now);
        let later_ms = if self.chance(10) { 3_000 } else { 0 };
        let ts_ms = i64::try_from(self.now.ms() + later_ms).expect("a moment of this era");
        let external_id = self.chance(30).then(|| format!("k{}", self.below(5)));
        let body = json!({"name": name, "data": {"n": self.below(3)}, "ts": ts_ms});
        let event = NewEvent {
            id,
            name: name.into(),
            repeatable: external_id.is_some(),
            external_id,
            ts_ms,
            body: json_text(&body),
        };
        self.events.insert(id, event.clone());
        event
    }

    fn send(&mut self) {
        let names = ["x/a", "x/a", "x/b", "x/wait", "x/wait", "x/stop"];
        let count = 1 + self.below(3);
        let events = (0..count)
            .map(|_| {
                let name = self.pick(&names);
                self.event(name)
            })
            .collect();
        self.handle(Input::EventsReceived(events));
    }

    fn take<T>(&mut self, from: impl Fn(&mut Self) -> &mut Vec<T>) -> Option<T> {
        let count = from(self).len();
        if count == 0 {
            return None;
        }
        let at = self.below(count);
        Some(from(self).swap_remove(at))
    }

    fn answer(&mut self) {
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

    fn reply(&mut self, call: &Call) -> ReportedReply {
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

    fn ran(&mut self, step: StepId) -> ReportedOp {
        let value = json_text(&json!({"data": self.below(1_000)}));
        reported(Opcode::StepRun, step, Some(value), Ask::Nothing, false)
    }

    fn op(&mut self, call: &Call) -> ReportedOp {
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

    fn advance(&mut self) {
        let ms = self.pick(&[1, 500, 2_000, 10_000, 3_600_000]);
        self.now = self.now.after_ms(ms);
        while self.engine.next_due().is_some_and(|due| due <= self.now) {
            self.handle(Input::TimersDue);
        }
    }

    fn answer_fetch(&mut self) {
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

    fn look_back(&mut self) {
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

    fn deliver(&mut self) {
        if let Some(row) = self.take(|storm| &mut storm.deliveries) {
            let event = self.events.get(&row.event).cloned().map(Box::new);
            self.handle(Input::Delivered { id: row.id, event });
        }
    }

    fn announce(&mut self) {
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

    fn signal(&mut self) {
        let signal = format!("g{}", self.below(2));
        let data = json_text(&json!(1));
        self.handle(Input::SignalSent { signal, data });
    }

    fn invoke(&mut self) {
        let function = format!("app-{}", self.below(FUNCTIONS + 1));
        let event = invocation_event(&json!({"data": {"n": 1}}), None, self.now, &mut self.ids);
        self.events.insert(event.id, event.clone());
        let event = Box::new(event);
        self.handle(Input::FunctionInvoked { function, event });
    }

    fn cancel(&mut self) {
        if !self.runs.is_empty() {
            let at = self.below(self.runs.len());
            self.handle(Input::CancelRun(self.runs[at].0));
        }
    }

    /// A span around now: runs that come later may fall into it.
    fn bulk_cancel(&mut self) {
        let stored = self.store.reader.bulk_cancels().expect("they are read");
        if !stored.is_empty() && self.chance(20) {
            let id = self.pick(&stored).id;
            return self.handle(Input::BulkCancelDropped(id));
        }
        let slug = format!("app-{}", self.below(FUNCTIONS));
        let before_ms = self.pick(&[0, 5_000, 3_600_000]);
        let row = BulkCancelRow {
            id: self.ids.bulk_cancel_id(self.now),
            function: FunctionId::of(AppId::of("app"), &slug),
            started_after: self
                .chance(30)
                .then(|| Timestamp::from_ms(self.now.ms() - 2_000)),
            started_before: self.now.after_ms(before_ms),
            condition: self.chance(50).then(|| "event.data.n > 0".into()),
            created_at: self.now,
            after: None,
            done: false,
        };
        self.handle(Input::BulkCancelAsked(Box::new(row)));
    }

    fn sweep(&mut self) {
        let Some(Sweep { row, generation }) = self.take(|storm| &mut storm.sweeps) else {
            return;
        };
        let page = self.store.reader.find_runs(&RunQuery {
            filter: RunFilter {
                functions: Some(vec![row.function]),
                statuses: vec![RunStatus::Scheduled, RunStatus::Running],
                from: row.started_after,
                until: Some(row.started_before),
                ..RunFilter::default()
            },
            oldest_first: true,
            after: row.after.map(|id| RunPlace { at: None, id }),
            ..RunQuery::newest(2)
        });
        let page = page.expect("they are read");
        let runs = page.runs.iter();
        let runs = runs.filter(|run| self.is_meant(&row, run.events[0]));
        let input = Input::Swept {
            id: row.id,
            generation,
            runs: runs.map(|run| run.id).collect(),
            next: page.next.map(|place| place.id),
        };
        self.handle(input);
    }

    fn is_meant(&self, row: &BulkCancelRow, event: EventId) -> bool {
        row.condition.as_ref().is_none_or(|condition| {
            let event = serde_json::from_str(self.events[&event].body.get());
            bulk_condition_holds(condition, &event.expect("an event is JSON"), self.now)
        })
    }

    fn pause(&mut self) {
        let slug = format!("app-{}", self.below(FUNCTIONS));
        let function = FunctionId::of(AppId::of("app"), &slug);
        let paused = self.chance(50);
        self.handle(Input::FunctionPaused { function, paused });
    }

    fn repeat(&mut self) {
        if self.runs.is_empty() {
            return;
        }
        let at = self.below(self.runs.len());
        let (original, function, event) = self.runs[at];
        let event = self.events[&event].clone();
        let target = self.chance(50).then(|| StepId::parse("s1"));
        let input = target.clone().map(|step| (step, json_text(&json!([1]))));
        self.handle(Input::RunRepeated(Box::new(Repetition {
            original,
            function,
            event: EventRow {
                id: event.id,
                name: event.name.to_string(),
                external_id: event.id.to_string(),
                ts_ms: event.ts_ms,
                received_at: self.now,
                body: event.body,
            },
            steps: Vec::new(),
            target,
            input,
        })));
    }

    /// The process dies, and starts again a while later.
    fn crash(&mut self) {
        let down_ms = self.pick(&[1, 1_000, 7_200_000]);
        self.now = self.now.after_ms(down_ms);
        for list in [self.calls.len(), self.fetches.len()] {
            assert!(list <= 1_000);
        }
        self.calls.clear();
        self.fetches.clear();
        self.looks.clear();
        self.deliveries.clear();
        self.announcements.clear();
        self.sweeps.clear();
        let stored = self.store.writer.load(self.now).expect("it loads");
        self.engine = Engine::load(stored, self.config.clone(), self.now).expect("it loads");
        let mut decision = Decision::default();
        self.engine.resume(self.now, &mut self.ids, &mut decision);
        self.commit(decision);
    }

    fn handle(&mut self, input: Input) {
        let mut decision = Decision::default();
        self.engine
            .handle(input, self.now, &mut self.ids, &mut decision);
        if let Some(Answer::Audited(violations)) = &decision.answer {
            assert_eq!(violations, &Vec::<String>::new());
        }
        self.commit(decision);
    }

    fn commit(&mut self, decision: Decision) {
        let committed = self.store.writer.commit(&decision.changes);
        committed.expect("every decision fits");
        for change in &decision.changes {
            self.note(change);
        }
        for effect in decision.effects {
            match effect {
                Effect::Call(call) => {
                    assert!(!self.ended.contains(&call.run), "an ended run is called");
                    self.under_way
                        .entry(call.function)
                        .or_default()
                        .insert(call.run);
                    self.calls.push(*call);
                }
                Effect::Fetch(fetch) => {
                    assert!(!self.ended.contains(&fetch.run), "an ended run fetches");
                    self.fetches.push(*fetch);
                }
                Effect::Announce(announcement) => self.announcements.push(announcement),
                Effect::LookBack(look) => self.looks.push(*look),
                Effect::Deliver(row) => self.deliveries.push(row),
                Effect::Sweep(sweep) => self.sweeps.push(*sweep),
                Effect::GiveUp { .. } => {}
            }
        }
        self.assert_sound();
    }

    fn note(&mut self, change: &Change) {
        match change {
            Change::EventPut(row) => {
                let event = NewEvent {
                    id: row.id,
                    name: row.name.as_str().into(),
                    external_id: None,
                    ts_ms: row.ts_ms,
                    repeatable: false,
                    body: row.body.clone(),
                };
                self.events.entry(row.id).or_insert(event);
            }
            Change::RunPut(row) => {
                self.runs.push((row.id, row.function, row.events[0]));
                self.unfinished.insert(row.id);
            }
            Change::RunEnd(end) => {
                assert!(self.ended.insert(end.id), "a run ended twice");
                self.unfinished.remove(&end.id);
                for runs in self.under_way.values_mut() {
                    runs.remove(&end.id);
                }
            }
            _ => {}
        }
    }

    fn assert_sound(&mut self) {
        assert_eq!(self.engine.stuck_runs().next(), None, "a run is stuck");
        let stored = self.store.writer.load(self.now).expect("it loads");
        assert_eq!(
            self.engine.snapshot(self.now),
            stored,
            "the engine is not what it stored"
        );
        let loaded = Engine::load(stored.clone(), self.config.clone(), self.now);
        assert_eq!(loaded.expect("it loads").snapshot(self.now), stored);
        let limited = FunctionId::of(AppId::of("app"), "app-2");
        let under_way = self.under_way.get(&limited).map_or(0, HashSet::len);
        assert!(
            under_way <= 2,
            "{under_way} runs are under way where two may be"
        );
        for row in stored.bulk_cancels.iter().filter(|row| row.done) {
            let mut left = self
                .runs
                .iter()
                .filter(|(run, of, _)| *of == row.function && self.unfinished.contains(run));
            let left = left.find(|(run, _, event)| row.spans(*run) && self.is_meant(row, *event));
            assert_eq!(left, None, "a bulk cancellation has left a run");
        }
        for function in &self.singletons {
            let unfinished = self
                .runs
                .iter()
                .filter(|(run, of, _)| of == function && self.unfinished.contains(run));
            assert!(unfinished.count() <= 1, "a place is taken twice");
        }
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

#[test]
fn no_storm_breaks_what_must_hold() {
    let seeds = match std::env::var("STEPWELL_STORMS") {
        Err(_) => SEEDS,
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("STEPWELL_STORMS=FROM..TO");
            from.parse().expect("a number")..to.parse().expect("a number")
        }
    };
    for seed in seeds {
        let played = std::panic::catch_unwind(|| Storm::of(seed).play());
        assert!(
            played.is_ok(),
            "STEPWELL_STORMS={seed}..{} breaks it",
            seed + 1
        );
    }
}
