//! What the routes of the second API share: its envelopes.

use super::rest::moment;
use crate::state::Shared;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use stepwell_protocol::RunId;
use stepwell_store::StoreError;

/// A success: `{"data", "metadata": {"fetchedAt", "cachedUntil": null}}`.
pub(super) fn found(shared: &Shared, data: Value) -> Response {
    Json(json!({
        "data": data,
        "metadata": {"fetchedAt": moment(shared.handle.now()), "cachedUntil": Value::Null},
    }))
    .into_response()
}

/// A refusal: `{"errors": [{"code", "message"}]}`.
pub(super) fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({"errors": [{"code": code, "message": message}]});
    (status, Json(body)).into_response()
}

/// The refusal of a field that does not read.
pub(super) fn malformed(message: &str) -> Response {
    refusal(StatusCode::BAD_REQUEST, "invalid_field_format", message)
}

/// The refusal when the store cannot be read. Why is for the log, not for whoever asked.
pub(super) fn unreadable(error: &StoreError) -> Response {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "cannot read the store"
    );
    let message = "the server could not read its store; see its log";
    refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
}

/// A run's id, or the refusal of one that is none.
#[expect(
    clippy::result_large_err,
    reason = "a refusal is made once a request, and sent"
)]
pub(super) fn run_id(text: &str) -> Result<RunId, Response> {
    text.parse()
        .map_err(|_| malformed("The run ID specified is invalid"))
}
