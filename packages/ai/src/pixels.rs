//! Decoded images, off the threads that serve requests.
//!
//! `studio233-media` decodes, so that what is refused, turned or converted is the same wherever the studio meets an image.

use crate::EncodedImage;
use image::RgbaImage;
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;
use studio233_media::{Color, DecodeError, EncodeError, Encoding, Format, Image, Limits};
use tokio::sync::Semaphore;

/// Each may hold several images; more at once would be more memory and no faster.
static AT_ONCE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let threads = available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(threads))
});

/// Why an image was not decoded or encoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PixelError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("the work was stopped")]
    Stopped,
}

/// The image with its orientation applied, in sRGB; of an animation the first frame.
pub(crate) fn decode(image: &EncodedImage) -> Result<RgbaImage, PixelError> {
    let decoded = studio233_media::decode(image.bytes(), &Limits::default())?;
    let (width, height) = (decoded.width(), decoded.height());
    let samples = decoded.into_rgba();
    Ok(RgbaImage::from_raw(width, height, samples).expect("it has four samples to each pixel"))
}

/// The picture, for measuring its colours. None when it has no pixels.
pub(crate) fn picture(pixels: RgbaImage) -> Option<Image> {
    let (width, height) = pixels.dimensions();
    Image::from_rgba(width, height, pixels.into_raw())
}

pub(crate) fn encode_png(pixels: RgbaImage) -> Result<EncodedImage, PixelError> {
    let image = picture(pixels).expect("what is made here has pixels");
    encode(&image, Format::Png)
}

/// Quality is for formats that lose some: high enough for small print.
const QUALITY: u8 = 88;

pub(crate) fn encode(image: &Image, format: Format) -> Result<EncodedImage, PixelError> {
    let encoding = Encoding {
        format,
        quality: QUALITY,
        background: Color::WHITE,
    };
    let file = studio233_media::encode(image, &encoding)?;
    Ok(EncodedImage::new(file).expect("what was just written is an image"))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A photo that lies on its side, taken with the camera's orientation 6.
    const TURNED: &[u8] = include_bytes!("../../media/tests/files/orientation-6.jpg");
    const UPRIGHT: &[u8] = include_bytes!("../../media/tests/files/orientation-1.jpg");
    const CMYK: &[u8] = include_bytes!("../../media/tests/files/cmyk.jpg");

    fn decoded(file: &'static [u8]) -> Result<RgbaImage, PixelError> {
        decode(&EncodedImage::new(file).unwrap())
    }

    #[test]
    fn images_are_seen_as_media_decodes_them() {
        assert_eq!(
            decoded(TURNED).unwrap().dimensions(),
            decoded(UPRIGHT).unwrap().dimensions()
        );
        for file in [TURNED, CMYK] {
            let media = studio233_media::decode(file, &Limits::default()).unwrap();
            assert_eq!(decoded(file).unwrap().into_raw(), media.into_rgba());
        }
    }

    #[test]
    fn what_is_cut_off_or_claims_too_much_is_refused() {
        let cut = decoded(&TURNED[..TURNED.len() - 10]).unwrap_err();
        assert!(cut.to_string().starts_with("the jpeg is cut off"), "{cut}");
        // A whole header, and nothing behind it.
        let huge = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\
            \x00\x00\xc3\x50\x00\x00\xc3\x50\x08\x06\0\0\0\x4b\xaf\x3d\xca\
            \0\0\0\0IDAT\x35\xaf\x06\x1e";
        let error = decoded(huge).unwrap_err();
        assert!(error.to_string().contains("50000 × 50000"), "{error}");
    }
}
