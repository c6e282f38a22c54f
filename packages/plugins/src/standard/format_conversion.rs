use schemars::JsonSchema;
use serde::Deserialize;
use studio233_media::{Color, Encoding, Info};

use super::pictures::{EachPicture, Operation};
use super::{TargetFormat, default_quality};
use crate::each::{Made, Opened};
use crate::{ConfigProblem, FileError};

/// `format-conversion`: writes pictures in another format; of an animation its first frame.
pub type FormatConversion = EachPicture<Convert>;

/// Says which plugin it is.
#[derive(Debug, Clone, Copy)]
pub struct Convert;

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

impl Operation for Convert {
    type Config = Config;

    const ID: &'static str = "format-conversion";
    const SUFFIX: &'static str = "";

    fn check(config: &Config) -> Vec<ConfigProblem> {
        match config.background.parse::<Color>() {
            Ok(_) => Vec::new(),
            Err(error) => vec![ConfigProblem::new("background", error.to_string())],
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
}
