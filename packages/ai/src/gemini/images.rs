//! Images as the API takes them: in its formats, and no more bytes than fit into a request.

use super::INLINE_BYTES_MAX;
use crate::EncodedImage;
use crate::pixels::{self, PixelError};
use studio233_media::{Fit, Format, Image, Limits, resize};

/// Longest sides that are tried for what is too large, in pixels. Models look at less.
const SIDES: [u32; 4] = [3072, 2048, 1536, 1024];

/// The images as they are, but for those of a format that the API does not take, and for those that are larger than their share
/// when all together are too large. What cannot be made to fit stays as it is.
pub(super) async fn fitted(images: &[EncodedImage]) -> Vec<EncodedImage> {
    let all: usize = images.iter().map(size).sum();
    let share = INLINE_BYTES_MAX / images.len().max(1);
    let is_kept = |image: &&EncodedImage| {
        is_taken(image.kind()) && (all <= INLINE_BYTES_MAX || size(image) <= share)
    };
    let kept: usize = images.iter().filter(is_kept).map(size).sum();
    let made = images.iter().filter(|image| !is_kept(image)).count();
    let room = INLINE_BYTES_MAX.saturating_sub(kept) / made.max(1);
    let mut fitted = Vec::with_capacity(images.len());
    for image in images {
        let image = match is_kept(&image) {
            true => image.clone(),
            false => made_to_fit(image, room).await,
        };
        fitted.push(image);
    }
    fitted
}

fn size(image: &EncodedImage) -> usize {
    image.bytes().len()
}

/// <https://ai.google.dev/gemini-api/docs/image-understanding#supported-formats>
fn is_taken(format: Format) -> bool {
    matches!(format, Format::Png | Format::Jpeg | Format::Webp)
}

async fn made_to_fit(image: &EncodedImage, bytes_max: usize) -> EncodedImage {
    let encoded = image.clone();
    let made = pixels::off_thread(pixels::count([image]), move || {
        let decoded = studio233_media::decode(encoded.bytes(), &Limits::default())?;
        smaller(&decoded, bytes_max)
    });
    match made.await {
        Ok(Some(made)) => made,
        Ok(None) => image.clone(),
        Err(error) => {
            tracing::debug!(?image, %error, "image cannot be made to fit");
            image.clone()
        }
    }
}

/// The largest of what fits: without loss where it has transparency.
fn smaller(image: &Image, bytes_max: usize) -> Result<Option<EncodedImage>, PixelError> {
    let is_transparent = image.has_alpha() && image.pixels().any(|[.., alpha]| alpha < u8::MAX);
    let format = match is_transparent {
        true => Format::Png,
        false => Format::Jpeg,
    };
    for side in SIDES {
        let Ok(smaller) = resize(image, Some(side), Some(side), Fit::ScaleDown) else {
            continue;
        };
        let encoded = pixels::encode(&smaller, format)?;
        if size(&encoded) <= bytes_max {
            return Ok(Some(encoded));
        }
    }
    Ok(None)
}
