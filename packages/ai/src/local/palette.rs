//! Colours measured from pixels.

use crate::document::{PageImage, Rgb};
use std::collections::HashMap;

/// A colour and how much of the measured pictures it covers, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Swatch {
    pub color: Rgb,
    pub share: f32,
}

/// Closer colours are one: antialiasing and compression smear around what was drawn.
const SAME_COLOR: f32 = 36.0;

/// Pixels looked at per picture, about; more do not change the shares that matter. The step between
/// them is odd, so that in pictures of even width every column has its turn.
const PIXELS_MAX: usize = 100_000;

/// The main colours of pictures, the largest first, at most `colors_max`.
pub fn measure(images: &[PageImage], colors_max: usize) -> Vec<Swatch> {
    let mut counts: HashMap<Rgb, u64> = HashMap::new();
    let mut total = 0_u64;
    for image in images {
        let pixels = image.rgb.len() / 3;
        let every = pixels.div_ceil(PIXELS_MAX) | 1;
        for pixel in image.rgb.chunks_exact(3).step_by(every) {
            *counts
                .entry(Rgb::new(pixel[0], pixel[1], pixel[2]))
                .or_default() += 1;
            total += 1;
        }
    }
    let mut counted: Vec<(Rgb, u64)> = counts.into_iter().collect();
    counted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    // The exact colours that occur most become swatches; the rest joins the nearest of them.
    // Photographs have many colours that occur once: past this many, the tail adds nothing.
    counted.truncate(20_000);
    let mut swatches: Vec<(Rgb, u64)> = Vec::new();
    for (color, count) in counted {
        let known = swatches
            .iter_mut()
            .find(|(known, _)| known.distance(color) < SAME_COLOR);
        if let Some((_, sum)) = known {
            *sum += count;
        } else if swatches.len() < 64 {
            swatches.push((color, count));
        }
    }
    swatches.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    swatches.truncate(colors_max);
    let share = |count: u64| count as f32 / total.max(1) as f32;
    swatches
        .into_iter()
        .map(|(color, count)| Swatch {
            color,
            share: share(count),
        })
        .collect()
}

/// The mood of measured colours in words: `warm, bright and vivid`. None without colours.
pub(super) fn mood(swatches: &[Swatch]) -> Option<String> {
    let (mut warmth, mut light, mut vivid, mut colored, mut all) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for Swatch { color, share } in swatches {
        let [r, g, b] = [color.r, color.g, color.b].map(|channel| f32::from(channel) / 255.0);
        light += share * (0.2126 * r + 0.7152 * g + 0.0722 * b);
        all += share;
        if !color.is_neutral() {
            warmth += share * (r - b);
            vivid += share * (r.max(g).max(b) - r.min(g).min(b));
            colored += share;
        }
    }
    if all <= 0.0 {
        return None;
    }
    let bright = if light / all > 0.5 { "bright" } else { "dark" };
    if colored < 0.01 {
        return Some(format!("{bright} and colourless"));
    }
    let warm = if warmth >= 0.0 { "warm" } else { "cool" };
    let vivid = if vivid / colored > 0.45 {
        "vivid"
    } else {
        "muted"
    };
    Some(format!("{warm}, {bright} and {vivid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(pixels: &[(Rgb, usize)]) -> PageImage {
        let rgb: Vec<u8> = pixels
            .iter()
            .flat_map(|(c, count)| [c.r, c.g, c.b].repeat(*count))
            .collect();
        PageImage {
            page: 1,
            width: rgb.len() as u32 / 3,
            height: 1,
            rgb: rgb.into(),
        }
    }

    #[test]
    fn shares_are_measured_and_smears_join_what_they_smear() {
        let (ember, ember_ish, navy) = (
            Rgb::new(228, 87, 46),
            Rgb::new(226, 90, 50),
            Rgb::new(23, 38, 60),
        );
        let swatches = measure(&[image(&[(navy, 25), (ember_ish, 5), (ember, 70)])], 4);
        assert_eq!(
            swatches,
            [
                Swatch {
                    color: ember,
                    share: 0.75
                },
                Swatch {
                    color: navy,
                    share: 0.25
                }
            ]
        );
        assert!(measure(&[], 4).is_empty());
    }

    #[test]
    fn moods_follow_the_colours() {
        let of = |color| mood(&[Swatch { color, share: 1.0 }]).unwrap();
        assert_eq!(of(Rgb::new(250, 160, 60)), "warm, bright and vivid");
        assert_eq!(of(Rgb::new(23, 38, 60)), "cool, dark and muted");
        assert_eq!(of(Rgb::new(255, 255, 255)), "bright and colourless");
        assert_eq!(mood(&[]), None);
    }
}
