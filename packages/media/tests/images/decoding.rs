use studio233_media::{Color, Encoding, Format, Limits, encode, probe};

use crate::{GREEN, LOSSY, RED, assert_color, assert_quarters, decoded, file};

#[test]
fn every_way_a_camera_was_held_is_seen_upright() {
    for orientation in 1..=8 {
        let bytes = file(&format!("orientation-{orientation}.jpg"));
        let info = probe(&bytes, &Limits::default()).unwrap();
        assert_eq!((info.width, info.height), (48, 32), "{orientation}");
        assert_quarters(&decoded(&bytes), LOSSY);
    }
    assert_quarters(&decoded(&file("orientation-6.webp")), 16);
}

#[test]
fn what_a_camera_noted_does_not_come_out_again() {
    let bytes = file("orientation-6.jpg");
    let name = b"a camera's name";
    assert!(contains(&bytes, name));
    for format in [Format::Jpeg, Format::Png, Format::Webp] {
        let encoding = Encoding {
            format,
            quality: 95,
            background: Color::WHITE,
        };
        let again = encode(&decoded(&bytes), &encoding).unwrap();
        assert!(!contains(&again, name), "{format}");
        assert!(!contains(&again, b"Exif"), "{format}");
        assert_quarters(&decoded(&again), 16);
    }
}

#[test]
fn four_inks_are_read_as_the_colours_they_print() {
    assert_quarters(&decoded(&file("cmyk.jpg")), 12);
}

#[test]
fn other_codings_show_the_same_picture() {
    assert_quarters(&decoded(&file("progressive.jpg")), LOSSY);
    assert_quarters(&decoded(&file("rgb.webp")), 16);
    assert_quarters(&decoded(&file("rgb16.png")), 0);
    let gray = decoded(&file("gray16.png"));
    assert_color(&gray, 3, 3, [128; 3], 0);
    let gray = decoded(&file("gray.jpg"));
    let [r, g, b, _] = gray.pixel(11, 7).unwrap();
    assert!(r == g && g == b);
}

#[test]
fn one_transparent_colour_of_a_palette_stays_transparent() {
    let image = decoded(&file("indexed.png"));
    assert!(image.has_alpha());
    assert_eq!(image.pixel(40, 28).unwrap()[3], 0);
    assert_eq!(image.pixel(2, 2), Some([RED[0], RED[1], RED[2], 255]));
}

#[test]
fn alpha_is_kept() {
    for name in ["alpha.png", "alpha.webp"] {
        let bytes = file(name);
        assert!(
            probe(&bytes, &Limits::default()).unwrap().has_alpha,
            "{name}"
        );
        let image = decoded(&bytes);
        assert_eq!(image.pixel(1, 1).unwrap()[3], 0, "{name}");
        assert_eq!(image.pixel(32, 32).unwrap()[3], 255, "{name}");
        assert_color(&image, 32, 32, RED, LOSSY);
    }
}

#[test]
fn colours_are_meant_as_the_embedded_profile_says() {
    for (name, tolerance) in [("swapped-profile.png", 10), ("swapped-profile.jpg", 16)] {
        let image = decoded(&file(name));
        let swapped = |color: [u8; 3]| [color[1], color[0], color[2]];
        assert_color(&image, 11, 7, swapped(RED), tolerance);
        assert_color(&image, 36, 7, swapped(GREEN), tolerance);
    }
}

#[test]
fn of_an_animation_the_first_frame_is_decoded() {
    for (name, format) in [
        ("animated.gif", Format::Gif),
        ("animated.webp", Format::Webp),
    ] {
        let bytes = file(name);
        assert_eq!(probe(&bytes, &Limits::default()).unwrap().format, format);
        let image = decoded(&bytes);
        assert_eq!((image.width(), image.height()), (40, 24), "{name}");
        assert_color(&image, 20, 12, RED, LOSSY);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
