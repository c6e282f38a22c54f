use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use studio233_media::{Color, Encoding, Info};

use super::pictures;
use super::{TargetFormat, default_quality};
use crate::each::{Job, Made, Opened};
use crate::{
    About, ConfigProblem, Context, FileError, MediaFile, Output, Plugin, PluginError, Services,
};

/// `format-conversion`: writes pictures in another format; of an animation its first frame.
#[derive(Debug, Clone)]
pub struct FormatConversion {
    services: Services,
}

/// Its config.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    pub target_format: TargetFormat,
    /// Of JPEG and WebP.
    #[schemars(range(min = 1, max = 100))]
    pub quality: u8,
    /// What shines through where a JPEG cannot be transparent, as `#rrggbb`.
    #[schemars(regex(pattern = r"^#[0-9a-fA-F]{6}$"))]
    pub background: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            target_format: TargetFormat::Png,
            quality: default_quality(),
            background: Color::WHITE.to_string(),
        }
    }
}

impl FormatConversion {
    pub fn new(services: &Services) -> Self {
        let services = services.clone();
        Self { services }
    }
}

#[async_trait]
impl Plugin for FormatConversion {
    type Config = Config;

    fn about(&self) -> About {
        pictures::about("format-conversion")
    }

    fn check(&self, config: &Config) -> Vec<ConfigProblem> {
        match config.background.parse::<Color>() {
            Ok(_) => Vec::new(),
            Err(error) => vec![ConfigProblem::new("background", error.to_string())],
        }
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
            suffix: "",
        };
        pictures::transform(job, config, &files, pixels_made, make).await
    }
}

fn pixels_made(_: &Config, _: &Info) -> u64 {
    0
}

fn make(config: &Config, opened: &Opened) -> Result<Made, FileError> {
    let encoding = Encoding {
        format: config.target_format.into(),
        quality: config.quality,
        // It was checked.
        background: config.background.parse().unwrap_or(Color::WHITE),
    };
    Made::encoded(&opened.decode()?, &encoding)
}
