//! A server in this process, on a free port.

use crate::app::App;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use stepwell_engine::{Backoff, Config};
use stepwell_runtime::gateway::PrivateAddresses;
use stepwell_runtime::{Clock, Handle, HttpInvoker, HttpOptions, Invokers, Options, Runtime};
use stepwell_server::{ConnectOptions, ConnectionLimits, Gateway, ServerOptions, router, serve};
use stepwell_store::{Store, memory};

/// How long anything may take. Only a test that fails meets it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fails the test when something does not happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("it never happens: {what}"),
    }
}

/// How a server is set up; by default one for development, in memory, that retries at once.
pub(crate) struct Setup {
    pub(crate) server: ServerOptions,
    pub(crate) connect: ConnectOptions,
    pub(crate) http: HttpOptions,
    pub(crate) backoff: Backoff,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    /// As the program limits them; not at all without.
    pub(crate) connections: Option<ConnectionLimits>,
    /// For requests that functions have the server make.
    pub(crate) private_addresses: PrivateAddresses,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            server: ServerOptions::dev(),
            connect: ConnectOptions::default(),
            http: HttpOptions::default(),
            backoff: Backoff::Constant(0),
            clock: Clock::System,
            store: memory::open(),
            connections: None,
            private_addresses: PrivateAddresses::Refuse,
        }
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) handle: Handle,
    pub(crate) gateway: Gateway,
    client: Client,
    // Dropping it stops the engine.
    runtime: Runtime,
}

impl Setup {
    pub(crate) async fn start(self) -> Server {
        let http = Arc::new(HttpInvoker::new(self.http).expect("TLS can be set up"));
        let options = Options {
            engine: Config {
                backoff: self.backoff,
                ..Config::default()
            },
            clock: self.clock,
            private_addresses: self.private_addresses,
            ..Options::default()
        };
        let gateway = Gateway::new(self.connect);
        let invokers = Invokers::none()
            .with("http", http)
            .with("wss", gateway.invoker());
        let runtime = Runtime::start(self.store, invokers, options).expect("the runtime starts");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port is there");
        let url = format!(
            "http://{}",
            listener.local_addr().expect("it has an address")
        );
        let server = ServerOptions {
            connect: Some(gateway.clone()),
            ..self.server
        };
        let routes = router(runtime.handle(), server);
        tokio::spawn(async move {
            match self.connections {
                None => axum::serve(listener, routes).await.unwrap_or_default(),
                Some(limits) => serve(listener, routes, limits, std::future::pending()).await,
            }
        });
        let client = Client::builder()
            .timeout(PATIENCE)
            .build()
            .expect("the client can be set up");
        Server {
            url,
            handle: runtime.handle(),
            gateway,
            client,
            runtime,
        }
    }
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The answer's JSON, which must come with this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// A refusal in the envelope of errors; returns its text.
    #[track_caller]
    pub(crate) fn refusal(&self, status: u16) -> String {
        let body = self.expect(status);
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(body["data"], Value::Null, "{body}");
        body["error"].as_str().expect("it has a text").to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("it is text"))
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    /// Stops the engine, as the program does before it stops taking requests.
    pub(crate) async fn stop(self) {
        self.runtime.shutdown(PATIENCE).await;
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                let name: HeaderName = name.parse().expect("it is a header's name");
                (
                    name,
                    HeaderValue::from_str(value).expect("it is a header's value"),
                )
            })
            .collect();
        let response = self
            .client
            .request(method, format!("{}{path}", self.url))
            .headers(headers)
            .body(body)
            .send()
            .await
            .expect("the server answers");
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.expect("the answer is text"),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.request(Method::POST, path, &[], body).await
    }

    /// Registers an app with these functions.
    pub(crate) async fn register(&self, name: &str, app: &App, functions: &[Value]) -> Value {
        let registration = registration(name, &app.url, functions);
        self.post("/fn/register", registration.to_string())
            .await
            .expect(200)
    }

    /// Sends one event; returns its internal id.
    pub(crate) async fn send(&self, event: Value) -> String {
        let answer = self.post("/e/test", event.to_string()).await.expect(200);
        answer["ids"][0].as_str().expect("it has an id").to_owned()
    }

    /// The runs that an event started.
    pub(crate) async fn runs(&self, event: &str) -> Vec<Value> {
        let answer = self
            .get(&format!("/v1/events/{event}/runs"))
            .await
            .expect(200);
        answer["data"].as_array().expect("it is a list").clone()
    }

    /// An answer that is no text.
    pub(crate) async fn post_bytes(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (u16, Vec<u8>) {
        let mut request = self.client.post(format!("{}{path}", self.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("the server answers");
        let status = response.status().as_u16();
        let body = response.bytes().await.expect("the answer arrives");
        (status, body.to_vec())
    }

    /// The only run of an event, as soon as it has ended.
    pub(crate) async fn ended(&self, event: &str) -> Value {
        let mut runs = self.all_ended(event).await;
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.remove(0)
    }

    /// The runs of an event, as soon as all have ended.
    pub(crate) async fn all_ended(&self, event: &str) -> Vec<Value> {
        let mut news = self.handle.watch();
        soon("the runs end", async {
            loop {
                let runs = self.runs(event).await;
                if runs.iter().all(|run| !run["ended_at"].is_null()) {
                    return runs;
                }
                // One that was missed is as good: the runs are read again.
                drop(news.recv().await);
            }
        })
        .await
    }
}

/// What an app registers.
pub(crate) fn registration(name: &str, url: &str, functions: &[Value]) -> Value {
    json!({
        "url": url, "deployType": "ping", "framework": "test", "appName": name,
        "sdk": "rust:v0.1.0", "v": "0.1", "functions": functions,
    })
}

/// A function that an event starts, with this many retries.
pub(crate) fn function(id: &str, event: &str, url: &str, retries: u32) -> Value {
    json!({
        "id": id, "name": id, "triggers": [{"event": event}],
        "steps": {"step": {
            "id": "step", "name": "step", "retries": {"attempts": retries},
            "runtime": {"type": "http", "url": format!("{url}?fnId={id}&stepId=step")},
        }},
    })
}
