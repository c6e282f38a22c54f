//! The ways to run functions, and what is recorded on each.

use serde_json::{Value, json};
use std::sync::Arc;
use stepwell::embedded::{Backoff, Embedded, EngineConfig, Handle, Invokers};
use stepwell::{App, Client, Config, OutgoingEvent, connect, serve};
use stepwell_protocol::{EventId, FunctionId};
use stepwell_runtime::gateway::PrivateAddresses;
use stepwell_runtime::{HttpInvoker, HttpOptions, News, Options, Runtime};
use stepwell_server::{ConnectOptions, Gateway, ServerOptions};
use stepwell_store::memory;
use tokio::net::TcpListener;
use tokio::sync::broadcast::Receiver;

/// Where the functions run.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) handle: Handle,
    _running: Running,
}

enum Running {
    Embedded {
        _engine: Box<Embedded>,
    },
    Server {
        _server: Box<Runtime>,
    },
    Worker {
        _worker: Box<connect::Handle>,
        _server: Box<Runtime>,
    },
}

fn engine() -> EngineConfig {
    EngineConfig {
        backoff: Backoff::Constant(1),
        ..EngineConfig::default()
    }
}

/// Apps in the process of the engine. `app` makes each, of the client that it gets.
pub(crate) async fn embedded(apps: &[&str], app: impl Fn(Client) -> App) -> Side {
    let mut builder = Embedded::builder()
        .memory()
        .allow_private_addresses()
        .engine(engine());
    for id in apps {
        builder = builder.app(app(Client::dev(*id)));
    }
    let embedded = builder.start().await.unwrap();
    Side {
        name: "embedded",
        client: embedded.client().clone(),
        handle: embedded.handle().clone(),
        _running: Running::Embedded {
            _engine: Box::new(embedded),
        },
    }
}

pub(crate) async fn listen(router: axum::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

/// A server, and where it is.
pub(crate) async fn server() -> (Runtime, String) {
    let options = Options {
        engine: engine(),
        private_addresses: PrivateAddresses::Allow,
        ..Options::default()
    };
    let http = HttpOptions {
        private_addresses: PrivateAddresses::Allow,
        ..HttpOptions::default()
    };
    let gateway = Gateway::new(ConnectOptions::default());
    let invokers = Invokers::none()
        .with("http", Arc::new(HttpInvoker::new(http).unwrap()))
        .with("wss", gateway.invoker());
    let runtime = Runtime::start(memory::open(), invokers, options).unwrap();
    let options = ServerOptions {
        connect: Some(gateway),
        ..ServerOptions::dev()
    };
    let router = stepwell_server::router(runtime.handle(), options);
    let url = listen(router).await;
    (runtime, url)
}

/// A client of the app for a server.
pub(crate) fn client(app: &str, server: &str) -> Client {
    Client::builder(app, Config::dev()).base_url(server).build()
}

/// Apps that a server calls over HTTP.
pub(crate) async fn over_http(apps: &[&str], app: impl Fn(Client) -> App) -> Side {
    let (runtime, server) = server().await;
    for id in apps {
        let handler = serve::Handler::new(app(client(id, &server))).unwrap();
        let router = axum::Router::new().route("/api/inngest", serve::axum(handler));
        let origin = listen(router).await;
        let synced = reqwest::Client::new()
            .put(format!("{origin}/api/inngest"))
            .send()
            .await
            .unwrap();
        assert_eq!(synced.status(), 200, "{}", synced.text().await.unwrap());
    }
    Side {
        name: "http",
        client: client(apps[0], &server),
        handle: runtime.handle(),
        _running: Running::Server {
            _server: Box::new(runtime),
        },
    }
}

/// Apps of one worker that connects to a server.
pub(crate) async fn over_connect(apps: &[&str], app: impl Fn(Client) -> App) -> Side {
    let (runtime, server) = server().await;
    let mut apps_made = apps.iter().map(|id| app(client(id, &server)));
    let builder = connect::Worker::builder(apps_made.next().unwrap());
    let worker = apps_made.fold(builder, connect::WorkerBuilder::app);
    let worker = worker.build().unwrap().start();
    worker.reached(connect::State::Active).await.unwrap();
    Side {
        name: "connect",
        client: client(apps[0], &server),
        handle: runtime.handle(),
        _running: Running::Worker {
            _worker: Box::new(worker),
            _server: Box::new(runtime),
        },
    }
}

impl Side {
    /// Sends an event and waits for its runs, and for `after` runs that start when they end, by an event of that
    /// name; tells all that is recorded of them.
    pub(crate) async fn story(
        &self,
        event: OutgoingEvent,
        after: Option<(&'static str, usize)>,
    ) -> Value {
        let mut news = self.handle.watch();
        let id = self.client.send(event).await.unwrap();
        self.wait(&mut news, id, 1).await;
        let mut told = self.tell(id).await;
        if let Some((name, count)) = after {
            let events = loop {
                let events = self
                    .handle
                    .read(move |reader| reader.events(Some(name), None, 1));
                match events.await.unwrap() {
                    events if events.is_empty() => drop(news.recv().await.unwrap()),
                    events => break events,
                }
            };
            self.wait(&mut news, events[0].id, count).await;
            let handled = self.tell(events[0].id).await;
            told.as_array_mut()
                .unwrap()
                .extend(handled.as_array().unwrap().iter().cloned());
        }
        told
    }

    /// Waits until an event has at least so many runs, and all have ended.
    async fn wait(&self, news: &mut Receiver<Arc<News>>, id: EventId, count: usize) {
        loop {
            let runs = self
                .handle
                .read(move |reader| reader.runs_of_event(id))
                .await
                .unwrap();
            if runs.len() >= count && runs.iter().all(|run| run.status.has_ended()) {
                return;
            }
            while !matches!(*news.recv().await.unwrap(), News::Ended { .. }) {}
        }
    }

    async fn tell(&self, id: EventId) -> Value {
        let names: Vec<(FunctionId, String)> = {
            let functions = self.handle.read(|reader| reader.functions()).await.unwrap();
            functions
                .into_iter()
                .map(|function| (function.id, function.slug))
                .collect()
        };
        let told = self.handle.read(move |reader| {
            let mut told = Vec::new();
            for run in reader.runs_of_event(id)? {
                let steps: Vec<Value> = reader.steps(run.id)?.into_iter().map(|step| {
                    json!([step.op, step.name, step.failed, step.attempt, comparable(step.value.get())])
                }).collect();
                let name = names.iter().find(|(id, _)| *id == run.function).map(|(_, name)| name.clone());
                let output = run.output.as_ref().map(|output| comparable(output.get()));
                told.push(json!({"function": name, "status": run.status.as_str(), "output": output, "steps": steps}));
            }
            Ok(told)
        });
        let mut told = told.await.unwrap();
        told.sort_by_key(|run| run["function"].to_string());
        // Steps of one group end in any order.
        for run in &mut told {
            run["steps"]
                .as_array_mut()
                .unwrap()
                .sort_by_key(|step| step[1].to_string());
        }
        Value::Array(told)
    }
}

/// Without what no two sides, and no two days, share.
fn comparable(json: &str) -> Value {
    fn strip(value: &mut Value) {
        if let Value::Object(fields) = value {
            fields.remove("stack");
            // An event's own.
            if fields.contains_key("user") {
                fields.remove("id");
                fields.remove("ts");
            }
            if let Some(ids) = fields.get_mut("ids") {
                *ids = json!(format!("{} ids", ids.as_array().unwrap().len()));
            }
            // An answer's own.
            if fields.contains_key("status_code") {
                fields.remove("url");
                fields.remove("headers");
            }
            fields.values_mut().for_each(strip);
        }
        let text = value.as_str().unwrap_or_default();
        if text.len() > 1_000 {
            *value = json!("long");
        } else if text.parse::<EventId>().is_ok() {
            *value = json!("an id");
        }
    }
    let mut value = serde_json::from_str(json).unwrap();
    strip(&mut value);
    value
}

/// Plays the same events on all sides: what is recorded must be the same. Tells it.
pub(crate) async fn compare(
    sides: &[Side; 3],
    cases: impl IntoIterator<Item = (&'static str, Value, Option<(&'static str, usize)>)>,
) -> String {
    let mut told = Vec::new();
    for (name, data, after) in cases {
        let mut stories = Vec::new();
        for side in sides {
            let event = OutgoingEvent::untyped(name, data.clone());
            stories.push(side.story(event, after).await);
        }
        for (side, story) in sides.iter().zip(&stories) {
            let first = sides[0].name;
            assert_eq!(
                &stories[0], story,
                "{name}: {first} and {} differ",
                side.name
            );
        }
        for run in stories[0].as_array().unwrap() {
            told.push(format!(
                "{name} {data} → {} {} {}",
                run["function"], run["status"], run["output"]
            ));
            let steps = run["steps"].as_array().unwrap();
            told.extend(steps.iter().map(|step| format!("  {step}")));
        }
    }
    told.join("\n")
}
