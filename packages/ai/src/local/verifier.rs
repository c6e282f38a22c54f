use super::background::cut_out;
use super::palette::{self, Swatch};
use super::{PROVIDER, usage};
use crate::document::Rgb;
use crate::pixels::{self, PixelError};
use crate::vision::VisionError;
use crate::{Answer, Comparison, Verdict, Verifier};
use async_trait::async_trait;
use image::{Rgba, RgbaImage, imageops};
use std::time::Instant;

/// Checks what can be measured: that the result is neither the original nor the reference, that it has the reference's
/// format, and that the product's main colours are in it. What a product looks like it cannot judge.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalVerifier;

/// Sides of the copies that are compared.
const COMPARED_SIDE: u32 = 160;

/// Mean difference of channels below which two images are the same one.
const SAME_IMAGE: f32 = 2.0;

/// How far width to height may be from the reference's.
const FORMAT_TOLERANCE: f32 = 0.1;

/// Colours that cover this share of the product have to be in the result.
const MAIN_SHARE: f32 = 0.15;
const MAIN_COLORS_MAX: usize = 3;

/// This share of the result is enough, and this far (of 441) is near enough: light changes colours.
const FOUND_SHARE: f32 = 0.01;
const NEAR: f32 = 70.0;

#[async_trait]
impl Verifier for LocalVerifier {
    fn provider(&self) -> &str {
        PROVIDER
    }

    async fn verify(&self, comparison: &Comparison) -> Result<Answer<Verdict>, VisionError> {
        let started = Instant::now();
        let comparison = comparison.clone();
        let Comparison {
            original,
            reference,
            result,
        } = &comparison;
        let pixels = pixels::count([original, reference, result]);
        let issues = pixels::off_thread(pixels, move || issues(&comparison)).await;
        let issues = issues.map_err(|error| VisionError::Unreadable {
            source: Box::new(error),
        })?;
        let verdict = Verdict {
            pass: issues.is_empty(),
            issues,
        };
        Ok(Answer::new(verdict, usage("measured comparison", started)))
    }
}

fn issues(comparison: &Comparison) -> Result<Vec<String>, PixelError> {
    let mut original = pixels::decode(&comparison.original)?;
    let reference = pixels::decode(&comparison.reference)?;
    let result = pixels::decode(&comparison.result)?;
    let mut issues = Vec::new();
    for (image, name) in [(&original, "original"), (&reference, "reference")] {
        if is_same(&result, image) {
            issues.push(format!("The result is the {name}, unchanged (measured)."));
        }
    }
    let format = |image: &RgbaImage| image.width() as f32 / image.height() as f32;
    if (format(&result) / format(&reference) - 1.0).abs() > FORMAT_TOLERANCE {
        issues.push("The result does not have the reference's format (measured).".to_owned());
    }
    // A background that is not plain counts as part of the product.
    let _ = cut_out(&mut original);
    let shown = small(&result);
    let main = swatches(&original).into_iter();
    let main = main.filter(|swatch| swatch.share >= MAIN_SHARE);
    for swatch in main {
        if share_of(&shown, swatch.color) < FOUND_SHARE {
            let hex = swatch.color.hex();
            issues.push(format!(
                "The product's colour {hex} is missing in the result (measured)."
            ));
        }
    }
    Ok(issues)
}

fn is_same(one: &RgbaImage, other: &RgbaImage) -> bool {
    let (one, other) = (small(one), small(other));
    let differences = one
        .iter()
        .zip(other.iter())
        .map(|(a, b)| f32::from(a.abs_diff(*b)));
    differences.sum::<f32>() / (one.len().max(1) as f32) < SAME_IMAGE
}

fn small(image: &RgbaImage) -> RgbaImage {
    imageops::thumbnail(image, COMPARED_SIDE, COMPARED_SIDE)
}

/// The colours of what is not transparent.
fn swatches(image: &RgbaImage) -> Vec<Swatch> {
    palette::measure(pixels::picture(small(image)), MAIN_COLORS_MAX)
}

/// How much of what is not transparent is of about this colour, 0 to 1.
fn share_of(image: &RgbaImage, color: Rgb) -> f32 {
    let (mut visible, mut near) = (0_u32, 0_u32);
    for Rgba([r, g, b, alpha]) in image.pixels() {
        if *alpha > 127 {
            visible += 1;
            near += u32::from(color.distance(Rgb::new(*r, *g, *b)) < NEAR);
        }
    }
    near as f32 / visible.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::LocalImageModel;
    use crate::{EncodedImage, ImageModel, ImageRequest};

    const WHITE: Rgba<u8> = Rgba([255, 255, 255, 255]);
    const GREY: Rgba<u8> = Rgba([120, 120, 120, 255]);

    fn product(color: Rgba<u8>) -> EncodedImage {
        let inside = |x: u32, y: u32| (20..60).contains(&x) && (20..60).contains(&y);
        let pixels = RgbaImage::from_fn(80, 80, |x, y| if inside(x, y) { color } else { WHITE });
        pixels::encode_png(pixels).unwrap()
    }

    fn mannequin() -> EncodedImage {
        pixels::encode_png(RgbaImage::from_pixel(100, 200, GREY)).unwrap()
    }

    async fn issues(original: EncodedImage, result: EncodedImage) -> Vec<String> {
        let comparison = Comparison {
            original,
            reference: mannequin(),
            result,
        };
        let answer = LocalVerifier.verify(&comparison).await.unwrap();
        assert_eq!(answer.value.pass, answer.value.issues.is_empty());
        answer.value.issues
    }

    #[tokio::test]
    async fn what_the_local_provider_makes_passes_and_another_colour_does_not() {
        let red = Rgba([200, 20, 30, 255]);
        let request = ImageRequest::new("Dress it.", [product(red), mannequin()]);
        let dressed = LocalImageModel.make(&request).await.unwrap().value.image;
        assert!(issues(product(red), dressed.clone()).await.is_empty());
        let green = Rgba([20, 160, 60, 255]);
        let wrong = issues(product(green), dressed).await;
        assert_eq!(
            wrong,
            ["The product's colour #14A03C is missing in the result (measured)."]
        );
    }

    #[tokio::test]
    async fn what_was_not_changed_does_not_pass() {
        let red = Rgba([200, 20, 30, 255]);
        let same = issues(product(red), product(red)).await;
        assert_eq!(same[0], "The result is the original, unchanged (measured).");
        assert!(same[1].contains("format"), "{same:?}");
        let bare = issues(product(red), mannequin()).await;
        assert_eq!(
            bare[0],
            "The result is the reference, unchanged (measured)."
        );
    }
}
