//! `POST /v1/realtime/token`: a token that opens topics, to be handed to a browser.

use crate::answer::{ApiError, Failure};
use crate::body::Body;
use crate::routes::{ACCOUNT, ENVIRONMENT};
use crate::state::Shared;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use stepwell_protocol::realtime::{NAME_BYTES_MAX, TOPICS_PER_TOKEN_MAX, Topic, TopicKind};
use stepwell_protocol::token::{Grant, RealtimeClaims, TOKEN_BYTES_MAX};
use utoipa::ToSchema;

/// The largest body: as many topics as a token may open, with long names, escaped.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// What a token is asked for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    Topics(Vec<Topic>),
    Publish {
        publish: bool,
        channel: Option<String>,
    },
}

/// A topic of a channel.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what a topic reads as")]
pub(super) struct AskedTopic {
    #[schema(min_length = 1)]
    channel: String,
    #[schema(min_length = 1)]
    name: String,
}

/// A token that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct RealtimeToken {
    jwt: String,
}

/// Makes a token that opens topics, to be handed to a browser; or, with `{"publish": true, "channel": …}`, one to publish
/// with.
#[utoipa::path(post, path = "/v1/realtime/token", tag = "Realtime", request_body = Vec<AskedTopic>,
    responses((status = 201, body = RealtimeToken), (status = 400, body = Failure)))]
pub(super) async fn create(
    State(shared): State<Shared>,
    body: Body<BODY_BYTES_MAX>,
) -> Result<(StatusCode, Json<RealtimeToken>), ApiError> {
    let grant = match serde_json::from_slice(&body.bytes) {
        Ok(Asked::Topics(topics)) => {
            check(&topics)?;
            Grant::Subscribe(topics)
        }
        Ok(Asked::Publish {
            publish: true,
            channel,
        }) => Grant::Publish { channel },
        Ok(Asked::Publish { publish: false, .. }) | Err(_) => {
            return Err(invalid("must provide a list of topics"));
        }
    };
    let claims = RealtimeClaims {
        id: shared.handle.new_event_id().to_string(),
        account: ACCOUNT,
        environment: ENVIRONMENT,
        now_s: shared.handle.now().ms() / 1_000,
    };
    let jwt = shared.tokens.for_realtime(&grant, claims);
    if jwt.len() > TOKEN_BYTES_MAX {
        return Err(invalid(
            "the names of all topics together are too long; ask for several tokens",
        ));
    }
    Ok((StatusCode::CREATED, Json(RealtimeToken { jwt })))
}

fn check(topics: &[Topic]) -> Result<(), ApiError> {
    if topics.is_empty() {
        return Err(invalid("must provide a list of topics"));
    }
    if topics.len() > TOPICS_PER_TOKEN_MAX {
        let count = topics.len();
        return Err(invalid(format!(
            "there are {count} topics; a token opens at most {TOPICS_PER_TOKEN_MAX}"
        )));
    }
    for (index, topic) in topics.iter().enumerate() {
        for (field, name) in [("channel", &topic.channel), ("name", &topic.name)] {
            if name.is_empty() {
                return Err(invalid(format!("topics[{index}].{field} is empty")));
            }
            if name.len() > NAME_BYTES_MAX {
                return Err(invalid(format!(
                    "topics[{index}].{field} has more than {NAME_BYTES_MAX} bytes"
                )));
            }
        }
        if topic.kind != TopicKind::Run {
            return Err(invalid(format!(
                "topics[{index}].kind: nothing is published to topics other than those of the kind \"run\""
            )));
        }
    }
    Ok(())
}

fn invalid(why: impl std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, format!("Invalid request: {why}"))
}
