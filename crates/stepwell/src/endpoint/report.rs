//! What the server is told of a run that is executed here.

use crate::RunId;
use crate::client::{CheckpointError, Client};
use crate::execution::{Reported, Reports};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stepwell_protocol::op::Op;

/// Reports of one run. The first brings the request along, and the run into being.
pub(super) struct RunReports {
    client: Client,
    run: RunId,
    /// The request, as an event.
    event: Value,
    retries: u32,
    known: Mutex<Option<Known>>,
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
        })
    }

    /// What the server said of the run; `None` while it does not know of it.
    pub(super) fn known(&self) -> Option<Known> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn begin(&self, steps: &[Op]) -> Result<(), CheckpointError> {
        #[derive(Deserialize)]
        struct Answer {
            data: Known,
        }
        let url = format!("{}/v1/checkpoint", self.client.config().api_url);
        let body = json!({
            "run_id": self.run,
            "event": self.event,
            "steps": steps,
            "retries": self.retries,
            "request_version": crate::execution::REQUEST_VERSION,
            "ts": self.client.clock().now().unix_ms(),
        });
        let known = match self.client.report(&url, body.to_string().into()).await {
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
            Err(CheckpointError::Stale) => Known::default(),
            Err(error) => return Err(error),
        };
        *self.lock() = Some(known);
        Ok(())
    }

    async fn go_on(&self, known: &Known, steps: &[Op]) -> Result<(), CheckpointError> {
        let api = &self.client.config().api_url;
        let url = format!("{api}/v1/checkpoint/{}/steps", self.run);
        let body = json!({
            "run_id": self.run,
            "fn_id": known.fn_id,
            "app_id": known.app_id,
            "steps": steps,
            "ts": self.client.clock().now().unix_ms(),
        });
        let taken = self.client.report(&url, body.to_string().into()).await;
        taken.map(drop)
    }
}

impl Reports for RunReports {
    fn report(self: Arc<Self>, steps: Vec<Op>) -> Reported {
        Box::pin(async move {
            match self.known() {
                None => self.begin(&steps).await,
                Some(known) => self.go_on(&known, &steps).await,
            }
        })
    }
}
