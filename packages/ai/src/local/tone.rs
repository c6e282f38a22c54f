//! Changes of tone that a prompt may ask for by name.

use super::language;
use image::RgbaImage;

/// A change of every pixel's colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Brighter,
    Darker,
    Warmer,
    Cooler,
    Contrast,
    Vivid,
    Muted,
    Grey,
}

/// Words as they are after folding spelling and number.
const WORDS: &[(Tone, &[&str])] = &[
    (
        Tone::Brighter,
        &["brighter", "brighten", "lighter", "lighten"],
    ),
    (Tone::Darker, &["darker", "darken"]),
    (Tone::Warmer, &["warmer", "warm"]),
    (Tone::Cooler, &["cooler", "cool"]),
    (Tone::Contrast, &["contrast", "contrasty"]),
    (
        Tone::Vivid,
        &["vivid", "saturated", "saturate", "colourful"],
    ),
    (
        Tone::Muted,
        &["muted", "desaturate", "desaturated", "pastel"],
    ),
    (
        Tone::Grey,
        &["monochrome", "grayscale", "greyscale", "colourless"],
    ),
];

impl Tone {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brighter => "brighter",
            Self::Darker => "darker",
            Self::Warmer => "warmer",
            Self::Cooler => "cooler",
            Self::Contrast => "more contrast",
            Self::Vivid => "more vivid",
            Self::Muted => "more muted",
            Self::Grey => "black and white",
        }
    }

    /// The changes that a prompt names, each once, in a fixed order.
    pub(super) fn named_in(prompt: &str) -> Vec<Self> {
        let words: Vec<String> = language::words(prompt).collect();
        let mut tones: Vec<Self> = WORDS
            .iter()
            .filter(|(_, names)| words.iter().any(|word| names.contains(&word.as_str())))
            .map(|(tone, _)| *tone)
            .collect();
        let black_and_white = words
            .windows(3)
            .any(|three| three == ["black", "and", "white"]);
        if black_and_white && !tones.contains(&Self::Grey) {
            tones.push(Self::Grey);
        }
        tones
    }

    pub(super) fn apply(self, pixels: &mut RgbaImage) {
        for pixel in pixels.pixels_mut() {
            let [r, g, b, alpha] = pixel.0;
            let [r, g, b] = [r, g, b].map(f32::from);
            let light = 0.2126 * r + 0.7152 * g + 0.0722 * b;
            let around =
                |middle: f32, factor: f32| [r, g, b].map(|c| middle + (c - middle) * factor);
            let changed = match self {
                Self::Brighter => [r, g, b].map(|c| c + (255.0 - c) * 0.2),
                Self::Darker => [r, g, b].map(|c| c * 0.8),
                Self::Warmer => [r * 1.08, g, b * 0.9],
                Self::Cooler => [r * 0.9, g, b * 1.08],
                Self::Contrast => around(128.0, 1.25),
                Self::Vivid => around(light, 1.35),
                Self::Muted => around(light, 0.6),
                Self::Grey => [light; 3],
            };
            let [r, g, b] = changed.map(|c| c.round().clamp(0.0, 255.0) as u8);
            pixel.0 = [r, g, b, alpha];
        }
    }
}
