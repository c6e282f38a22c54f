//! Plugins that do what tests need.

use async_trait::async_trait;
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

/// Takes anything, and needs no config.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Nothing {}

fn about(id: &'static str) -> About {
    About {
        id,
        version: "1.0.0",
        executor: Executor::Native,
        accepts: MediaKind::ALL,
    }
}

/// Cancels the run while it is at work.
pub(super) struct Cancelling(pub(super) Database);

#[async_trait]
impl Plugin for Cancelling {
    type Config = Nothing;

    fn about(&self) -> About {
        about("cancelling")
    }

    async fn run(
        &self,
        context: &Context,
        _: Nothing,
        _: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        let run = WorkflowRunId::new(&context.run_id);
        let _ = self.0.cancel_run(&run, 7).await.unwrap();
        Ok(Output::default())
    }
}

/// Fails some times before it works.
pub(super) struct Faltering {
    failures: AtomicU32,
    wait: Option<Duration>,
}

impl Faltering {
    pub(super) fn new(failures: u32, wait: Option<Duration>) -> Self {
        let failures = AtomicU32::new(failures);
        Self { failures, wait }
    }
}

#[async_trait]
impl Plugin for Faltering {
    type Config = Nothing;

    fn about(&self) -> About {
        about("faltering")
    }

    async fn run(
        &self,
        _: &Context,
        _: Nothing,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        let left = self.failures.load(Ordering::SeqCst);
        if left == 0 {
            let metadata = Default::default();
            return Ok(Output { files, metadata });
        }
        self.failures.store(left - 1, Ordering::SeqCst);
        let mut source = ServiceError::transient("the service is away");
        source.retry_after = self.wait;
        Err(PluginError::Service {
            plugin: "faltering",
            source,
        })
    }
}

/// Ends once it is released.
pub(super) struct Waiting(pub(super) Arc<Notify>);

#[async_trait]
impl Plugin for Waiting {
    type Config = Nothing;

    fn about(&self) -> About {
        about("waiting")
    }

    async fn run(
        &self,
        _: &Context,
        _: Nothing,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        self.0.notified().await;
        let metadata = Default::default();
        Ok(Output { files, metadata })
    }
}

/// Releases the other.
pub(super) struct Releasing(pub(super) Arc<Notify>);

#[async_trait]
impl Plugin for Releasing {
    type Config = Nothing;

    fn about(&self) -> About {
        about("releasing")
    }

    async fn run(
        &self,
        _: &Context,
        _: Nothing,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        self.0.notify_one();
        let metadata = Default::default();
        Ok(Output { files, metadata })
    }
}
