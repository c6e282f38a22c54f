//! The studio's own plugins, one file each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod background_removal;
mod format_conversion;
mod image_reframe;
mod image_resize;
mod image_upscale;
mod media_input;
mod media_output;
mod palette_extraction;
mod pictures;
mod python_script;

pub use background_removal::BackgroundRemoval;
pub use format_conversion::FormatConversion;
pub use image_reframe::ImageReframe;
pub use image_resize::ImageResize;
pub use image_upscale::ImageUpscale;
pub use media_input::MediaInput;
pub use media_output::MediaOutput;
pub use palette_extraction::PaletteExtraction;
pub use python_script::PythonScript;

use crate::MediaKind;
use studio233_media::Format;

/// The kinds that image operations take.
const IMAGES: &[MediaKind] = &[MediaKind::Image];

/// The version of all of them.
const VERSION: &str = "1.0.0";

/// Quality of lossy formats where a config says nothing.
fn default_quality() -> u8 {
    90
}

/// A format that images are written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TargetFormat {
    #[default]
    Png,
    Jpeg,
    Webp,
}

impl From<TargetFormat> for Format {
    fn from(format: TargetFormat) -> Self {
        match format {
            TargetFormat::Png => Self::Png,
            TargetFormat::Jpeg => Self::Jpeg,
            TargetFormat::Webp => Self::Webp,
        }
    }
}
