//! Decoded images, off the threads that serve requests.
//!
//! `studio233-media` decodes, so that what is refused, turned or converted is the same wherever the studio meets an image.

use crate::EncodedImage;
use crate::document::PageImage;
use image::RgbaImage;
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;
use studio233_media::{Color, DecodeError, EncodeError, Encoding, Format, Image, Limits};
use tokio::sync::Semaphore;

/// More at once would be no faster.
static AT_ONCE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let threads = available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(threads))
});

/// Pixels are counted in lots, since permits are `u32`.
const PIXELS_PER_LOT: u64 = 1 << 16;

/// Decoded pixels of all work at once: about 200 MB for each core. What needs more than all runs alone.
static LOTS: LazyLock<u32> = LazyLock::new(|| {
    let threads = available_parallelism().map_or(1, usize::from) as u64;
    let lots = threads * 48_000_000 / PIXELS_PER_LOT;
    lots.clamp(1, u32::MAX.into()) as u32
});

static MEMORY: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(*LOTS as usize)));

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
pub(crate) fn decode_image(image: &EncodedImage) -> Result<Image, PixelError> {
    Ok(studio233_media::decode(image.bytes(), &Limits::default())?)
}

/// The same, with four samples to each pixel.
pub(crate) fn decode(image: &EncodedImage) -> Result<RgbaImage, PixelError> {
    let decoded = decode_image(image)?;
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

/// How many pixels these images decode to, by their headers. One that cannot be read is refused before it takes memory.
pub(crate) fn count<'i>(images: impl IntoIterator<Item = &'i EncodedImage>) -> u64 {
    let counted = images.into_iter().map(|image| {
        let info = studio233_media::probe(image.bytes(), &Limits::default());
        info.map_or(0, |info| info.pixels())
    });
    counted.sum()
}

/// Of pictures of pages.
pub(crate) fn count_pages<'p>(pages: impl IntoIterator<Item = &'p PageImage>) -> u64 {
    let pages = pages.into_iter();
    pages.map(|page| page.rgb.len() as u64 / 3).sum()
}

/// Runs work that holds so many pixels where it holds nobody up: as much at once as there are cores, and no more pixels than
/// fit.
pub(crate) async fn off_thread<T: Send + 'static>(
    pixels: u64,
    work: impl FnOnce() -> Result<T, PixelError> + Send + 'static,
) -> Result<T, PixelError> {
    // At most all, which are `u32`.
    let lots = pixels.div_ceil(PIXELS_PER_LOT).clamp(1, (*LOTS).into()) as u32;
    // Always in this order, so that nobody waits in a circle.
    let memory = Arc::clone(&MEMORY).acquire_many_owned(lots).await;
    let place = Arc::clone(&AT_ONCE).acquire_owned().await;
    // What is held goes with the work, which runs to its end though nobody may wait for it any more.
    let done = tokio::task::spawn_blocking(move || {
        let _held = (memory, place);
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
        // Red, green / blue, white, seen upright; four inks are shown as the colours they print.
        for file in [TURNED, UPRIGHT, CMYK] {
            let seen = decoded(file).unwrap();
            assert_eq!(seen.dimensions(), (48, 32));
            for (x, y, color) in [
                (11, 7, [220, 30, 40]),
                (36, 7, [20, 160, 60]),
                (11, 24, [30, 60, 200]),
                (36, 24, [250, 250, 250]),
            ] {
                let pixel = seen.get_pixel(x, y).0;
                let off = pixel
                    .iter()
                    .zip(color)
                    .map(|(seen, told)| seen.abs_diff(told));
                assert!(off.max() <= Some(12), "at {x}, {y}: {pixel:?}");
            }
        }
    }

    #[tokio::test]
    async fn work_on_large_images_waits_for_the_memory_of_others() {
        use std::sync::mpsc;
        let (let_go, held) = mpsc::channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let large = tokio::spawn(off_thread(u64::MAX, move || {
            let _ = begun.send(());
            Ok(held.recv().is_ok())
        }));
        has_begun.await.unwrap();
        let small = tokio::spawn(off_thread(1, || Ok(())));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!small.is_finished(), "the large one has it all");
        let_go.send(()).unwrap();
        assert!(large.await.unwrap().unwrap());
        small.await.unwrap().unwrap();
    }

    #[test]
    fn pixels_are_counted_by_headers() {
        let image = |file: &'static [u8]| EncodedImage::new(file).unwrap();
        let images = [image(TURNED), image(UPRIGHT), image(b"\x89PNG\r\n\x1a\n")];
        assert_eq!(count(&images), 2 * 48 * 32);
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
