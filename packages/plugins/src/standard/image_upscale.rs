use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use studio233_media::{Info, upscale};

use super::pictures;
use crate::each::{Job, Made, Opened};
use crate::{About, Context, FileError, MediaFile, Output, Plugin, PluginError, Services};

/// `image-upscale`: enlarges with Lanczos3 and writes PNG. What is as large already keeps its size.
#[derive(Debug, Clone)]
pub struct ImageUpscale {
    services: Services,
}

/// Its config.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    #[schemars(range(min = 1.0, max = 4.0))]
    pub scale: f64,
    /// The longest side that comes out, in pixels.
    #[schemars(range(min = 512, max = 4096))]
    pub max_dimension: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scale: 2.0,
            max_dimension: 2048,
        }
    }
}

impl ImageUpscale {
    pub fn new(services: &Services) -> Self {
        let services = services.clone();
        Self { services }
    }
}

#[async_trait]
impl Plugin for ImageUpscale {
    type Config = Config;

    fn about(&self) -> About {
        pictures::about("image-upscale")
    }

    async fn run(
        &self,
        context: &Context,
        config: Config,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        let job = Job {
            plugin: self.about().id,
            services: &self.services,
            context,
            suffix: "_upscaled",
        };
        pictures::transform(job, config, &files, pixels_made, make).await
    }
}

fn pixels_made(config: &Config, _: &Info) -> u64 {
    u64::from(config.max_dimension).pow(2)
}

fn make(config: &Config, opened: &Opened) -> Result<Made, FileError> {
    let image = opened.decode()?;
    let larger = upscale(&image, config.scale, config.max_dimension)?;
    let mut made = Made::png(&larger)?;
    let scale = f64::from(larger.width()) / f64::from(image.width());
    made.metadata.insert("scale".to_owned(), json!(scale));
    Ok(made)
}
