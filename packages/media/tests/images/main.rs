//! Images as they come from cameras, editors and attackers.

mod animation;
mod convert;
mod decoding;
mod hostile;
mod palettes;
mod sizes;

use std::path::Path;

use studio233_media::{Image, Limits, decode};

const RED: [u8; 3] = [220, 30, 40];
const GREEN: [u8; 3] = [20, 160, 60];
const BLUE: [u8; 3] = [30, 60, 200];
const WHITE: [u8; 3] = [250, 250, 250];

/// How far a sample may be off after lossy coding.
const LOSSY: u8 = 10;

fn file(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn decoded(bytes: &[u8]) -> Image {
    decode(bytes, &Limits::default()).unwrap()
}

#[track_caller]
fn assert_color(image: &Image, x: u32, y: u32, expected: [u8; 3], tolerance: u8) {
    let [r, g, b, _] = image.pixel(x, y).unwrap();
    let off = [r, g, b]
        .iter()
        .zip(expected)
        .map(|(found, expected)| found.abs_diff(expected))
        .max();
    assert!(
        off.unwrap() <= tolerance,
        "at {x}, {y}: {:?}, expected {expected:?}",
        [r, g, b]
    );
}

/// Red, green / blue, white, seen upright.
#[track_caller]
fn assert_quarters(image: &Image, tolerance: u8) {
    assert_eq!((image.width(), image.height()), (48, 32));
    assert_color(image, 11, 7, RED, tolerance);
    assert_color(image, 36, 7, GREEN, tolerance);
    assert_color(image, 11, 24, BLUE, tolerance);
    assert_color(image, 36, 24, WHITE, tolerance);
}

/// A picture of one colour.
fn plain(width: u32, height: u32, color: [u8; 3]) -> Image {
    let samples = color
        .iter()
        .copied()
        .cycle()
        .take((width * height * 3) as usize);
    Image::from_rgb(width, height, samples.collect()).unwrap()
}
