//! `POST /v0/connect/flush`: a worker brings a reply that it could not send over its connection.

use super::FRAME_BYTES_MAX;
use super::start::{Protobuf, authenticate, gateway, not_readable, protobuf};
use crate::answer::{ApiError, Failure};
use crate::body::Body;
use crate::state::Shared;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use stepwell_protocol::connect::{FlushResponse, Message, SdkResponse};
use tokio::time::Instant;

/// Takes the reply to a call that its worker could not send over its connection. Both sides speak protobuf.
#[utoipa::path(post, path = "/v0/connect/flush", tag = "Workers",
    request_body(content = Protobuf, content_type = "application/octet-stream"),
    responses(
        (status = 200, body = Protobuf, content_type = "application/octet-stream"), (status = 400, body = Failure),
        (status = 401, body = Failure), (status = 404, description = "This server takes no workers.", body = Failure)))]
pub(super) async fn flush(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, ApiError> {
    let gateway = gateway(&shared)?;
    authenticate(&shared.options, request.headers())?;
    let body = Body::<FRAME_BYTES_MAX>::read(request, &shared.room).await?;
    let reply = SdkResponse::decode(&*body.bytes).map_err(|_| not_readable())?;
    let bad = |message| ApiError::new(StatusCode::BAD_REQUEST, message);
    if !is_name(&reply.request_id) {
        return Err(bad("the reply does not say what it replies to"));
    }
    if serde_json::from_slice::<serde::de::IgnoredAny>(&reply.system_trace_ctx).is_err() {
        return Err(bad("the reply's system_trace_ctx is not JSON"));
    }
    let request_id = reply.request_id.clone();
    gateway.switchboard().reply(Box::new(reply), Instant::now());
    Ok(protobuf(&FlushResponse { request_id }))
}

/// Whether this can be the id of a call.
pub(super) fn is_name(request_id: &str) -> bool {
    (1..=128).contains(&request_id.len())
}
