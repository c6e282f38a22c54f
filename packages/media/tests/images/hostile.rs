use std::io::Write;

use flate2::Crc;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;
use studio233_media::{DecodeError, Fit, Format, Limits, decode, probe, resize_animation};

use crate::file;

const EACH: [&str; 9] = [
    "rgb16.png",
    "alpha.png",
    "indexed.png",
    "cmyk.jpg",
    "progressive.jpg",
    "photo.jpg",
    "rgb.webp",
    "alpha.webp",
    "animated.gif",
];

fn refused(bytes: &[u8]) -> DecodeError {
    decode(bytes, &Limits::default()).unwrap_err()
}

#[test]
fn what_is_cut_off_is_no_picture() {
    for name in EACH {
        let bytes = file(name);
        // Half of the GIF has a whole first frame.
        let most = if name == "animated.gif" {
            60
        } else {
            bytes.len() - 20
        };
        for length in [bytes.len() / 5, most] {
            let error = refused(&bytes[..length]);
            let told = matches!(
                error,
                DecodeError::Truncated { .. } | DecodeError::Damaged { .. }
            );
            assert!(told, "{name}: {error}");
        }
    }
    let gif = file("animated.gif");
    let half = &gif[..gif.len() / 2];
    assert!(decode(half, &Limits::default()).is_ok());
    assert!(resize_animation(half, &Limits::default(), Some(10), None, Fit::Contain).is_err());
    // The decoder would show the upper part and say nothing.
    let photo = file("photo.jpg");
    let error = refused(&photo[..photo.len() - 2]);
    assert_eq!(
        error.to_string(),
        format!("the jpeg is cut off after {} bytes", photo.len() - 2)
    );
}

#[test]
fn a_picture_followed_by_something_else_is_whole() {
    let mut photo = file("photo.jpg");
    photo.extend_from_slice(b"\0\0\0\x18ftypmp42 a phone's moving picture");
    assert!(decode(&photo, &Limits::default()).is_ok());
}

#[test]
fn what_is_no_image_is_named_by_its_start() {
    assert_eq!(refused(b"").to_string(), "the file is empty");
    assert_eq!(
        refused(b"%PDF-1.7 and more").to_string(),
        "the file is no png, jpeg, webp or gif: it starts with \"%PDF-1.7 and\""
    );
    assert_eq!(
        refused(&[0; 3]).to_string(),
        "the file is no png, jpeg, webp or gif: it starts with 00 00 00"
    );
}

#[test]
fn a_header_of_enormous_size_is_refused_by_its_header() {
    let png = png(50_000, 50_000, 8, &[]);
    let jpeg = {
        let mut bytes = file("gray.jpg");
        let frame = bytes
            .windows(2)
            .position(|two| two == [0xff, 0xc0])
            .unwrap();
        bytes[frame + 5..frame + 9].copy_from_slice(&[0xc3, 0x50, 0xc3, 0x50]);
        bytes
    };
    let gif = {
        let mut bytes = file("animated.gif");
        bytes[6..10].copy_from_slice(&[0x50, 0xc3, 0x50, 0xc3]);
        bytes
    };
    let webp = {
        let mut bytes = file("alpha.webp");
        assert_eq!(&bytes[12..16], b"VP8X");
        let side = [0x4f, 0xc3, 0x00];
        bytes[24..27].copy_from_slice(&side);
        bytes[27..30].copy_from_slice(&side);
        bytes
    };
    for (bytes, format) in [
        (png, Format::Png),
        (jpeg, Format::Jpeg),
        (gif, Format::Gif),
        (webp, Format::Webp),
    ] {
        let expected = format!("the {format} is 50000 × 50000; a side has at most 30000 pixels");
        assert_eq!(refused(&bytes).to_string(), expected);
        let probed = probe(&bytes, &Limits::default()).unwrap_err();
        assert_eq!(probed.to_string(), expected);
    }
}

#[test]
fn a_small_file_of_very_many_pixels_is_refused() {
    let rows = vec![0; (12_000 / 8 + 1) * 12_000];
    let bomb = png(12_000, 12_000, 1, &rows);
    assert!(bomb.len() < 50_000);
    assert_eq!(
        refused(&bomb).to_string(),
        "the png is 12000 × 12000, 144000000 pixels; at most 100000000 are decoded"
    );
}

#[test]
fn pixels_beyond_what_the_header_says_are_not_unpacked() {
    let smaller = |name: &str, at: std::ops::Range<usize>, sides: &[u8]| {
        let mut bytes = file(name);
        bytes[at].copy_from_slice(sides);
        bytes
    };
    // 64 MB of zeros behind a header of 8 × 8.
    let png = png(8, 8, 8, &vec![0; 64 * 1024 * 1024]);
    let jpeg = {
        let bytes = file("gray.jpg");
        let mut pairs = bytes.windows(2);
        let frame = pairs.position(|two| two == [0xff, 0xc0]).unwrap();
        smaller("gray.jpg", frame + 5..frame + 9, &[0, 8, 0, 8])
    };
    let gif = smaller("animated.gif", 6..10, &[8, 0, 8, 0]);
    let webp = smaller("alpha.webp", 24..30, &[7, 0, 0, 7, 0, 0]);
    for (bytes, format) in [(png, Format::Png), (jpeg, Format::Jpeg), (gif, Format::Gif)] {
        let image = decode(&bytes, &Limits::default()).unwrap();
        assert_eq!((image.width(), image.height()), (8, 8), "{format}");
    }
    // A WebP's frame says its size again, and contradicts.
    let error = refused(&webp);
    let told = matches!(
        error,
        DecodeError::Damaged {
            format: Format::Webp,
            ..
        }
    );
    assert!(told, "{error}");
}

#[test]
fn bytes_are_bounded() {
    let limits = Limits {
        bytes_max: 100,
        ..Limits::default()
    };
    let error = decode(&file("photo.jpg"), &limits).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("bytes; at most 100 are decoded"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a few flipped bytes do: an image or an error, within the limits, and no panic.
    #[test]
    fn damaged_files_do_no_damage(
        name in proptest::sample::select(EACH.to_vec()),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        keep in any::<proptest::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = file(name);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cut {
            bytes.truncate(keep.index(bytes.len()));
        }
        let limits = Limits { pixels_max: 1_000_000, animation_pixels_max: 4_000_000, ..Limits::default() };
        let _ = probe(&bytes, &limits);
        if let Ok(image) = decode(&bytes, &limits) {
            prop_assert!(u64::from(image.width()) * u64::from(image.height()) <= limits.pixels_max);
        }
        let _ = resize_animation(&bytes, &limits, Some(10), None, Fit::Contain);
    }
}

/// A grey PNG with this header, and these filtered rows packed.
fn png(width: u32, height: u32, depth: u8, rows: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[depth, 0, 0, 0, 0]);
    let mut packed = ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(rows).unwrap();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, body) in [
        (b"IHDR", header),
        (b"IDAT", packed.finish().unwrap()),
        (b"IEND", Vec::new()),
    ] {
        bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
        let mut sum = Crc::new();
        sum.update(name);
        sum.update(&body);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(&sum.sum().to_be_bytes());
    }
    bytes
}
