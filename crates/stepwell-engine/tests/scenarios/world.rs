//! An engine, a clock that the scenario moves, and the numbers by which the scenario names things.

use crate::command::{Command, EventSpec, Generation, Outcome};
use crate::trace;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use stepwell_engine::{
    Announcement, AppRow, AppSync, Backoff, Call, Config, Decision, Engine, IdSource, Input,
    NewEvent, ReportedOutcome, ReportedReply, RunStatus, Snapshot, Timestamp, function,
};
use stepwell_protocol::event::{FUNCTION_FAILED, FUNCTION_FINISHED};
use stepwell_protocol::reply::Failure;
use stepwell_protocol::{AppId, FunctionId, RunId, UserError, register, shared_json};

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
    pub(crate) slugs: HashMap<FunctionId, String>,
    pub(crate) run_functions: HashMap<RunId, FunctionId>,
}

impl World {
    pub(crate) fn new() -> Self {
        let config = Config {
            calls_max: 1_000,
            backoff: Backoff::Constant(10_000),
        };
        Self {
            engine: Engine::new(config.clone(), START),
            config,
            ids: IdSource::from_seed(1),
            now: START,
            calls: Vec::new(),
            runs: Vec::new(),
            announcements: Vec::new(),
            slugs: HashMap::new(),
            run_functions: HashMap::new(),
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
            Command::Announce(number) => self.announce(self.announcements[number - 1]),
            Command::Cancel(run) => self.handle(Input::CancelRun(self.runs[run - 1])),
            Command::Advance(ms) => self.advance(ms),
            Command::Reload => self.reload(),
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
            Command::Cancel(run) => ("run", *run, self.runs.len()),
            Command::Announce(number) => ("announcement", *number, self.announcements.len()),
            _ => return None,
        };
        (number == 0 || number > known).then(|| format!("{what} {number}"))
    }

    fn configure(&mut self, pairs: Vec<(String, String)>) -> Vec<String> {
        for (key, value) in pairs {
            match (&*key, &*value) {
                ("calls", calls) => self.config.calls_max = calls.parse().expect("calls=number"),
                ("backoff", "table") => self.config.backoff = Backoff::Table,
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

    fn event(&mut self, spec: EventSpec) -> NewEvent {
        let id = self.ids.event_id(self.now);
        let ts_ms = i64::try_from(self.now.ms() + spec.later_ms).expect("a moment of this era");
        let data: Value = serde_json::from_str(&spec.data).expect("an event's data is JSON");
        let external_id = spec.id.clone().unwrap_or_else(|| id.to_string());
        let body = json!({"name": spec.name, "data": data, "id": external_id, "ts": ts_ms});
        NewEvent {
            id,
            name: spec.name.into(),
            external_id: spec.id,
            ts_ms,
            repeatable: !spec.once,
            body: shared_json(body.to_string()).expect("serialised JSON is JSON"),
        }
    }

    fn announce(&mut self, announcement: Announcement) -> Vec<String> {
        let mut names = vec![FUNCTION_FINISHED];
        if announcement.status == RunStatus::Failed {
            names.push(FUNCTION_FAILED);
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

    fn reload(&mut self) -> Vec<String> {
        // A restart takes time, and dispatches of before must be told apart.
        self.now = self.now.after_ms(1);
        self.engine = self.loaded();
        let mut decision = Decision::default();
        self.engine.resume(self.now, &mut decision);
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
            "burst" => {
                let burst: u32 = value.parse().expect("burst=number");
                throttle.as_mut().expect("a burst has a throttle")["burst"] = json!(burst);
            }
            _ => panic!("a function has no '{key}'"),
        }
    }
    config.insert("triggers".to_owned(), triggers.into());
    config.insert("concurrency".to_owned(), concurrency.into());
    if let Some(throttle) = throttle {
        config.insert("throttle".to_owned(), throttle);
    }
    Value::Object(config)
}
