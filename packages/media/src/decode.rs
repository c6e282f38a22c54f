use std::fmt::Write;
use std::io::{Cursor, ErrorKind};

use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError};

use crate::{Format, Image};

mod jpeg;
mod profile;

/// What decoding may cost. A file is measured by its header, before memory is taken for its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a file.
    pub bytes_max: u64,
    /// Most pixels of an image, and of one frame of an animation.
    pub pixels_max: u64,
    /// Longest side.
    pub side_max: u32,
    /// Most frames of an animation that is kept.
    pub frames_max: u32,
    /// Most pixels of all its frames together.
    pub animation_pixels_max: u64,
}

impl Default for Limits {
    /// Room for the biggest photos of phones and cameras (100 megapixels), 100 MiB to a file.
    fn default() -> Self {
        Self {
            bytes_max: 100 * 1024 * 1024,
            pixels_max: 100_000_000,
            side_max: 30_000,
            frames_max: 1000,
            animation_pixels_max: 500_000_000,
        }
    }
}

/// Why a file is not decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    #[error("the file is empty")]
    Empty,
    #[error("the file is no png, jpeg, webp or gif: it starts with {start}")]
    UnknownFormat { start: String },
    #[error("the file has {bytes} bytes; at most {limit} are decoded")]
    TooManyBytes { bytes: u64, limit: u64 },
    #[error("the {format} is {width} × {height}; a side has at most {limit} pixels")]
    SideTooLong {
        format: Format,
        width: u32,
        height: u32,
        limit: u32,
    },
    #[error("the {format} is {width} × {height}, {pixels} pixels; at most {limit} are decoded")]
    TooManyPixels {
        format: Format,
        width: u32,
        height: u32,
        pixels: u64,
        limit: u64,
    },
    #[error("the {format} has more than {limit} frames")]
    TooManyFrames { format: Format, limit: u32 },
    #[error("the frames of the {format} have more than {limit} pixels together")]
    AnimationTooLong { format: Format, limit: u64 },
    #[error("the {format} is cut off after {bytes} bytes")]
    Truncated { format: Format, bytes: u64 },
    #[error("the {format} is damaged or of a kind that is not read")]
    Damaged {
        format: Format,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl DecodeError {
    /// The format that the first bytes promise, as far as it was found out.
    pub fn format(&self) -> Option<Format> {
        match self {
            Self::Empty | Self::UnknownFormat { .. } | Self::TooManyBytes { .. } => None,
            Self::SideTooLong { format, .. }
            | Self::TooManyPixels { format, .. }
            | Self::TooManyFrames { format, .. }
            | Self::AnimationTooLong { format, .. }
            | Self::Truncated { format, .. }
            | Self::Damaged { format, .. } => Some(*format),
        }
    }
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    pub format: Format,
    /// Of the picture as it is seen: an EXIF orientation is carried out.
    pub width: u32,
    pub height: u32,
    pub has_alpha: bool,
}

impl Info {
    /// How many pixels decoding makes, for whoever bounds memory.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// Reads the header only.
pub fn probe(bytes: &[u8], limits: &Limits) -> Result<Info, DecodeError> {
    let mut opened = open(bytes, limits)?;
    let (width, height) = opened.decoder.dimensions();
    let turned = matches!(
        opened.orientation(),
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let (width, height) = if turned {
        (height, width)
    } else {
        (width, height)
    };
    Ok(Info {
        format: opened.format,
        width,
        height,
        has_alpha: opened.decoder.color_type().has_alpha(),
    })
}

/// Decodes a png, jpeg, webp or gif; of an animation its first frame.
///
/// A jpeg that ends before its end marker is refused, though its upper part could be shown: half a picture must not
/// pass for a whole one.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Image, DecodeError> {
    let mut opened = open(bytes, limits)?;
    let format = opened.format;
    if format == Format::Jpeg && !jpeg::is_complete(bytes) {
        return Err(DecodeError::Truncated {
            format,
            bytes: bytes.len() as u64,
        });
    }
    let orientation = opened.orientation();
    let profile = opened.decoder.icc_profile().ok().flatten();
    let mut decoded =
        DynamicImage::from_decoder(opened.decoder).map_err(|error| failed(format, bytes, error))?;
    if let Some(profile) = profile {
        decoded = profile::to_srgb(decoded, &profile);
    }
    decoded.apply_orientation(orientation);
    Image::from_dynamic(decoded).ok_or_else(|| DecodeError::Damaged {
        format,
        source: "it has no pixels".into(),
    })
}

struct Opened<'b> {
    format: Format,
    decoder: Box<dyn ImageDecoder + 'b>,
}

impl Opened<'_> {
    /// What cannot be understood counts as upright.
    fn orientation(&mut self) -> Orientation {
        self.decoder
            .orientation()
            .unwrap_or(Orientation::NoTransforms)
    }
}

/// Reads the header and holds it to the limits.
fn open<'b>(bytes: &'b [u8], limits: &Limits) -> Result<Opened<'b>, DecodeError> {
    let format = checked_format(bytes, limits)?;
    let failed = |error| failed(format, bytes, error);
    let read = Cursor::new(bytes);
    let mut decoder: Box<dyn ImageDecoder + 'b> = match format {
        Format::Png => {
            Box::new(PngDecoder::with_limits(read, decoder_limits(limits)).map_err(failed)?)
        }
        Format::Jpeg => Box::new(JpegDecoder::new(read).map_err(failed)?),
        Format::Webp => Box::new(WebPDecoder::new(read).map_err(failed)?),
        Format::Gif => Box::new(GifDecoder::new(read).map_err(failed)?),
    };
    let (width, height) = decoder.dimensions();
    check_size(format, width, height, limits)?;
    decoder.set_limits(decoder_limits(limits)).map_err(failed)?;
    Ok(Opened { format, decoder })
}

pub(crate) fn checked_format(bytes: &[u8], limits: &Limits) -> Result<Format, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let size = bytes.len() as u64;
    if size > limits.bytes_max {
        return Err(DecodeError::TooManyBytes {
            bytes: size,
            limit: limits.bytes_max,
        });
    }
    Format::sniff(bytes).ok_or_else(|| DecodeError::UnknownFormat {
        start: start_of(bytes),
    })
}

pub(crate) fn check_size(
    format: Format,
    width: u32,
    height: u32,
    limits: &Limits,
) -> Result<(), DecodeError> {
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > limits.side_max {
        return Err(DecodeError::SideTooLong {
            format,
            width,
            height,
            limit: limits.side_max,
        });
    }
    if pixels > limits.pixels_max {
        return Err(DecodeError::TooManyPixels {
            format,
            width,
            height,
            pixels,
            limit: limits.pixels_max,
        });
    }
    Ok(())
}

/// Memory beyond the pixels, e.g. for tables and for rows as they are filtered.
const DECODER_EXTRA_BYTES: u64 = 64 * 1024 * 1024;

/// The decoders' own bound, against what a header does not tell. Eight bytes: four samples of 16 bits.
pub(crate) fn decoder_limits(limits: &Limits) -> image::Limits {
    let mut told = image::Limits::no_limits();
    told.max_alloc = Some(limits.pixels_max.saturating_mul(8) + DECODER_EXTRA_BYTES);
    told
}

pub(crate) fn failed(format: Format, bytes: &[u8], error: ImageError) -> DecodeError {
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            DecodeError::Truncated {
                format,
                bytes: bytes.len() as u64,
            }
        }
        error => DecodeError::Damaged {
            format,
            source: Box::new(error),
        },
    }
}

/// The first bytes, for people: enough to recognise a PDF or a page of HTML by.
fn start_of(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(12)];
    if start.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return format!("{:?}", String::from_utf8_lossy(start));
    }
    let mut shown = String::new();
    for byte in start {
        // Writing to a string does not fail.
        let _ = write!(shown, "{byte:02x} ");
    }
    shown.trim_end().to_owned()
}
