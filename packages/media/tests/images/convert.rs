use studio233_media::{Color, EncodeError, Encoding, Format, encode};

use crate::{RED, assert_color, assert_quarters, decoded, file};

fn encoding(format: Format, quality: u8) -> Encoding {
    Encoding {
        format,
        quality,
        background: Color::WHITE,
    }
}

#[test]
fn every_format_is_written_as_what_it_is() {
    let image = decoded(&file("rgb16.png"));
    for (format, tolerance) in [(Format::Png, 0), (Format::Jpeg, 12), (Format::Webp, 20)] {
        let bytes = encode(&image, &encoding(format, 95)).unwrap();
        assert_eq!(Format::sniff(&bytes), Some(format));
        assert_quarters(&decoded(&bytes), tolerance);
    }
}

#[test]
fn alpha_is_laid_on_the_background_where_the_format_has_none() {
    let image = decoded(&file("alpha.png"));
    let on_teal = Encoding {
        background: "#008080".parse().unwrap(),
        ..encoding(Format::Jpeg, 95)
    };
    let jpeg = decoded(&encode(&image, &on_teal).unwrap());
    assert!(!jpeg.has_alpha());
    assert_color(&jpeg, 1, 1, [0, 128, 128], 6);
    assert_color(&jpeg, 32, 32, RED, 6);
    for format in [Format::Png, Format::Webp] {
        let kept = decoded(&encode(&image, &encoding(format, 90)).unwrap());
        assert_eq!(kept.pixel(1, 1).unwrap()[3], 0, "{format}");
        assert_eq!(kept.pixel(32, 32).unwrap()[3], 255, "{format}");
    }
}

#[test]
fn less_quality_makes_smaller_files() {
    let image = decoded(&file("photo.jpg"));
    for format in [Format::Jpeg, Format::Webp] {
        let sizes =
            [10, 60, 95].map(|quality| encode(&image, &encoding(format, quality)).unwrap().len());
        assert!(
            sizes[0] < sizes[1] && sizes[1] < sizes[2],
            "{format}: {sizes:?}"
        );
    }
}

#[test]
fn a_still_gif_is_not_written() {
    let image = decoded(&file("alpha.png"));
    let error = encode(&image, &encoding(Format::Gif, 90)).unwrap_err();
    assert!(matches!(
        error,
        EncodeError::Format {
            format: Format::Gif
        }
    ));
}

#[test]
fn a_colour_is_read_as_it_is_written() {
    assert_eq!("#FF8000".parse(), Ok(Color([255, 128, 0])));
    assert_eq!(Color([255, 128, 0]).to_string(), "#ff8000");
    for text in [
        "", "#", "ff8000", "#ff80", "#ff80000", "#gg0000", "#+f8000", "#ä8000",
    ] {
        assert!(text.parse::<Color>().is_err(), "{text:?}");
    }
}
