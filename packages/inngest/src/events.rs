//! What can be asked for: one type for each event of the studio, by domain.
//!
//! Names and fields on the wire (camelCase JSON) are those that the studio's TypeScript producers use, so that
//! both can share one stream; [`budget`] is ours alone. A payload is checked when it is sent and again before a function gets it; an error
//! names every bad path.

pub mod brand;
pub mod budget;
pub mod studio;
pub mod vision;

use serde_json::{Map, Value};

/// A JSON object of any content.
pub type Object = Map<String, Value>;

/// An id that every database can keep.
fn id(text: &str, _: &()) -> garde::Result {
    match text.contains('\0') {
        true => Err(garde::Error::new("has a NUL character, which an id cannot")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
