//! Calls over HTTP.

use super::{CallError, Invocation, Invoker};
use crate::gateway::{Guard, PrivateAddresses, Refused};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use reqwest::{Client, Method, Response, StatusCode};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stepwell_protocol::reply::{RawReply, ReplyHeaders};
use stepwell_protocol::signing::{SigningKey, canonical_json};
use stepwell_protocol::{headers, limits};
use url::Url;

/// Redirects that a call follows.
const REDIRECTS_MAX: usize = 60;

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// How calls over HTTP are made.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Signs calls, if there is one.
    pub signing_key: Option<SigningKey>,
    /// Signs a call again that an app refused with 401 or 403: while keys are being changed, it may not know the new one.
    pub signing_key_fallback: Option<SigningKey>,
    /// How long an app may take to answer.
    pub timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// Idle connections kept for each app, for half a minute. As many as there may be calls in flight: fewer make a
    /// burst open and close connections all the time.
    pub idle_max: usize,
    /// Whether durable endpoints may be at private addresses. Where an endpoint is comes with a request, from its Host
    /// header perhaps, and not from a registration.
    pub private_addresses: PrivateAddresses,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            signing_key: None,
            signing_key_fallback: None,
            timeout: Duration::from_secs(2 * 60 * 60),
            connect_timeout: Duration::from_secs(10),
            idle_max: 1_000,
            private_addresses: PrivateAddresses::Refuse,
        }
    }
}

/// Calls apps over HTTP.
#[derive(Debug, Clone)]
pub struct HttpInvoker {
    client: Client,
    signing_key: Option<Arc<SigningKey>>,
    signing_key_fallback: Option<Arc<SigningKey>>,
    /// For durable endpoints, which it keeps from addresses that they may not be at.
    pub(super) endpoints: Client,
    pub(super) guard: Guard,
}

impl HttpInvoker {
    /// An invoker with these options.
    ///
    /// # Errors
    /// The client's error when TLS cannot be set up.
    pub fn new(options: HttpOptions) -> Result<Self, reqwest::Error> {
        let tls = rustls::crypto::ring::default_provider();
        // Another part of the program may have chosen a provider already; that one is as good.
        drop(tls.install_default());
        let builder = || {
            Client::builder()
                .timeout(options.timeout)
                .connect_timeout(options.connect_timeout)
                .pool_max_idle_per_host(options.idle_max)
                .pool_idle_timeout(IDLE)
                .tcp_nodelay(true)
                .redirect(reqwest::redirect::Policy::none())
        };
        let client = builder().build()?;
        let guard = Guard::of(options.private_addresses);
        let endpoints = if guard.lets_all_through() {
            client.clone()
        } else {
            guard.watch(builder()).build()?
        };
        Ok(Self {
            client,
            signing_key: options.signing_key.map(Arc::new),
            signing_key_fallback: options.signing_key_fallback.map(Arc::new),
            endpoints,
            guard,
        })
    }

    /// The same with another guard.
    #[cfg(test)]
    pub(super) fn guarded_by(self, guard: Guard) -> Self {
        let client = guard
            .watch(Client::builder().redirect(reqwest::redirect::Policy::none()))
            .build();
        Self {
            endpoints: client.expect("the client can be set up"),
            guard,
            ..self
        }
    }

    /// The signature of a body now. Without a key there is none, but an SDK that does not verify it still looks for the
    /// header.
    fn signature(key: Option<&SigningKey>, body: &[u8]) -> String {
        let now_s = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        match key {
            Some(key) => key.sign(body, now_s),
            None => format!("t={now_s}&s="),
        }
    }

    async fn post(self, invocation: Invocation) -> Result<RawReply, CallError> {
        let mut body = invocation.request.to_json();
        let call_headers = headers_of(&invocation);
        if self.signing_key.is_some() {
            // What is signed is what is sent: receivers verify the bytes they got.
            body =
                canonical_json(&body).map_err(|error| CallError::Unreachable(error.to_string()))?;
        }
        let body = Bytes::from(body);
        let signed = self.signing_key.is_some().then(|| body.clone());
        let exchange = Exchange {
            method: Method::POST,
            url: call_url(&invocation)?,
            headers: call_headers,
            body,
        };
        let anywhere = Guard::of(PrivateAddresses::Allow);
        self.signed(exchange, signed.as_deref(), &self.client, anywhere)
            .await
    }

    /// Performs an exchange of which `part` is signed; once more with the fallback key when the app refuses the first.
    pub(super) async fn signed(
        &self,
        mut exchange: Exchange,
        part: Option<&[u8]>,
        client: &Client,
        guard: Guard,
    ) -> Result<RawReply, CallError> {
        let Some(part) = part else {
            return exchange.perform(client, guard).await;
        };
        let signature = Self::signature(self.signing_key.as_deref(), part);
        insert(&mut exchange.headers, headers::SIGNATURE, &signature);
        let Some(fallback) = self.signing_key_fallback.as_deref() else {
            return exchange.perform(client, guard).await;
        };
        let reply = exchange.clone().perform(client, guard).await?;
        // Nothing has been executed: SDKs verify first.
        if !matches!(reply.status, 401 | 403) {
            return Ok(reply);
        }
        let signature = Self::signature(Some(fallback), part);
        insert(&mut exchange.headers, headers::SIGNATURE, &signature);
        exchange.perform(client, guard).await
    }
}

/// A request to an app, and where the app sends it on to.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Exchange {
    /// Sends the request with a client that the guard watches, and follows redirects with all of it.
    pub(super) async fn perform(
        self,
        client: &Client,
        guard: Guard,
    ) -> Result<RawReply, CallError> {
        let mut url = self.url;
        let carries = !self.body.is_empty()
            || [Method::POST, Method::PUT, Method::PATCH].contains(&self.method);
        for _ in 0..=REDIRECTS_MAX {
            guard
                .check(&url)
                .map_err(|refused| CallError::Impossible(refused.to_string()))?;
            let mut request = client
                .request(self.method.clone(), url.clone())
                .headers(self.headers.clone());
            if carries {
                request = request.body(self.body.clone());
            }
            let response = request.send().await.map_err(|error| failure(&error))?;
            match redirect_target(&response, &url) {
                Some(target) => url = target,
                None => return read(response).await,
            }
        }
        Err(CallError::Unreachable(format!(
            "the app redirected more than {REDIRECTS_MAX} times"
        )))
    }
}

/// What a request that got no answer means.
fn failure(error: &reqwest::Error) -> CallError {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(refused) = inner.downcast_ref::<Refused>() {
            return CallError::Impossible(refused.to_string());
        }
        source = inner.source();
    }
    CallError::Unreachable(describe(error))
}

impl Invoker for HttpInvoker {
    fn call(&self, invocation: Invocation) -> BoxFuture<'static, Result<RawReply, CallError>> {
        let invoker = self.clone();
        Box::pin(async move {
            match invocation.endpoint.clone() {
                Some(event) => invoker.re_enter(&invocation, event.get()).await,
                None => invoker.post(invocation).await,
            }
        })
    }
}

/// The function's URL with the step that is called.
fn call_url(invocation: &Invocation) -> Result<Url, CallError> {
    let invalid =
        |error| CallError::Unreachable(format!("'{}' is not a URL: {error}", invocation.url));
    let mut url = Url::parse(&invocation.url).map_err(invalid)?;
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != "stepId" && key != "fnId")
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .append_pair("fnId", &invocation.slug)
        .append_pair("stepId", &invocation.request.ctx.step_id);
    Ok(url)
}

fn headers_of(invocation: &Invocation) -> HeaderMap {
    let ctx = &invocation.request.ctx;
    let mut call_headers = HeaderMap::new();
    call_headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    call_headers.insert(USER_AGENT, HeaderValue::from_static("Inngest"));
    for (name, value) in [
        (headers::RUN_ID, invocation.run.to_string()),
        (headers::REQUEST_ID, ctx.request_id.clone()),
        (headers::GENERATION_ID, ctx.generation_id.to_string()),
        (headers::JOB_ID, ctx.job_id.clone()),
        (
            headers::REQUEST_VERSION,
            invocation.request.version.to_string(),
        ),
        (headers::STEP_ID, ctx.step_id.clone()),
    ] {
        insert(&mut call_headers, name, &value);
    }
    for (name, value) in invocation.trace_headers() {
        insert(&mut call_headers, name, &value);
    }
    call_headers
}

/// Adds a header, unless its value cannot be one: a step id is whatever the SDK chose.
pub(super) fn insert(call_headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        call_headers.insert(HeaderName::from_static(name), value);
    }
}

fn redirect_target(response: &Response, url: &Url) -> Option<Url> {
    let redirects = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !redirects.contains(&response.status()) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let mut target = url.join(location).ok()?;
    if target.query().is_none() {
        target.set_query(url.query());
    }
    matches!(target.scheme(), "http" | "https").then_some(target)
}

async fn read(response: Response) -> Result<RawReply, CallError> {
    let status = response.status().as_u16();
    let reply_headers = ReplyHeaders::read(|name| response.headers().get(name)?.to_str().ok());
    let mut body =
        Vec::with_capacity(response.content_length().unwrap_or(0).min(64 * 1024) as usize);
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| CallError::Unreachable(describe_body(&error)))?;
        if body.len() + chunk.len() > limits::REPLY_BYTES_MAX {
            return Err(CallError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(RawReply {
        status,
        headers: reply_headers,
        body,
    })
}

/// The whole chain of an error, without its URL, which may hold secrets.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() && !error.is_connect() {
        return "the app did not answer in time".to_owned();
    }
    let mut parts = Vec::new();
    let mut source = error.source();
    while let Some(inner) = source {
        parts.push(inner.to_string());
        source = inner.source();
    }
    if parts.is_empty() {
        "the request failed".to_owned()
    } else {
        parts.join(": ")
    }
}

fn describe_body(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "the app did not finish its answer in time".to_owned();
    }
    format!(
        "Your server reset the connection while we were reading the reply: {}",
        describe(error)
    )
}
