//! What the server is told of a run that is executed here.

use super::fresh::failure;
use crate::client::{CheckpointError, Client};
use crate::execution::{Reported, Reports};
use crate::{Error, RunId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use stepwell_protocol::limits;
use stepwell_protocol::op::Op;

/// Reports of one run. The first brings the request along, and the run into being.
pub(super) struct RunReports {
    client: Client,
    run: RunId,
    /// The request, as an event.
    event: Value,
    retries: u32,
    known: Mutex<Option<Known>>,
    too_large: OnceLock<Error>,
}

/// What the server said of the run.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Known {
    #[serde(default)]
    fn_id: String,
    #[serde(default)]
    app_id: String,
    /// Opens the run's end.
    #[serde(default)]
    pub(super) token: Option<String>,
}

impl RunReports {
    pub(super) fn new(client: Client, run: RunId, event: Value, retries: u32) -> Arc<Self> {
        Arc::new(Self {
            client,
            run,
            event,
            retries,
            known: Mutex::new(None),
            too_large: OnceLock::new(),
        })
    }

    /// What the server said of the run; `None` while it does not know of it.
    pub(super) fn known(&self) -> Option<Known> {
        self.lock().clone()
    }

    /// Why the run has failed, when it has since no server would take what was to be reported.
    pub(super) fn too_large(&self) -> Option<&Error> {
        self.too_large.get()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn begin(&self, body: String) -> Result<(), CheckpointError> {
        #[derive(Deserialize)]
        struct Answer {
            data: Known,
        }
        let url = format!("{}/v1/checkpoint", self.client.config().api_url);
        let (reported, attempts) = self.client.report(&url, body.into()).await;
        let known = match reported {
            Ok(answer) => {
                let answer = stepwell_protocol::decode::from_slice::<Answer>(answer.body());
                answer
                    .map_err(|error| {
                        let what = format!("the answer of {url} is not understood: {error}");
                        CheckpointError::Failed(what)
                    })?
                    .data
            }
            // Nobody else knows the id: an earlier attempt was taken, and its answer lost.
            Err(CheckpointError::Stale) if attempts > 1 => Known::default(),
            Err(CheckpointError::Stale) => {
                let what = format!("{url} refuses a run that is new: 409 Conflict");
                return Err(CheckpointError::Failed(what));
            }
            Err(error) => return Err(error),
        };
        *self.lock() = Some(known);
        Ok(())
    }

    async fn go_on(&self, body: String) -> Result<(), CheckpointError> {
        let api = &self.client.config().api_url;
        let url = format!("{api}/v1/checkpoint/{}/steps", self.run);
        let (reported, _) = self.client.report(&url, body.into()).await;
        reported.map(drop)
    }

    fn body(&self, known: Option<&Known>, steps: &[Op]) -> String {
        let now_ms = self.client.clock().now().unix_ms();
        let body = match known {
            None => json!({
                "run_id": self.run,
                "event": self.event,
                "steps": steps,
                "retries": self.retries,
                "request_version": crate::execution::REQUEST_VERSION,
                "ts": now_ms,
            }),
            Some(known) => json!({
                "run_id": self.run,
                "fn_id": known.fn_id,
                "app_id": known.app_id,
                "steps": steps,
                "ts": now_ms,
            }),
        };
        body.to_string()
    }
}

impl Reports for RunReports {
    fn report(self: Arc<Self>, steps: Vec<Op>) -> Reported {
        Box::pin(async move {
            if let Some(error) = self.too_large() {
                return Err(CheckpointError::Failed(error.to_string()));
            }
            let known = self.known();
            let mut body = self.body(known.as_ref(), &steps);
            let error = too_large(body.len());
            if let Some(error) = &error {
                // Executing it again would not make it smaller.
                body = self.body(known.as_ref(), &[failure(error, true)]);
            }
            match known {
                None => self.begin(body).await?,
                Some(_) => self.go_on(body).await?,
            }
            error.map_or(Ok(()), |error| {
                let what = error.to_string();
                let _ = self.too_large.set(error);
                Err(CheckpointError::Failed(what))
            })
        })
    }
}

fn too_large(size: usize) -> Option<Error> {
    let max = limits::CHECKPOINT_BYTES_MAX;
    (size > max).then(|| {
        let message = format!(
            "request, steps and results come to {size} bytes in one report; at most {max} are taken: store the data elsewhere and pass a reference on"
        );
        Error::new("ReportTooLarge", message).non_retriable()
    })
}
