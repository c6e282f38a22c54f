//! What the plugins have in common that take pictures.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::sync::Arc;
use studio233_media::Info;

use super::{IMAGES, VERSION};
use crate::each::{Job, Made, Opened};
use crate::{
    About, ConfigProblem, Context, Executor, FileError, MediaFile, Object, Output, Plugin,
    PluginError, Services,
};

/// A plugin of the studio's own that takes pictures.
pub(super) fn about(id: &'static str) -> About {
    About {
        id,
        version: VERSION,
        executor: Executor::Native,
        accepts: IMAGES,
    }
}

/// What is made of a picture, whatever the others are.
pub trait Operation: Send + Sync + 'static {
    type Config: DeserializeOwned + JsonSchema + Send + Sync + 'static;

    /// What nodes call it.
    const ID: &'static str;

    /// What the names of its outputs end with, before the extension.
    const SUFFIX: &'static str;

    /// What the schema cannot say against a config.
    fn check(_config: &Self::Config) -> Vec<ConfigProblem> {
        Vec::new()
    }

    /// How many pixels come to those that are decoded. What cannot be made is refused when its turn comes, before it takes memory,
    /// and counts as none.
    fn pixels_made(config: &Self::Config, info: &Info) -> u64;

    fn make(config: &Self::Config, opened: &Opened) -> Result<Made, FileError>;
}

/// The plugin that makes one picture of each.
#[derive(Debug, Clone)]
pub struct EachPicture<O> {
    services: Services,
    operation: PhantomData<O>,
}

impl<O> EachPicture<O> {
    /// With where pictures come from and where what is made of them is kept.
    pub fn new(services: &Services) -> Self {
        Self {
            services: services.clone(),
            operation: PhantomData,
        }
    }
}

#[async_trait]
impl<O: Operation> Plugin for EachPicture<O> {
    type Config = O::Config;

    fn about(&self) -> About {
        about(O::ID)
    }

    fn check(&self, config: &Self::Config) -> Vec<ConfigProblem> {
        O::check(config)
    }

    async fn run(
        &self,
        context: &Context,
        config: Self::Config,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        let job = Job {
            plugin: O::ID,
            services: &self.services,
            context,
            suffix: O::SUFFIX,
        };
        let config = Arc::new(config);
        let configured = Arc::clone(&config);
        let makes = move |info: &Info| O::pixels_made(&configured, info);
        let work = move |opened: Opened| O::make(&config, &opened);
        let files = job.transform(&files, makes, work).await?;
        Ok(Output {
            files,
            metadata: Object::new(),
        })
    }
}
