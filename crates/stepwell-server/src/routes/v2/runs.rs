//! Runs: lists, one, cancelling one.

use super::super::query::Params;
use super::run_list::{RunListParams, Wanted, output_bytes};
use super::run_row::{Names, Run};
use super::{Answer, Envelope, Errors, Refusal, found, run_id};
use crate::state::Shared;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use stepwell_engine::RunStatus;
use stepwell_protocol::RunId;
use utoipa::ToSchema;

/// Runs, newest first.
#[utoipa::path(get, path = "/runs", tag = "Runs", params(RunListParams),
    responses((status = 200, body = Envelope<Vec<Run>>), (status = 400, body = Errors)))]
pub(super) async fn list(State(shared): State<Shared>, params: Params) -> Answer<Vec<Run>> {
    Wanted::of(&params)?.page(&shared, None).await
}

/// A run.
#[utoipa::path(get, path = "/runs/{run}", tag = "Runs",
    params(("run" = String, Path), ("includeOutput" = Option<bool>, Query)),
    responses((status = 200, body = Envelope<Run>), (status = 400, body = Errors), (status = 404, body = Errors)))]
pub(super) async fn get(
    State(shared): State<Shared>,
    Path(run): Path<String>,
    params: Params,
) -> Answer<Run> {
    let id = run_id(&run)?;
    let with_output = output_bytes(&params)?.is_some();
    let read = shared.handle.read(move |reader| {
        let Some(mut run) = reader.run(id)? else {
            return Ok(None);
        };
        run.output.take_if(|_| !with_output);
        let names = Names::read(reader, std::slice::from_ref(&run))?;
        Ok(Some(Run::of(&run, &names)))
    });
    let run = read.await?.ok_or_else(|| no_run(id))?;
    Ok(found(&shared, run))
}

/// A run by its id.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunReference {
    pub(super) run_id: String,
}

/// Cancels a run and gives up its calls.
#[utoipa::path(post, path = "/runs/{run}/cancel", tag = "Runs", params(("run" = String, Path)),
    responses(
        (status = 200, body = Envelope<RunReference>), (status = 400, body = Errors), (status = 404, body = Errors),
        (status = 409, description = "It has ended already.", body = Errors)))]
pub(super) async fn cancel(
    State(shared): State<Shared>,
    Path(run): Path<String>,
) -> Answer<RunReference> {
    let id = run_id(&run)?;
    if shared.handle.cancel_run(id).await?.is_ok() {
        return Ok(found(
            &shared,
            RunReference {
                run_id: id.to_string(),
            },
        ));
    }
    let run = shared.handle.read(move |reader| reader.run(id)).await?;
    let run = run.ok_or_else(|| no_run(id))?;
    let (code, message) = match run.status {
        RunStatus::Cancelled => (
            "run_already_cancelled",
            format!("run {id} was cancelled before"),
        ),
        status => ("run_already_ended", format!("run {id} has ended: {status}")),
    };
    Err(Refusal::new(StatusCode::CONFLICT, code, message))
}

pub(super) fn no_run(id: RunId) -> Refusal {
    Refusal::not_found(format!("there is no run {id}"))
}
