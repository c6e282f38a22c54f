use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use studio233_media::Info;

use super::{IMAGES, VERSION};
use crate::each::{Job, Made, Opened};
use crate::{
    About, ConfigProblem, Context, Executor, FileError, MediaFile, Object, Output, Plugin,
    PluginError, Services,
};

/// A plugin that makes one picture of each picture: what is its own about it.
pub(crate) trait Transform: Send + Sync + 'static {
    /// As a plugin's.
    type Config: DeserializeOwned + JsonSchema + Send + Sync + 'static;

    /// What nodes call it.
    const ID: &'static str;

    /// What its outputs' names end with, before the extension.
    const SUFFIX: &'static str;

    fn services(&self) -> &Services;

    /// What the schema cannot say against a config.
    fn problems(_: &Self::Config) -> Vec<ConfigProblem> {
        Vec::new()
    }

    /// How many pixels come to those that are decoded. What cannot be made is refused when its turn comes, before it takes
    /// memory: it counts as none.
    fn pixels_made(config: &Self::Config, info: &Info) -> u64;

    /// Makes the picture, on a thread for computing.
    fn make(config: &Self::Config, opened: &Opened) -> Result<Made, FileError>;
}

#[async_trait]
impl<T: Transform> Plugin for T {
    type Config = T::Config;

    fn about(&self) -> About {
        of_images(T::ID)
    }

    fn check(&self, config: &T::Config) -> Vec<ConfigProblem> {
        T::problems(config)
    }

    async fn run(
        &self,
        context: &Context,
        config: T::Config,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        let job = Job {
            plugin: T::ID,
            services: self.services(),
            context,
            suffix: T::SUFFIX,
        };
        let config = Arc::new(config);
        let makes = {
            let config = Arc::clone(&config);
            move |info: &Info| T::pixels_made(&config, info)
        };
        let work = move |opened: Opened| T::make(&config, &opened);
        let files = job.transform(&files, makes, work).await?;
        Ok(Output {
            files,
            metadata: Object::new(),
        })
    }
}

/// A plugin of the studio's own that takes pictures.
pub(super) fn of_images(id: &'static str) -> About {
    About {
        id,
        version: VERSION,
        executor: Executor::Native,
        accepts: IMAGES,
    }
}
