use studio233_media::{Color, Image, PALETTE_COLORS_MAX, main_colors, palette};

use crate::{BLUE, GREEN, RED, WHITE, decoded, file, plain};

#[test]
fn a_known_picture_has_its_colours_in_their_shares() {
    // Half red, 30 % green, 15 % blue, 5 % white, in columns.
    let color_at = |x: u32| match x {
        0..50 => RED,
        50..80 => GREEN,
        80..95 => BLUE,
        _ => WHITE,
    };
    let samples = (0..100 * 100).flat_map(|at| color_at(at % 100)).collect();
    let image = Image::from_rgb(100, 100, samples).unwrap();
    let found: Vec<_> = palette(&image, 6)
        .iter()
        .map(|swatch| (swatch.color.0, swatch.percentage.round()))
        .collect();
    assert_eq!(
        found,
        [(RED, 50.0), (GREEN, 30.0), (BLUE, 15.0), (WHITE, 5.0)]
    );
}

#[test]
fn shades_of_one_colour_are_one_colour() {
    // Two hues with noise around each, three to one.
    let samples = (0..90_u32 * 90)
        .flat_map(|at| {
            let noise = (at * 7919 % 17) as u8;
            if at % 4 == 0 {
                [30 + noise, 60, 190 + noise]
            } else {
                [200 + noise, 40 + noise, 30]
            }
        })
        .collect();
    let image = Image::from_rgb(90, 90, samples).unwrap();
    let found = palette(&image, 2);
    assert_eq!(found.len(), 2);
    assert!((found[0].percentage - 75.0).abs() < 1.0, "{found:?}");
    assert!(
        found[0].color.0[0] > 190 && found[1].color.0[2] > 180,
        "{found:?}"
    );
}

#[test]
fn the_same_picture_always_has_the_same_palette() {
    let photo = decoded(&file("photo.jpg"));
    let first = palette(&photo, 6);
    assert_eq!(first.len(), 6);
    assert_eq!(first, palette(&photo, 6));
    let sum: f64 = first.iter().map(|swatch| swatch.percentage).sum();
    assert!((sum - 100.0).abs() < 0.1, "{sum}");
    assert!(first.is_sorted_by(|a, b| a.percentage >= b.percentage));
}

#[test]
fn what_is_transparent_has_no_colour() {
    let disc = palette(&decoded(&file("alpha.png")), 3);
    assert_eq!(disc.len(), 1);
    assert_eq!(disc[0].color, Color(RED));
    let nothing = Image::from_rgba(4, 4, vec![0; 64]).unwrap();
    assert!(palette(&nothing, 6).is_empty());
    assert!(palette(&plain(4, 4, RED), 0).is_empty());
    assert_eq!(palette(&plain(4, 4, RED), PALETTE_COLORS_MAX * 2).len(), 1);
}

#[test]
fn a_drawn_colour_stands_for_its_smears() {
    // A fifth of the red was drawn, the rest lies to one side of it.
    let samples = (0..100_u32 * 100)
        .flat_map(|at| {
            if at % 5 == 0 {
                RED
            } else {
                [RED[0], RED[1], (at % 17) as u8 + 30]
            }
        })
        .collect();
    let image = Image::from_rgb(100, 100, samples).unwrap();
    assert_eq!(palette(&image, 1)[0].color, Color(RED));
}

#[test]
fn a_photos_greys_are_not_called_white_for_its_white_spots() {
    let samples = (0..100_u32 * 100).flat_map(|at| match at % 8 {
        0 => WHITE,
        _ => [60 + (at * 7919 % 101) as u8; 3],
    });
    let image = Image::from_rgb(100, 100, samples.collect()).unwrap();
    let found = palette(&image, 1);
    assert!(found[0].color.0[0] < 170, "{found:?}");
}

#[test]
fn main_colours_of_several_pictures_are_clearly_different_ones() {
    let nearly_red = [RED[0], RED[1] + 4, RED[2] + 4];
    let pictures = || {
        [
            plain(60, 10, RED),
            plain(20, 10, nearly_red),
            plain(20, 10, BLUE),
        ]
    };
    let found = main_colors(pictures(), 4);
    let found: Vec<_> = found
        .iter()
        .map(|swatch| (swatch.color.0, swatch.percentage))
        .collect();
    assert_eq!(found, [(RED, 80.0), (BLUE, 20.0)]);
    // What does not fit keeps its share.
    assert_eq!(main_colors(pictures(), 1)[0].percentage, 80.0);
    assert!(main_colors([], 4).is_empty());
}
