//! Cutting a stream into pieces that can be passed on one by one.
//!
//! A stream comes in whatever parts the network makes of it. What is passed on is whole: characters, so that a piece is
//! text; and, of a stream of server-sent events, events, so that several streams to one reader do not end up inside one
//! another.

use bytes::{Bytes, BytesMut};

/// The longest event that is kept until it is whole; of a longer one the parts are passed on.
const EVENT_BYTES_MAX: usize = 512 * 1024;
/// What a stream of server-sent events begins with: a field, or a comment (HTML, 9.2.5).
const EVENT_BEGINNINGS: [&[u8]; 5] = [b"event:", b"data:", b"id:", b"retry:", b":"];

/// Cuts a stream.
#[derive(Debug)]
pub(super) struct Pieces {
    bytes_max: usize,
    held: BytesMut,
    events: Option<bool>,
}

impl Pieces {
    /// Of any text, at most so many bytes each.
    pub(super) fn of_text(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            held: BytesMut::new(),
            events: Some(false),
        }
    }

    /// Of events if that is what the stream consists of, else of text.
    pub(super) fn of_events(bytes_max: usize) -> Self {
        Self {
            events: None,
            ..Self::of_text(bytes_max)
        }
    }

    /// Takes in what came; gives what can be passed on.
    pub(super) fn push(&mut self, part: &[u8]) -> Vec<Bytes> {
        self.held.extend_from_slice(part);
        let events = match self.events {
            Some(events) => events,
            None => match begins_event(&self.held) {
                Some(events) => *self.events.insert(events),
                None => return Vec::new(),
            },
        };
        let whole = if events {
            match end_of_last_event(&self.held) {
                0 if self.held.len() > EVENT_BYTES_MAX => whole_characters(&self.held),
                end => return self.events(end),
            }
        } else {
            whole_characters(&self.held)
        };
        self.text(whole)
    }

    /// Gives what is left at the end of the stream.
    pub(super) fn finish(mut self) -> Vec<Bytes> {
        let rest = self.held.len();
        self.text(rest)
    }

    fn events(&mut self, end: usize) -> Vec<Bytes> {
        if end == 0 {
            return Vec::new();
        }
        vec![self.held.split_to(end).freeze()]
    }

    fn text(&mut self, end: usize) -> Vec<Bytes> {
        let mut whole = self.held.split_to(end);
        let mut pieces = Vec::new();
        while !whole.is_empty() {
            let mut cut = whole.len().min(self.bytes_max);
            if cut < whole.len() {
                // What is no UTF-8 at all has no characters to cut between.
                cut = match whole_characters(&whole[..cut]) {
                    0 => cut,
                    end => end,
                };
            }
            pieces.push(whole.split_to(cut).freeze());
        }
        pieces
    }
}

/// Whether a stream that begins so is one of events; nothing while that is open.
fn begins_event(held: &[u8]) -> Option<bool> {
    if EVENT_BEGINNINGS.iter().any(|field| held.starts_with(field)) {
        return Some(true);
    }
    let open = EVENT_BEGINNINGS.iter().any(|field| field.starts_with(held));
    (!open).then_some(false)
}

/// Where the last whole event ends: after an empty line.
fn end_of_last_event(held: &[u8]) -> usize {
    let end = |ending: &[u8]| {
        let last = held
            .windows(ending.len())
            .rposition(|window| window == ending);
        last.map_or(0, |at| at + ending.len())
    };
    end(b"\n\n").max(end(b"\r\n\r\n"))
}

/// How much of it is whole characters: all, but for a last one that is not there yet.
fn whole_characters(held: &[u8]) -> usize {
    // A character has at most four bytes, the first of which says how many.
    let tail = held.len().saturating_sub(3);
    for (back, byte) in held[tail..].iter().rev().enumerate() {
        let length = match byte {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            0x80..=0xBF => continue,
            _ => return held.len(),
        };
        return if length > back + 1 {
            held.len() - back - 1
        } else {
            held.len()
        };
    }
    held.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mut pieces: Pieces, parts: &[&[u8]], expected: &[&[u8]]) {
        let mut cut: Vec<Bytes> = parts.iter().flat_map(|part| pieces.push(part)).collect();
        cut.extend(pieces.finish());
        assert_eq!(cut, expected, "{parts:?}");
    }

    #[test]
    fn text_is_cut_between_characters() {
        let text = || Pieces::of_text(4);
        check(text(), &[b"abc", b"", b"d"], &[b"abc", b"d"]);
        check(text(), &[b"abcdefghi"], &[b"abcd", b"efgh", b"i"]);
        let (euro, cat) = ("€".as_bytes(), "🐈".as_bytes());
        check(text(), &[&euro[..1], &euro[1..2], &euro[2..]], &[euro]);
        check(text(), &[&cat[..3], &cat[3..]], &[cat]);
        check(text(), &["ab€d".as_bytes()], &[b"ab", "€d".as_bytes()]);
        check(text(), &["abé€".as_bytes()], &["abé".as_bytes(), euro]);
    }

    #[test]
    fn what_is_not_text_comes_through_all_the_same() {
        let text = || Pieces::of_text(4);
        check(
            text(),
            &[b"\xff\xfe\xfd\xfc\xfb"],
            &[b"\xff\xfe\xfd\xfc", b"\xfb"],
        );
        check(
            text(),
            &[b"\x80\x80\x80\x80\x80"],
            &[b"\x80\x80\x80\x80", b"\x80"],
        );
        check(text(), &[b"a\xe2"], &[b"a", b"\xe2"]);
    }

    #[test]
    fn events_are_passed_on_whole() {
        let events = || Pieces::of_events(4);
        check(
            events(),
            &[
                b"ev",
                b"ent: a\nda",
                b"ta: 1\n",
                b"\nevent: b\n",
                b"data: 2\n\n",
            ],
            &[b"event: a\ndata: 1\n\n", b"event: b\ndata: 2\n\n"],
        );
        check(
            events(),
            &[b"data: 1\n\ndata: 2\n\ndata"],
            &[b"data: 1\n\ndata: 2\n\n", b"data"],
        );
        check(events(), &[b":\r\n\r", b"\n"], &[b":\r\n\r\n"]);
        check(events(), &[b"everyone"], &[b"ever", b"yone"]);
        check(events(), &[b"d", b"o"], &[b"do"]);
        check(events(), &[b"da"], &[b"da"]);
    }

    #[test]
    fn an_event_without_an_end_is_not_kept_for_ever() {
        let mut pieces = Pieces::of_events(EVENT_BYTES_MAX);
        assert!(pieces.push(b"data: ").is_empty());
        let passed = pieces.push(&vec![b'x'; EVENT_BYTES_MAX]);
        let bytes: usize = passed.iter().map(Bytes::len).sum();
        assert_eq!(bytes, EVENT_BYTES_MAX + 6);
    }
}
