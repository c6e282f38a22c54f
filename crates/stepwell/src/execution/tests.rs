//! Calls in, answers out. A small server stands at the other end: it records what is reported, and calls again.

mod checkpoints;
mod failures;
mod misuse;
mod ops;
mod steps;

use crate::moment::Delay;
use crate::{
    App, BoxFuture, Client, Clock, Config, Context, Error, EventBatch, EventSink, Function, Moment,
    NonRetriable, ResultExt, RetryAfter, Runner, SendError, StepError,
};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stepwell_protocol::call::CallRequest;
use stepwell_protocol::{EventId, StepId};

/// A clock on which time stands still; delays are over at once, or never.
struct StillClock {
    delays_end: bool,
}

impl Clock for StillClock {
    fn now(&self) -> Moment {
        Moment::from_unix_ms(1_767_225_600_000)
    }

    fn delay(&self, _: Duration) -> Delay {
        match self.delays_end {
            true => Box::pin(std::future::ready(())),
            false => Box::pin(std::future::pending()),
        }
    }
}

/// A clock whose delays end when the test says so.
#[derive(Clone, Default)]
struct HandClock(Arc<Mutex<Vec<futures::channel::oneshot::Sender<()>>>>);

impl HandClock {
    /// Ends all delays that there are; says how many were awaited.
    fn ring(&self) -> usize {
        let delays = std::mem::take(&mut *self.0.lock().unwrap());
        let ended = delays.into_iter().map(|delay| delay.send(()));
        ended.filter(Result::is_ok).count()
    }
}

impl Clock for HandClock {
    fn now(&self) -> Moment {
        Moment::from_unix_ms(1_767_225_600_000)
    }

    fn delay(&self, _: Duration) -> Delay {
        let (end, ended) = futures::channel::oneshot::channel();
        self.0.lock().unwrap().push(end);
        Box::pin(async move {
            let _ = ended.await;
        })
    }
}

#[derive(Clone, Default)]
struct Outbox(Arc<Mutex<Vec<EventBatch>>>);

impl EventSink for Outbox {
    fn send(&self, batch: EventBatch) -> BoxFuture<'_, Result<Vec<EventId>, SendError>> {
        let ids = (0..batch.events.len())
            .map(|index| batch.seed.event_id(index))
            .collect();
        self.0.lock().unwrap().push(batch);
        Box::pin(std::future::ready(Ok(ids)))
    }
}

/// A function and a record of one run of it.
struct Run {
    runner: Runner,
    data: Value,
    stack: Vec<String>,
    steps: serde_json::Map<String, Value>,
    attempt: u32,
    defers: serde_json::Map<String, Value>,
    /// Of the event.
    meta: Value,
    /// What was answered, a line each.
    answers: Vec<String>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    no_retry: Option<bool>,
    retry_after: Option<String>,
    body: Value,
}

fn run(function: Function) -> Run {
    run_with(function, true, Outbox::default())
}

fn run_with(function: Function, delays_end: bool, outbox: Outbox) -> Run {
    let client = Client::builder("app", Config::dev())
        .clock(StillClock { delays_end })
        .event_sink(outbox)
        .build();
    Run {
        runner: App::new(client).function(function).runner().unwrap(),
        data: json!({}),
        stack: Vec::new(),
        steps: serde_json::Map::new(),
        attempt: 0,
        defers: serde_json::Map::new(),
        meta: json!({}),
        answers: Vec::new(),
    }
}

fn hash(id: &str) -> String {
    StepId::of(id, 0).to_string()
}

impl Run {
    fn recorded(mut self, id: &str, value: Value) -> Self {
        self.stack.push(hash(id));
        self.steps.insert(hash(id), value);
        self
    }

    /// A deferred run that can still be taken back.
    fn knowing_of(mut self, id: &str) -> Self {
        self.defers.insert(hash(id), json!({"abortable": true}));
        self
    }

    fn data(mut self, data: Value) -> Self {
        self.data = data;
        self
    }

    fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    async fn call(&self, target: &str, plan_only: bool) -> Answer {
        let event =
            json!({"id": "e", "name": "app/test", "data": self.data, "ts": 1, "meta": self.meta});
        let body = json!({
            "ctx": {
                "fn_id": "6b48a4f5-033b-57e4-accc-a328f4cbcf92", "run_id": "01KDW000000000000000000002",
                "step_id": target, "attempt": self.attempt, "max_attempts": 3,
                "stack": {"stack": self.stack, "current": self.stack.len()},
                "disable_immediate_execution": plan_only,
            },
            "event": event, "events": [event], "steps": self.steps, "defers": self.defers,
            "version": 2,
        });
        let request = CallRequest::parse(body.to_string().as_bytes()).unwrap();
        let raw = self.runner.call("app-f", request).await;
        assert_eq!(raw.headers.request_version, Some(2));
        Answer {
            status: raw.status,
            no_retry: raw.headers.no_retry,
            retry_after: raw.headers.retry_after,
            body: serde_json::from_slice(&raw.body).unwrap(),
        }
    }

    async fn discover(&self) -> Answer {
        self.call("step", false).await
    }

    /// Calls until the run ends, as a server does: planned steps one after the other in `order`, one discovery
    /// after all of them.
    async fn finish(mut self) -> (Value, Vec<String>) {
        for _ in 0..100 {
            let answer = self.discover().await;
            self.answers.push(answer.line());
            let Some(ops) = answer.body.as_array().filter(|_| answer.status == 206) else {
                if answer.status == 500 {
                    self.attempt += 1;
                    continue;
                }
                return (answer.body, self.answers);
            };
            self.attempt = 0;
            for op in ops {
                self.take(op).await;
            }
        }
        panic!("the run did not end: {:#?}", self.answers);
    }

    async fn take(&mut self, op: &Value) {
        let mut op = op.clone();
        let id = op["id"].as_str().unwrap().to_owned();
        let mut attempt = 0;
        loop {
            let value = match op["op"].as_str().unwrap() {
                "StepRun" => json!({"data": op["data"]}),
                "StepFailed" => json!({"error": op["error"]}),
                "Sleep" => Value::Null,
                "StepPlanned" | "StepError" => {
                    if op["op"] == "StepError" {
                        attempt += 1;
                    }
                    self.attempt = attempt;
                    let answer = self.call(&id, true).await;
                    self.attempt = 0;
                    self.answers.push(answer.line());
                    op = answer.body[0].clone();
                    assert_eq!(op["id"], json!(id), "only the target is reported");
                    continue;
                }
                other => panic!("unexpected {other}"),
            };
            self.stack.push(id.clone());
            self.steps.insert(id, value);
            return;
        }
    }
}

impl Answer {
    fn line(&self) -> String {
        let Some(ops) = self.body.as_array().filter(|_| self.status == 206) else {
            return format!("{} {}", self.status, self.body);
        };
        let ops = ops.iter().map(|op| {
            let detail = match op["op"].as_str().unwrap() {
                "StepRun" => op["data"].to_string(),
                "StepError" | "StepFailed" => op["error"]["message"].to_string(),
                "Sleep" => op["name"].to_string(),
                _ => String::new(),
            };
            let userland = &op["userland"];
            format!(
                "{} {}#{} {detail}",
                op["op"], userland["id"], userland["index"]
            )
            .replace('"', "")
            .trim()
            .to_owned()
        });
        format!("206 {}", ops.collect::<Vec<_>>().join(", "))
    }
}

/// A function of one handler that takes any data.
fn function<Args, H: crate::Handler<Value, (), Args>>(handler: H) -> Function {
    Function::new("f").on_event("app/test").handler(handler)
}

async fn two_steps(ctx: Context) -> Result<String, Error> {
    let name = ctx.data()["name"].as_str().unwrap_or("nobody");
    // The closure borrows what the function owns.
    let greeting: String = ctx
        .step()
        .run("greet", || async { Ok(format!("hello {name}")) })
        .await?;
    let length: usize = ctx
        .step()
        .run("measure", || async { Ok(greeting.len()) })
        .await?;
    Ok(format!("{greeting}: {length}"))
}

fn fixture(path: &str) -> Value {
    let path = format!(
        "{}/../stepwell-protocol/tests/fixtures/{path}",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
