//! `/v0/runs/…`: a run's events and steps, for SDKs whose call left them out for their size.

use crate::answer::{ApiError, Failure};
use crate::state::Shared;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use stepwell_protocol::call::MemoizedSteps;
use stepwell_protocol::{RunId, SharedJson};
use stepwell_runtime::memoised;
use stepwell_store::RunState;

/// The events of an unfinished run.
#[utoipa::path(get, path = "/v0/runs/{run}/batch", tag = "SDKs", params(("run" = String, Path)),
    responses(
        (status = 200, body = Vec<serde_json::Value>), (status = 400, body = Failure), (status = 410, body = Failure)))]
pub(super) async fn batch(
    State(shared): State<Shared>,
    Path(run): Path<String>,
) -> Result<Json<Vec<SharedJson>>, ApiError> {
    Ok(Json(run_state(&shared, &run).await?.events))
}

/// The recorded steps of an unfinished run, by their hashed ids.
#[utoipa::path(get, path = "/v0/runs/{run}/actions", tag = "SDKs", params(("run" = String, Path)),
    responses(
        (status = 200, body = std::collections::HashMap<String, serde_json::Value>), (status = 400, body = Failure),
        (status = 410, body = Failure)))]
pub(super) async fn actions(
    State(shared): State<Shared>,
    Path(run): Path<String>,
) -> Result<Json<MemoizedSteps>, ApiError> {
    let state = run_state(&shared, &run).await?;
    Ok(Json(MemoizedSteps(memoised(state.steps, state.inputs))))
}

/// The state of an unfinished run.
async fn run_state(shared: &Shared, run: &str) -> Result<RunState, ApiError> {
    let id: RunId = run
        .parse()
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "The run ID specified is invalid"))?;
    let state = shared
        .handle
        .read(move |reader| match reader.run(id)? {
            Some(record) if !record.status.has_ended() => reader.run_state(id),
            _ => Ok(None),
        })
        .await?;
    let gone = || {
        ApiError::new(
            StatusCode::GONE,
            format!("runtime state is no longer available for runID: {id}"),
        )
    };
    state.ok_or_else(gone)
}
