use std::io::Cursor;

use image::AnimationDecoder;
use image::codecs::gif::GifDecoder;
use studio233_media::{AnimationError, DecodeError, Fit, Limits, resize_animation};

use crate::{decoded, file};

#[test]
fn a_gif_keeps_its_frames_delays_and_repeats() {
    let gif = file("animated.gif");
    let made = resize_animation(&gif, &Limits::default(), Some(20), None, Fit::Contain).unwrap();
    assert_eq!((made.width, made.height, made.frames), (20, 12, 3));
    let first = decoded(&made.bytes);
    assert_eq!((first.width(), first.height()), (20, 12));

    let frames = GifDecoder::new(Cursor::new(&made.bytes))
        .unwrap()
        .into_frames();
    let frames: Vec<_> = frames.map(Result::unwrap).collect();
    let delays: Vec<u32> = frames
        .iter()
        .map(|frame| frame.delay().numer_denom_ms().0)
        .collect();
    assert_eq!(delays, [100, 200, 300]);
    let strongest: Vec<usize> = frames
        .iter()
        .map(|frame| {
            let pixel = frame.buffer().get_pixel(10, 6).0;
            (0..3).max_by_key(|sample| pixel[*sample]).unwrap()
        })
        .collect();
    assert_eq!(strongest, [0, 1, 2]);
    let repeats = b"NETSCAPE2.0\x03\x01\x02\x00";
    let count = |bytes: &[u8]| {
        bytes
            .windows(repeats.len())
            .filter(|part| *part == repeats)
            .count()
    };
    assert_eq!((count(&gif), count(&made.bytes)), (1, 1));
}

#[test]
fn frames_and_their_pixels_are_bounded() {
    let gif = file("animated.gif");
    let few = Limits {
        frames_max: 2,
        ..Limits::default()
    };
    let small = Limits {
        animation_pixels_max: 40 * 24 * 2,
        ..Limits::default()
    };
    let refused = |limits| match resize_animation(&gif, &limits, Some(20), None, Fit::Contain) {
        Err(AnimationError::Decode(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        refused(few),
        DecodeError::TooManyFrames { limit: 2, .. }
    ));
    assert!(matches!(
        refused(small),
        DecodeError::AnimationTooLong { .. }
    ));
}
