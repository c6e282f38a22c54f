use std::io::Cursor;

use image::codecs::gif::{GifDecoder, GifEncoder, Repeat};
use image::{AnimationDecoder, Frame, ImageDecoder, RgbaImage};

use crate::decode::{DecodeError, Limits, check_size, checked_format, decoder_limits, failed};
use crate::encode::EncodeError;
use crate::resize::{Fit, SizeError, resize};
use crate::{Format, Image};

/// Between 1 (best colours) and 30 (fastest).
const QUANTIZER_SPEED: i32 = 10;

/// Why an animation is not resized.
#[derive(Debug, thiserror::Error)]
pub enum AnimationError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Size(#[from] SizeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// A GIF and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Animation {
    pub bytes: Vec<u8>,
    pub width: u32,
    pub height: u32,
    pub frames: u32,
}

/// Resizes a GIF with all its frames, their delays and how often it repeats. One frame at a time is in memory.
pub fn resize_animation(
    bytes: &[u8],
    limits: &Limits,
    width: Option<u32>,
    height: Option<u32>,
    fit: Fit,
) -> Result<Animation, AnimationError> {
    let format = checked_format(bytes, limits)?;
    if format != Format::Gif {
        return Err(EncodeError::Format { format }.into());
    }
    let broken = |error| failed(format, bytes, error);
    let mut decoder = GifDecoder::new(Cursor::new(bytes)).map_err(broken)?;
    let (from_width, from_height) = decoder.dimensions();
    check_size(format, from_width, from_height, limits)?;
    decoder.set_limits(decoder_limits(limits)).map_err(broken)?;

    let mut made = Animation {
        bytes: Vec::new(),
        width: from_width,
        height: from_height,
        frames: 0,
    };
    let mut encoder = GifEncoder::new_with_speed(&mut made.bytes, QUANTIZER_SPEED);
    let mut pixels = 0;
    for frame in decoder.into_frames() {
        let frame = frame.map_err(broken)?;
        made.frames += 1;
        pixels += u64::from(from_width) * u64::from(from_height);
        if made.frames > limits.frames_max {
            let limit = limits.frames_max;
            return Err(DecodeError::TooManyFrames { format, limit }.into());
        }
        if pixels > limits.animation_pixels_max {
            let limit = limits.animation_pixels_max;
            return Err(DecodeError::AnimationTooLong { format, limit }.into());
        }
        let delay = frame.delay();
        let canvas = frame.into_buffer();
        let image = Image::from_rgba(canvas.width(), canvas.height(), canvas.into_raw())
            .expect("a frame has as many samples as its size says");
        let image = resize(&image, width, height, fit)?;
        (made.width, made.height) = (image.width(), image.height());
        let cannot_write = |source| EncodeError::Failed {
            format,
            width: image.width(),
            height: image.height(),
            source,
        };
        if made.frames == 1
            && let Some(repeat) = repeat(bytes)
        {
            encoder
                .set_repeat(repeat)
                .map_err(|error| cannot_write(error.into()))?;
        }
        let samples = RgbaImage::from_raw(image.width(), image.height(), image.samples().to_vec())
            .expect("an image has as many samples as its size says");
        encoder
            .encode_frame(Frame::from_parts(samples, 0, 0, delay))
            .map_err(|error| cannot_write(error.into()))?;
    }
    drop(encoder);
    if made.frames == 0 {
        return Err(DecodeError::Damaged {
            format,
            source: "it has no frames".into(),
        }
        .into());
    }
    Ok(made)
}

/// How often it repeats, by the extension that Netscape introduced. None: it plays once.
fn repeat(bytes: &[u8]) -> Option<Repeat> {
    const NAME: &[u8] = b"\x21\xff\x0bNETSCAPE2.0\x03\x01";
    let at = bytes
        .windows(NAME.len())
        .position(|window| window == NAME)?;
    match bytes.get(at + NAME.len()..)? {
        [0, 0, ..] => Some(Repeat::Infinite),
        [low, high, ..] => Some(Repeat::Finite(u16::from_le_bytes([*low, *high]))),
        _ => None,
    }
}
