//! Decoded images, within limits, off the threads that serve requests.

use crate::{EncodedImage, ImageType};
use image::codecs::png::PngDecoder;
use image::error::{LimitError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbaImage};
use std::io::Cursor;
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;
use tokio::sync::Semaphore;

/// Longest side. A header may claim anything; what is decoded is bounded before.
pub(crate) const SIDE_MAX: u32 = 12_000;

/// What decoding may allocate: a 100-megapixel picture with four channels.
const ALLOC_BYTES_MAX: u64 = 400 * 1024 * 1024;

/// What a PNG's profile and texts may come to: they are unpacked before its size is looked at.
const METADATA_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Each may hold several images; more at once would be more memory and no faster.
static AT_ONCE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let threads = available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(threads))
});

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
    let read = Cursor::new(image.bytes());
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(ALLOC_BYTES_MAX);
    let mut decoder: Box<dyn ImageDecoder + '_> = match image.kind() {
        ImageType::Png => {
            limits.max_alloc = Some(METADATA_BYTES_MAX);
            Box::new(PngDecoder::with_limits(read, limits).map_err(failed)?)
        }
        kind => {
            let mut reader = ImageReader::with_format(read, format(kind));
            reader.limits(limits);
            Box::new(reader.into_decoder().map_err(failed)?)
        }
    };
    // The decoders hold only themselves to the limit, not the pixels that they are read into.
    if decoder.total_bytes() > ALLOC_BYTES_MAX {
        let kind = LimitErrorKind::InsufficientMemory;
        return Err(failed(image::ImageError::Limits(LimitError::from_kind(
            kind,
        ))));
    }
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

/// Runs work on pixels where it holds nobody up, as much at once as there are cores.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PixelError> + Send + 'static,
) -> Result<T, PixelError> {
    let place = Arc::clone(&AT_ONCE).acquire_owned().await;
    // The place goes with the work, which runs to its end though nobody may wait for it any more.
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    done.await.unwrap_or(Err(PixelError::Stopped))
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

    #[test]
    fn a_header_that_claims_too_much_is_not_decoded() {
        // Too long a side; and sides that are not, but 16 bits to each of four samples.
        for (side, depth) in [(50_000_u32, 8), (12_000, 16)] {
            let image = EncodedImage::new(png(side, depth)).unwrap();
            let error = decode(&image).unwrap_err();
            let source = match &error {
                PixelError::Decode { source, .. } => source,
                other => panic!("{other:?}"),
            };
            assert!(
                matches!(source, image::ImageError::Limits(_)),
                "{side} of {depth} bits: {source:?}"
            );
        }
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let pixels = RgbaImage::from_pixel(8, 8, image::Rgba([1, 2, 3, 255]));
        let whole = encode_png(&pixels).unwrap();
        assert_eq!(decode(&whole).unwrap(), pixels);
        let cut = EncodedImage::new(whole.bytes().slice(..40)).unwrap();
        assert!(matches!(decode(&cut), Err(PixelError::Decode { .. })));
    }

    /// A complete header, and nothing behind it.
    fn png(side: u32, depth: u8) -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        png.extend(side.to_be_bytes());
        png.extend(side.to_be_bytes());
        png.extend([depth, 6, 0, 0, 0]);
        png.extend(crc(&png[12..29]).to_be_bytes());
        png.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
        png
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
