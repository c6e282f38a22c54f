//! `POST /v1/signals`: a signal for whoever waits for it.

use super::SMALL_BODY_BYTES_MAX;
use crate::answer::{ApiError, Failure, Found, Success};
use crate::body::Body;
use crate::state::Shared;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepwell_protocol::{SharedJson, shared_json};
use utoipa::ToSchema;

/// A signal.
#[derive(Deserialize, ToSchema)]
pub(super) struct Signal {
    /// Its name.
    #[schema(min_length = 1)]
    signal: String,
    /// What whoever waits for it gets.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<Box<RawValue>>,
}

/// The run that a signal resumed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Resumed {
    run_id: String,
}

/// Sends a signal to whoever waits for it.
#[utoipa::path(post, path = "/v1/signals", tag = "Signals", request_body = Signal,
    responses(
        (status = 200, body = Success<Resumed>), (status = 400, body = Failure),
        (status = 404, description = "Nobody waits for it.", body = Failure)))]
pub(super) async fn send(
    State(shared): State<Shared>,
    body: Body<SMALL_BODY_BYTES_MAX>,
) -> Result<Found<Resumed>, ApiError> {
    let bad = |why: &str| {
        let mut error = ApiError::new(StatusCode::BAD_REQUEST, "Invalid signal data");
        error.details.push(why.to_owned());
        error
    };
    let signal: Signal = stepwell_protocol::decode::from_slice(&body.bytes)
        .map_err(|error| bad(&error.to_string()))?;
    if signal.signal.is_empty() {
        return Err(bad("signal: expected a name"));
    }
    let data = match signal.data {
        Some(data) => SharedJson::from(data),
        None => shared_json("null".to_owned()).expect("null is JSON"),
    };
    match shared.handle.signal(signal.signal, data).await? {
        Some(run) => {
            let run_id = run.to_string();
            Ok(Found(Resumed { run_id }, shared.handle.now().ms()))
        }
        None => Err(ApiError::new(StatusCode::NOT_FOUND, "No signal found")),
    }
}
