//! Colours measured from pixels.

use crate::document::Rgb;
use studio233_media::Image;

/// A colour and how much of the measured pictures it covers, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Swatch {
    pub(super) color: Rgb,
    pub(super) share: f32,
}

/// The main colours of pictures, the largest first, at most `colors_max`. What is transparent has no colour.
pub(super) fn measure(pictures: impl IntoIterator<Item = Image>, colors_max: usize) -> Vec<Swatch> {
    let main = studio233_media::main_colors(pictures, colors_max).into_iter();
    let swatches = main.map(|swatch| {
        let [r, g, b] = swatch.color.0;
        Swatch {
            color: Rgb::new(r, g, b),
            share: swatch.percentage as f32 / 100.0,
        }
    });
    swatches.collect()
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

    #[test]
    fn moods_follow_the_colours() {
        let of = |color| mood(&[Swatch { color, share: 1.0 }]).unwrap();
        assert_eq!(of(Rgb::new(250, 160, 60)), "warm, bright and vivid");
        assert_eq!(of(Rgb::new(23, 38, 60)), "cool, dark and muted");
        assert_eq!(of(Rgb::new(255, 255, 255)), "bright and colourless");
        assert_eq!(mood(&[]), None);
    }
}
