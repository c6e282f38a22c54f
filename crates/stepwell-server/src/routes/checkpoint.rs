//! `POST /v1/checkpoint/{run}/async`: a running function reports steps ahead of its answer.

use super::CHECKPOINT_BODY_BYTES_MAX;
use crate::answer::{ApiError, Failure};
use crate::body::Body;
use crate::state::Shared;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use stepwell_engine::{CheckpointError, ItemId};
use stepwell_protocol::RunId;
use stepwell_protocol::op::Op;
use stepwell_runtime::report_steps;

#[derive(Deserialize)]
struct Checkpoint {
    qi_id: String,
    #[serde(default)]
    generation_id: Option<u64>,
    #[serde(default)]
    steps: Vec<Op>,
}

/// Records steps that a running function reports ahead of its answer.
#[utoipa::path(post, path = "/v1/checkpoint/{run}/async", tag = "SDKs", params(("run" = String, Path)),
    request_body = serde_json::Value,
    responses(
        (status = 200), (status = 400, body = Failure),
        (status = 409, description = "Another call has its place.", body = Failure), (status = 413, body = Failure)))]
pub(super) async fn checkpoint(
    State(shared): State<Shared>,
    Path(run): Path<String>,
    body: Body<CHECKPOINT_BODY_BYTES_MAX>,
) -> Result<(), ApiError> {
    let bad = |message: String| ApiError::new(StatusCode::BAD_REQUEST, message);
    let run: RunId = run
        .parse()
        .map_err(|_| bad("The run ID specified is invalid".to_owned()))?;
    let checkpoint: Checkpoint = stepwell_protocol::decode::from_slice(&body.bytes)
        .map_err(|error| bad(format!("Invalid request: {error}")))?;
    let item = checkpoint
        .qi_id
        .parse()
        .map(ItemId)
        .map_err(|_| bad("qi_id is not one of this server's".to_owned()))?;
    let generation = checkpoint
        .generation_id
        .filter(|generation| *generation > 0);
    let steps = report_steps(checkpoint.steps);
    shared
        .handle
        .checkpoint(run, item, generation, steps)
        .await?
        .map_err(|error| {
            let status = match error {
                CheckpointError::NoRun | CheckpointError::Opcode(_) => StatusCode::BAD_REQUEST,
                CheckpointError::Stale => StatusCode::CONFLICT,
                CheckpointError::OutputTooLarge | CheckpointError::StateTooLarge => {
                    StatusCode::PAYLOAD_TOO_LARGE
                }
            };
            ApiError::new(status, error.to_string())
        })
}
