//! `POST /v2/runs/{run}/rerun`: a run is run again, whole or from a step on.

use super::super::SMALL_BODY_BYTES_MAX;
use super::runs::RunReference;
use super::{Answer, Envelope, Errors, Refusal, found, run_id};
use crate::answer::ApiError;
use crate::body::Body;
use crate::state::Shared;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use stepwell_protocol::SharedJson;
use stepwell_runtime::RepeatError;
use utoipa::ToSchema;

/// How to run a run again.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rerun {
    #[serde(default, alias = "from_step")]
    from_step: Option<FromStep>,
}

/// The step to begin from.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct FromStep {
    /// Its name, or its hashed id.
    #[serde(alias = "step_id")]
    step_id: String,
    /// What it gets instead of its own arguments.
    #[serde(default)]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    input: Option<Box<RawValue>>,
}

/// Runs a run again, whole or from a step on.
#[utoipa::path(post, path = "/runs/{run}/rerun", tag = "Runs", params(("run" = String, Path)),
    request_body(content = Option<Rerun>),
    responses(
        (status = 200, body = Envelope<RunReference>), (status = 400, body = Errors), (status = 404, body = Errors),
        (status = 501, description = "A schedule started it.", body = Errors)))]
pub(super) async fn rerun(
    State(shared): State<Shared>,
    Path(run): Path<String>,
    body: Result<Body<SMALL_BODY_BYTES_MAX>, ApiError>,
) -> Answer<RunReference> {
    let id = run_id(&run)?;
    let body = body?;
    let rerun = if body.bytes.iter().all(u8::is_ascii_whitespace) {
        Rerun::default()
    } else {
        stepwell_protocol::decode::from_slice::<Option<Rerun>>(&body.bytes)
            .map_err(|error| Refusal::invalid(error.to_string()))?
            .unwrap_or_default()
    };
    let from = rerun.from_step.map(|from| {
        let input = from.input.map(SharedJson::from);
        (from.step_id, input.filter(|input| input.get() != "null"))
    });
    if let Some((_, Some(input))) = &from
        && !input.get().starts_with('[')
    {
        let message = "fromStep.input: expected an array of the step's arguments";
        return Err(Refusal::malformed(message));
    }
    let run = shared.handle.repeat(id, from).await?;
    let run_id = run.to_string();
    Ok(found(&shared, RunReference { run_id }))
}

impl From<RepeatError> for Refusal {
    fn from(error: RepeatError) -> Self {
        let (status, code) = match error {
            RepeatError::NoRun(_) | RepeatError::NoFunction(_) | RepeatError::NoEvent(_) => {
                (StatusCode::NOT_FOUND, "not_found")
            }
            RepeatError::Cron(_) => (StatusCode::NOT_IMPLEMENTED, "not_implemented"),
            RepeatError::NoStep | RepeatError::Ambiguous => {
                (StatusCode::BAD_REQUEST, "validation_error")
            }
            RepeatError::Unavailable(error) => return error.into(),
            RepeatError::Store(error) => return error.into(),
        };
        Self::new(status, code, error.to_string())
    }
}
