//! `POST /v1/realtime/publish`: a message for the subscribers of topics.

use super::{access, herald, streams};
use crate::answer::{ApiError, Failure};
use crate::body::Body;
use crate::routes::ENVIRONMENT;
use crate::state::Shared;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde_json::value::RawValue;
use stepwell_engine::Timestamp;
use stepwell_protocol::realtime::{
    Kind, MESSAGE_BYTES_MAX, Message, NAME_BYTES_MAX, RUN_TOPIC, STEP_TOPIC,
};
use stepwell_protocol::{SharedJson, shared_json};

/// Topics that one message may go to.
const TOPICS_MAX: usize = 100;
/// What a publisher may say about its message, in bytes.
const METADATA_BYTES_MAX: usize = 16 * 1024;

/// The query of a request to publish, in which `topic` may come several times.
pub(super) type Pairs = Query<Vec<(String, String)>>;

/// Where a message goes, and what is said about it.
#[derive(Debug, Default)]
pub(super) struct Target {
    pub(super) channel: String,
    topics: Vec<String>,
    run: Option<String>,
    metadata: Option<SharedJson>,
    pub(super) token: Option<String>,
}

/// Publishes the body to topics: JSON, else a text; with `Content-Type: text/stream` as a stream of chunks.
#[utoipa::path(post, path = "/v1/realtime/publish", tag = "Realtime",
    params(
        ("channel" = Option<String>, Query, description = "The run's, if none is named."),
        ("topic" = Vec<String>, Query), ("run_id" = Option<String>, Query), ("metadata" = Option<String>, Query), ("token" = Option<String>, Query, description = "A token, unless it is a bearer's.")),
    request_body = Value,
    responses(
        (status = 200), (status = 400, content((Failure = "application/json"), (String = "text/plain"))),
        (status = 401, body = Failure)))]
pub(super) async fn publish(
    State(shared): State<Shared>,
    Query(pairs): Pairs,
    request: Request,
) -> Result<(), ApiError> {
    let target = Target::read(pairs)?;
    access::publisher(
        &shared,
        request.headers(),
        target.token.as_deref(),
        &target.channel,
    )?;
    target.check()?;
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    if kind.split(';').next().unwrap_or("").trim() == "text/stream" {
        return streams::publish(&shared, &target, request).await;
    }
    let body = Body::<MESSAGE_BYTES_MAX>::read(request, &shared.room)
        .await
        .map_err(|error| match error.status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                invalid(format!("a message has at most {MESSAGE_BYTES_MAX} bytes"))
            }
            _ => error,
        })?;
    let text = String::from_utf8(body.bytes.to_vec())
        .map_err(|_| invalid("the body is not text (UTF-8)"))?;
    target.send(&shared, Kind::Data, &data_of(text), shared.handle.now());
    Ok(())
}

impl Target {
    /// Reads a query; other parameters do not matter.
    pub(super) fn read(pairs: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut target = Self::default();
        for (name, value) in pairs {
            match &*name {
                "channel" => target.channel = value,
                "topic" => target.topics.push(value),
                "run_id" => target.run = Some(value).filter(|run| !run.is_empty()),
                "metadata" if !value.is_empty() => target.metadata = Some(metadata(value)?),
                "token" => target.token = Some(value),
                _ => {}
            }
        }
        if target.channel.is_empty() {
            // Who names a run alone means its channel.
            target.channel = target.run.clone().unwrap_or_default();
        }
        Ok(target)
    }

    fn check(&self) -> Result<(), ApiError> {
        check_name("channel", &self.channel)?;
        check_name("topic", self.topics.first().map_or("", String::as_str))?;
        if self.topics.len() > TOPICS_MAX {
            return Err(invalid(format!(
                "a message goes to at most {TOPICS_MAX} topics"
            )));
        }
        for topic in &self.topics {
            check_name("topic", topic)?;
            if [RUN_TOPIC, STEP_TOPIC].contains(&&**topic) {
                return Err(invalid(format!(
                    "only the server publishes to the topic {topic}"
                )));
            }
        }
        check_length("run_id", self.run.as_deref().unwrap_or(""))
    }

    /// Sends a message to each topic.
    pub(super) fn send(&self, shared: &Shared, kind: Kind, data: &RawValue, at: Timestamp) {
        for topic in &self.topics {
            shared.hub.publish(&Message {
                kind,
                data,
                metadata: self.metadata.as_deref(),
                created_at: Some(herald::moment(at)),
                channel: &self.channel,
                env_id: ENVIRONMENT,
                topic,
                stream_id: None,
                run_id: self.run.as_deref(),
            });
        }
    }

    /// Sends a part of a stream to each topic.
    pub(super) fn send_chunk(&self, shared: &Shared, stream: &str, data: &RawValue) {
        for topic in &self.topics {
            shared.hub.publish(&Message {
                kind: Kind::Chunk,
                data,
                metadata: None,
                created_at: None,
                channel: &self.channel,
                env_id: "",
                topic,
                stream_id: Some(stream),
                run_id: self.run.as_deref(),
            });
        }
    }
}

fn metadata(text: String) -> Result<SharedJson, ApiError> {
    if text.len() > METADATA_BYTES_MAX {
        return Err(invalid(format!(
            "metadata has more than {METADATA_BYTES_MAX} bytes"
        )));
    }
    shared_json(text).map_err(|error| invalid(format!("metadata is not JSON: {error}")))
}

/// A message's data: JSON if it is that, else the text as a JSON string.
pub(super) fn data_of(text: String) -> SharedJson {
    if serde_json::from_str::<&RawValue>(&text).is_ok() {
        shared_json(text).expect("it was just read as JSON")
    } else {
        string(&text)
    }
}

pub(super) fn string(text: &str) -> SharedJson {
    let text = serde_json::Value::from(text).to_string();
    shared_json(text).expect("a string is JSON")
}

/// Checks that a channel or topic is named, with a name that can be subscribed to.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), ApiError> {
    if name.is_empty() {
        return Err(invalid(format!("{what} is missing")));
    }
    check_length(what, name)
}

fn check_length(what: &str, name: &str) -> Result<(), ApiError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(invalid(format!(
            "{what} has more than {NAME_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

pub(super) fn invalid(why: impl std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, format!("Invalid request: {why}"))
}
