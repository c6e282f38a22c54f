use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use studio233_media::{Frame, Info, reframe};

use super::pictures::{EachPicture, Operation};
use crate::FileError;
use crate::each::{Made, Opened};

/// `image-reframe`: brings pictures into a frame of a fixed size and writes PNG.
pub type ImageReframe = EachPicture<Reframe>;

/// Says which plugin it is.
#[derive(Debug, Clone, Copy)]
pub struct Reframe;

/// Its config.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    #[schemars(range(min = 1, max = 8192))]
    pub target_width: u32,
    #[schemars(range(min = 1, max = 8192))]
    pub target_height: u32,
    pub strategy: Strategy,
}

/// What happens to what stands out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// It is cut off evenly.
    #[default]
    Cover,
    /// Nothing stands out: transparent bars fill the frame.
    Contain,
    /// It is cut off where the least is to be seen.
    Attention,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            target_width: 1080,
            target_height: 1080,
            strategy: Strategy::Cover,
        }
    }
}

impl Operation for Reframe {
    type Config = Config;

    const ID: &'static str = "image-reframe";
    const SUFFIX: &'static str = "_reframed";

    fn pixels_made(config: &Config, _: &Info) -> u64 {
        u64::from(config.target_width) * u64::from(config.target_height)
    }

    fn make(config: &Config, opened: &Opened) -> Result<Made, FileError> {
        let frame = match config.strategy {
            Strategy::Cover => Frame::Cover,
            Strategy::Contain => Frame::Contain,
            Strategy::Attention => Frame::Attention,
        };
        let (width, height) = (config.target_width, config.target_height);
        Made::png(&reframe(&opened.decode()?, width, height, frame)?)
    }
}
