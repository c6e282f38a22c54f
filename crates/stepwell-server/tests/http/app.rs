//! Apps that answer calls as a test wants.

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use stepwell_protocol::StepId;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A call that came in.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) raw: Bytes,
    pub(crate) body: Value,
}

impl Call {
    pub(crate) fn attempt(&self) -> u64 {
        self.body["ctx"]["attempt"]
            .as_u64()
            .expect("a call has an attempt")
    }

    /// Whether the call brings a value for the step of this name.
    pub(crate) fn has(&self, step: &str) -> bool {
        self.body["steps"].get(id(step)).is_some()
    }
}

type Behaviour = dyn Fn(Call) -> BoxFuture<'static, Response> + Send + Sync;

/// An app on a free port. It is there until the test ends.
pub(crate) struct App {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Call>>>,
    count: watch::Sender<usize>,
}

#[derive(Clone)]
struct Shared {
    behaviour: Arc<Behaviour>,
    seen: Arc<Mutex<Vec<Call>>>,
    count: watch::Sender<usize>,
}

impl Shared {
    fn remember(&self, call: Call) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(call);
    }
}

impl App {
    /// An app that answers every call, on any path, with what `behaviour` gives.
    pub(crate) async fn start(
        behaviour: impl Fn(Call) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self::start_async(move |call| std::future::ready(behaviour(call))).await
    }

    /// The same for one that takes its time.
    pub(crate) async fn start_async<F: Future<Output = Response> + Send + 'static>(
        behaviour: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        let (listener, url) = listen().await;
        let (seen, count) = (Arc::default(), watch::Sender::new(0));
        let shared = Shared {
            behaviour: Arc::new(move |call| Box::pin(behaviour(call))),
            seen: Arc::clone(&seen),
            count: count.clone(),
        };
        let router = axum::Router::new()
            .fallback(answer)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, seen, count }
    }

    /// An app that speaks on bare connections, after it has read a request's head.
    pub(crate) async fn start_raw<F: Future<Output = ()> + Send + 'static>(
        behaviour: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self {
        let (listener, url) = listen().await;
        let count = watch::Sender::new(0);
        let counted = count.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.send_modify(|count| *count += 1);
                let mut head = [0; 64 * 1024];
                if stream.read(&mut head).await.is_ok() {
                    tokio::spawn(behaviour(stream));
                }
            }
        });
        Self {
            url,
            seen: Arc::default(),
            count,
        }
    }

    /// An app that is not there: nothing listens on its port any more.
    pub(crate) async fn down() -> Self {
        let (_, url) = listen().await;
        Self {
            url,
            seen: Arc::default(),
            count: watch::Sender::new(0),
        }
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How often it was called, or connected to.
    pub(crate) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until there have been this many calls.
    pub(crate) async fn called(&self, count: usize) {
        let mut counter = self.count.subscribe();
        let called = counter.wait_for(|now| *now >= count);
        drop(crate::server::soon("the app is called", called).await);
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port is there");
    let address = listener.local_addr().expect("it has an address");
    (listener, format!("http://{address}/api/inngest"))
}

async fn answer(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    raw: Bytes,
) -> Response {
    let call = Call {
        method,
        path: uri.path().to_owned(),
        query,
        headers,
        body: serde_json::from_slice(&raw).unwrap_or(Value::Null),
        raw,
    };
    shared.remember(call.clone());
    shared.count.send_modify(|count| *count += 1);
    (shared.behaviour)(call).await
}

/// An SDK's answer.
pub(crate) fn sdk(status: u16, body: impl Into<axum::body::Body>) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("x-inngest-sdk", "test:v0.1.0")
        .header("x-inngest-req-version", "2")
        .body(body.into())
        .expect("it is a response")
}

/// An SDK's answer that the function has returned.
pub(crate) fn returned(value: &Value) -> Response {
    sdk(200, value.to_string())
}

/// An SDK's answer with ops.
pub(crate) fn ops(ops: &[Value]) -> Response {
    sdk(206, Value::from(ops).to_string())
}

/// An SDK's answer that the function has failed and may be tried again.
pub(crate) fn failed(message: &str) -> Response {
    sdk(
        500,
        json!({"name": "TestError", "message": message}).to_string(),
    )
}

/// An answer of something that is no SDK.
pub(crate) fn page(status: u16, html: &'static str) -> Response {
    let status = axum::http::StatusCode::from_u16(status).expect("it is a status");
    (status, [("content-type", "text/html")], html).into_response()
}

/// A step that has run.
pub(crate) fn step_run(name: &str, data: Value) -> Value {
    json!({"op": "StepRun", "id": id(name), "name": name, "displayName": name, "data": data})
}

/// A step that sleeps.
pub(crate) fn sleep(name: &str, how_long: &str) -> Value {
    json!({"op": "Sleep", "id": id(name), "name": how_long, "displayName": name})
}

/// The id of the step of this name.
pub(crate) fn id(name: &str) -> String {
    StepId::of(name, 0).to_string()
}
