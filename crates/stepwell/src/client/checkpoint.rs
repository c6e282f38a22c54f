//! Reporting steps ahead of a call's answer.

use super::Client;
use super::sink::{ATTEMPTS_MAX, BACKOFF_BASE};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::json;
use stepwell_protocol::op::Op;
use stepwell_protocol::{FunctionId, RunId};

/// Which call reports.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    pub(crate) run: RunId,
    pub(crate) function: FunctionId,
    pub(crate) item: String,
    pub(crate) request: String,
    pub(crate) generation: u64,
    pub(crate) started_ms: i64,
}

/// Steps were not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CheckpointError {
    /// The call is no longer the one that runs the function.
    Stale,
    /// They can only go along with the answer.
    Failed(String),
}

impl Client {
    /// Reports steps, as often as it takes within reason: they are recorded once.
    pub(crate) async fn checkpoint(
        &self,
        call: &Checkpoint,
        steps: &[Op],
    ) -> Result<(), CheckpointError> {
        if let Some(local) = &self.0.local {
            return local.checkpoint(call, steps.to_vec()).await;
        }
        let url = format!("{}/v1/checkpoint/{}/async", self.config().api_url, call.run);
        let body = json!({
            "run_id": call.run,
            "fn_id": call.function,
            "qi_id": call.item,
            "request_id": call.request,
            "generation_id": call.generation,
            "request_started_at": call.started_ms,
            "ts": self.clock().now().unix_ms(),
            "steps": steps,
        });
        let (reported, _) = self.report(&url, body.to_string().into()).await;
        reported.map(drop)
    }

    /// Posts a report, as often as it takes within reason; says, too, how often it did.
    pub(crate) async fn report(
        &self,
        url: &str,
        body: Bytes,
    ) -> (Result<Response<Bytes>, CheckpointError>, u32) {
        let mut backoff = BACKOFF_BASE;
        for attempt in 1.. {
            let answer = self.call_api(Method::POST, url, &[], body.clone()).await;
            let problem = match answer {
                Ok(answer) if answer.status().is_success() => return (Ok(answer), attempt),
                Ok(answer) if answer.status() == StatusCode::CONFLICT => {
                    return (Err(CheckpointError::Stale), attempt);
                }
                Ok(answer) => {
                    let passing = answer.status().is_server_error()
                        || answer.status() == StatusCode::TOO_MANY_REQUESTS;
                    let refused = super::api_refused(url, &answer).to_string();
                    if !passing {
                        return (Err(CheckpointError::Failed(refused)), attempt);
                    }
                    refused
                }
                Err(error) => error.to_string(),
            };
            if attempt >= ATTEMPTS_MAX {
                return (Err(CheckpointError::Failed(problem)), attempt);
            }
            let jitter = backoff.mul_f64(crate::random::fraction());
            self.clock().delay(backoff + jitter).await;
            backoff *= 2;
        }
        unreachable!("the last attempt returns")
    }
}
