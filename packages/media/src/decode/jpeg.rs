//! Whether a JPEG is whole. The decoder fills what is missing with grey and says nothing.

const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
/// Restart markers lie inside a scan, and like TEM have no length.
const ALONE: [u8; 9] = [0x01, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7];

/// Walks the segments (ITU T.81, annex B) from the start to the end marker. What follows it, such as a phone's second picture
/// or video, does not matter.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        let Some(marker) = next_marker(bytes, &mut at) else {
            return false;
        };
        if marker == END_OF_IMAGE {
            return true;
        }
        if ALONE.contains(&marker) {
            continue;
        }
        let Some(length) = bytes.get(at..at + 2) else {
            return false;
        };
        at += usize::from(u16::from_be_bytes([length[0], length[1]]));
        if marker == START_OF_SCAN {
            skip_scan(bytes, &mut at);
        }
    }
}

/// The next marker's code; `at` is then behind it. Bytes that belong to no segment are passed over, as decoders do.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        *at += bytes.get(*at..)?.iter().position(|byte| *byte == 0xff)?;
        *at += bytes.get(*at..)?.iter().position(|byte| *byte != 0xff)?;
        let code = bytes[*at];
        *at += 1;
        if code != 0 {
            return Some(code);
        }
    }
}

/// Moves `at` to the first marker that ends the coded data.
fn skip_scan(bytes: &[u8], at: &mut usize) {
    while let Some(rest) = bytes.get(*at..) {
        let Some(found) = rest.iter().position(|byte| *byte == 0xff) else {
            *at = bytes.len();
            return;
        };
        match rest.get(found + 1) {
            Some(0) => *at += found + 2,
            Some(code) if ALONE.contains(code) => *at += found + 2,
            _ => {
                *at += found;
                return;
            }
        }
    }
}
