use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use jpeg_encoder::{ColorType, SamplingFactor};

use crate::{Color, Format, Image};

/// From this quality on a JPEG keeps its colours at full resolution; below, at half, as cameras do.
const FULL_COLOR_QUALITY: u8 = 95;

const WEBP_SIDE_MAX: u32 = 16_383;

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// GIF is not written here.
    pub format: Format,
    /// 1 to 100, for JPEG and WebP; values outside count as the nearest. PNG loses nothing.
    pub quality: u8,
    /// What shines through where there is alpha and the format has none.
    pub background: Color,
}

/// Why an image is not encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    #[error("images are not written as {format}")]
    Format { format: Format },
    #[error("{width} × {height} pixels do not fit a {format}; a side has at most {limit}")]
    SideTooLong {
        format: Format,
        width: u32,
        height: u32,
        limit: u32,
    },
    #[error("cannot write a {format} of {width} × {height} pixels")]
    Failed {
        format: Format,
        width: u32,
        height: u32,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Encodes an image, without metadata.
///
/// JPEG is baseline; WebP is lossy; PNG is packed for speed (a tenth of the time for about the same size with photos).
pub fn encode(image: &Image, encoding: &Encoding) -> Result<Vec<u8>, EncodeError> {
    let quality = encoding.quality.clamp(1, 100);
    match encoding.format {
        Format::Png => png(image),
        Format::Jpeg => jpeg(image, quality, encoding.background),
        Format::Webp => webp(image, quality),
        Format::Gif => Err(EncodeError::Format {
            format: Format::Gif,
        }),
    }
}

fn png(image: &Image) -> Result<Vec<u8>, EncodeError> {
    let color = if image.has_alpha() {
        ExtendedColorType::Rgba8
    } else {
        ExtendedColorType::Rgb8
    };
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
        .write_image(image.samples(), image.width(), image.height(), color)
        .map_err(|source| failed(Format::Png, image, source))?;
    Ok(bytes)
}

fn jpeg(image: &Image, quality: u8, background: Color) -> Result<Vec<u8>, EncodeError> {
    let flat;
    let image = if image.has_alpha() {
        flat = image.flattened(background);
        &flat
    } else {
        image
    };
    let side = |side: u32| u16::try_from(side).ok();
    let (Some(width), Some(height)) = (side(image.width()), side(image.height())) else {
        return Err(too_long(Format::Jpeg, image, u16::MAX.into()));
    };
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(if quality >= FULL_COLOR_QUALITY {
        SamplingFactor::F_1_1
    } else {
        SamplingFactor::F_2_2
    });
    encoder
        .encode(image.samples(), width, height, ColorType::Rgb)
        .map_err(|source| failed(Format::Jpeg, image, source))?;
    Ok(bytes)
}

fn webp(image: &Image, quality: u8) -> Result<Vec<u8>, EncodeError> {
    let (width, height) = (image.width(), image.height());
    if width.max(height) > WEBP_SIDE_MAX {
        return Err(too_long(Format::Webp, image, WEBP_SIDE_MAX));
    }
    let encoder = if image.has_alpha() {
        webp::Encoder::from_rgba(image.samples(), width, height)
    } else {
        webp::Encoder::from_rgb(image.samples(), width, height)
    };
    match encoder.encode_simple(false, f32::from(quality)) {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error) => Err(failed(
            Format::Webp,
            image,
            format!("the encoder says {error:?}"),
        )),
    }
}

fn too_long(format: Format, image: &Image, limit: u32) -> EncodeError {
    EncodeError::SideTooLong {
        format,
        width: image.width(),
        height: image.height(),
        limit,
    }
}

fn failed(
    format: Format,
    image: &Image,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> EncodeError {
    EncodeError::Failed {
        format,
        width: image.width(),
        height: image.height(),
        source: source.into(),
    }
}
