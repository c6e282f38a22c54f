//! Lists in pages, newest first.

use serde::Serialize;
use std::fmt;

/// Most rows on a page.
pub const PAGE_LIMIT_MAX: u32 = 100;

/// Part of a list, newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass it to get the next page; none when this was the last.
    pub next: Option<Cursor>,
}

/// A place in a list: after the row of that time and id. As text it fits in a URL's query when it is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    created_at_ms: i64,
    id: String,
}

/// The text is not a cursor that a page gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that a page gave")]
pub struct InvalidCursor;

impl Cursor {
    pub(crate) fn new(created_at_ms: i64, id: &str) -> Self {
        Self {
            created_at_ms,
            id: id.to_owned(),
        }
    }

    /// Before everything, or after what the cursor names; the parameters of `(created_at_ms, id) < ($1, $2)`.
    pub(crate) fn bounds(cursor: Option<&Self>) -> (i64, &str) {
        cursor.map_or((i64::MAX, ""), |cursor| {
            (cursor.created_at_ms, cursor.id.as_str())
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at_ms, self.id)
    }
}

impl std::str::FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (created_at_ms, id) = text.split_once('.').ok_or(InvalidCursor)?;
        let created_at_ms = created_at_ms.parse().map_err(|_| InvalidCursor)?;
        Ok(Self::new(created_at_ms, id))
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One row more than a page holds tells whether there is another page.
pub(crate) fn rows_for(limit: u32) -> i64 {
    i64::from(limit.clamp(1, PAGE_LIMIT_MAX)) + 1
}

impl<T> Page<T> {
    pub(crate) fn of(mut items: Vec<T>, limit: u32, place: impl Fn(&T) -> Cursor) -> Self {
        let limit = limit.clamp(1, PAGE_LIMIT_MAX) as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(place);
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, InvalidCursor};

    #[test]
    fn a_cursor_survives_being_text() {
        let cursor = Cursor::new(17, "a.b");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "17", "x.a"] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text}");
        }
    }
}
