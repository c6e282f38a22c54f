//! An engine, a clock that the scenario moves, and the numbers by which the scenario names things.

use crate::command::{Command, EventSpec, Generation, Outcome};
use crate::trace;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use stepwell_engine::function::Function;
use stepwell_engine::{
    Announcement, AppRow, AppSync, Backoff, Call, CatchUp, Config, Decision, DeliveryRow,
    EndpointStart, Engine, EventRow, Fetch, FetchFailure, IdSource, Input, KeptStep, LookBack,
    NewEvent, Repetition, ReportedOp, ReportedOutcome, ReportedReply, RunStatus, Snapshot, StepRow,
    Timestamp, function, invocation_event,
};
use stepwell_protocol::endpoint::SHARED_SLUG;
use stepwell_protocol::event::{
    FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED, HTTP_REQUEST,
};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::reply::Failure;
use stepwell_protocol::{
    AppId, EventId, FunctionId, RunId, SharedJson, StepId, UserError, register, shared_json,
};

/// 2026-01-01, midnight.
pub(crate) const START: Timestamp = Timestamp::from_ms(1_767_225_600_000);

pub(crate) struct World {
    config: Config,
    engine: Engine,
    ids: IdSource,
    pub(crate) now: Timestamp,
    pub(crate) calls: Vec<Call>,
    pub(crate) runs: Vec<RunId>,
    pub(crate) announcements: Vec<Announcement>,
    pub(crate) fetches: Vec<Fetch>,
    pub(crate) looks: Vec<LookBack>,
    pub(crate) deliveries: Vec<DeliveryRow>,
    pub(crate) events: HashMap<EventId, NewEvent>,
    pub(crate) steps: HashMap<RunId, Vec<StepRow>>,
    pub(crate) slugs: HashMap<FunctionId, String>,
    pub(crate) run_functions: HashMap<RunId, FunctionId>,
    pub(crate) run_events: HashMap<RunId, EventId>,
}

impl World {
    pub(crate) fn new() -> Self {
        let config = Config {
            calls_max: 1_000,
            backoff: Backoff::Constant(10_000),
            catch_up: CatchUp::One,
        };
        Self {
            engine: Engine::new(config.clone(), START),
            config,
            ids: IdSource::from_seed(1),
            now: START,
            calls: Vec::new(),
            runs: Vec::new(),
            announcements: Vec::new(),
            fetches: Vec::new(),
            looks: Vec::new(),
            deliveries: Vec::new(),
            events: HashMap::new(),
            steps: HashMap::new(),
            slugs: HashMap::new(),
            run_functions: HashMap::new(),
            run_events: HashMap::new(),
        }
    }

    /// Does what the command says and tells what it led to.
    pub(crate) fn act(&mut self, command: Command) -> Vec<String> {
        if let Some(missing) = self.missing(&command) {
            return vec![format!("there is no {missing}")];
        }
        let told = match command {
            Command::Config(pairs) => self.configure(pairs),
            Command::Sync {
                app,
                url,
                functions,
            } => self.sync(&app, url, &functions),
            Command::Events(events) => {
                let events = events.into_iter().map(|event| self.event(event)).collect();
                self.handle(Input::EventsReceived(events))
            }
            Command::Reply {
                call,
                version,
                retry_after,
                no_retry,
                outcome,
            } => {
                let call = &self.calls[call - 1];
                let outcome = match outcome {
                    Outcome::Returned(output) => ReportedOutcome::Returned(output),
                    Outcome::Failed(message) => {
                        ReportedOutcome::Failed(Failure::of(UserError::new("Error", message)))
                    }
                    Outcome::NotMade => ReportedOutcome::NotMade,
                    Outcome::Ops(ops) => ReportedOutcome::Ops(ops),
                };
                let reply = Box::new(ReportedReply {
                    request_version: version,
                    retry_after,
                    no_retry,
                    outcome,
                });
                self.handle(Input::CallReturned {
                    item: call.item,
                    generation: call.generation,
                    reply,
                })
            }
            Command::Checkpoint {
                call,
                generation,
                steps,
            } => {
                let call = &self.calls[call - 1];
                self.handle(Input::StepsCheckpointed {
                    run: call.run,
                    item: call.item,
                    generation: match generation {
                        Generation::OfTheCall => Some(call.generation),
                        Generation::Stale => Some(call.generation - 1),
                        Generation::NotSaid => None,
                    },
                    steps,
                })
            }
            Command::Endpoint {
                path,
                options,
                steps,
            } => self.endpoint(&path, &options, steps),
            Command::Report { run, steps } => {
                let run = self.runs[run - 1];
                self.handle(Input::EndpointReported { run, steps })
            }
            Command::Announce(number) => self.announce(self.announcements[number - 1]),
            Command::Signal { name, data } => {
                let signal = name;
                self.handle(Input::SignalSent { signal, data })
            }
            Command::Invoke { function, payload } => {
                let event = invocation_event(&payload, None, self.now, &mut self.ids);
                let event = Box::new(event);
                self.handle(Input::FunctionInvoked { function, event })
            }
            Command::Fetched {
                fetch,
                retry_after,
                result,
            } => {
                let fetch = &self.fetches[fetch - 1];
                let result = result.map_err(|(message, retriable)| {
                    Box::new(FetchFailure {
                        error: UserError::new("GatewayError", message),
                        retry_after,
                        retriable,
                    })
                });
                self.handle(Input::Fetched {
                    item: fetch.item,
                    generation: fetch.generation,
                    result,
                })
            }
            Command::LookedBack { look, event } => {
                let item = self.looks[look - 1].item;
                let event = event.map(|event| Box::new(self.event(event)));
                self.handle(Input::LookedBack { item, event })
            }
            Command::Deliver { delivery, gone } => {
                let row = self.deliveries[delivery - 1];
                let event = self.events.get(&row.event).filter(|_| !gone);
                let event = event.cloned().map(Box::new);
                self.handle(Input::Delivered { id: row.id, event })
            }
            Command::Pause { function, paused } => {
                let slugs = self.slugs.iter();
                let mut found = slugs.filter(|(_, slug)| **slug == function);
                let function = *found.next().expect("the function is registered").0;
                self.handle(Input::FunctionPaused { function, paused })
            }
            Command::Repeat { run, from } => self.repeat(self.runs[run - 1], from),
            Command::Audit => self.handle(Input::Audit),
            Command::Standing(run) => {
                let standing = self.engine.standing(self.runs[run - 1]);
                vec![trace::tell_standing(standing)]
            }
            Command::Cancel(run) => self.handle(Input::CancelRun(self.runs[run - 1])),
            Command::Advance(ms) => self.advance(ms),
            Command::Clock(ms) => {
                self.now = self.now.after_ms(ms);
                Vec::new()
            }
            Command::Timers => self.handle(Input::TimersDue),
            Command::Down(ms) => self.restart(ms),
        };
        self.assert_sound();
        told
    }

    /// What the command names that has not come up.
    fn missing(&self, command: &Command) -> Option<String> {
        let (what, number, known) = match command {
            Command::Reply { call, .. } | Command::Checkpoint { call, .. } => {
                ("call", *call, self.calls.len())
            }
            Command::Cancel(run) | Command::Standing(run) | Command::Report { run, .. } => {
                ("run", *run, self.runs.len())
            }
            Command::Announce(number) => ("announcement", *number, self.announcements.len()),
            Command::Fetched { fetch, .. } => ("request", *fetch, self.fetches.len()),
            Command::LookedBack { look, .. } => ("question", *look, self.looks.len()),
            Command::Deliver { delivery, .. } => ("delivery", *delivery, self.deliveries.len()),
            Command::Repeat { run, .. } => ("run", *run, self.runs.len()),
            _ => return None,
        };
        (number == 0 || number > known).then(|| format!("{what} {number}"))
    }

    fn configure(&mut self, pairs: Vec<(String, String)>) -> Vec<String> {
        for (key, value) in pairs {
            match (&*key, &*value) {
                ("calls", calls) => self.config.calls_max = calls.parse().expect("calls=number"),
                ("backoff", "table") => self.config.backoff = Backoff::Table,
                ("catch-up", "skip") => self.config.catch_up = CatchUp::Skip,
                _ => panic!("there is no setting {key}={value}"),
            }
        }
        self.engine = Engine::new(self.config.clone(), self.now);
        Vec::new()
    }

    fn sync(
        &mut self,
        app: &str,
        url: Option<String>,
        functions: &[Vec<(String, String)>],
    ) -> Vec<String> {
        let url = url.unwrap_or_else(|| format!("http://{app}.test"));
        let configs: Vec<Value> = functions
            .iter()
            .map(|pairs| function_config(&url, pairs))
            .collect();
        let body = json!({"appName": app, "url": url, "functions": configs}).to_string();
        let registration =
            register::Registration::parse(body.as_bytes()).expect("the registration decodes");
        let functions = match function::compile_all(&registration) {
            Ok(functions) => functions,
            Err(errors) => return errors.iter().map(ToString::to_string).collect(),
        };
        for function in &functions {
            let slug = match app {
                "app" => function.slug.to_string(),
                app => format!("{app}:{}", function.slug),
            };
            self.slugs.insert(function.id, slug);
        }
        self.handle(Input::AppSynced(Box::new(AppSync {
            app: AppRow {
                id: AppId::of(app),
                name: app.to_owned(),
                url,
                sdk: "test".to_owned(),
                framework: String::new(),
                checksum: body,
                synced_at: Timestamp::default(),
            },
            functions,
        })))
    }

    /// An app reports a run of an endpoint for the first time.
    fn endpoint(
        &mut self,
        path: &str,
        options: &[(String, String)],
        steps: Vec<ReportedOp>,
    ) -> Vec<String> {
        let (mut domain, mut slug) = ("http://api.test".to_owned(), format!("GET {path}"));
        let (mut retries, mut version) = (3, 2);
        let mut run = self.ids.run_id(self.now);
        for (key, value) in options {
            match &**key {
                "domain" => domain.clone_from(value),
                "fn" => slug.clone_from(value),
                "retries" => retries = value.parse().expect("retries=number"),
                "version" => version = value.parse().expect("version=number"),
                "again" => run = self.runs[value.parse::<usize>().expect("again=run") - 1],
                _ => panic!("an endpoint has no '{key}'"),
            }
        }
        let function = Function::of_endpoint(&domain, &slug, Some(retries));
        let function = function.expect("the domain is a URL");
        let shared = FunctionId::of(function.app, SHARED_SLUG);
        self.slugs.insert(function.id, slug);
        self.slugs.insert(shared, SHARED_SLUG.to_owned());
        let event = self.event(EventSpec {
            name: HTTP_REQUEST.to_owned(),
            id: None,
            data: json!({"path": path}).to_string(),
            later_ms: 0,
            once: true,
        });
        self.handle(Input::EndpointStarted(Box::new(EndpointStart {
            run,
            app: AppRow {
                id: function.app,
                name: domain.clone(),
                url: domain,
                sdk: "test".to_owned(),
                framework: String::new(),
                checksum: String::new(),
                synced_at: Timestamp::default(),
            },
            function,
            event,
            request_version: version,
            steps,
        })))
    }

    fn event(&mut self, spec: EventSpec) -> NewEvent {
        let id = self.ids.event_id(self.now);
        let now_ms = i64::try_from(self.now.ms()).expect("a moment of this era");
        let ts_ms = now_ms + spec.later_ms;
        let data: Value = serde_json::from_str(&spec.data).expect("an event's data is JSON");
        let external_id = spec.id.clone().unwrap_or_else(|| id.to_string());
        let body = json!({"name": spec.name, "data": data, "id": external_id, "ts": ts_ms});
        let event = NewEvent {
            id,
            name: spec.name.into(),
            external_id: spec.id,
            ts_ms,
            repeatable: !spec.once,
            body: shared_json(body.to_string()).expect("serialised JSON is JSON"),
        };
        self.events.insert(id, event.clone());
        event
    }

    /// Repeats a run as a program would that reads what to take over from the store.
    fn repeat(
        &mut self,
        original: RunId,
        from: Option<(String, Option<SharedJson>)>,
    ) -> Vec<String> {
        let event = self.run_events[&original];
        let steps = self.steps.get(&original).cloned().unwrap_or_default();
        let (mut kept, mut target, mut input) = (Vec::new(), None, None);
        if let Some((step, new_input)) = from {
            let step = StepId::parse(&step);
            kept = steps
                .into_iter()
                .take_while(|row| row.step != step)
                .map(|row| KeptStep {
                    step: row.step,
                    op: Opcode::parse(row.op).expect("rows name ops"),
                    name: row.name,
                    value: row.value,
                    failed: row.failed,
                })
                .collect();
            input = new_input.map(|input| (step.clone(), input));
            target = Some(step);
        }
        let event = &self.events[&event];
        let repetition = Repetition {
            original,
            function: self.run_functions[&original],
            event: EventRow {
                id: event.id,
                name: event.name.to_string(),
                external_id: event.id.to_string(),
                ts_ms: event.ts_ms,
                received_at: self.now,
                body: SharedJson::clone(&event.body),
            },
            steps: kept,
            target,
            input,
        };
        self.handle(Input::RunRepeated(Box::new(repetition)))
    }

    fn announce(&mut self, announcement: Announcement) -> Vec<String> {
        let mut names = vec![FUNCTION_FINISHED];
        match announcement.status {
            RunStatus::Failed => names.push(FUNCTION_FAILED),
            RunStatus::Cancelled => names.push(FUNCTION_CANCELLED),
            _ => {}
        }
        let events = names
            .into_iter()
            .map(|name| {
                self.event(EventSpec {
                    name: name.to_owned(),
                    id: None,
                    data: "{}".to_owned(),
                    later_ms: 0,
                    once: true,
                })
            })
            .collect();
        self.handle(Input::Announced {
            item: announcement.item,
            events,
        })
    }

    fn advance(&mut self, ms: u64) -> Vec<String> {
        let until = self.now.after_ms(ms);
        let mut told = Vec::new();
        while let Some(due) = self.engine.next_due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            let outcomes = self.handle(Input::TimersDue);
            if !outcomes.is_empty() {
                told.push(format!("at {}:", trace::moment(self.now)));
                told.extend(outcomes.into_iter().map(|outcome| format!("  {outcome}")));
            }
        }
        self.now = until;
        told
    }

    fn restart(&mut self, down_ms: u64) -> Vec<String> {
        self.now = self.now.after_ms(down_ms);
        self.engine = self.loaded();
        let mut decision = Decision::default();
        self.engine.resume(self.now, &mut self.ids, &mut decision);
        trace::tell(self, decision)
    }

    fn handle(&mut self, input: Input) -> Vec<String> {
        let mut decision = Decision::default();
        self.engine
            .handle(input, self.now, &mut self.ids, &mut decision);
        trace::tell(self, decision)
    }

    fn loaded(&self) -> Engine {
        Engine::load(self.snapshot(), self.config.clone(), self.now).expect("a snapshot loads")
    }

    fn snapshot(&self) -> Snapshot {
        self.engine.snapshot(self.now)
    }

    fn assert_sound(&self) {
        assert_eq!(
            self.engine.stuck_runs().next(),
            None,
            "a run waits for nothing"
        );
        assert_eq!(self.loaded().snapshot(self.now), self.snapshot());
    }
}

fn function_config(url: &str, pairs: &[(String, String)]) -> Value {
    let mut config = Map::new();
    let (mut triggers, mut concurrency, mut throttle) = (Vec::new(), Vec::new(), None);
    let (mut cancel, mut runs, mut timeouts) = (Vec::new(), Vec::<Value>::new(), json!({}));
    for (key, value) in pairs {
        match &**key {
            "fn" => {
                config.insert("id".to_owned(), json!(value));
                config.insert("name".to_owned(), json!(value));
                let runtime =
                    json!({"type": "http", "url": format!("{url}/?fnId={value}&stepId=step")});
                let step = json!({"step": {"id": "step", "name": "step", "runtime": runtime}});
                config.insert("steps".to_owned(), step);
            }
            "trigger" => triggers.push(json!({"event": value})),
            "if" => {
                triggers.last_mut().expect("a condition has a trigger")["expression"] = json!(value)
            }
            "retries" => {
                let retries: u32 = value.parse().expect("retries=number");
                config.insert("retries".to_owned(), json!(retries));
            }
            "concurrency" => {
                let mut parts = value.split(':');
                let limit: u32 = parts
                    .next()
                    .and_then(|limit| limit.parse().ok())
                    .expect("concurrency=limit:key:scope");
                concurrency
                    .push(json!({"limit": limit, "key": parts.next(), "scope": parts.next()}));
            }
            "throttle" => {
                let (rate, key) = value.split_once(':').unwrap_or((value, ""));
                let (limit, period) = rate.split_once('/').expect("throttle=limit/period:key");
                let limit: u32 = limit.parse().expect("throttle=limit/period:key");
                throttle = Some(json!({"limit": limit, "period": period, "key": key}));
            }
            "ratelimit" => {
                let (rate, key) = value.split_once(':').unwrap_or((value, ""));
                let (limit, period) = rate.split_once('/').expect("ratelimit=limit/period:key");
                let limit: u32 = limit.parse().expect("ratelimit=limit/period:key");
                let rate_limit = json!({"limit": limit, "period": period, "key": key});
                config.insert("rateLimit".to_owned(), rate_limit);
            }
            "idempotency" => {
                config.insert("idempotency".to_owned(), json!(value));
            }
            "priority" => {
                config.insert("priority".to_owned(), json!({"run": value}));
            }
            "debounce" => {
                let (period, key) = value.split_once(':').unwrap_or((value, ""));
                config.insert("debounce".to_owned(), json!({"period": period, "key": key}));
            }
            "debounce-timeout" => config["debounce"]["timeout"] = json!(value),
            "batch" => {
                let (size, key) = value.split_once(':').unwrap_or((value, ""));
                let (size, timeout) = size.split_once('/').expect("batch=size/timeout:key");
                let size: u32 = size.parse().expect("batch=size/timeout:key");
                let batch = json!({"maxSize": size, "timeout": timeout, "key": key});
                config.insert("batchEvents".to_owned(), batch);
            }
            "batch-if" => config["batchEvents"]["if"] = json!(value),
            "singleton" => {
                let (mode, key) = value.split_once(':').unwrap_or((value, ""));
                config.insert("singleton".to_owned(), json!({"mode": mode, "key": key}));
            }
            "cancel" => cancel.push(json!({"event": value})),
            "cancel-if" => {
                cancel.last_mut().expect("a condition has an event")["if"] = json!(value)
            }
            "cancel-timeout" => {
                cancel.last_mut().expect("a timeout has an event")["timeout"] = json!(value);
            }
            "start" | "finish" => timeouts[key] = json!(value),
            "runs" => {
                let (limit, key) = value.split_once(':').unwrap_or((value, ""));
                let limit: u32 = limit.parse().expect("runs=limit:key");
                runs.push(json!({"limit": limit, "key": key}));
            }
            "cron" => triggers.push(json!({"cron": value})),
            "jitter" => triggers.last_mut().expect("a jitter has a cron")["jitter"] = json!(value),
            "burst" => {
                let burst: u32 = value.parse().expect("burst=number");
                throttle.as_mut().expect("a burst has a throttle")["burst"] = json!(burst);
            }
            _ => panic!("a function has no '{key}'"),
        }
    }
    config.insert("triggers".to_owned(), triggers.into());
    let concurrency = match runs.is_empty() {
        true => Value::from(concurrency),
        false => json!({"fn": runs, "step": concurrency}),
    };
    config.insert("concurrency".to_owned(), concurrency);
    config.insert("cancel".to_owned(), cancel.into());
    config.insert("timeouts".to_owned(), timeouts);
    if let Some(throttle) = throttle {
        config.insert("throttle".to_owned(), throttle);
    }
    Value::Object(config)
}
