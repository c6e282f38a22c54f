use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use studio233_media::{Color, Encoding, Fit, Format, Info, resize, resize_animation, resized_size};

use super::default_quality;
use super::pictures::{EachPicture, Operation};
use crate::each::{Made, Opened};
use crate::{FileError, Object};

/// `image-resize`: makes pictures larger or smaller. A GIF keeps its frames while its format is kept.
pub type ImageResize = EachPicture<Resize>;

/// Says which plugin it is.
#[derive(Debug, Clone, Copy)]
pub struct Resize;

/// Its config.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// In pixels; absent, it follows from the height.
    #[schemars(range(min = 1, max = 16383))]
    pub width: Option<u32>,
    /// In pixels; absent, it follows from the width.
    #[schemars(range(min = 1, max = 16383))]
    pub height: Option<u32>,
    pub fit_mode: FitMode,
    pub output_format: OutputFormat,
    /// Of JPEG and WebP.
    #[schemars(range(min = 1, max = 100))]
    pub quality: u8,
}

/// How a picture meets the size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FitMode {
    /// As large as fits.
    #[default]
    Contain,
    /// Exactly the size, cut evenly.
    Cover,
    /// Exactly the size, distorted.
    Stretch,
    /// As large as fits, but never larger than it was.
    ScaleDown,
}

/// What is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// What it was.
    #[default]
    Original,
    /// Without loss.
    Png,
    /// Without alpha: white shines through.
    Jpeg,
    /// With alpha.
    Webp,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: None,
            height: None,
            fit_mode: FitMode::Contain,
            output_format: OutputFormat::Original,
            quality: default_quality(),
        }
    }
}

impl Operation for Resize {
    type Config = Config;

    const ID: &'static str = "image-resize";
    const SUFFIX: &'static str = "_resized";

    fn pixels_made(config: &Config, info: &Info) -> u64 {
        let fit = fit(config.fit_mode);
        let made = resized_size(info.width, info.height, config.width, config.height, fit);
        made.map_or(0, |(width, height)| u64::from(width) * u64::from(height))
    }

    fn make(config: &Config, opened: &Opened) -> Result<Made, FileError> {
        let fit = fit(config.fit_mode);
        let format = match config.output_format {
            OutputFormat::Original => opened.info.format,
            OutputFormat::Png => Format::Png,
            OutputFormat::Jpeg => Format::Jpeg,
            OutputFormat::Webp => Format::Webp,
        };
        let (width, height) = (config.width, config.height);
        if format == Format::Gif {
            let made = resize_animation(&opened.bytes, &opened.limits, width, height, fit)?;
            return Ok(Made {
                bytes: made.bytes,
                format,
                width: made.width,
                height: made.height,
                metadata: Object::new(),
            });
        }
        let encoding = Encoding {
            format,
            quality: config.quality,
            background: Color::WHITE,
        };
        Made::encoded(&resize(&opened.decode()?, width, height, fit)?, &encoding)
    }
}

fn fit(mode: FitMode) -> Fit {
    match mode {
        FitMode::Contain => Fit::Contain,
        FitMode::Cover => Fit::Cover,
        FitMode::Stretch => Fit::Stretch,
        FitMode::ScaleDown => Fit::ScaleDown,
    }
}
