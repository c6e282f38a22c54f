//! Text in a column.

use std::borrow::Cow;

/// Text without NUL, which documents and errors may hold, PostgreSQL stores nowhere and nobody reads. What looks a text up
/// has to ask for it the same way.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => text.replace('\0', "").into(),
        false => text.into(),
    }
}

/// The same of a text that may be missing.
pub(crate) fn storable_if_any<T: AsRef<str>>(text: &Option<T>) -> Option<Cow<'_, str>> {
    text.as_ref().map(|text| storable(text.as_ref()))
}
