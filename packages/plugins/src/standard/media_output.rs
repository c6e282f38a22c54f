use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::VERSION;
use crate::{About, Context, Executor, MediaFile, MediaKind, Object, Output, Plugin, PluginError};

/// `media-output`: where files leave a graph, as they are.
#[derive(Debug, Clone, Copy)]
pub struct MediaOutput;

/// Nothing can be set.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Config {}

#[async_trait]
impl Plugin for MediaOutput {
    type Config = Config;

    fn about(&self) -> About {
        About {
            id: "media-output",
            version: VERSION,
            executor: Executor::Native,
            accepts: MediaKind::ALL,
        }
    }

    async fn run(
        &self,
        _: &Context,
        _: Config,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        let mut metadata = Object::new();
        metadata.insert("files".to_owned(), json!(files.len()));
        Ok(Output { files, metadata })
    }
}
