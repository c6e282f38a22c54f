//! An app that remembers everything: what it was asked to run, and what it was told had been recorded.
//!
//! `kill-work` runs a step, sleeps, runs two steps and a sleep in parallel, runs a last step that fails at first
//! for some events, and returns what the steps gave. `kill-echo` has no steps and fails at first for some
//! events. Every execution of a step gives a value of its own, so that a result that came from another
//! execution than the recorded one shows.

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stepwell_protocol::call::CallRequest;
use stepwell_protocol::{RunId, StepId};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The steps that run code, by the name that the output shows them under.
pub(crate) const RUNS: [&str; 4] = ["first", "left", "right", "last"];
/// The steps that sleep, and for how long.
const SLEEPS: [(&str, &str); 2] = [("pause", "30ms"), ("nap", "15ms")];

/// The app's functions.
pub(crate) const FUNCTIONS: [&str; 2] = ["kill-work", "kill-echo"];
/// The event that starts both.
pub(crate) const EVENT: &str = "kill/work";

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) url: String,
    memory: Mutex<Memory>,
    /// How many servers have been at work.
    servers: Arc<AtomicU64>,
    /// Calls that came in, and calls that were answered.
    pub(crate) calls: watch::Sender<u64>,
    pub(crate) answers: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    executions: u64,
    /// What each executed step was told to be recorded as.
    pub(crate) recorded: HashMap<(RunId, StepId), Value>,
    /// How often each step was executed.
    pub(crate) executed: HashMap<(RunId, StepId), u32>,
    /// What must not have happened.
    pub(crate) wrong: Vec<String>,
}

impl App {
    pub(crate) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port is there");
        let address = listener.local_addr().expect("the listener has an address");
        let servers = Arc::default();
        let listener = Listener {
            listener,
            servers: Arc::clone(&servers),
        };
        let app = Arc::new(Self {
            url: format!("http://{address}/api/inngest"),
            memory: Mutex::default(),
            servers,
            calls: watch::Sender::new(0),
            answers: watch::Sender::new(0),
        });
        let router = Router::new()
            .route("/api/inngest", post(answer))
            .route("/", get(|| async {}))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&app));
        let service = router.into_make_service_with_connect_info::<Caller>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        app
    }

    /// What the app registers.
    pub(crate) fn registration(&self) -> Value {
        let functions: Vec<Value> = FUNCTIONS
            .iter()
            .map(|id| {
                let url = format!("{}?fnId={id}&stepId=step", self.url);
                json!({
                    "id": id, "name": id, "triggers": [{"event": EVENT}],
                    "steps": {"step": {"id": "step", "name": "step", "runtime": {"type": "http", "url": url}}},
                })
            })
            .collect();
        json!({
            "url": self.url, "deployType": "ping", "framework": "test", "appName": "kill",
            "sdk": "rust:v0.1.0", "v": "0.1", "functions": functions,
        })
    }

    /// From now on a new server is at work. What the one before, which is dead, had sent and was not yet looked at is a call
    /// that was in flight when it died.
    pub(crate) async fn expect_another_server(&self, client: &reqwest::Client) {
        // Connections are taken in their order: when this one is answered, none of the dead server's waits.
        let itself = self.url.trim_end_matches("/api/inngest");
        let answer = client.get(itself).header("connection", "close").send();
        answer.await.expect("the app answers");
        let _nobody_is_answered_meanwhile = self.memory();
        self.servers.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener that knows which server connected.
struct Listener {
    listener: TcpListener,
    servers: Arc<AtomicU64>,
}

/// Which server, by its number.
#[derive(Debug, Clone, Copy)]
struct Caller(u64);

impl axum::serve::Listener for Listener {
    type Io = TcpStream;
    type Addr = Caller;

    async fn accept(&mut self) -> (TcpStream, Caller) {
        let (stream, _) = axum::serve::Listener::accept(&mut self.listener).await;
        (stream, Caller(self.servers.load(Ordering::SeqCst)))
    }

    fn local_addr(&self) -> std::io::Result<Caller> {
        Ok(Caller(0))
    }
}

impl Connected<IncomingStream<'_, Listener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        *stream.remote_addr()
    }
}

async fn answer(
    State(app): State<Arc<App>>,
    ConnectInfo(Caller(server)): ConnectInfo<Caller>,
    body: Bytes,
) -> Response {
    let is_dead = || server < app.servers.load(Ordering::SeqCst);
    let call = CallRequest::parse(&body).expect("the server sends calls");
    app.calls.send_modify(|calls| *calls += 1);
    let (status, body) = {
        let mut memory = app.memory();
        if is_dead() {
            (StatusCode::SERVICE_UNAVAILABLE, Value::Null)
        } else {
            memory.reply(&call)
        }
    };
    // Work takes a moment, so that servers die during it, too.
    tokio::time::sleep(Duration::from_micros(call.ctx.generation_id % 5 * 700)).await;
    app.answers.send_modify(|answers| *answers += 1);
    (
        status,
        [
            ("content-type", "application/json"),
            ("x-inngest-sdk", "test:v0.1.0"),
            ("x-inngest-req-version", "2"),
        ],
        body.to_string(),
    )
        .into_response()
}

impl Memory {
    fn reply(&mut self, call: &CallRequest) -> (StatusCode, Value) {
        let run = call.ctx.run_id;
        let event: Value = serde_json::from_str(call.event.get()).expect("an event is JSON");
        let n = event["data"]["n"].as_u64().expect("events are numbered");
        let mut values = BTreeMap::new();
        for (step, value) in &call.steps.0 {
            let value: Value = serde_json::from_str(value.get()).expect("a value is JSON");
            self.learn(run, step, &value);
            values.insert(step.clone(), value);
        }
        if call.ctx.fn_id
            == stepwell_protocol::FunctionId::of(stepwell_protocol::AppId::of("kill"), FUNCTIONS[1])
        {
            return match (n % 7, call.ctx.attempt) {
                (0, 0) => failure("not at once"),
                _ => (StatusCode::OK, json!({"n": n})),
            };
        }
        self.work(call, n, &values)
    }

    /// What is recorded stays as it is.
    fn learn(&mut self, run: RunId, step: &StepId, value: &Value) {
        let known = self
            .recorded
            .entry((run, step.clone()))
            .or_insert_with(|| value.clone());
        if known != value {
            self.wrong.push(format!(
                "run {run}: step {step} was recorded as {known} and then as {value}"
            ));
        }
    }

    fn work(
        &mut self,
        call: &CallRequest,
        n: u64,
        values: &BTreeMap<StepId, Value>,
    ) -> (StatusCode, Value) {
        let run = call.ctx.run_id;
        let has = |name: &str| values.contains_key(&id(name));
        if call.ctx.step_id != stepwell_protocol::call::DISCOVERY {
            let name = RUNS
                .into_iter()
                .find(|name| id(name).to_string() == call.ctx.step_id)
                .expect("only steps that were planned are asked for");
            return ops(vec![self.execute(run, n, name)]);
        }
        if !has("first") {
            return ops(vec![self.execute(run, n, "first")]);
        }
        if !has("pause") {
            return ops(vec![sleep_op(0)]);
        }
        let parallel = ["left", "right", "nap"];
        if !parallel.iter().all(|name| has(name)) {
            let missing = parallel.into_iter().filter(|name| !has(name));
            return ops(missing
                .map(|name| match name {
                    "nap" => sleep_op(1),
                    name => json!({"op": "StepPlanned", "id": id(name), "name": name, "displayName": name}),
                })
                .collect());
        }
        if !has("last") {
            if n.is_multiple_of(5) && call.ctx.attempt == 0 {
                return ops(vec![json!({
                    "op": "StepError", "id": id("last"), "name": "last",
                    "error": {"name": "Error", "message": "not at once"},
                })]);
            }
            return ops(vec![self.execute(run, n, "last")]);
        }
        let values: BTreeMap<&str, &Value> = RUNS
            .into_iter()
            .map(|name| (name, &values[&id(name)]["data"]))
            .collect();
        (StatusCode::OK, json!({"n": n, "values": values}))
    }

    fn execute(&mut self, run: RunId, n: u64, name: &str) -> Value {
        let key = (run, id(name));
        if self.recorded.contains_key(&key) {
            self.wrong.push(format!(
                "run {run}: step '{name}' was executed again although it had been recorded"
            ));
        }
        *self.executed.entry(key).or_default() += 1;
        self.executions += 1;
        let data = json!({"n": n, "step": name, "execution": self.executions});
        json!({"op": "StepRun", "id": id(name), "name": name, "displayName": name, "data": data})
    }
}

/// The id of the step of this name.
pub(crate) fn id(name: &str) -> StepId {
    StepId::of(name, 0)
}

fn sleep_op(which: usize) -> Value {
    let (name, how_long) = SLEEPS[which];
    json!({"op": "Sleep", "id": id(name), "name": how_long, "displayName": name})
}

fn ops(ops: Vec<Value>) -> (StatusCode, Value) {
    (StatusCode::PARTIAL_CONTENT, ops.into())
}

fn failure(message: &str) -> (StatusCode, Value) {
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        json!({"name": "Error", "message": message}),
    )
}
