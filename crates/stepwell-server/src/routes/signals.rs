//! `POST /v1/signals`: a signal for whoever waits for it.

use super::SMALL_BODY_BYTES_MAX;
use crate::answer::{ApiError, Found};
use crate::body::Body;
use crate::state::Shared;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use stepwell_protocol::{SharedJson, shared_json};

#[derive(Deserialize)]
struct Signal {
    signal: String,
    #[serde(default)]
    data: Option<Box<RawValue>>,
}

pub(super) async fn send(
    State(shared): State<Shared>,
    body: Body<SMALL_BODY_BYTES_MAX>,
) -> Result<Found<Value>, ApiError> {
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
        Some(run) => Ok(Found(json!({"run_id": run}), shared.handle.now().ms())),
        None => Err(ApiError::new(StatusCode::NOT_FOUND, "No signal found")),
    }
}
