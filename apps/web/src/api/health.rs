//! Health: is the process there, and can it take events.

use super::Shared;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

pub(crate) async fn health() -> Json<Value> {
    Json(json!({
        "status": "ok",
        "service": "studio233",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
    }))
}

pub(crate) async fn ready(State(shared): State<Shared>) -> (StatusCode, Json<Value>) {
    let stopping = shared.stopping.is_cancelled();
    let (status, reason) = match (stopping, shared.engine.failure()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, Some("stopping".to_owned())),
        (false, Some(reason)) => (StatusCode::SERVICE_UNAVAILABLE, Some(reason)),
        (false, None) => (StatusCode::OK, None),
    };
    let answer = json!({
        "ready": status == StatusCode::OK,
        "reason": reason,
        "runsUnfinished": shared.engine.runs_unfinished(),
        "callsInFlight": shared.engine.calls_in_flight(),
    });
    (status, Json(answer))
}
