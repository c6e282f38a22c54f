//! `POST /v2/runs/{run}/rerun`: a run is run again, whole or from a step on.

use super::SMALL_BODY_BYTES_MAX;
use super::second::{found, malformed, refusal, run_id, unreadable};
use crate::body::Body;
use crate::state::Shared;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use stepwell_protocol::SharedJson;
use stepwell_runtime::RepeatError;

#[derive(Deserialize, Default)]
struct Rerun {
    #[serde(default, rename = "fromStep", alias = "from_step")]
    from_step: Option<FromStep>,
}

#[derive(Deserialize)]
struct FromStep {
    #[serde(rename = "stepId", alias = "step_id")]
    step_id: String,
    #[serde(default)]
    input: Option<Box<RawValue>>,
}

pub(super) async fn rerun(
    State(shared): State<Shared>,
    Path(run): Path<String>,
    body: Body<SMALL_BODY_BYTES_MAX>,
) -> Response {
    let id = match run_id(&run) {
        Ok(id) => id,
        Err(refusal) => return refusal,
    };
    let rerun = if body.bytes.iter().all(u8::is_ascii_whitespace) {
        Rerun::default()
    } else {
        match stepwell_protocol::decode::from_slice::<Rerun>(&body.bytes) {
            Ok(rerun) => rerun,
            Err(error) => {
                let status = StatusCode::BAD_REQUEST;
                return refusal(status, "invalid_request", &error.to_string());
            }
        }
    };
    let from = rerun.from_step.map(|from| {
        let input = from.input.map(SharedJson::from);
        (from.step_id, input.filter(|input| input.get() != "null"))
    });
    if let Some((_, Some(input))) = &from
        && !input.get().starts_with('[')
    {
        let message = "fromStep.input: expected an array of the step's arguments";
        return malformed(message);
    }
    match shared.handle.repeat(id, from).await {
        Ok(run) => found(&shared, json!({"runId": run})),
        Err(error) => {
            let (status, code) = match &error {
                RepeatError::NoRun(_) | RepeatError::NoFunction(_) | RepeatError::NoEvent(_) => {
                    (StatusCode::NOT_FOUND, "not_found")
                }
                RepeatError::Cron(_) => (StatusCode::NOT_IMPLEMENTED, "not_implemented"),
                RepeatError::NoStep | RepeatError::Ambiguous => {
                    (StatusCode::BAD_REQUEST, "validation_error")
                }
                RepeatError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "internal_error"),
                RepeatError::Store(error) => return unreadable(error),
            };
            refusal(status, code, &error.to_string())
        }
    }
}
