use super::{PROVIDER, usage};
use crate::background::{BackgroundRemover, Cutout};
use crate::pixels::{self, PixelError};
use crate::{Answer, EncodedImage, ImageError};
use async_trait::async_trait;
use image::{Rgba, RgbaImage};
use std::time::Instant;

/// Removes backgrounds of one plain colour, as product photos have them: from the edges inwards, up to where the colour
/// changes. Other backgrounds are refused, since without a model there is no telling what the subject is.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalBackgroundRemover;

const HINT: &str =
    "for any other background set a key for fal.ai (FAL_KEY) or Gemini (GEMINI_API_KEY)";

/// This far from the background's colour (of 441) a pixel is background.
const SAME: f32 = 42.0;

/// Up to here it is, if it differs little from a background pixel beside it: shadows and gradients.
const SHADED: f32 = 90.0;
const STEP: f32 = 6.0;

/// Up to here a pixel at the rim of the subject is a mixture of both.
const MIXED: f32 = 120.0;

/// So much of the edge has to be of the background's colour; the rest may be a subject that is cut off.
const PLAIN_SHARE: f32 = 0.6;

/// Why there is no cutout.
pub(super) enum Refused {
    /// This share of the edge, 0 to 1, has one colour.
    NotPlain(f32),
    /// Everything was of one colour.
    NothingLeft,
}

#[async_trait]
impl BackgroundRemover for LocalBackgroundRemover {
    fn provider(&self) -> &str {
        PROVIDER
    }

    async fn remove_background(&self, image: &EncodedImage) -> Result<Answer<Cutout>, ImageError> {
        let started = Instant::now();
        let original = image.clone();
        let work = pixels::off_thread(pixels::count([image]), move || {
            let mut pixels = pixels::decode(&original)?;
            Ok(match cut_out(&mut pixels) {
                Ok(transparent_share) => Ok((pixels::encode_png(pixels)?, transparent_share)),
                Err(refused) => Err(refused),
            })
        });
        let refused = |what: String| ImageError::Unavailable {
            provider: PROVIDER.to_owned(),
            what,
            hint: HINT,
        };
        match work.await.map_err(|error| unreadable(1, error))? {
            Ok((image, transparent_share)) => {
                let mut usage = usage("flood from the edges", started);
                usage.images = 1;
                let cutout = Cutout {
                    image,
                    transparent_share,
                    note: Some(
                        "local provider: a plain background cut away, without a model".to_owned(),
                    ),
                };
                Ok(Answer::new(cutout, usage))
            }
            Err(Refused::NotPlain(share)) => Err(refused(format!(
                "remove a background that is not plain: {:.0} % of the image's edge has one colour, {:.0} % are needed",
                share * 100.0,
                PLAIN_SHARE * 100.0
            ))),
            Err(Refused::NothingLeft) => Err(refused(
                "find a subject: the image is of one colour".to_owned(),
            )),
        }
    }
}

pub(super) fn unreadable(number: usize, error: PixelError) -> ImageError {
    ImageError::Unreadable {
        number,
        source: Box::new(error),
    }
}

/// Makes the plain background transparent; answers how much is. An image whose edge is transparent already stays as it is.
pub(super) fn cut_out(pixels: &mut RgbaImage) -> Result<f32, Refused> {
    let (width, height) = pixels.dimensions();
    let edge: Vec<(u32, u32)> = (0..width)
        .flat_map(|x| [(x, 0), (x, height - 1)])
        .chain((0..height).flat_map(|y| [(0, y), (width - 1, y)]))
        .collect();
    let share_of = |count: usize| count as f32 / edge.len().max(1) as f32;
    let clear = edge
        .iter()
        .filter(|(x, y)| pixels.get_pixel(*x, *y).0[3] < 128);
    if share_of(clear.count()) < PLAIN_SHARE {
        let background = median(edge.iter().map(|(x, y)| *pixels.get_pixel(*x, *y)));
        let plain = edge
            .iter()
            .filter(|(x, y)| distance(*pixels.get_pixel(*x, *y), background) <= SAME);
        let share = share_of(plain.count());
        if share < PLAIN_SHARE {
            return Err(Refused::NotPlain(share));
        }
        flood(pixels, background, edge);
    }
    let transparent = pixels.pixels().filter(|pixel| pixel.0[3] == 0).count();
    let all = pixels.pixels().len();
    if transparent == all {
        return Err(Refused::NothingLeft);
    }
    Ok(transparent as f32 / all.max(1) as f32)
}

/// What the flood has found of a pixel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Background,
    /// It lies beside background, and is a mixture of it and the subject.
    Rim,
}

fn flood(pixels: &mut RgbaImage, background: Rgba<u8>, edge: Vec<(u32, u32)>) {
    let (width, height) = pixels.dimensions();
    // A picture has fewer pixels than `u32` counts. A byte and a place for each is all that this takes.
    let place = |x: u32, y: u32| y * width + x;
    let mut found = vec![Found::Nothing; width as usize * height as usize];
    let mut open: Vec<u32> = Vec::new();
    for (x, y) in edge {
        let at = place(x, y);
        let found = &mut found[at as usize];
        let is_plain = distance(*pixels.get_pixel(x, y), background) <= SAME;
        if *found == Found::Nothing && is_plain {
            *found = Found::Background;
            open.push(at);
        }
    }
    while let Some(at) = open.pop() {
        let (x, y) = (at % width, at / width);
        let here = *pixels.get_pixel(x, y);
        for (x, y) in neighbours(x, y, width, height) {
            let at = place(x, y);
            let found = &mut found[at as usize];
            if *found == Found::Background {
                continue;
            }
            let there = *pixels.get_pixel(x, y);
            let away = distance(there, background);
            if away <= SAME || away <= SHADED && distance(there, here) <= STEP {
                *found = Found::Background;
                open.push(at);
            } else if away < MIXED {
                *found = Found::Rim;
            }
        }
    }
    for (pixel, found) in pixels.pixels_mut().zip(found) {
        match found {
            Found::Nothing => {}
            Found::Background => *pixel = Rgba([0, 0, 0, 0]),
            Found::Rim => {
                let opaque = (distance(*pixel, background) - SAME) / (MIXED - SAME);
                let alpha = (opaque.clamp(0.0, 1.0) * 255.0) as u8;
                // Never quite transparent: the rim belongs to the subject.
                pixel.0[3] = pixel.0[3].min(alpha.max(32));
            }
        }
    }
}

fn neighbours(x: u32, y: u32, width: u32, height: u32) -> impl Iterator<Item = (u32, u32)> {
    let left = x.checked_sub(1).map(|x| (x, y));
    let above = y.checked_sub(1).map(|y| (x, y));
    let right = (x + 1 < width).then_some((x + 1, y));
    let below = (y + 1 < height).then_some((x, y + 1));
    [left, above, right, below].into_iter().flatten()
}

/// Each channel's median: a subject at the edge does not tint it.
fn median(pixels: impl Iterator<Item = Rgba<u8>>) -> Rgba<u8> {
    let mut channels: [Vec<u8>; 3] = Default::default();
    for pixel in pixels {
        for (channel, value) in channels.iter_mut().zip(pixel.0) {
            channel.push(value);
        }
    }
    let [r, g, b] = channels.map(|mut values| {
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    });
    Rgba([r, g, b, 255])
}

fn distance(a: Rgba<u8>, b: Rgba<u8>) -> f32 {
    let squares = (0..3).map(|at| (f32::from(a.0[at]) - f32::from(b.0[at])).powi(2));
    squares.sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Rgba<u8> = Rgba([250, 250, 248, 255]);
    const RED: Rgba<u8> = Rgba([190, 30, 40, 255]);

    /// A red ring on white: what is inside the ring is white, too.
    fn ring() -> RgbaImage {
        RgbaImage::from_fn(60, 60, |x, y| {
            let away = ((f64::from(x) - 30.0).powi(2) + (f64::from(y) - 30.0).powi(2)).sqrt();
            if (10.0..20.0).contains(&away) {
                RED
            } else {
                WHITE
            }
        })
    }

    async fn remove(pixels: &RgbaImage) -> Result<Cutout, ImageError> {
        let image = pixels::encode_png(pixels.clone()).unwrap();
        let answer = LocalBackgroundRemover.remove_background(&image).await?;
        Ok(answer.value)
    }

    #[tokio::test]
    async fn a_plain_background_goes_and_the_same_colour_inside_the_subject_stays() {
        let cutout = remove(&ring()).await.unwrap();
        let pixels = pixels::decode(&cutout.image).unwrap();
        assert_eq!(pixels.get_pixel(0, 0).0[3], 0);
        assert_eq!(*pixels.get_pixel(30, 15), RED);
        assert_eq!(*pixels.get_pixel(30, 30), WHITE);
        assert!(
            (0.55..0.75).contains(&cutout.transparent_share),
            "{cutout:?}"
        );
        assert!(cutout.is_believable());
        assert!(cutout.note.unwrap().contains("local provider"));
    }

    #[tokio::test]
    async fn a_soft_shadow_belongs_to_the_background() {
        let mut shaded = ring();
        for x in 0..60 {
            for y in 52..60 {
                let grey = 250 - (y as u8 - 51) * 4;
                shaded.put_pixel(x, y, Rgba([grey, grey, grey, 255]));
            }
        }
        let cutout = remove(&shaded).await.unwrap();
        let pixels = pixels::decode(&cutout.image).unwrap();
        assert_eq!(pixels.get_pixel(30, 57).0[3], 0);
    }

    #[tokio::test]
    async fn what_it_cannot_do_it_says() {
        let stripes =
            RgbaImage::from_fn(60, 60, |x, y| Rgba([(x * 4) as u8, (y * 4) as u8, 90, 255]));
        let error = remove(&stripes).await.unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("local cannot remove a background that is not plain"),
            "{message}"
        );
        assert!(message.contains("FAL_KEY"), "{message}");
        assert!(!error.is_transient());
        let blank = remove(&RgbaImage::from_pixel(9, 9, WHITE))
            .await
            .unwrap_err();
        assert!(blank.to_string().contains("of one colour"), "{blank}");
    }

    #[tokio::test]
    async fn what_was_cut_out_before_stays_as_it_is() {
        let first = remove(&ring()).await.unwrap();
        let again = LocalBackgroundRemover
            .remove_background(&first.image)
            .await
            .unwrap()
            .value;
        assert_eq!(again.transparent_share, first.transparent_share);
    }
}
