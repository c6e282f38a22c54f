//! An engine with a clock, and what it decided, as it happened.
//!
//! Events, runs and calls are numbered from 0 as they appear; times are milliseconds from the start.

use serde_json::{Value, json};
use std::collections::HashMap;
use stepwell_engine::{
    AppRow, AppSync, Ask, BulkCancelRow, Call, Cause, Change, Config, Decision, Effect, Engine,
    IdSource, Input, NewEvent, ReportedOp, ReportedOutcome, ReportedReply, RunStatus, Sweep,
    Timestamp, Verdict, function,
};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::reply::Failure;
use stepwell_protocol::{
    AppId, BulkCancelId, EventId, FunctionId, RunId, StepId, UserError, register, shared_json,
};

/// 2026-01-01, midnight.
const START: Timestamp = Timestamp::from_ms(1_767_225_600_000);

/// Something that the engine decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A run was scheduled, or is to be skipped.
    Queued { run: usize, events: Vec<usize> },
    /// A call of a run was made.
    Called { run: usize },
    /// A run ended.
    Ended {
        run: usize,
        status: RunStatus,
        cause: Option<Cause>,
    },
    /// An event did not simply start a run.
    Judged { event: usize, verdict: Verdict },
}

/// What a function answers.
pub(crate) enum Answer {
    Return,
    Fail,
    Step(String),
    Sleep(String, u64),
    NotMade,
}

pub(crate) struct Rig {
    engine: Engine,
    config: Config,
    ids: IdSource,
    now: Timestamp,
    events: HashMap<EventId, usize>,
    external_ids: Vec<String>,
    runs: Vec<RunId>,
    calls: Vec<Call>,
    /// Questions of bulk cancellations that have no answer yet.
    pub(crate) sweeps: Vec<Sweep>,
    /// What the last input was answered.
    pub(crate) answer: Option<stepwell_engine::Answer>,
    /// What was decided, and when.
    pub(crate) seen: Vec<(u64, What)>,
}

/// A function's configuration: its name, what starts it, and whatever else.
pub(crate) fn function(name: &str, triggers: Value, more: Value) -> Value {
    let runtime =
        json!({"type": "http", "url": format!("http://app.test/?fnId={name}&stepId=step")});
    let mut config = json!({
        "id": name, "name": name, "triggers": triggers,
        "steps": {"step": {"id": "step", "name": "step", "runtime": runtime}},
    });
    let more = more.as_object().expect("configuration is an object");
    for (key, value) in more {
        config[key] = value.clone();
    }
    config
}

impl Rig {
    /// An engine with these functions.
    pub(crate) fn new(functions: &[Value], config: Config) -> Self {
        let mut rig = Self {
            engine: Engine::new(config.clone(), START),
            config,
            ids: IdSource::from_seed(1),
            now: START,
            events: HashMap::new(),
            external_ids: Vec::new(),
            runs: Vec::new(),
            calls: Vec::new(),
            sweeps: Vec::new(),
            answer: None,
            seen: Vec::new(),
        };
        rig.register(functions);
        rig
    }

    /// An engine with one function that listens to `x`.
    pub(crate) fn of(more: Value) -> Self {
        let function = function("f", json!([{"event": "x"}]), more);
        Self::new(&[function], Config::default())
    }

    fn register(&mut self, functions: &[Value]) {
        let url = "http://app.test";
        let body = json!({"appName": "app", "url": url, "functions": functions}).to_string();
        let registration =
            register::Registration::parse(body.as_bytes()).expect("the registration decodes");
        let functions = function::compile_all(&registration).expect("the functions compile");
        let app = AppRow {
            id: AppId::of("app"),
            name: "app".to_owned(),
            url: url.to_owned(),
            sdk: "test".to_owned(),
            framework: String::new(),
            checksum: body,
            synced_at: Timestamp::default(),
        };
        self.handle(Input::AppSynced(Box::new(AppSync { app, functions })));
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now.ms_since(START)
    }

    /// An event comes in: its number.
    pub(crate) fn send(&mut self, name: &str, data: Value) -> usize {
        self.send_dated(name, data, None, 0)
    }

    /// An event comes in, with an id of its sender, and dated so much later than now.
    pub(crate) fn send_dated(
        &mut self,
        name: &str,
        data: Value,
        id: Option<String>,
        later_ms: i64,
    ) -> usize {
        let number = self.events.len();
        let event_id = self.ids.event_id(self.now);
        let ts_ms = i64::try_from(self.now.ms()).expect("a moment of this era") + later_ms;
        let external = id.clone().unwrap_or_else(|| event_id.to_string());
        let body = json!({"name": name, "data": data, "id": external, "ts": ts_ms});
        self.handle(Input::EventsReceived(vec![NewEvent {
            id: event_id,
            name: name.into(),
            repeatable: id.is_some(),
            external_id: id,
            ts_ms,
            body: shared_json(body.to_string()).expect("serialised JSON is JSON"),
        }]));
        number
    }

    /// Time passes, and timers are handled as they come due.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.now.after_ms(ms);
        while let Some(due) = self.engine.next_due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.handle(Input::TimersDue);
        }
        self.now = until;
    }

    /// The process dies, and starts again so much later. Calls in flight are made again.
    pub(crate) fn restart(&mut self, down_ms: u64) {
        let snapshot = self.engine.snapshot(self.now);
        self.now = self.now.after_ms(down_ms);
        let engine = Engine::load(snapshot, self.config.clone(), self.now);
        let earlier = std::mem::replace(&mut self.engine, engine.expect("a snapshot loads"));
        self.engine.follow(&earlier);
        let mut decision = Decision::default();
        self.engine.resume(self.now, &mut self.ids, &mut decision);
        self.note(decision);
    }

    /// Time passes, and timers are late.
    pub(crate) fn pass_without_timers(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
    }

    pub(crate) fn handle_timers(&mut self) {
        self.handle(Input::TimersDue);
    }

    pub(crate) fn pause(&mut self, name: &str, paused: bool) {
        let function = FunctionId::of(AppId::of("app"), name);
        self.handle(Input::FunctionPaused { function, paused });
    }

    pub(crate) fn cancel(&mut self, run: usize) {
        self.handle(Input::CancelRun(self.runs[run]));
    }

    /// Someone wants runs of the function cancelled that are scheduled before so long from now.
    pub(crate) fn bulk_cancel(&mut self, before_ms: u64, condition: Option<&str>) -> BulkCancelId {
        let id = self.ids.bulk_cancel_id(self.now);
        self.handle(Input::BulkCancelAsked(Box::new(BulkCancelRow {
            id,
            function: FunctionId::of(AppId::of("app"), "f"),
            started_after: None,
            started_before: self.now.after_ms(before_ms),
            condition: condition.map(Into::into),
            created_at: self.now,
            after: None,
            done: false,
        })));
        id
    }

    pub(crate) fn drop_bulk_cancel(&mut self, id: BulkCancelId) {
        self.handle(Input::BulkCancelDropped(id));
    }

    /// The question of a bulk cancellation is answered: with these runs, and the one to go on after.
    pub(crate) fn swept(&mut self, sweep: &Sweep, runs: &[usize], next: Option<usize>) {
        let runs = runs.iter().map(|run| self.runs[*run]);
        let input = Input::Swept {
            id: sweep.row.id,
            generation: sweep.generation,
            runs: runs.collect(),
            next: next.map(|run| self.runs[run]),
        };
        self.handle(input);
    }

    /// The run that has the id.
    pub(crate) fn run_id(&self, run: usize) -> RunId {
        self.runs[run]
    }

    /// Answers the last call of a run.
    pub(crate) fn answer(&mut self, run: usize, answer: Answer) {
        let op = |opcode, step: &str, ask| ReportedOp {
            op: opcode,
            step: StepId::parse(step),
            title: step.to_owned(),
            value: None,
            error: None,
            ask,
            race: false,
            kind: None,
            started_at: None,
            metadata: Vec::new(),
        };
        let null = || shared_json("null".to_owned()).expect("null is JSON");
        let outcome = match answer {
            Answer::Return => ReportedOutcome::Returned(null()),
            Answer::Fail => ReportedOutcome::Failed(Failure::of(UserError::new("Error", "no"))),
            Answer::Step(step) => {
                ReportedOutcome::Ops(vec![op(Opcode::StepRun, &step, Ask::Nothing)])
            }
            Answer::Sleep(step, ms) => {
                let ask = Ask::Sleep(format!("{ms}ms"));
                ReportedOutcome::Ops(vec![op(Opcode::Sleep, &step, ask)])
            }
            Answer::NotMade => ReportedOutcome::NotMade,
        };
        let run = self.runs[run];
        let call = self.calls.iter().rfind(|call| call.run == run);
        let call = call.expect("the run was called");
        self.handle(Input::CallReturned {
            item: call.item,
            generation: call.generation,
            reply: Box::new(ReportedReply {
                request_version: Some(2),
                retry_after: None,
                no_retry: false,
                outcome,
            }),
        });
    }

    /// The events of each run that was scheduled, and when.
    pub(crate) fn queued(&self) -> Vec<(u64, Vec<usize>)> {
        let queued = self.seen.iter().filter_map(|(at, what)| match what {
            What::Queued { events, .. } => Some((*at, events.clone())),
            _ => None,
        });
        queued.collect()
    }

    /// When each run was called first.
    pub(crate) fn starts(&self) -> Vec<Option<u64>> {
        let mut starts = vec![None; self.runs.len()];
        for (at, what) in &self.seen {
            if let What::Called { run } = what {
                starts[*run].get_or_insert(*at);
            }
        }
        starts
    }

    /// How each run ended, and when.
    pub(crate) fn ends(&self) -> Vec<Option<(u64, RunStatus, Option<Cause>)>> {
        let mut ends = vec![None; self.runs.len()];
        for (at, what) in &self.seen {
            if let What::Ended { run, status, cause } = what {
                assert!(ends[*run].is_none(), "a run ended twice");
                ends[*run] = Some((*at, *status, *cause));
            }
        }
        ends
    }

    /// What was decided of each event besides starting a run; the last word counts.
    pub(crate) fn verdicts(&self) -> Vec<Option<Verdict>> {
        let mut verdicts = vec![None; self.events.len()];
        for (_, what) in &self.seen {
            match what {
                What::Judged { event, verdict } => verdicts[*event] = Some(verdict.clone()),
                What::Queued { events, .. } => {
                    for event in events {
                        verdicts[*event] = None;
                    }
                }
                _ => {}
            }
        }
        verdicts
    }

    /// The id that an event's sender gave it.
    pub(crate) fn external_id(&self, event: usize) -> &str {
        &self.external_ids[event]
    }

    fn handle(&mut self, input: Input) {
        let mut decision = Decision::default();
        self.engine
            .handle(input, self.now, &mut self.ids, &mut decision);
        self.note(decision);
    }

    fn note(&mut self, decision: Decision) {
        let at = self.now_ms();
        for change in &decision.changes {
            let what = match change {
                Change::EventPut(row) => {
                    self.events.insert(row.id, self.external_ids.len());
                    self.external_ids.push(row.external_id.clone());
                    continue;
                }
                Change::RunPut(row) => {
                    self.runs.push(row.id);
                    What::Queued {
                        run: self.runs.len() - 1,
                        events: row.events.iter().map(|event| self.events[event]).collect(),
                    }
                }
                Change::RunEnd(end) => What::Ended {
                    run: self.number(end.id),
                    status: end.status,
                    cause: end.cause,
                },
                Change::VerdictPut(row) => What::Judged {
                    event: self.events[&row.event],
                    verdict: row.verdict.clone(),
                },
                _ => continue,
            };
            self.seen.push((at, what));
        }
        self.answer = decision.answer;
        for effect in decision.effects {
            match effect {
                Effect::Call(call) => {
                    let run = self.number(call.run);
                    self.calls.push(*call);
                    self.seen.push((at, What::Called { run }));
                }
                Effect::Sweep(sweep) => self.sweeps.push(*sweep),
                _ => {}
            }
        }
        assert_eq!(self.engine.stuck_runs().next(), None, "a run is stuck");
    }

    pub(crate) fn number(&self, id: RunId) -> usize {
        let known = self.runs.iter().position(|known| *known == id);
        known.expect("runs are numbered when they are scheduled")
    }
}
