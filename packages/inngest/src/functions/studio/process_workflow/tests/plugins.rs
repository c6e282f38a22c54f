//! Plugins that do what tests need.

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use studio233_db::{Database, WorkflowRunId};
use studio233_plugins::{
    About, Context, Executor, MediaFile, MediaKind, Output, Plugin, PluginError, ServiceError,
};
use tokio::sync::Notify;

/// It has nothing to say.
#[derive(Deserialize, JsonSchema)]
struct Config {}

/// Takes anything, and does with a run and its files what its function does.
struct Doing<F> {
    id: &'static str,
    does: F,
}

fn doing<F, D>(id: &'static str, does: F) -> impl Plugin
where
    F: Fn(WorkflowRunId, Vec<MediaFile>) -> D + Send + Sync + 'static,
    D: Future<Output = Result<Output, PluginError>> + Send + 'static,
{
    let does = move |run, files| does(run, files).boxed();
    Doing { id, does }
}

#[async_trait]
impl<F> Plugin for Doing<F>
where
    F: Fn(WorkflowRunId, Vec<MediaFile>) -> BoxFuture<'static, Result<Output, PluginError>>
        + Send
        + Sync
        + 'static,
{
    type Config = Config;

    fn about(&self) -> About {
        About {
            id: self.id,
            version: "1.0.0",
            executor: Executor::Native,
            accepts: MediaKind::ALL,
        }
    }

    async fn run(
        &self,
        context: &Context,
        _: Config,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        (self.does)(WorkflowRunId::new(&context.run_id), files).await
    }
}

fn passed_on(files: Vec<MediaFile>) -> Output {
    let metadata = Default::default();
    Output { files, metadata }
}

/// Cancels the run while it is at work.
pub(super) fn cancelling(database: Database) -> impl Plugin {
    doing("cancelling", move |run, _| {
        let database = database.clone();
        async move {
            let _ = database.cancel_run(&run, 7).await.unwrap();
            Ok(Output::default())
        }
    })
}

/// Fails some times before it works.
pub(super) fn faltering(failures: u32, wait: Option<Duration>) -> impl Plugin {
    let failures = AtomicU32::new(failures);
    doing("faltering", move |_, files| {
        let left = failures.load(Ordering::SeqCst);
        failures.store(left.saturating_sub(1), Ordering::SeqCst);
        let mut source = ServiceError::transient("the service is away");
        source.retry_after = wait;
        std::future::ready(match left {
            0 => Ok(passed_on(files)),
            _ => Err(PluginError::Service {
                plugin: "faltering",
                source,
            }),
        })
    })
}

/// Ends once it is released.
pub(super) fn waiting(released: Arc<Notify>) -> impl Plugin {
    doing("waiting", move |_, files| {
        let released = Arc::clone(&released);
        async move {
            released.notified().await;
            Ok(passed_on(files))
        }
    })
}

/// Releases the other.
pub(super) fn releasing(other: Arc<Notify>) -> impl Plugin {
    doing("releasing", move |_, files| {
        other.notify_one();
        std::future::ready(Ok(passed_on(files)))
    })
}
