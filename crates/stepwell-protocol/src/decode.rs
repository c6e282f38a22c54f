//! Decoding with errors that name the place.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// A JSON text did not have the expected shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.render())]
pub struct DecodeError {
    /// Where, e.g. `functions[2].retries`; empty when the text as a whole is at fault.
    pub path: String,
    /// What was wrong there.
    pub message: String,
}

impl DecodeError {
    fn render(&self) -> String {
        if self.path.is_empty() || self.path == "." {
            self.message.clone()
        } else {
            format!("{}: {}", self.path, self.message)
        }
    }
}

/// Decodes a JSON text.
///
/// # Errors
/// [`DecodeError`] with the path of the first value that does not fit.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(located)?;
    deserializer.end().map_err(|error| DecodeError {
        path: String::new(),
        message: error.to_string(),
    })?;
    Ok(value)
}

/// Decodes an already parsed JSON value; see [`from_slice`].
///
/// # Errors
/// [`DecodeError`] with the path of the first value that does not fit.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, DecodeError> {
    serde_path_to_error::deserialize(value).map_err(located)
}

/// Reads an explicit `null` like an absent field: SDKs differ in what they leave out.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn located(error: serde_path_to_error::Error<serde_json::Error>) -> DecodeError {
    // Where a text breaks off, the last part of the path is not known.
    let path = error.path().to_string();
    DecodeError {
        path: path.trim_end_matches(['?', '.']).to_owned(),
        message: error.into_inner().to_string(),
    }
}
