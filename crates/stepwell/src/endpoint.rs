//! Durable endpoints: HTTP handlers made of steps.
//!
//! A request is executed at once, in this process, and each step is recorded by the server before the next one begins.
//! Whoever made the request gets the handler's own answer, as of any handler — unless it comes to something that takes its
//! time: a sleep, a wait, steps side by side, a step that is to be tried again. From there on the server moves the run on,
//! by making the same request again, and the requester is redirected to where the answer will be.
//!
//! ```no_run
//! use std::time::Duration;
//! use stepwell::endpoint::{self, Endpoint, Request, Response};
//! use stepwell::{Client, Error};
//!
//! async fn checkout(request: Request) -> Result<Response, Error> {
//!     let Ok(order) = request.json::<serde_json::Value>() else {
//!         return Ok(Response::text("send the order as JSON").status(400));
//!     };
//!     let step = request.step();
//!     let charge: String = step.run("charge", || async { charge(&order).await }).await?;
//!     // The first step that takes time: here the requester is redirected.
//!     step.sleep("let-the-bank-settle", Duration::from_secs(60)).await;
//!     step.run("ship", || async { ship(&order).await }).await?;
//!     Response::json(&serde_json::json!({ "charge": charge }))
//! }
//! # async fn charge(_: &serde_json::Value) -> Result<String, Error> { Ok("c-1".to_owned()) }
//! # async fn ship(_: &serde_json::Value) -> Result<(), Error> { Ok(()) }
//!
//! # #[cfg(feature = "axum")]
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::from_env("shop")?;
//! let checkout = Endpoint::new(client, checkout).name("checkout").retries(2);
//! let router = axum::Router::new().route("/checkout", endpoint::axum(checkout));
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, router).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The server reaches the endpoint at the origin that [`Endpoint::origin`] or `INNGEST_SERVE_ORIGIN` names, which must be set where
//! requests are signed. Who may make requests is for [`Endpoint::authorize`] to say.
//!
//! [`Endpoint::handle`] knows no web framework; [`axum()`] mounts an endpoint on a router.

mod authorize;
#[cfg(feature = "axum")]
mod axum_adapter;
mod fresh;
mod handler;
mod heartbeat;
mod re_entry;
mod report;
mod request;
mod response;

#[cfg(feature = "axum")]
pub use axum_adapter::axum;
pub use handler::Handler;
pub use request::Request;
pub use response::Response;

use crate::config::{ConfigError, Mode, parse_origin};
use crate::execution::Limits;
use crate::middleware::{Middleware, RunInfo, Stack, TraceContext};
use crate::serve::origin_of;
use crate::{BoxFuture, Client, Error, RunId, Step};
use bytes::Bytes;
use handler::Code;
use request::Parts;
use serde_json::json;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stepwell_protocol::signing::{SigningKey, canonical_json, verify};
use stepwell_protocol::{SharedJson, headers, limits};

/// A larger body is refused, unless [`Endpoint::body_limit`] says otherwise.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// What a server takes: a body travels within an event, in base64, with room for the rest of the request.
const BODY_BYTES_LIMIT: usize = (limits::EVENT_BYTES_MAX - 64 * 1024) / 4 * 3;
/// Retries when nothing is said.
const RETRIES: u32 = 3;
/// How long a handler may await something that is not a step, when it says nothing.
const OUTSIDE_STEPS_MAX: Duration = Duration::from_secs(10);
const FORWARDED_HOST: &str = "x-forwarded-host";
/// The event that stands for a request.
const EVENT: &str = "inngest/http.request";

/// What a request is answered with when its run goes on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handover {
    /// `302` to the server, which holds the request until the run has ended and gives the handler's answer. The
    /// requester must be able to reach the server, at the client's API URL.
    #[default]
    Redirect,
    /// `202` with `{"run_id", "token"}`, for a requester that asks the server by itself, or through the app:
    /// `GET <server>/v1/checkpoint/<run_id>/output?token=<token>`.
    Token,
}

/// An HTTP handler whose steps are durable. Cloning shares it.
#[derive(Clone)]
pub struct Endpoint {
    client: Client,
    code: Code,
    name: Option<Arc<str>>,
    retries: u32,
    handover: Handover,
    body_bytes_max: usize,
    outside_steps_max: Duration,
    heartbeat: Duration,
    origin: Option<Arc<str>>,
    authorize: Option<authorize::Authorize>,
    middleware: Stack,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Endpoint")
            .field("name", &self.name)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint of a handler that needs no state: an `async fn(Request) -> Result<impl Into<Response>, impl Into<Error>>`.
    pub fn new<Args>(client: Client, handler: impl Handler<(), Args>) -> Self {
        Self::with_state(client, (), handler)
    }

    /// An endpoint of a handler that takes [`State<T>`](crate::State)s out of `state`, by their types.
    pub fn with_state<S, Args>(client: Client, state: S, handler: impl Handler<S, Args>) -> Self
    where
        S: Send + Sync + 'static,
    {
        Self {
            middleware: client.middleware().clone(),
            client,
            code: handler::erase(handler, state),
            name: None,
            retries: RETRIES,
            handover: Handover::default(),
            body_bytes_max: BODY_BYTES_MAX,
            outside_steps_max: OUTSIDE_STEPS_MAX,
            heartbeat: heartbeat::EVERY,
            origin: None,
            authorize: None,
        }
    }

    /// The name under which the server has its runs; method and path when none is given. Name an endpoint whose path holds
    /// ids: each of its paths is a function of its own otherwise.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = (!name.is_empty()).then(|| name.into());
        self
    }

    /// How often each step, and the handler itself, is tried again: three times when nothing is given, at most twenty times.
    /// [`RetryAfter`](crate::RetryAfter) counts once the server moves the run on, not in its first execution.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries.min(limits::RETRIES_MAX);
        self
    }

    /// What a request is answered with when its run goes on without it.
    #[must_use]
    pub fn handover(mut self, handover: Handover) -> Self {
        self.handover = handover;
        self
    }

    /// The largest body that is taken, in bytes: 1 MiB when nothing is given, about 2.2 MiB at most.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes.min(BODY_BYTES_LIMIT);
        self
    }

    /// How long the handler may await something that is not a step: ten seconds when nothing is given. What is awaited
    /// outside of steps is done again each time that the server moves the run on.
    #[must_use]
    pub fn outside_steps_max(mut self, duration: Duration) -> Self {
        self.outside_steps_max = duration;
        self
    }

    /// The origin under which the server reaches the endpoint, such as `https://shop.example.com`, in the place of
    /// `INNGEST_SERVE_ORIGIN`.
    ///
    /// In [`Mode::Cloud`] one of the two must be given: without, requests are answered with 503. What a request's own headers say of
    /// its host, anyone can write, and the server would send its signed requests there.
    ///
    /// # Errors
    /// [`ConfigError::Url`] when this is not an origin.
    pub fn origin(mut self, origin: &str) -> Result<Self, ConfigError> {
        self.origin = Some(parse_origin("Endpoint::origin", origin)?.into());
        Ok(self)
    }

    /// Asks `check` about each request of a user before its run begins: an `Err` is the answer, and nothing else happens.
    ///
    /// The requests by which a server moves a run on are not asked about. They are known by their signature, and bring neither
    /// cookies nor tokens; so the check belongs here rather than into a layer around the endpoint. In [`Mode::Dev`] nothing is
    /// signed: whoever sends an `X-Run-ID` there counts as the server.
    ///
    /// ```
    /// # use stepwell::endpoint::{Endpoint, Response};
    /// # fn guarded(endpoint: Endpoint) -> Endpoint {
    /// endpoint.authorize(|request: http::Request<bytes::Bytes>| async move {
    ///     match request.headers().get("authorization") {
    ///         Some(token) if is_known(token.as_bytes()).await => Ok(()),
    ///         _ => Err(Response::text("who are you?").status(401)),
    ///     }
    /// })
    /// # }
    /// # async fn is_known(_: &[u8]) -> bool { true }
    /// ```
    #[must_use]
    pub fn authorize<F, Fut>(mut self, check: F) -> Self
    where
        F: Fn(http::Request<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Response>> + Send + 'static,
    {
        self.authorize = Some(authorize::erase(check));
        self
    }

    /// Adds middleware, after the client's. What it makes of the handler's output is not what is answered: that is
    /// the handler's own response. So [`Encryption`](crate::middleware::Encryption) covers steps only: the server keeps the request and
    /// the response in clear.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware = self.middleware.with(Arc::new(middleware));
        self
    }

    /// Answers a request: of the endpoint's users, or of the server that moves a run on.
    ///
    /// The URI's path and query must be those under which the endpoint is reached. A future that is dropped leaves its run
    /// to the server, which makes the request again ten minutes later.
    pub async fn handle(&self, request: http::Request<Bytes>) -> http::Response<Bytes> {
        if request.body().len() > self.body_bytes_max {
            return self.too_large();
        }
        if self.client.is_local() {
            let message = "durable endpoints need a server: this client's engine is in the process";
            tracing::error!(message);
            return plain(501, message);
        }
        let is_dev = self.client.config().mode == Mode::Dev;
        let sent = request.headers();
        let run = sent
            .get(headers::RUN_ID)
            .and_then(|id| id.to_str().ok()?.parse::<RunId>().ok());
        let is_signed = sent.contains_key(headers::SIGNATURE);
        match run {
            Some(run) if is_dev || is_signed => self.move_on(run, request).await,
            // Layers in front may have taken it for a server's.
            _ if is_signed || !is_dev && looks_like_a_servers(sent) => {
                tracing::warn!("a request was refused that looks like a server's and is not");
                plain(401, "Unauthorized")
            }
            // An id of a user's own says nothing: a server signs.
            _ => self.take(request).await,
        }
    }

    /// A request of the server's.
    async fn move_on(&self, run: RunId, request: http::Request<Bytes>) -> http::Response<Bytes> {
        let is_dev = self.client.config().mode == Mode::Dev;
        let (mut parts, body) = request.into_parts();
        let header = parts.headers.get(headers::SIGNATURE);
        let signature = header.and_then(|value| value.to_str().ok());
        let key = match self.verified(&parts.method, &body, signature) {
            Ok(key) => Some(key),
            Err(_) if is_dev => None,
            Err(error) => {
                tracing::warn!(%run, %error, "a request of a server was refused: its signature cannot be verified");
                return plain(401, "Unauthorized");
            }
        };
        let sent = parts.headers.clone();
        if !is_dev {
            // Not signed.
            parts.headers.remove(FORWARDED_HOST);
        }
        let origin = self.configured_origin();
        let origin = origin.unwrap_or_else(|| origin_of(&parts.headers, &parts.uri));
        let parts = Parts::of(origin, parts, body);
        self.re_enter(run, &sent, parts, key).await
    }

    /// A request of a user's.
    async fn take(&self, request: http::Request<Bytes>) -> http::Response<Bytes> {
        let is_dev = self.client.config().mode == Mode::Dev;
        let origin = match self.configured_origin() {
            Some(origin) => origin,
            None if is_dev => origin_of(request.headers(), request.uri()),
            None => {
                tracing::error!(
                    "a durable endpoint does not know where the server reaches it: set INNGEST_SERVE_ORIGIN or Endpoint::origin(..)"
                );
                return plain(503, "the request cannot be seen to now");
            }
        };
        if let Some(authorize) = &self.authorize
            && let Err(refusal) = authorize(request.clone()).await
        {
            return refusal.checked().map_or_else(
                |error| {
                    tracing::error!(%error, "the answer of Endpoint::authorize cannot be sent");
                    plain(500, "the request is refused")
                },
                Response::into_http,
            );
        }
        let (parts, body) = request.into_parts();
        let trace = crate::serve::trace_of(&parts.headers);
        self.begin(Parts::of(origin, parts, body), trace).await
    }

    fn configured_origin(&self) -> Option<String> {
        let own = self.origin.as_deref().map(str::to_owned);
        own.or_else(|| self.client.config().serve_origin.clone())
    }

    /// The key with which a server has signed: the body of a POST or PUT, in canonical form if it is JSON, and of other
    /// requests nothing.
    fn verified(
        &self,
        method: &http::Method,
        body: &[u8],
        signature: Option<&str>,
    ) -> Result<&SigningKey, stepwell_protocol::signing::VerifyError> {
        let config = self.client.config();
        let now_ms = self.client.clock().now().unix_ms();
        let now_s = u64::try_from(now_ms / 1_000).unwrap_or_default();
        let of = |part: &[u8]| verify(config.signing_keys(), signature, part, now_s);
        if *method != http::Method::POST && *method != http::Method::PUT {
            return of(&[]).or_else(|_| of(body));
        }
        of(body).or_else(|error| canonical_json(body).map_or(Err(error), |body| of(&body)))
    }

    fn limits(&self) -> Limits {
        Limits {
            outside_steps_max: self.outside_steps_max,
        }
    }

    fn run_info(
        &self,
        run: RunId,
        parts: &Parts,
        max_attempts: u32,
        trace: TraceContext,
    ) -> RunInfo {
        let slug = match &self.name {
            Some(name) => Arc::clone(name),
            None => format!("{} {}", parts.method, parts.uri.path()).into(),
        };
        RunInfo {
            run_id: run,
            function_id: slug,
            event_name: EVENT.into(),
            attempt: 0,
            max_attempts,
            request_id: "".into(),
            trace,
        }
    }

    /// The handler's code for one call, and where it leaves its response.
    fn code_for(&self, parts: &Arc<Parts>) -> (Box<crate::function::FunctionCode>, Given) {
        let given = Given::default();
        let (code, parts, leave) = (Arc::clone(&self.code), Arc::clone(parts), given.clone());
        let code = move |execution, _: &[SharedJson]| {
            let request = Request::new(Arc::clone(&parts), Step::new(execution));
            let (response, leave) = (code(request), leave.clone());
            let function: BoxFuture<'static, Result<SharedJson, Error>> = Box::pin(async move {
                let response = response.await?.checked()?;
                let output = response.to_json();
                leave.put(response);
                Ok(output)
            });
            Ok(function)
        };
        (Box::new(code), given)
    }

    /// The answer to a request whose body was not read to its end.
    fn too_large(&self) -> http::Response<Bytes> {
        let message = format!("the body is larger than {} bytes", self.body_bytes_max);
        plain(413, &message)
    }
}

/// Where a handler leaves its response.
#[derive(Clone, Default)]
struct Given(Arc<Mutex<Option<Response>>>);

impl Given {
    fn put(&self, response: Response) {
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(response);
    }

    /// The handler's response; `output`, as JSON, when a middleware has given it in the handler's place.
    fn take(&self, output: &SharedJson) -> Response {
        let mut given = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        given
            .take()
            .unwrap_or_else(|| Response::of_json(output.get()))
    }
}

/// Whether a request has the headers of one by which a server moves a run on.
fn looks_like_a_servers(sent: &http::HeaderMap) -> bool {
    let has = |name: &str| sent.contains_key(name);
    has(headers::RUN_ID) && (has(headers::GENERATION_ID) || has(headers::JOB_ID))
}

/// An answer of the endpoint itself rather than of its handler.
fn plain(status: u16, message: &str) -> http::Response<Bytes> {
    Response::of_json(&json!({ "message": message }).to_string())
        .status(status)
        .into_http()
}

#[cfg(test)]
mod tests;
