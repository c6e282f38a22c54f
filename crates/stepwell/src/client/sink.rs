//! Where events go: a server's event API, or an engine in the same process.

use crate::config::Config;
use crate::event::EventError;
use crate::http_client::HttpClient;
use crate::moment::Clock;
use crate::{BoxError, BoxFuture};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::event::IdSeed;
use stepwell_protocol::{EventId, headers};

/// Attempts of one request.
pub(super) const ATTEMPTS_MAX: u32 = 5;
/// The wait after the first attempt; it doubles with each.
pub(super) const BACKOFF_BASE: Duration = Duration::from_millis(100);

/// Events to hand over together.
#[derive(Debug, Clone)]
pub struct EventBatch {
    /// The events as JSON, checked: at most 5,000, and 3 MiB together unless it is one.
    pub events: Vec<String>,
    /// Makes the events' ids: the same batch handed over again is received once.
    pub seed: IdSeed,
}

/// Takes events. When the future is ready with ids, the events are safe; with an error, they may or may not be.
pub trait EventSink: Send + Sync + 'static {
    /// Takes a batch; returns an id for each event, in order.
    fn send(&self, batch: EventBatch) -> BoxFuture<'_, Result<Vec<EventId>, SendError>>;
}

/// Events were not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// An event is not valid; none was sent.
    #[error(transparent)]
    Event(#[from] EventError),
    /// There is no event key, and this is not development mode; none was sent.
    #[error(
        "no event key is configured: set INNGEST_EVENT_KEY, or INNGEST_DEV=1 for a development server"
    )]
    NoEventKey,
    /// The configuration makes no request; none was sent.
    #[error("the request cannot be made: {reason}; check the event URL and the environment")]
    Request {
        /// What is wrong with it.
        reason: String,
    },
    /// A middleware refused; none was sent.
    #[error("a middleware refused the events")]
    Middleware(#[source] BoxError),
    /// The server refused.
    #[error("the server refused the events: {status} {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        reason: String,
        /// Ids of the events before the one that it refused.
        accepted: Vec<String>,
    },
    /// No answer came, after all attempts.
    #[error("no answer from {url} after {attempts} attempts: {reason}")]
    Unreachable {
        /// The event API's origin.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time.
        reason: String,
    },
    /// The server took the events and answered something else than ids.
    #[error("the server's answer is not understood: {reason}")]
    Answer {
        /// What is wrong with it.
        reason: String,
    },
}

/// A server's event API.
pub(super) struct HttpSink {
    http: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
    config: Config,
}

enum Attempt {
    Done(Result<Vec<EventId>, SendError>),
    Again(SendError),
}

impl HttpSink {
    pub(super) fn new(http: Arc<dyn HttpClient>, clock: Arc<dyn Clock>, config: Config) -> Self {
        Self {
            http,
            clock,
            config,
        }
    }

    async fn send_batch(&self, batch: EventBatch) -> Result<Vec<EventId>, SendError> {
        let key = self
            .config
            .event_key_for_path()
            .ok_or(SendError::NoEventKey)?;
        let url = format!("{}/e/{}", self.config.event_url, percent_encoded(key));
        let body = Bytes::from(format!("[{}]", batch.events.join(",")));
        let mut backoff = BACKOFF_BASE;
        for attempt in 1.. {
            let request = self.request(&url, &batch.seed, body.clone())?;
            match self.attempt(request, attempt).await {
                Attempt::Done(result) => return result,
                Attempt::Again(error) if attempt >= ATTEMPTS_MAX => return Err(error),
                Attempt::Again(error) => {
                    tracing::debug!(attempt, %error, "events were not taken, trying again");
                    let jitter = backoff.mul_f64(crate::random::fraction());
                    self.clock.delay(backoff + jitter).await;
                    backoff *= 2;
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    fn request(&self, url: &str, seed: &IdSeed, body: Bytes) -> Result<Request<Bytes>, SendError> {
        let unusable = |reason: String| SendError::Request { reason };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, crate::SDK)
            .header(headers::SDK, crate::SDK)
            .header(headers::EVENT_ID_SEED, seed.render());
        if let Some(environment) = &self.config.environment {
            request = request.header(headers::ENVIRONMENT, environment);
        }
        let request = request
            .body(body)
            .map_err(|error| unusable(error.to_string()))?;
        match request.uri().host() {
            Some(_) => Ok(request),
            None => Err(unusable("the event URL has no host".to_owned())),
        }
    }

    async fn attempt(&self, request: Request<Bytes>, attempt: u32) -> Attempt {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Answer {
            ids: Vec<String>,
            error: Option<String>,
        }
        let answer = match self.http.send(request).await {
            Ok(answer) => answer,
            Err(error) => {
                return Attempt::Again(SendError::Unreachable {
                    url: self.config.event_url.clone(),
                    attempts: attempt,
                    reason: error.reason,
                });
            }
        };
        let status = answer.status();
        let parsed = serde_json::from_slice::<Answer>(answer.body());
        if status.is_success() {
            let ids = parsed
                .map_err(|error| error.to_string())
                .and_then(|parsed| {
                    let ids: Result<Vec<EventId>, _> =
                        parsed.ids.iter().map(|id| id.parse()).collect();
                    ids.map_err(|error| format!("an id is not a ULID: {error}"))
                });
            return Attempt::Done(ids.map_err(|reason| SendError::Answer { reason }));
        }
        let parsed = parsed.unwrap_or_default();
        let reason = parsed
            .error
            .unwrap_or_else(|| meaning(status, answer.body()));
        let refused = SendError::Refused {
            status: status.as_u16(),
            reason,
            accepted: parsed.ids.into_iter().filter(|id| !id.is_empty()).collect(),
        };
        let passing = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
            );
        if passing {
            Attempt::Again(refused)
        } else {
            Attempt::Done(Err(refused))
        }
    }
}

impl EventSink for HttpSink {
    fn send(&self, batch: EventBatch) -> BoxFuture<'_, Result<Vec<EventId>, SendError>> {
        Box::pin(self.send_batch(batch))
    }
}

/// A text as one segment of a URL's path, or in its query: all but RFC 3986's unreserved characters is percent-encoded.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                segment.push(char::from(byte));
            }
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// What a status means when the body does not say.
fn meaning(status: StatusCode, body: &[u8]) -> String {
    let text = match status.as_u16() {
        400 => "cannot process event payload",
        401 => "event key not found",
        403 => "forbidden",
        404 => "event key not found",
        409 | 412 => "event transformation failed",
        413 => "event payload too large",
        500 => "internal server error",
        _ => return String::from_utf8_lossy(&body[..body.len().min(512)]).into_owned(),
    };
    text.to_owned()
}
