use proptest::prelude::*;
use studio233_media::{Fit, Frame, Image, attention, reframe, resize, upscale};

use crate::{BLUE, GREEN, RED, WHITE, assert_color, decoded, file, plain};

fn sized(from: (u32, u32), width: Option<u32>, height: Option<u32>, fit: Fit) -> (u32, u32) {
    let image = resize(&plain(from.0, from.1, RED), width, height, fit).unwrap();
    (image.width(), image.height())
}

#[test]
fn each_fit_makes_the_size_it_promises() {
    let wide = (400, 200);
    let cases = [
        (Fit::Contain, Some(100), Some(100), (100, 50)),
        (Fit::Contain, Some(800), Some(800), (800, 400)),
        (Fit::ScaleDown, Some(800), Some(800), (400, 200)),
        (Fit::ScaleDown, Some(100), Some(100), (100, 50)),
        (Fit::Cover, Some(100), Some(100), (100, 100)),
        (Fit::Stretch, Some(100), Some(100), (100, 100)),
        (Fit::Contain, Some(100), None, (100, 50)),
        (Fit::Cover, None, Some(100), (200, 100)),
        (Fit::Stretch, Some(100), None, (100, 50)),
        (Fit::ScaleDown, None, Some(900), (400, 200)),
        (Fit::Cover, None, None, (400, 200)),
    ];
    for (fit, width, height, expected) in cases {
        assert_eq!(
            sized(wide, width, height, fit),
            expected,
            "{fit:?} {width:?} {height:?}"
        );
    }
    // A hair keeps a pixel of width.
    assert_eq!(sized((1000, 1), Some(10), Some(10), Fit::Contain), (10, 1));
}

#[test]
fn cover_cuts_and_stretch_distorts() {
    // Red, green / blue, white, three to two. Where the upper half ends up tells what was done.
    let image = decoded(&file("rgb16.png"));
    let covered = resize(&image, Some(32), Some(8), Fit::Cover).unwrap();
    assert_color(&covered, 4, 1, RED, 8);
    assert_color(&covered, 27, 6, WHITE, 8);
    let stretched = resize(&image, Some(10), Some(100), Fit::Stretch).unwrap();
    assert_color(&stretched, 1, 10, RED, 8);
    assert_color(&stretched, 8, 10, GREEN, 8);
    assert_color(&stretched, 1, 90, BLUE, 8);
}

#[test]
fn a_frame_that_contains_has_transparent_bars() {
    let framed = reframe(&plain(40, 20, RED), 100, 100, Frame::Contain).unwrap();
    assert_eq!((framed.width(), framed.height()), (100, 100));
    assert_eq!(framed.pixel(50, 10), Some([0, 0, 0, 0]));
    assert_eq!(framed.pixel(50, 90), Some([0, 0, 0, 0]));
    assert_eq!(framed.pixel(0, 50), Some([RED[0], RED[1], RED[2], 255]));
    assert_eq!(framed.pixel(99, 74), Some([RED[0], RED[1], RED[2], 255]));
}

#[test]
fn attention_keeps_the_person_that_the_middle_would_lose() {
    let photo = decoded(&file("photo.jpg"));
    let region = attention(&photo, 100, 160);
    // The face spans 370 to 430.
    assert!(
        region.left < 370.0 && region.left + region.width > 430.0,
        "{region:?}"
    );
    assert_eq!(region, attention(&photo, 100, 160));
    let cut = reframe(&photo, 100, 160, Frame::Attention).unwrap();
    let skin = |image: &Image| {
        image
            .pixels()
            .filter(|[r, _, b, _]| *r > 200 && *b < 160)
            .count()
    };
    assert!(skin(&cut) > 500);
    let middle = reframe(&photo, 100, 160, Frame::Cover).unwrap();
    assert_eq!(skin(&middle), 0);
}

#[test]
fn attention_takes_the_middle_of_a_picture_of_nothing() {
    let region = attention(&plain(300, 100, [128; 3]), 100, 100);
    assert!((region.left - 100.0).abs() < 1.5, "{region:?}");
}

#[test]
fn upscaling_stops_at_the_longest_side_and_never_shrinks() {
    let size = |image: Image| (image.width(), image.height());
    let image = plain(600, 300, RED);
    assert_eq!(size(upscale(&image, 2.0, 2048).unwrap()), (1200, 600));
    assert_eq!(size(upscale(&image, 4.0, 1024).unwrap()), (1024, 512));
    assert_eq!(size(upscale(&image, 4.0, 512).unwrap()), (600, 300));
    assert_eq!(size(upscale(&image, 1.0, 4096).unwrap()), (600, 300));
}

/// What Lanczos makes of a row of greys that is `scale` times as long: each new pixel is the sum of those within three of
/// where it lies, weighed by sinc(x) sinc(x / 3) (Duchon 1979).
fn lanczos3(row: &[f64], scale: f64) -> Vec<f64> {
    let sinc = |x: f64| {
        let x = x * std::f64::consts::PI;
        if x == 0.0 { 1.0 } else { x.sin() / x }
    };
    let new = |at: usize| {
        let centre = (at as f64 + 0.5) / scale - 0.5;
        let (mut sum, mut weights) = (0.0, 0.0);
        for (from, grey) in row.iter().enumerate() {
            let distance = from as f64 - centre;
            if distance.abs() < 3.0 {
                let weight = sinc(distance) * sinc(distance / 3.0);
                sum += grey * weight;
                weights += weight;
            }
        }
        sum / weights
    };
    (0..(row.len() as f64 * scale) as usize).map(new).collect()
}

#[test]
fn what_is_enlarged_is_enlarged_with_lanczos() {
    let (dark, light) = (60, 190);
    let row: Vec<u8> = (0..16).map(|x| if x < 8 { dark } else { light }).collect();
    let samples = (0..16).flat_map(|_| row.iter().flat_map(|grey| [*grey; 3]));
    let edge = Image::from_rgb(16, 16, samples.collect()).unwrap();
    let greys: Vec<f64> = row.iter().copied().map(f64::from).collect();
    let expected = lanczos3(&greys, 4.0);
    let larger = upscale(&edge, 4.0, 2048).unwrap();
    let made: Vec<u8> = (0..64).map(|x| larger.pixel(x, 32).unwrap()[0]).collect();
    for (x, (made, expected)) in made.iter().zip(&expected).enumerate() {
        let off = (f64::from(*made) - expected).abs();
        assert!(off <= 1.5, "at {x}: {made}, expected {expected}");
    }
    // On both sides of the edge it swings beyond, and back: a second time, which no narrower filter does.
    let (darkest, lightest) = (made.iter().min().unwrap(), made.iter().max().unwrap());
    assert!(*darkest < dark - 6 && *lightest > light + 6, "{made:?}");
    assert!(made[..26].iter().any(|grey| *grey > dark), "{made:?}");
    assert!(made[38..].iter().any(|grey| *grey < light), "{made:?}");
}

#[test]
fn no_dark_rim_where_alpha_begins() {
    // The disc is red on transparent black; mixed without alpha in mind its rim would turn dark.
    let image = decoded(&file("alpha.png"));
    let small = resize(&image, Some(23), None, Fit::Contain).unwrap();
    for [r, ..] in small.pixels().filter(|pixel| pixel[3] > 40) {
        assert!(r > RED[0] - 20, "{r}");
    }
}

#[test]
fn sizes_beyond_reason_are_refused() {
    let image = plain(4, 4, RED);
    let told = |width, height, fit| resize(&image, width, height, fit).unwrap_err().to_string();
    assert_eq!(
        told(Some(0), None, Fit::Contain),
        "a side of 0 pixels was asked for"
    );
    assert_eq!(
        told(Some(20_000), Some(4), Fit::Stretch),
        "20000 × 4 pixels were asked for; a side has at most 16383"
    );
    assert_eq!(
        told(Some(16_000), Some(16_000), Fit::Cover),
        "16000 × 16000 pixels were asked for; an image has at most 100000000"
    );
    let hair = plain(1, 2000, RED);
    assert!(resize(&hair, Some(1000), None, Fit::Cover).is_err());
}

/// The sides by the definition of each fit, in floating point.
fn model(from: (u32, u32), to: (u32, u32), fit: Fit) -> (f64, f64) {
    let (width, height) = (f64::from(from.0), f64::from(from.1));
    let (to_width, to_height) = (f64::from(to.0), f64::from(to.1));
    let inside = (to_width / width).min(to_height / height);
    match fit {
        Fit::Contain => (width * inside, height * inside),
        Fit::ScaleDown => (width * inside.min(1.0), height * inside.min(1.0)),
        Fit::Cover | Fit::Stretch => (to_width, to_height),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sizes_are_those_of_the_model(
        from in (1_u32..300, 1_u32..300),
        to in (1_u32..400, 1_u32..400),
        fit in proptest::sample::select(vec![Fit::Contain, Fit::Cover, Fit::Stretch, Fit::ScaleDown]),
    ) {
        let (width, height) = sized(from, Some(to.0), Some(to.1), fit);
        let (model_width, model_height) = model(from, to, fit);
        // Half a pixel of rounding, but never less than one pixel.
        prop_assert!((f64::from(width) - model_width.max(1.0)).abs() <= 0.5 + 1e-9, "{width} {model_width}");
        prop_assert!((f64::from(height) - model_height.max(1.0)).abs() <= 0.5 + 1e-9, "{height} {model_height}");
        prop_assert!(width >= 1 && height >= 1);
        if fit != Fit::Stretch {
            prop_assert!(width <= to.0.max(from.0) && height <= to.1.max(from.1));
        }
        if fit == Fit::ScaleDown {
            prop_assert!(width <= from.0 && height <= from.1);
        }
    }

    #[test]
    fn a_frame_is_filled_to_the_pixel(
        from in (1_u32..200, 1_u32..200),
        to in (1_u32..200, 1_u32..200),
        frame in proptest::sample::select(vec![Frame::Cover, Frame::Contain, Frame::Attention]),
    ) {
        let framed = reframe(&plain(from.0, from.1, GREEN), to.0, to.1, frame).unwrap();
        prop_assert_eq!((framed.width(), framed.height()), to);
    }
}
