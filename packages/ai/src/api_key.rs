use http::HeaderValue;
use std::fmt;
use std::sync::Arc;

/// Longest key. Real ones are below a hundred bytes.
const KEY_BYTES_MAX: usize = 1024;

/// A provider's secret. It is never printed: not by `Debug`, not in errors, not in logs.
///
/// ```
/// use studio233_ai::ApiKey;
/// let key = ApiKey::new("AIza-secret").unwrap();
/// assert_eq!(format!("{key:?}"), "ApiKey(…)");
/// ```
#[derive(Clone)]
pub struct ApiKey(Arc<str>);

/// Why a text is no key. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidApiKey {
    #[error("the API key is empty")]
    Empty,
    #[error("the API key is longer than {KEY_BYTES_MAX} bytes")]
    TooLong,
    #[error("the API key contains a character that no key has, such as a space or a line break")]
    Character,
}

impl ApiKey {
    /// A key as it came from a file or the environment; white space around it is dropped.
    pub fn new(text: &str) -> Result<Self, InvalidApiKey> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidApiKey::Empty);
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(InvalidApiKey::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidApiKey::Character);
        }
        Ok(Self(text.into()))
    }

    /// A header's value that ends in the key and is marked as sensitive.
    pub(crate) fn header(&self, scheme: &str) -> HeaderValue {
        let mut value = HeaderValue::try_from(format!("{scheme}{}", self.0))
            .expect("a key is made of visible ASCII characters, which a header takes");
        value.set_sensitive(true);
        value
    }

    /// A text of a provider without the key: some services repeat what they were sent.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(&*self.0, "…")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_key_is_refused_without_being_repeated() {
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        let cases = [
            (" \n", InvalidApiKey::Empty),
            (long.as_str(), InvalidApiKey::TooLong),
            ("two words", InvalidApiKey::Character),
            ("line\nbreak", InvalidApiKey::Character),
            ("schlüssel", InvalidApiKey::Character),
        ];
        for (text, expected) in cases {
            let error = ApiKey::new(text).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains(text));
        }
        assert!(ApiKey::new(" secret\n").is_ok());
    }

    #[test]
    fn a_key_shows_up_neither_in_debug_nor_in_its_header_nor_in_redacted_texts() {
        let key = ApiKey::new("s3cret").unwrap();
        let header = key.header("Key ");
        assert_eq!(header.as_bytes(), b"Key s3cret");
        let shown = format!("{key:?} {header:?} {}", key.redact("bad key s3cret!"));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
