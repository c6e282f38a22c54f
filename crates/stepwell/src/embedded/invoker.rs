//! Calls functions of this process.

use crate::BoxFuture;
use crate::app::Runner;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use stepwell_protocol::call::CallRequest;
use stepwell_protocol::reply::RawReply;
use stepwell_runtime::{CallError, Handle, Invocation, Invoker};
use tokio::sync::SetOnce;

/// Apps by the URL under which they are registered.
pub(crate) struct Direct {
    runners: Arc<HashMap<String, Runner>>,
    engine: Arc<SetOnce<Handle>>,
}

impl fmt::Debug for Direct {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Direct")
            .field("runners", &self.runners)
            .finish_non_exhaustive()
    }
}

impl Direct {
    /// `engine` is there once it has started: functions may be called a moment earlier.
    pub(crate) fn new(runners: Arc<HashMap<String, Runner>>, engine: Arc<SetOnce<Handle>>) -> Self {
        Self { runners, engine }
    }
}

impl Invoker for Direct {
    fn call(&self, invocation: Invocation) -> BoxFuture<'static, Result<RawReply, CallError>> {
        let app = invocation.url.split('?').next().unwrap_or_default();
        let runner = self.runners.get(app).cloned();
        let engine = Arc::clone(&self.engine);
        Box::pin(async move {
            let Some(runner) = runner else {
                let url = &invocation.url;
                return Err(CallError::Unreachable(format!(
                    "no app of this process is registered as {url}"
                )));
            };
            let mut request = invocation.request;
            if request.use_api || request.ctx.use_api {
                complete(&mut request, engine.wait().await).await?;
            }
            Ok(runner.call(&invocation.slug, request).await)
        })
    }
}

/// Reads what was left out of a large call.
async fn complete(request: &mut CallRequest, engine: &Handle) -> Result<(), CallError> {
    let run = request.ctx.run_id;
    match engine.read(move |reader| reader.run_state(run)).await {
        Ok(Some(mut state)) => {
            // More may have been recorded since this call was decided; it is told what was known then.
            state.steps.truncate(request.ctx.stack.stack.len());
            request.steps.0 = state.steps;
            request.events = state.events;
            Ok(())
        }
        Ok(None) => Err(CallError::Unreachable(format!("run {run} is not there"))),
        Err(error) => {
            tracing::error!(%run, %error, "cannot read what a call carries; it is made again");
            Err(CallError::NotMade)
        }
    }
}
