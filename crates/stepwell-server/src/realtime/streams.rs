//! Streams: bodies that are passed on to subscribers while they arrive.

use super::access;
use super::pieces::Pieces;
use super::publish::{Pairs, Target, check_name, invalid, string};
use crate::answer::{ApiError, Failure};
use crate::connections::Patience;
use crate::state::Shared;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::BodyExt;
use std::time::Duration;
use stepwell_protocol::realtime::{CHUNK_BYTES_MAX, Kind};
use tokio::time::Instant;

/// What one request may stream, in bytes. Nothing of it is kept.
const STREAM_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The largest part that is passed on at once.
const PIECE_BYTES_MAX: usize = 64 * 1024;
/// How long a stream may go on: as long as a call.
const STREAM_MAX: Duration = Duration::from_secs(2 * 60 * 60);
/// How long a stream may pause.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

/// Passes a body on to those who follow what the channel streams, as it is.
#[utoipa::path(post, path = "/v1/realtime/publish/tee", tag = "Realtime",
    params(("channel" = String, Query), ("token" = Option<String>, Query, description = "A token, unless it is a bearer's.")), request_body(content = String, content_type = "text/plain"),
    responses(
        (status = 200), (status = 400, content((Failure = "application/json"), (String = "text/plain"))),
        (status = 401, body = Failure)))]
pub(super) async fn tee(
    State(shared): State<Shared>,
    Query(pairs): Pairs,
    request: Request,
) -> Result<(), ApiError> {
    let target = Target::read(pairs)?;
    let (sent, channel) = (request.headers(), &target.channel);
    access::publisher(&shared, sent, target.token.as_deref(), channel)?;
    check_name("channel", channel)?;
    let mut pieces = Pieces::of_events(PIECE_BYTES_MAX);
    let mut parts = Parts::of(request);
    while let Some(part) = parts.next().await? {
        for piece in pieces.push(&part) {
            shared.hub.forward(channel, &piece);
        }
    }
    for piece in pieces.finish() {
        shared.hub.forward(channel, &piece);
    }
    Ok(())
}

/// Publishes a body as a stream of chunks.
pub(super) async fn publish(
    shared: &Shared,
    target: &Target,
    request: Request,
) -> Result<(), ApiError> {
    let stream = Stream::begin(shared, target);
    let mut pieces = Pieces::of_text(CHUNK_BYTES_MAX);
    let mut parts = Parts::of(request);
    while let Some(part) = parts.next().await? {
        pieces
            .push(&part)
            .iter()
            .for_each(|piece| stream.send(piece));
    }
    pieces.finish().iter().for_each(|piece| stream.send(piece));
    Ok(())
}

/// A stream that subscribers have been told of. However it ends, they are told that it has.
struct Stream<'a> {
    shared: &'a Shared,
    target: &'a Target,
    id: String,
}

impl<'a> Stream<'a> {
    fn begin(shared: &'a Shared, target: &'a Target) -> Self {
        let id = shared.handle.new_event_id().to_string();
        let now = shared.handle.now();
        target.send(shared, Kind::DatastreamStart, &string(&id), now);
        Self { shared, target, id }
    }

    fn send(&self, piece: &Bytes) {
        let text = string(&String::from_utf8_lossy(piece));
        self.target.send_chunk(self.shared, &self.id, &text);
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        let now = self.shared.handle.now();
        let end = string(&self.id);
        self.target
            .send(self.shared, Kind::DatastreamEnd, &end, now);
    }
}

/// The parts of a body, as they arrive.
struct Parts {
    body: Body,
    bytes: usize,
    until: Instant,
}

impl Parts {
    /// Of a request by someone who may publish.
    fn of(request: Request) -> Self {
        if let Some(patience) = request.extensions().get::<Patience>() {
            patience.grant();
        }
        Self {
            body: request.into_body(),
            bytes: 0,
            until: Instant::now() + STREAM_MAX,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let patience = self.until.min(Instant::now() + PAUSE_MAX);
            let frame = tokio::time::timeout_at(patience, self.body.frame()).await;
            let frame = frame.map_err(|_| {
                let message = format!(
                    "the stream paused for {} s, or went on for {} s",
                    PAUSE_MAX.as_secs(),
                    STREAM_MAX.as_secs()
                );
                ApiError::new(StatusCode::REQUEST_TIMEOUT, message)
            })?;
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| invalid(format!("the stream broke off: {error}")))?;
            // Anything but data is trailers, which nobody needs.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.bytes += data.len();
            if self.bytes > STREAM_BYTES_MAX {
                return Err(invalid(format!(
                    "a stream has at most {STREAM_BYTES_MAX} bytes"
                )));
            }
            return Ok(Some(data));
        }
    }
}
