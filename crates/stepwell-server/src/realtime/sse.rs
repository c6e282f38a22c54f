//! `GET /v1/realtime/sse`: a subscription over server-sent events (HTML, 9.2).

use super::access;
use super::hub::Subscription;
use super::mailbox::{Cut, Delivery};
use crate::answer::{ApiError, Failure};
use crate::state::Shared;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures::Stream;
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::Instant;

/// How often a connection on which nothing happens shows that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a connection is kept; whoever wants more asks again.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How long what a run has streamed may still arrive after the run's end.
const STRAGGLERS: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
pub(super) struct TokenQuery {
    pub(super) token: Option<String>,
}

/// A subscription over server-sent events.
#[utoipa::path(get, path = "/v1/realtime/sse", tag = "Realtime", params(("token" = Option<String>, Query, description = "A token, unless it is a bearer's.")),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = 400, body = String, content_type = "text/plain"), (status = 401, body = Failure)))]
pub(super) async fn follow(
    State(shared): State<Shared>,
    Query(query): Query<TokenQuery>,
    sent: HeaderMap,
) -> Result<Response, ApiError> {
    let topics = access::subscriber(&shared, &sent, query.token.as_deref())?;
    let subscription = shared.hub.subscribe(topics)?;
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache"),
        // Proxies that gather answers would gather for ever.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    let body = Body::from_stream(events(subscription));
    Ok((headers, body).into_response())
}

/// A connection's end of a subscription.
struct Line {
    subscription: Subscription,
    until: Instant,
    greeted: bool,
    /// Whether what was written last may be the beginning of an event whose end is still to come.
    within_event: bool,
}

/// What is written to a connection: events, until the subscription ends.
fn events(subscription: Subscription) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let line = Line {
        subscription,
        until: Instant::now() + LIFETIME,
        greeted: false,
        within_event: false,
    };
    futures::stream::unfold(Some(line), async |line| {
        let mut line = line?;
        match line.next().await {
            Ok(bytes) => Some((Ok(bytes), Some(line))),
            Err(last) => Some((Ok(last?), None)),
        }
    })
}

impl Line {
    /// What is to be written next or, at the end, last.
    async fn next(&mut self) -> Result<Bytes, Option<Bytes>> {
        if !self.greeted {
            // Clients take the first byte for the sign that they are connected.
            self.greeted = true;
            return Ok(Bytes::from_static(b":\n\n"));
        }
        loop {
            let keep_alive = Instant::now() + KEEP_ALIVE;
            let mailbox = self.subscription.mailbox();
            let next = tokio::time::timeout_at(self.until.min(keep_alive), mailbox.next()).await;
            match next {
                Ok(Ok(Delivery::Message(text))) => return Ok(self.event(&text)),
                Ok(Ok(Delivery::Raw(bytes))) if bytes.is_empty() => {}
                Ok(Ok(Delivery::Raw(bytes))) => {
                    self.within_event = !bytes.ends_with(b"\n\n");
                    return Ok(bytes);
                }
                Ok(Ok(Delivery::StreamEnded)) => {
                    if self.subscription.follows_one_stream() {
                        self.until = self.until.min(Instant::now() + STRAGGLERS);
                    }
                }
                Ok(Err(cut)) => return Err(Some(self.farewell(cut))),
                Err(_) if Instant::now() >= self.until => return Err(None),
                Err(_) if self.within_event => {}
                Err(_) => return Ok(Bytes::from_static(b":\n\n")),
            }
        }
    }

    fn event(&mut self, text: &str) -> Bytes {
        let mut event = BytesMut::with_capacity(text.len() + 10);
        if std::mem::take(&mut self.within_event) {
            event.put_slice(b"\n\n");
        }
        event.put_slice(b"data: ");
        event.put_slice(text.as_bytes());
        event.put_slice(b"\n\n");
        event.freeze()
    }

    fn farewell(&self, cut: Cut) -> Bytes {
        let before = if self.within_event { "\n\n" } else { "" };
        format!("{before}: {}\n\n", cut.reason()).into()
    }
}

#[cfg(test)]
mod tests;
