//! `/v0/…`: a run's events and steps, for SDKs whose call left them out for their size; and what older clients use.

use super::SMALL_BODY_BYTES_MAX;
use super::rest::run_id;
use crate::answer::{ApiError, Failure};
use crate::body::Body;
use crate::state::Shared;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use stepwell_protocol::SharedJson;
use stepwell_protocol::call::MemoizedSteps;
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

/// Cancels a run, as older clients ask for it.
#[utoipa::path(delete, path = "/v0/runs/{run}", tag = "SDKs", params(("run" = String, Path)),
    responses(
        (status = 204), (status = 400, body = Failure), (status = 404, body = Failure),
        (status = 409, description = "It has ended already.", body = Failure)))]
pub(super) async fn cancel(
    State(shared): State<Shared>,
    Path(run): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = run_id(&run)?;
    if shared.handle.cancel_run(id).await?.is_ok() {
        return Ok(StatusCode::NO_CONTENT);
    }
    let known = shared.handle.read(move |reader| reader.run(id)).await?;
    Err(match known {
        Some(_) => ApiError::new(StatusCode::CONFLICT, "This function has already completed"),
        None => ApiError::new(
            StatusCode::NOT_FOUND,
            "A function run with the given ID could not be found",
        ),
    })
}

/// Takes what clients tell of their use, and forgets it.
#[utoipa::path(post, path = "/v0/telemetry", tag = "SDKs", request_body = serde_json::Value,
    responses((status = 200)))]
pub(super) async fn telemetry(_body: Body<SMALL_BODY_BYTES_MAX>) {}

/// The state of an unfinished run.
async fn run_state(shared: &Shared, run: &str) -> Result<RunState, ApiError> {
    let id = run_id(run)?;
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
