//! `POST /e/{key}`: events come in.

use super::EVENTS_BODY_BYTES_MAX;
use crate::answer::{ApiError, Failure};
use crate::body::Body;
use crate::state::Shared;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use stepwell_engine::NewEvent;
use stepwell_protocol::event::{IdSeed, SendAnswer};
use stepwell_protocol::{headers, limits};

/// One event, or up to 5,000.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what read takes")]
pub(super) enum OneOrMany {
    One(Event),
    Many(Vec<Event>),
}

/// An event to send.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what the protocol takes")]
pub(super) struct Event {
    /// What happened.
    #[schema(min_length = 1)]
    name: String,
    #[schema(value_type = Option<Object>)]
    data: Option<Box<RawValue>>,
    /// By which one that comes twice is known, for 24 hours.
    id: Option<String>,
    /// When it happened, in milliseconds since the Unix epoch.
    ts: Option<i64>,
    v: Option<String>,
}

/// The internal ids of the events that were taken in, and what is wrong with the next one.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes SendAnswer")]
pub(super) struct Sent {
    ids: Vec<String>,
    status: u16,
    error: Option<String>,
}

pub(super) async fn no_key() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "Event key is required")
}

/// Takes in one event or a list.
///
/// What comes before the first bad event is taken in; an answer comes only after
/// it is durable.
#[utoipa::path(post, path = "/e/{key}", tag = "Events",
    params(("key" = String, Path, description = "An event key; any, when the server wants none.")),
    request_body = OneOrMany,
    responses(
        (status = 200, body = Sent), (status = 400, body = Sent), (status = 401, body = Failure),
        (status = 503, body = Failure)))]
pub(super) async fn send(
    State(shared): State<Shared>,
    Path(key): Path<String>,
    request: Request,
) -> Response {
    if let Err(error) = shared.options.event_keys.check(&key) {
        return error.into_response();
    }
    let request_headers = request.headers().clone();
    // Read only for those who may send, and held against the room until its events are recorded.
    let body = match Body::<EVENTS_BODY_BYTES_MAX>::read(request, &shared.room).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    if body.bytes.iter().all(u8::is_ascii_whitespace) {
        return answer(StatusCode::OK, vec![String::new()], None);
    }
    let seed = request_headers
        .get(headers::EVENT_ID_SEED)
        .and_then(|value| value.to_str().ok())
        .and_then(IdSeed::parse);
    let Batch { events, error } = read(&shared, &body.bytes, seed);
    let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
    if let Err(unavailable) = shared.handle.receive_events(events).await {
        return ApiError::from(unavailable).into_response();
    }
    match error {
        None => answer(StatusCode::OK, ids, None),
        Some(error) => answer(StatusCode::BAD_REQUEST, ids, Some(error)),
    }
}

fn answer(status: StatusCode, ids: Vec<String>, error: Option<String>) -> Response {
    (
        status,
        Json(SendAnswer {
            ids,
            status: status.as_u16(),
            error,
        }),
    )
        .into_response()
}

/// The good events at the front of a body, and what is wrong with the one after them.
struct Batch {
    events: Vec<NewEvent>,
    error: Option<String>,
}

fn read(shared: &Shared, body: &[u8], seed: Option<IdSeed>) -> Batch {
    const SHAPE: &str = "Request body must contain an event object or an array of event objects";
    let refused = |error: String| Batch {
        events: Vec::new(),
        error: Some(error),
    };
    let Ok(text) = std::str::from_utf8(body) else {
        return refused(SHAPE.to_owned());
    };
    let (texts, mut error) = match text.trim_start().as_bytes().first() {
        Some(b'{') => (vec![text], None),
        Some(b'[') => split(text),
        _ => return refused(SHAPE.to_owned()),
    };
    if texts.len() > limits::EVENTS_PER_REQUEST_MAX {
        // All or nothing: the sender cannot have meant half of it.
        return refused(format!(
            "Cannot have more than {} events in a batch",
            limits::EVENTS_PER_REQUEST_MAX
        ));
    }
    let mut events = Vec::with_capacity(texts.len());
    for (index, text) in texts.into_iter().enumerate() {
        match shared.handle.accept_event(text, index, seed.as_ref()) {
            Ok(event) => events.push(event),
            Err(refusal) => {
                error = Some(refusal.to_string());
                break;
            }
        }
    }
    Batch { events, error }
}

/// The elements of a JSON array up to the first that is no JSON, and what is wrong there. Stops one past the
/// most that may come.
fn split(text: &str) -> (Vec<&str>, Option<String>) {
    struct Elements<'v, 'de>(&'v mut Vec<&'de str>);
    impl<'de> Visitor<'de> for Elements<'_, 'de> {
        type Value = ();
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an array of events")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
            while self.0.len() <= limits::EVENTS_PER_REQUEST_MAX {
                match elements.next_element::<&'de RawValue>()? {
                    Some(element) => self.0.push(element.get()),
                    None => return Ok(()),
                }
            }
            Ok(())
        }
    }
    let mut texts = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let result = deserializer.deserialize_seq(Elements(&mut texts));
    let too_many = texts.len() > limits::EVENTS_PER_REQUEST_MAX;
    let error = result
        .and_then(|()| deserializer.end())
        .err()
        .filter(|_| !too_many);
    (
        texts,
        error.map(|error| format!("the body is not a JSON array of events: {error}")),
    )
}
