use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::VERSION;
use crate::{About, Context, Executor, MediaFile, MediaKind, Object, Output, Plugin, PluginError};

/// `media-input`: where files come into a graph. Leaves out those that are too large and those that are too many.
#[derive(Debug, Clone, Copy)]
pub struct MediaInput;

/// Its config.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    #[schemars(range(min = 1, max = 100))]
    pub max_files: u32,
    /// Files whose size nobody said are let through; reading them has its own limit.
    #[schemars(range(min = 1, max = 500))]
    pub max_size_per_file_mb: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_files: 10,
            max_size_per_file_mb: 50,
        }
    }
}

#[async_trait]
impl Plugin for MediaInput {
    type Config = Config;

    fn about(&self) -> About {
        About {
            id: "media-input",
            version: VERSION,
            executor: Executor::Native,
            accepts: MediaKind::ALL,
        }
    }

    async fn run(
        &self,
        _: &Context,
        config: Config,
        mut files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        let received = files.len();
        let bytes_max = u64::from(config.max_size_per_file_mb) * 1024 * 1024;
        files.retain(|file| file.size <= bytes_max);
        let small_enough = files.len();
        files.truncate(config.max_files as usize);
        let mut metadata = Object::new();
        metadata.insert("received".to_owned(), json!(received));
        metadata.insert("accepted".to_owned(), json!(files.len()));
        metadata.insert("tooLarge".to_owned(), json!(received - small_enough));
        metadata.insert("tooMany".to_owned(), json!(small_enough - files.len()));
        Ok(Output { files, metadata })
    }
}
