//! Decoded images, within limits, off the threads that serve requests.

use crate::{EncodedImage, ImageType};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbaImage};
use std::io::Cursor;

/// Longest side. A header may claim anything; what is decoded is bounded before.
pub(crate) const SIDE_MAX: u32 = 12_000;

/// What decoding may allocate: a 100-megapixel picture with four channels.
const ALLOC_BYTES_MAX: u64 = 400 * 1024 * 1024;

/// Why an image was not decoded or encoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PixelError {
    #[error("it is not a readable {kind} image of at most {SIDE_MAX} × {SIDE_MAX} pixels")]
    Decode {
        kind: ImageType,
        source: image::ImageError,
    },
    #[error("it cannot be encoded")]
    Encode { source: image::ImageError },
    #[error("the work was stopped")]
    Stopped,
}

/// The image with its orientation applied; of an animation the first frame.
pub(crate) fn decode(image: &EncodedImage) -> Result<RgbaImage, PixelError> {
    let failed = |source| PixelError::Decode {
        kind: image.kind(),
        source,
    };
    let mut reader = ImageReader::with_format(Cursor::new(image.bytes()), format(image.kind()));
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(ALLOC_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let orientation = decoder.orientation().map_err(failed)?;
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(failed)?;
    decoded.apply_orientation(orientation);
    Ok(decoded.into_rgba8())
}

pub(crate) fn encode_png(pixels: &RgbaImage) -> Result<EncodedImage, PixelError> {
    let mut file = Cursor::new(Vec::new());
    pixels
        .write_to(&mut file, ImageFormat::Png)
        .map_err(|source| PixelError::Encode { source })?;
    Ok(EncodedImage::new(file.into_inner()).expect("what was just written as PNG is PNG"))
}

/// Runs work on pixels where it holds nobody up.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PixelError> + Send + 'static,
) -> Result<T, PixelError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(PixelError::Stopped))
}

fn format(kind: ImageType) -> ImageFormat {
    match kind {
        ImageType::Png => ImageFormat::Png,
        ImageType::Jpeg => ImageFormat::Jpeg,
        ImageType::Gif => ImageFormat::Gif,
        ImageType::Webp => ImageFormat::WebP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    #[test]
    fn a_header_that_claims_too_much_is_not_decoded() {
        // A complete header for 50,000 x 50,000 pixels, and nothing behind it.
        let mut png =
            b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xc3\x50\0\0\xc3\x50\x08\x06\0\0\0".to_vec();
        png.extend(crc(&png[12..29]).to_be_bytes());
        png.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
        let image = EncodedImage::new(png).unwrap();
        let error = decode(&image).unwrap_err();
        let source = error.source().unwrap().to_string();
        assert!(source.contains("limit"), "{source}");
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let pixels = RgbaImage::from_pixel(8, 8, image::Rgba([1, 2, 3, 255]));
        let whole = encode_png(&pixels).unwrap();
        assert_eq!(decode(&whole).unwrap(), pixels);
        let cut = EncodedImage::new(whole.bytes().slice(..40)).unwrap();
        assert!(matches!(decode(&cut), Err(PixelError::Decode { .. })));
    }

    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 {
                    (crc >> 1) ^ 0xedb8_8320
                } else {
                    crc >> 1
                };
            }
        }
        !crc
    }
}
