use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use studio233_media::{Info, upscale};

use super::pictures::{EachPicture, Operation};
use crate::FileError;
use crate::each::{Made, Opened};

/// `image-upscale`: enlarges with Lanczos3 and writes PNG. What is as large already keeps its size.
pub type ImageUpscale = EachPicture<Upscale>;

/// Says which plugin it is.
#[derive(Debug, Clone, Copy)]
pub struct Upscale;

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

impl Operation for Upscale {
    type Config = Config;

    const ID: &'static str = "image-upscale";
    const SUFFIX: &'static str = "_upscaled";

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
}
