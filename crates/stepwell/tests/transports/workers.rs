//! Workers that connect: which calls they take, and what becomes of those when a worker, a connection or the server goes.

use crate::side::client;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stepwell::connect::{ConnectError, Handle, State, Worker, WorkerBuilder, WorkerError};
use stepwell::embedded::{Backoff, EngineConfig};
use stepwell::{App, Client, Config, Context, CronTick, Error, Function, OutgoingEvent};
use stepwell_protocol::signing::SigningKey;
use stepwell_runtime::{Invokers, Options, Runtime};
use stepwell_server::{ConnectOptions, ConnectTimes, Gateway, ServerOptions};
use stepwell_store::{Store, memory, sqlite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// How long anything may take. Only a test that fails meets it.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("it never happens: {what}"),
    }
}

struct Server {
    url: String,
    address: SocketAddr,
    runtime: Runtime,
    gateway: Gateway,
    listening: JoinHandle<()>,
    leave: oneshot::Sender<()>,
}

impl Server {
    async fn start() -> Self {
        Self::with(memory::open(), "127.0.0.1:0", times(), ServerOptions::dev()).await
    }

    async fn with(
        store: Store,
        address: &str,
        times: ConnectTimes,
        options: ServerOptions,
    ) -> Self {
        let gateway = Gateway::new(ConnectOptions {
            times,
            ..ConnectOptions::default()
        });
        let engine = EngineConfig {
            backoff: Backoff::Constant(1),
            ..EngineConfig::default()
        };
        let invokers = Invokers::none().with("wss", gateway.invoker());
        let runtime = Options {
            engine,
            ..Options::default()
        };
        let runtime = Runtime::start(store, invokers, runtime).unwrap();
        let options = ServerOptions {
            connect: Some(gateway.clone()),
            ..options
        };
        let router = stepwell_server::router(runtime.handle(), options);
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (leave, left) = oneshot::channel::<()>();
        let listening = tokio::spawn(async move {
            let serving = axum::serve(listener, router);
            let left = async move { drop(left.await) };
            serving.with_graceful_shutdown(left).await.unwrap();
        });
        Self {
            url: format!("http://{address}"),
            address,
            runtime,
            gateway,
            listening,
            leave,
        }
    }

    /// Stops; calls in flight get no time.
    async fn stop(self) {
        self.gateway.close(PATIENCE).await;
        drop(self.leave);
        soon("all connections end", self.listening).await.unwrap();
        self.runtime.shutdown(Duration::ZERO).await;
    }

    async fn send(&self, name: &str) -> stepwell_protocol::EventId {
        let event = OutgoingEvent::untyped(name, json!({}));
        client("sender", &self.url).send(event).await.unwrap()
    }

    /// The output of the event's run, once that has ended.
    async fn output(&self, event: stepwell_protocol::EventId) -> Value {
        let handle = self.runtime.handle();
        let mut news = handle.watch();
        let ended = async {
            loop {
                let runs = handle.read(move |reader| reader.runs_of_event(event));
                if let [run] = &*runs.await.unwrap()
                    && run.status.has_ended()
                {
                    let output = run.output.as_ref().expect("it has one");
                    return serde_json::from_str(output.get()).unwrap();
                }
                news.recv().await.unwrap();
            }
        };
        soon("the run ends", ended).await
    }
}

fn times() -> ConnectTimes {
    ConnectTimes {
        reconnect: Duration::from_millis(100),
        lease: Duration::from_secs(600),
        ..ConnectTimes::default()
    }
}

/// Steps that begin and wait to be let on.
#[derive(Clone, Default)]
struct Gate {
    begun: Arc<Notify>,
    open: Arc<Notify>,
    by: Arc<Mutex<Vec<String>>>,
}

/// An app whose function waits at the gate within a step, and says who it is.
fn app(client: Client, who: &str, gate: &Gate) -> App {
    let (gate, who) = (gate.clone(), who.to_owned());
    let event = format!("{}/go", client.app_id());
    let waits = move |ctx: Context| {
        let (gate, who) = (gate.clone(), who.clone());
        async move {
            let step = ctx.step().run("wait", || async {
                gate.by.lock().unwrap().push(who.clone());
                gate.begun.notify_one();
                gate.open.notified().await;
                Ok(who.clone())
            });
            Ok::<String, Error>(step.await?)
        }
    };
    App::new(client).function(Function::new("waits").on_event(&event).handler(waits))
}

async fn worker(server: &Server, who: &str, gate: &Gate) -> Handle {
    connected(Worker::builder(app(client("app", &server.url), who, gate)).instance_id(who)).await
}

async fn connected(builder: WorkerBuilder) -> Handle {
    let worker = builder.build().unwrap().start();
    let reached = soon("the worker connects", worker.reached(State::Active));
    reached.await.unwrap();
    assert!(worker.connection_id().is_some());
    worker
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_worker_that_dies_goes_to_another() {
    let server = Server::start().await;
    let (first, second) = (Gate::default(), Gate::default());
    let dying = worker(&server, "first", &first).await;
    let event = server.send("app/go").await;
    soon("the first has it", first.begun.notified()).await;
    drop(dying);
    let alive = worker(&server, "second", &second).await;
    soon("the second has it", second.begun.notified()).await;
    second.open.notify_one();
    assert_eq!(server.output(event).await, "second");
    alive.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_comes_back_to_a_server_that_was_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stepwell.db");
    let open = |file: &Path| sqlite::open(&sqlite::Options::new(file)).unwrap();
    let times = || ConnectTimes {
        reconnect: PATIENCE,
        ..times()
    };
    let server = Server::with(open(&file), "127.0.0.1:0", times(), ServerOptions::dev()).await;
    let address = server.address.to_string();
    let gate = Gate::default();
    let worker = worker(&server, "worker", &gate).await;
    let first = server.send("app/go").await;
    soon("it has a call", gate.begun.notified()).await;
    server.stop().await;
    soon("it notices", worker.reached(State::Reconnecting))
        .await
        .unwrap();
    let server = Server::with(open(&file), &address, times(), ServerOptions::dev()).await;
    soon("it comes back", worker.reached(State::Active))
        .await
        .unwrap();
    gate.open.notify_one();
    assert_eq!(server.output(first).await, "worker");
    gate.open.notify_one();
    let second = server.send("app/go").await;
    assert_eq!(server.output(second).await, "worker");
    worker.close().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_shuts_down_finishes_what_it_has_and_takes_nothing_new() {
    let server = Server::start().await;
    let (first, second) = (Gate::default(), Gate::default());
    let leaving = worker(&server, "first", &first).await;
    let finished = server.send("app/go").await;
    soon("the first has it", first.begun.notified()).await;
    let closing = tokio::spawn(leaving.close());
    let staying = worker(&server, "second", &second).await;
    second.open.notify_one();
    // Until the server has heard that the first takes nothing, it may choose it; then nobody acknowledges the call, and
    // the other gets it all the same.
    let other = server.send("app/go").await;
    assert_eq!(server.output(other).await, "second");
    first.open.notify_one();
    assert_eq!(server.output(finished).await, "first");
    soon("it ends", closing).await.unwrap().unwrap();
    assert_eq!(*first.by.lock().unwrap(), ["first"]);
    staying.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_outlast_the_time_to_shut_down_are_given_up() {
    let server = Server::start().await;
    let gate = Gate::default();
    let app = app(client("app", &server.url), "worker", &gate);
    let worker = connected(Worker::builder(app).shutdown_timeout(Duration::ZERO)).await;
    server.send("app/go").await;
    soon("it has a call", gate.begun.notified()).await;
    soon("it ends", worker.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_apps_share_a_connection() {
    let server = Server::start().await;
    let gate = Gate::default();
    let make = |id: &str| app(client(id, &server.url), id, &gate);
    let worker = connected(Worker::builder(make("one")).app(make("two"))).await;
    for id in ["one", "two"] {
        gate.open.notify_one();
        let event = server.send(&format!("{id}/go")).await;
        assert_eq!(server.output(event).await, id);
    }
    worker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_may_take_longer_than_a_lease() {
    let times = ConnectTimes {
        extend: Duration::from_millis(200),
        lease: Duration::from_secs(2),
        lease_grace: Duration::ZERO,
        ..ConnectTimes::default()
    };
    let server = Server::with(memory::open(), "127.0.0.1:0", times, ServerOptions::dev()).await;
    let gate = Gate::default();
    let worker = worker(&server, "worker", &gate).await;
    let event = server.send("app/go").await;
    soon("it has the call", gate.begun.notified()).await;
    // What is tested is that nothing happens in this time.
    tokio::time::sleep(Duration::from_secs(3)).await;
    gate.open.notify_one();
    assert_eq!(server.output(event).await, "worker");
    assert_eq!(gate.by.lock().unwrap().len(), 1, "it is executed once");
    worker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_calls_run_at_once_as_may() {
    let server = Server::start().await;
    let gate = Gate::default();
    let app = app(client("app", &server.url), "worker", &gate);
    let worker = connected(Worker::builder(app).max_concurrency(1)).await;
    let (first, second) = (server.send("app/go").await, server.send("app/go").await);
    for number in 1..=2 {
        soon("a call begins", gate.begun.notified()).await;
        assert_eq!(gate.by.lock().unwrap().len(), number);
        gate.open.notify_one();
    }
    assert_eq!(server.output(first).await, "worker");
    assert_eq!(server.output(second).await, "worker");
    worker.close().await.unwrap();
}

fn keyed(url: &str, key: &str, fallback: Option<&str>) -> Client {
    let config = Config {
        signing_key: Some(SigningKey::new(key)),
        signing_key_fallback: fallback.map(SigningKey::new),
        ..Config::dev()
    };
    Client::builder("app", config).base_url(url).build()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_takes_workers_that_have_its_key() {
    let options = ServerOptions {
        signing_key: Some(SigningKey::new("signkey-test-11")),
        ..ServerOptions::dev()
    };
    let server = Server::with(memory::open(), "127.0.0.1:0", times(), options).await;
    let gate = Gate::default();
    let wrong = keyed(&server.url, "signkey-test-22", None);
    let wrong = Worker::builder(app(wrong, "worker", &gate))
        .build()
        .unwrap();
    let refused = soon("it is refused", wrong.run_until(std::future::pending())).await;
    assert!(
        matches!(&refused, Err(ConnectError::Refused(error)) if error.to_string().contains("401")),
        "{refused:?}"
    );
    let right = keyed(&server.url, "signkey-test-22", Some("signkey-test-11"));
    let worker = connected(Worker::builder(app(right, "worker", &gate))).await;
    worker.close().await.unwrap();
}

#[test]
fn functions_that_no_server_takes_are_no_worker() {
    let never = Function::new("never")
        .cron("not a schedule")
        .handler(|_: Context<CronTick>| async { Ok::<(), Error>(()) });
    let app = App::new(Client::dev("app")).function(never);
    let refused = Worker::builder(app).build().unwrap_err();
    assert!(matches!(refused, WorkerError::App { .. }), "{refused:?}");
}

#[test]
fn a_worker_that_cannot_be_says_why() {
    let gate = Gate::default();
    let make = |id: &str| app(Client::dev(id), id, &gate);
    let error = |builder: WorkerBuilder| builder.build().unwrap_err();
    assert_eq!(
        error(Worker::builder(make("a")).app(make("a"))),
        WorkerError::DuplicateApp("a".to_owned())
    );
    let elsewhere = app(client("b", "http://elsewhere:1"), "b", &gate);
    assert_eq!(
        error(Worker::builder(make("a")).app(elsewhere)).to_string(),
        "the app 'b' has another server than the worker's first app: give it a worker of its own"
    );
    assert_eq!(
        error(Worker::builder(make("a")).max_concurrency(0)),
        WorkerError::NoConcurrency
    );
    assert_eq!(
        error(Worker::builder(make("a")).gateway_url("https://gateway")).to_string(),
        "gateway_url is 'https://gateway'; write a WebSocket's URL such as wss://workers.example.com/v0/connect"
    );
    let config = Config {
        environment: None,
        signing_key: Some(SigningKey::new("signkey-branch-11")),
        ..Config::dev()
    };
    let branch = app(Client::builder("a", config).build(), "a", &gate);
    assert_eq!(error(Worker::builder(branch)), WorkerError::NoEnvironment);
}
