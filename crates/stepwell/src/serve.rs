//! Serving an app to a server over HTTP: a request in, a response out.
//!
//! [`Handler`] knows no web framework. [`axum()`] mounts one on a router, `actix` (a feature) on an actix-web app, and
//! `tower` (a feature) makes it a service for anything that is built on hyper.

#[cfg(feature = "actix")]
mod actix_adapter;
pub(crate) mod answer;
#[cfg(feature = "axum")]
mod axum_adapter;
mod introspect;
mod streaming;
mod sync;
#[cfg(feature = "tower")]
mod tower_adapter;

#[cfg(feature = "actix")]
pub use actix_adapter::actix;
#[cfg(feature = "axum")]
pub use axum_adapter::axum;
pub(crate) use introspect::capabilities;
pub use streaming::Body;
pub(crate) use sync::origin_of;
#[cfg(feature = "tower")]
pub use tower_adapter::{TowerService, tower};

use crate::app::{App, AppError, Runner, Way};
use crate::config::Mode;
use crate::execution::CallReply;
use crate::function::Transport;
use crate::middleware::TraceContext;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::json;
use std::sync::Arc;
use stepwell_protocol::signing::{SigningKey, verify};
use stepwell_protocol::{headers, limits};

/// A larger request is refused, unless [`Handler::body_limit`] says otherwise: a run's recorded steps and its
/// events, with room to spare.
const BODY_BYTES_MAX: usize = limits::RUN_STATE_BYTES_MAX + 8 * 1024 * 1024;

/// Serves an app: introspection (`GET`), syncs (`PUT`) and calls (`POST`), on one URL.
///
/// ```
/// # use stepwell::{App, Client, serve::Handler};
/// # async fn example() {
/// let handler = Handler::new(App::new(Client::dev("shop"))).expect("the app is sound");
/// let request = http::Request::get("/api/inngest").body(bytes::Bytes::new()).expect("it is complete");
/// let response = handler.handle(request).await;
/// assert_eq!(response.status(), 200);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Handler {
    runner: Runner,
    framework: &'static str,
    body_bytes_max: usize,
    is_streaming: bool,
}

/// A request, once its signature is known.
struct Verified {
    method: Method,
    uri: http::Uri,
    headers: HeaderMap,
    body: Bytes,
    /// The key that signed it; `None` when it is not signed, or need not be.
    key: Option<SigningKey>,
}

impl Handler {
    /// A handler of an app.
    ///
    /// # Errors
    /// [`AppError`] with the function at fault.
    pub fn new(app: App) -> Result<Self, AppError> {
        Ok(Self::of(app.runner()?))
    }

    /// A handler of an app that is ready.
    #[must_use]
    pub fn of(runner: Runner) -> Self {
        Self {
            is_streaming: runner.client().config().streaming,
            runner,
            framework: "http",
            body_bytes_max: BODY_BYTES_MAX,
        }
    }

    /// The largest body that is taken, in bytes: 40 MiB when none is given.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes;
        self
    }

    /// What servers are told the web framework is.
    #[must_use]
    pub fn framework(mut self, name: &'static str) -> Self {
        self.framework = name;
        self
    }

    /// The app that is served.
    #[must_use]
    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Answers calls as they begin, with spaces while they run, for platforms and proxies that end silent connections.
    /// What servers are to know of an answer comes at its end. As `INNGEST_STREAMING` says when nothing is given.
    ///
    /// It is for [`respond`](Self::respond), and for the adapters to web frameworks. Such an answer is not signed: its
    /// headers are sent before it is known.
    #[must_use]
    pub fn streaming(mut self, is_on: bool) -> Self {
        self.is_streaming = is_on;
        self
    }

    /// Answers a request, whole.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        match self.admit(request) {
            Ok(request) => self.answer(&request).await,
            Err(refused) => *refused,
        }
    }

    /// Answers a request, in pieces when it is a call and answers are [streamed](Self::streaming).
    pub async fn respond(&self, request: Request<Bytes>) -> Response<Body> {
        let request = match self.admit(request) {
            Ok(request) => request,
            Err(refused) => return refused.map(Body::whole),
        };
        let is_call = request.method == Method::POST && query(&request.uri, "probe").is_none();
        if !self.is_streaming || !is_call {
            return self.answer(&request).await.map(Body::whole);
        }
        let head = self.response(StatusCode::CREATED, Bytes::new());
        let (handler, clock) = (self.clone(), Arc::clone(self.runner.client().clock()));
        let call = Box::pin(async move { handler.post(&request).await });
        head.map(|_| Body::streaming(call, clock))
    }

    /// Checks who has sent a request. An error is its answer.
    fn admit(&self, request: Request<Bytes>) -> Result<Verified, Box<Response<Bytes>>> {
        let (parts, body) = request.into_parts();
        if body.len() > self.body_bytes_max {
            return Err(Box::new(self.too_large()));
        }
        let config = self.runner.client().config();
        let signature = parts
            .headers
            .get(headers::SIGNATURE)
            .and_then(|value| value.to_str().ok());
        let verified = verify(config.signing_keys(), signature, &body, self.now_s());
        let key = match config.mode {
            Mode::Dev => None,
            Mode::Cloud => verified.as_ref().ok().copied().cloned(),
        };
        let trusted = config.mode == Mode::Dev || key.is_some();
        let needs_trust = match parts.method {
            Method::PUT => !config.allow_unsigned_sync,
            Method::POST => true,
            _ => false,
        };
        if needs_trust && !trusted {
            if let Err(error) = verified {
                tracing::warn!(%error, "a request was refused: its signature cannot be verified");
            }
            let message = json!({"message": "Unauthorized"});
            return Err(Box::new(self.json(StatusCode::UNAUTHORIZED, &message)));
        }
        Ok(Verified {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body,
            key,
        })
    }

    async fn answer(&self, request: &Verified) -> Response<Bytes> {
        let mut response = match request.method {
            Method::GET => self.introspect(request),
            Method::PUT => self.sync(request).await,
            Method::POST => self.post(request).await,
            _ => self.json(
                StatusCode::METHOD_NOT_ALLOWED,
                &json!({"message": "Method not allowed"}),
            ),
        };
        if let Some(key) = &request.key {
            let signature = key.sign(response.body(), self.now_s());
            let value = HeaderValue::try_from(signature).expect("a signature is ASCII");
            response.headers_mut().insert(headers::SIGNATURE, value);
        }
        response
    }

    fn now_s(&self) -> u64 {
        u64::try_from(self.now_ms() / 1_000).unwrap_or_default()
    }

    fn now_ms(&self) -> i64 {
        self.runner.client().clock().now().unix_ms()
    }

    async fn post(&self, request: &Verified) -> Response<Bytes> {
        match query(&request.uri, "probe").as_deref() {
            None => {}
            Some("trust") => return self.response(StatusCode::OK, Bytes::new()),
            Some(probe) => {
                let message = format!("Unknown probe \"{probe}\"");
                return self.json(StatusCode::BAD_REQUEST, &json!({"message": message}));
            }
        }
        let Some(function) = query(&request.uri, "fnId") else {
            let message = "the query names no function: a call carries fnId=<app>-<function>";
            return self.json(StatusCode::BAD_REQUEST, &json!({"message": message}));
        };
        let target = query(&request.uri, "stepId");
        let way = Way {
            transport: Transport::Http,
            trace: trace_of(&request.headers),
            closing: None,
        };
        let answer = self
            .runner
            .answer_body(&function, target, &request.body, way);
        self.reply(answer.await)
    }

    fn reply(&self, reply: CallReply) -> Response<Bytes> {
        answer::of_call(self.runner.client().config(), self.framework, reply)
    }

    fn json(&self, status: StatusCode, body: &serde_json::Value) -> Response<Bytes> {
        self.response(status, body.to_string().into())
    }

    /// The answer to a request whose body was not read to its end.
    pub(crate) fn too_large(&self) -> Response<Bytes> {
        let message = format!("the body is larger than {} bytes", self.body_bytes_max);
        self.json(StatusCode::PAYLOAD_TOO_LARGE, &json!({"message": message}))
    }

    fn response(&self, status: StatusCode, body: Bytes) -> Response<Bytes> {
        answer::of(self.runner.client().config(), self.framework, status, body)
    }
}

pub(crate) fn trace_of(headers: &HeaderMap) -> TraceContext {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    TraceContext {
        traceparent: text("traceparent").map(Into::into),
        tracestate: text("tracestate").map(Into::into),
    }
}

/// A parameter of a query, percent-decoded.
pub(crate) fn query(uri: &http::Uri, name: &str) -> Option<String> {
    let pairs = uri
        .query()?
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| hex::decode(digits).ok());
        match escaped {
            Some(decoded) => {
                bytes.extend(decoded);
                rest = &tail[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = tail;
            }
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
