//! An engine with two stores, and what both tell of its runs.

use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use stepwell_engine::function::Function;
use stepwell_engine::waits::condition_for;
use stepwell_engine::{
    AppRow, AppSync, Ask, Backoff, Call, Change, Config, Decision, Effect, EndpointStart, Engine,
    EventRow, EventWait, Fetch, FetchFailure, IdSource, Input, Invocation, KeptStep, NewEvent,
    Repetition, ReportedOp, ReportedOutcome, ReportedReply, SignalWait, Timestamp, function,
};
use stepwell_protocol::gateway::Request;
use stepwell_protocol::op::{Opcode, parse_ops};
use stepwell_protocol::register::Registration;
use stepwell_protocol::reply::Failure;
use stepwell_protocol::{
    AppId, EventId, FunctionId, RunId, SharedJson, StepId, UserError, shared_json, span,
};
use stepwell_store::history::{self, Span, StepInfo, StepOp};
use stepwell_store::{Store, memory, sqlite};
use tempfile::TempDir;

/// Some moment of 2026.
const START: Timestamp = Timestamp::from_ms(1_767_225_600_000);
/// How long an answer takes, in milliseconds.
const ANSWER_MS: u64 = 100;
const URL: &str = "http://app.test";

/// A moment, in milliseconds from the start.
pub(crate) fn at(ms: u64) -> Timestamp {
    START.after_ms(ms)
}

pub(crate) struct World {
    engine: Engine,
    stores: [Store; 2],
    ids: IdSource,
    now: Timestamp,
    calls: Vec<Call>,
    fetches: Vec<Fetch>,
    runs: Vec<RunId>,
    events: Vec<NewEvent>,
    functions: Vec<FunctionId>,
    _folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = sqlite::Options::new(folder.path().join("stepwell.db"));
        options.durability = sqlite::Durability::Process;
        let config = Config {
            backoff: Backoff::Constant(10_000),
            ..Config::default()
        };
        let mut world = Self {
            engine: Engine::new(config, START),
            stores: [
                memory::open(),
                sqlite::open(&options).expect("the store opens"),
            ],
            ids: IdSource::from_seed(1),
            now: START,
            calls: Vec::new(),
            fetches: Vec::new(),
            runs: Vec::new(),
            events: Vec::new(),
            functions: Vec::new(),
            _folder: folder,
        };
        world.register();
        world
    }

    fn register(&mut self) {
        let function = |id: &str, event: &str, more: Value| {
            let mut config = json!({
                "id": id, "name": format!("The {id}"), "retries": 2, "triggers": [{"event": event}],
                "steps": {"step": {"id": "step", "name": "step", "runtime": {"type": "http", "url": URL}}},
            });
            let more = more.as_object().expect("it is an object").clone();
            config
                .as_object_mut()
                .expect("it is an object")
                .extend(more);
            config
        };
        let functions = json!([
            function("plain", "go", json!({})),
            function("later", "go-later", json!({})),
            function("two", "go-two", json!({"concurrency": 2})),
            function("callee", "never", json!({})),
            function("paused", "go-paused", json!({})),
            function(
                "single",
                "go-single",
                json!({"singleton": {"mode": "skip"}})
            ),
        ]);
        let body = json!({"appName": "app", "url": URL, "functions": functions}).to_string();
        let registration = Registration::parse(body.as_bytes()).expect("it decodes");
        let functions = function::compile_all(&registration).expect("it compiles");
        self.functions = functions.iter().map(|function| function.id).collect();
        let app = AppRow {
            id: AppId::of("app"),
            name: "app".to_owned(),
            url: URL.to_owned(),
            sdk: String::new(),
            framework: String::new(),
            checksum: body,
            synced_at: self.now,
        };
        self.handle(Input::AppSynced(Box::new(AppSync { app, functions })));
    }

    /// Sends an event; one named `…-later` is for a minute from now.
    pub(crate) fn send(&mut self, name: &str, data: Value) {
        let id = self.ids.event_id(self.now);
        let later_ms = if name.ends_with("-later") { 60_000 } else { 0 };
        let ts_ms = i64::try_from(self.now.ms() + later_ms).expect("a moment of this era");
        let event = NewEvent {
            id,
            name: name.into(),
            external_id: None,
            ts_ms,
            repeatable: false,
            body: text(&json!({"name": name, "data": data, "ts": ts_ms}).to_string()),
        };
        self.events.push(event.clone());
        self.handle(Input::EventsReceived(vec![event]));
    }

    pub(crate) fn signal(&mut self, name: &str) {
        let data = text("true");
        let signal = name.to_owned();
        self.handle(Input::SignalSent { signal, data });
    }

    pub(crate) fn pause(&mut self, function: &str) {
        let function = FunctionId::of(AppId::of("app"), function);
        assert!(self.functions.contains(&function), "it is registered");
        self.handle(Input::FunctionPaused {
            function,
            paused: true,
        });
    }

    pub(crate) fn cancel(&mut self, run: usize) {
        self.handle(Input::CancelRun(self.runs[run]));
    }

    /// Repeats a run from a step on.
    pub(crate) fn repeat(&mut self, run: usize, kept: &[&str], target: &str) {
        let original = self.runs[run];
        let record = self.stores[0].reader.run(original).expect("it is read");
        let event = self.events[0].clone();
        let kept = kept.iter().map(|name| KeptStep {
            step: StepId::parse(name),
            op: Opcode::StepRun,
            name: (*name).to_owned(),
            value: text("{\"data\":1}"),
            failed: false,
        });
        self.handle(Input::RunRepeated(Box::new(Repetition {
            original,
            function: record.expect("it is there").function,
            event: EventRow {
                id: event.id,
                name: event.name.to_string(),
                external_id: event.id.to_string(),
                ts_ms: event.ts_ms,
                received_at: self.now,
                body: event.body,
            },
            steps: kept.collect(),
            target: Some(StepId::parse(target)),
            input: None,
        })));
    }

    /// Lets time pass, and what is due happen.
    pub(crate) fn later(&mut self, ms: u64) {
        let until = self.now.after_ms(ms);
        while let Some(due) = self.engine.next_due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.handle(Input::TimersDue);
        }
        self.now = until;
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// Answers the call that is meant for these ops: of the step that ran or failed, or else the newest.
    pub(crate) fn reply(&mut self, ops: Vec<ReportedOp>) {
        let of_it = |call: &Call| call.target.as_ref() == Some(&ops[0].step);
        let which = self.calls.iter().position(of_it);
        let which = which.unwrap_or(self.calls.len() - 1);
        self.answer(which, ReportedOutcome::Ops(ops), false);
    }

    /// Answers the newest call with an end of the function.
    pub(crate) fn end(&mut self, (outcome, no_retry): (ReportedOutcome, bool)) {
        self.answer(self.calls.len() - 1, outcome, no_retry);
    }

    fn answer(&mut self, which: usize, outcome: ReportedOutcome, no_retry: bool) {
        self.later(ANSWER_MS);
        let call = self.calls.remove(which);
        self.handle(Input::CallReturned {
            item: call.item,
            generation: call.generation,
            reply: Box::new(ReportedReply {
                request_version: Some(2),
                retry_after: None,
                no_retry,
                outcome,
            }),
        });
    }

    /// An app begins to execute an endpoint.
    pub(crate) fn endpoint(&mut self, steps: Vec<ReportedOp>) {
        let app = "http://api.test";
        let function = Function::of_endpoint(app, "GET /", None).expect("it compiles");
        let id = self.ids.event_id(self.now);
        let run = self.ids.run_id(self.now);
        self.handle(Input::EndpointStarted(Box::new(EndpointStart {
            run,
            app: AppRow {
                id: function.app,
                name: app.to_owned(),
                url: app.to_owned(),
                sdk: String::new(),
                framework: String::new(),
                checksum: String::new(),
                synced_at: self.now,
            },
            function,
            event: NewEvent {
                id,
                name: "http/request".into(),
                external_id: None,
                ts_ms: 0,
                repeatable: false,
                body: text("{}"),
            },
            request_version: 2,
            steps,
        })));
    }

    /// An app reports more of the first run, which is an endpoint's.
    pub(crate) fn report(&mut self, steps: Vec<ReportedOp>) {
        self.later(ANSWER_MS);
        let run = self.runs[0];
        self.handle(Input::EndpointReported { run, steps });
    }

    pub(crate) fn checkpoint(&mut self, steps: Vec<ReportedOp>) {
        self.later(ANSWER_MS);
        let call = self.calls.last().expect("a call is in flight").clone();
        self.handle(Input::StepsCheckpointed {
            run: call.run,
            item: call.item,
            generation: Some(call.generation),
            steps,
        });
    }

    pub(crate) fn fetched(&mut self, result: Result<&str, &str>) {
        self.later(ANSWER_MS);
        let fetch = self.fetches.pop().expect("a request is in flight");
        self.handle(Input::Fetched {
            item: fetch.item,
            generation: fetch.generation,
            result: result.map(text).map_err(|message| {
                Box::new(FetchFailure {
                    error: UserError::new("GatewayError", message),
                    retry_after: None,
                    retriable: true,
                })
            }),
        });
    }

    fn handle(&mut self, input: Input) {
        let mut decision = Decision::default();
        self.engine
            .handle(input, self.now, &mut self.ids, &mut decision);
        for store in &mut self.stores {
            store
                .writer
                .commit(&decision.changes)
                .expect("every decision fits");
        }
        for change in &decision.changes {
            if let Change::RunPut(row) = change {
                self.runs.push(row.id);
            }
        }
        for effect in decision.effects {
            match effect {
                Effect::Call(call) => self.calls.push(*call),
                Effect::Fetch(fetch) => self.fetches.push(*fetch),
                Effect::GiveUp { .. } => {}
                other => unreachable!("no function here asks for {other:?}"),
            }
        }
        let snapshots = self.stores.each_mut().map(|store| {
            let snapshot = store.writer.load(self.now).expect("it loads");
            assert_eq!(snapshot, self.engine.snapshot(self.now));
        });
        assert_eq!(snapshots.len(), 2);
    }

    fn trace(&self, run: usize) -> history::Trace {
        let run = self.runs[run];
        let under_way = self.engine.under_way(run);
        let [told, same] = self.stores.each_ref().map(|store| {
            let trace = history::trace(&*store.reader, run, &under_way);
            trace.expect("it is read").expect("it is there")
        });
        assert_eq!(told, same, "the stores differ");
        assert_eq!(told.run, run);
        assert!(told.app.is_some());
        check(&told.root, None);
        told
    }

    /// The spans of a run, with the ids that none chose left out.
    pub(crate) fn tree(&self, run: usize) -> Value {
        self.show(&self.trace(run).root)
    }

    /// The ids of a run's spans.
    pub(crate) fn ids(&self, run: usize) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        self.trace(run).root.each(&mut |span| {
            assert!(ids.insert(span.id.clone()), "{} is there twice", span.id);
        });
        ids
    }

    pub(crate) fn has_no_history_of_others(&self) -> bool {
        let other = RunId::from_bytes([9; 16]);
        self.stores.iter().all(|store| {
            let trace = history::trace(&*store.reader, other, &[]);
            trace.expect("it is read").is_none()
        })
    }

    fn show(&self, span: &Span) -> Value {
        let mut shown = Map::new();
        let mut put = |key: &str, value: Value| {
            if !value.is_null() {
                shown.insert(key.to_owned(), value);
            }
        };
        put("name", span.name.clone().into());
        put("status", span.status.as_str().into());
        if span.attempts > 0 {
            put("attempts", span.attempts.into());
        }
        let op = span.op.map(StepOp::as_str);
        put("step", json!(span.step.as_ref().map(ToString::to_string)));
        put("op", json!(op));
        put(
            "kind",
            json!(span.kind.as_deref().filter(|kind| Some(*kind) != op)),
        );
        put(
            "info",
            span.info
                .as_ref()
                .map_or(Value::Null, |info| self.info(info)),
        );
        let times = [Some(span.queued_at), span.started_at, span.ended_at];
        let times: Vec<String> = times
            .map(|at| at.map_or("-".to_owned(), moment))
            .into_iter()
            .collect();
        put("times", times.join(" ").into());
        put("output", self.output(span));
        put(
            "skip",
            json!(
                span.skip
                    .map(|skip| (skip.reason, skip.existing_run.map(|run| self.run(run))))
            ),
        );
        let children: Vec<Value> = span.children.iter().map(|child| self.show(child)).collect();
        if !children.is_empty() {
            put("children", children.into());
        }
        Value::Object(shown)
    }

    fn info(&self, info: &StepInfo) -> Value {
        match info {
            StepInfo::Run { kind: None } => Value::Null,
            StepInfo::Run { kind } => json!({"type": kind}),
            StepInfo::Sleep { until } => json!({"until": moment(*until)}),
            StepInfo::WaitForEvent {
                event,
                expression,
                timeout,
                found,
                timed_out,
            } => json!({
                "event": event, "expression": expression, "timeout": moment(*timeout),
                "found": found.map(|found| self.event(found)), "timed out": timed_out,
            }),
            StepInfo::WaitForSignal {
                signal,
                timeout,
                timed_out,
            } => json!({"signal": signal, "timeout": moment(*timeout), "timed out": timed_out}),
            StepInfo::Invoke {
                event,
                function,
                timeout,
                returned,
                run,
                timed_out,
            } => {
                assert!(
                    self.stores[0]
                        .reader
                        .event(*event)
                        .expect("it is read")
                        .is_some()
                );
                json!({
                    "function": function, "timeout": moment(*timeout), "returned": returned.is_some(),
                    "run": run.map(|run| self.run(run)), "timed out": timed_out,
                })
            }
        }
    }

    /// What the id of an output leads to, in both stores and in both ways.
    fn output(&self, span: &Span) -> Value {
        let Some(id) = &span.output else {
            return Value::Null;
        };
        let read = id.to_string().parse().expect("it reads back");
        let [told, same] = self.stores.each_ref().map(|store| {
            let output = history::output(&*store.reader, &read).expect("it is read");
            output.expect("it is there").wrapped()
        });
        assert_eq!(told.get(), same.get(), "the stores differ");
        let run = match id {
            history::OutputId::Run(run)
            | history::OutputId::Step(run, _)
            | history::OutputId::Attempt(run, _) => *run,
        };
        let all = history::Outputs::read(&*self.stores[1].reader, run).expect("they are read");
        let one = all.get(id).expect("it is one of them");
        assert_eq!(one.wrapped().get(), told.get());
        serde_json::from_str(told.get()).expect("it is JSON")
    }

    fn run(&self, run: RunId) -> String {
        let known = self.runs.iter().position(|known| *known == run);
        format!("run {}", known.expect("it is known"))
    }

    fn event(&self, event: EventId) -> String {
        let mut known = self.events.iter().filter(|known| known.id == event);
        known.next().expect("it is known").name.to_string()
    }
}

/// What is true of every span.
fn check(span: &Span, parent: Option<&Span>) {
    assert_eq!(span.parent.as_ref(), parent.map(|parent| &parent.id));
    assert_eq!(span.is_root(), parent.is_none());
    assert_eq!(span.id.len(), 16);
    if let Some(started_at) = span.started_at {
        assert!(span.queued_at <= started_at, "{span:#?}");
        assert!(
            span.ended_at.is_none_or(|ended| ended >= started_at),
            "{span:#?}"
        );
    }
    for child in &span.children {
        check(child, Some(span));
    }
}

fn moment(at: Timestamp) -> String {
    format!("+{}", span::format_ms(at.ms_since(START)))
}

pub(crate) fn text(json: &str) -> SharedJson {
    shared_json(json.to_owned()).expect("the test writes JSON")
}

pub(crate) fn op(op: Opcode, step: &str) -> ReportedOp {
    ReportedOp {
        op,
        step: StepId::parse(step),
        title: step.to_owned(),
        value: None,
        error: None,
        ask: Ask::Nothing,
        race: false,
        kind: None,
        started_at: None,
        metadata: Vec::new(),
    }
}

pub(crate) fn ran(step: &str, data: &str) -> ReportedOp {
    ReportedOp {
        value: Some(text(&format!("{{\"data\":{data}}}"))),
        ..op(Opcode::StepRun, step)
    }
}

pub(crate) fn step_error(step: &str, message: &str) -> ReportedOp {
    ReportedOp {
        error: Some(UserError::new("Error", message)),
        ..op(Opcode::StepError, step)
    }
}

pub(crate) fn step_failed(step: &str, message: &str) -> ReportedOp {
    ReportedOp {
        error: Some(UserError::new("Error", message)),
        ..op(Opcode::StepFailed, step)
    }
}

pub(crate) fn planned(step: &str) -> ReportedOp {
    op(Opcode::StepPlanned, step)
}

pub(crate) fn sleep(step: &str, how_long: &str) -> ReportedOp {
    ReportedOp {
        ask: Ask::Sleep(how_long.to_owned()),
        ..op(Opcode::Sleep, step)
    }
}

pub(crate) fn event(step: &str, event: &str, condition: Option<&str>, timeout: &str) -> ReportedOp {
    ReportedOp {
        ask: Ask::Event(Box::new(EventWait {
            event: event.to_owned(),
            condition: condition_for(condition.unwrap_or(""), &Value::Null),
            timeout: timeout.to_owned(),
            look_back_ms: None,
        })),
        ..op(Opcode::WaitForEvent, step)
    }
}

pub(crate) fn signal(step: &str, signal: &str, timeout: &str) -> ReportedOp {
    ReportedOp {
        ask: Ask::Signal(Box::new(SignalWait {
            signal: signal.to_owned(),
            timeout: timeout.to_owned(),
            replaces: false,
        })),
        ..op(Opcode::WaitForSignal, step)
    }
}

pub(crate) fn invoke(step: &str, function: &str, timeout: &str) -> ReportedOp {
    ReportedOp {
        ask: Ask::Invoke(Box::new(Invocation {
            function: function.to_owned(),
            payload: json!({"data": {}}),
            timeout: timeout.to_owned(),
        })),
        ..op(Opcode::InvokeFunction, step)
    }
}

pub(crate) fn gateway(step: &str) -> ReportedOp {
    let asked = json!({"op": "Gateway", "id": step, "opts": {"url": "https://example.com/"}});
    let asked = parse_ops(asked.to_string().as_bytes()).expect("it decodes");
    ReportedOp {
        ask: Ask::Request(Request::from_op(&asked[0]).map(Arc::new)),
        ..op(Opcode::Gateway, step)
    }
}

pub(crate) fn returns(output: &str) -> (ReportedOutcome, bool) {
    (ReportedOutcome::Returned(text(output)), false)
}

pub(crate) fn fails(message: &str, for_good: bool) -> (ReportedOutcome, bool) {
    let failure = Failure::of(UserError::new("Error", message));
    (ReportedOutcome::Failed(failure), for_good)
}
