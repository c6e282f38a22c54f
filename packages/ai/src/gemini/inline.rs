//! A request's images as the API takes them: PNG, JPEG or WebP, together no larger than a request may be.
//!
//! What can be sent as it is, is. The rest is written anew, and made smaller until it keeps to its share. Models look
//! at less than [`SIDES`]' longest anyway.

use crate::EncodedImage;
use crate::pixels::{self, PixelError};
use std::borrow::Cow;
use studio233_media::{Color, Fit, Format, Image, resize};

/// Longest sides that are tried, in order.
const SIDES: [u32; 8] = [3072, 2048, 1536, 1024, 768, 512, 384, 256];

/// Below, an image in a smaller format shows more than one without loss.
const LOSSLESS_SIDE_MIN: u32 = 1024;

/// Why images cannot be sent.
#[derive(Debug)]
pub(super) enum Unfit {
    Unreadable {
        /// From 1, in the order of the request.
        number: usize,
        source: PixelError,
    },
    /// However small they were made.
    TooLarge { bytes: usize },
}

/// The images, in their order, with at most so many bytes together.
pub(super) async fn fitted(
    images: &[EncodedImage],
    limit: usize,
) -> Result<Cow<'_, [EncodedImage]>, Unfit> {
    let mut fitted = Cow::Borrowed(images);
    let even_share = limit / images.len().max(1);
    for (at, image) in images.iter().enumerate() {
        if !is_taken(image.kind()) {
            fitted.to_mut()[at] = remade(image, even_share, at).await?;
        }
    }
    // Never less than the even share, so that what was remade above stays.
    let share = share_of_each(&fitted, limit);
    for (at, image) in images.iter().enumerate() {
        if fitted[at].bytes().len() > share && is_taken(image.kind()) {
            fitted.to_mut()[at] = remade(image, share, at).await?;
        }
    }
    match bytes_of(&fitted) {
        bytes if bytes > limit => Err(Unfit::TooLarge { bytes }),
        _ => Ok(fitted),
    }
}

fn bytes_of(images: &[EncodedImage]) -> usize {
    images.iter().map(|image| image.bytes().len()).sum()
}

/// <https://ai.google.dev/gemini-api/docs/image-understanding#supported-formats>
fn is_taken(format: Format) -> bool {
    match format {
        Format::Png | Format::Jpeg | Format::Webp => true,
        Format::Gif => false,
    }
}

/// What each image may come to, so that all fit: what the smaller ones leave over is for the larger ones.
fn share_of_each(images: &[EncodedImage], limit: usize) -> usize {
    let mut sizes: Vec<usize> = images.iter().map(|image| image.bytes().len()).collect();
    sizes.sort_unstable();
    let mut left = limit;
    for (at, size) in sizes.iter().enumerate() {
        let share = left / (sizes.len() - at);
        if *size > share {
            return share;
        }
        left -= size;
    }
    limit
}

async fn remade(image: &EncodedImage, share: usize, at: usize) -> Result<EncodedImage, Unfit> {
    let file = image.clone();
    let work = move || smaller(&file, share);
    let made = pixels::off_thread(pixels::count([image]), work).await;
    made.map_err(|source| Unfit::Unreadable {
        number: at + 1,
        source,
    })
}

/// The image in the largest of [`SIDES`] that comes to at most so many bytes, else in the smallest. What shows through stays
/// so if it can; an image of few colours stays exact.
fn smaller(file: &EncodedImage, bytes_max: usize) -> Result<EncodedImage, PixelError> {
    let mut image = pixels::decode_image(file)?;
    let is_see_through = image.has_alpha() && image.pixels().any(|[.., alpha]| alpha < 255);
    if image.has_alpha() && !is_see_through {
        image = image.flattened(Color::WHITE);
    }
    image = within(&image, SIDES[0]);
    if is_see_through || file.kind() == Format::Gif {
        let sides = SIDES.into_iter().filter(|side| *side >= LOSSLESS_SIDE_MIN);
        let png = first_within(&image, sides, Format::Png, bytes_max)?;
        if png.bytes().len() <= bytes_max {
            return Ok(png);
        }
    }
    first_within(&image, SIDES, Format::Jpeg, bytes_max)
}

/// In this format, in the first of these sides that comes to at most so many bytes, else in the last.
fn first_within(
    image: &Image,
    sides: impl IntoIterator<Item = u32>,
    format: Format,
    bytes_max: usize,
) -> Result<EncodedImage, PixelError> {
    let mut file = pixels::encode(image, format)?;
    for side in sides {
        if file.bytes().len() <= bytes_max {
            break;
        }
        if side < image.width().max(image.height()) {
            file = pixels::encode(&within(image, side), format)?;
        }
    }
    Ok(file)
}

fn within(image: &Image, side: u32) -> Image {
    resize(image, Some(side), Some(side), Fit::ScaleDown).expect("it is not made larger")
}

#[cfg(test)]
mod tests {
    use super::*;
    use studio233_media::{Limits, decode};

    /// Looks like nothing, so that no format makes it much smaller.
    fn noise(width: u32, height: u32, see_through: bool) -> EncodedImage {
        let mut state = 0x9e37_79b9_u32;
        let mut samples: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        })
        .take(width as usize * height as usize * 4)
        .collect();
        if !see_through {
            samples
                .iter_mut()
                .skip(3)
                .step_by(4)
                .for_each(|alpha| *alpha = 255);
        }
        let image = Image::from_rgba(width, height, samples).unwrap();
        pixels::encode(&image, Format::Png).unwrap()
    }

    #[tokio::test]
    async fn what_fits_is_left_and_what_the_small_leave_is_for_the_large() {
        let (small, large) = (noise(20, 20, false), noise(300, 200, false));
        let bytes = bytes_of(&[small.clone(), large.clone()]);
        let images = [small.clone(), large.clone()];
        let sent = fitted(&images, bytes).await.unwrap();
        assert!(matches!(sent, Cow::Borrowed(_)));
        // Half of it would be too little for the large one as a JPEG of its size.
        let sent = fitted(&images, 70_000).await.unwrap();
        assert_eq!(sent[0], small);
        let seen = decode(sent[1].bytes(), &Limits::default()).unwrap();
        assert_eq!((sent[1].kind(), seen.width()), (Format::Jpeg, 300));
    }

    #[tokio::test]
    async fn what_shows_through_stays_so_where_it_fits() {
        let image = [noise(1600, 1200, true)];
        // (most bytes, format, width)
        let cases = [
            (4_000_000, Format::Png, 1024),
            (600_000, Format::Jpeg, 1024),
        ];
        for (limit, format, width) in cases {
            let sent = fitted(&image, limit).await.unwrap();
            assert!(sent[0].bytes().len() <= limit);
            let seen = decode(sent[0].bytes(), &Limits::default()).unwrap();
            assert_eq!((sent[0].kind(), seen.width()), (format, width), "{limit}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_or_made_small_enough_is_told() {
        let images = [noise(300, 200, false), noise(300, 200, false)];
        let Err(Unfit::TooLarge { bytes }) = fitted(&images, 2_000).await else {
            panic!("two images fit 2 kB");
        };
        assert!(bytes > 2_000 && bytes < bytes_of(&images), "{bytes}");
        let broken = EncodedImage::new(&b"GIF89a"[..]).unwrap();
        let images = [images[0].clone(), broken];
        let Err(Unfit::Unreadable { number, source }) = fitted(&images, 1 << 20).await else {
            panic!("it was read");
        };
        assert_eq!(number, 2);
        assert!(source.to_string().contains("gif"), "{source}");
    }
}
