use std::fmt;

/// Longest key, in bytes. Leaves room for a root folder below the usual path limits.
pub const KEY_BYTES_MAX: usize = 512;

/// Longest part between two slashes: file systems stop at 255 bytes, and writing needs a suffix.
const SEGMENT_BYTES_MAX: usize = 200;

/// Where a blob lives: `segment/segment/name`, relative to the store's root.
///
/// Segments are ASCII letters, digits and `. _ - = + @ ~`, and do not start with a dot. So a key
/// can neither climb out of the root nor meet the store's own files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    #[error("the blob key is empty")]
    Empty,
    #[error("the blob key has {bytes} bytes; at most {KEY_BYTES_MAX} are allowed")]
    TooLong { bytes: usize },
    #[error(
        "the blob key {key:?} has an empty part; write it as `folder/name` without leading, trailing or double slashes"
    )]
    EmptySegment { key: String },
    #[error(
        "the blob key {key:?} has a part that starts with a dot; `.`, `..` and hidden names are not allowed"
    )]
    DotSegment { key: String },
    #[error("the blob key {key:?} has a part of more than {SEGMENT_BYTES_MAX} bytes")]
    SegmentTooLong { key: String },
    #[error(
        "the blob key {key:?} contains {found:?}; use ASCII letters, digits and `. _ - = + @ ~`"
    )]
    Character { key: String, found: char },
}

impl Key {
    /// Checks a text and makes it a key.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the last dot of the last segment, if anything.
    pub fn extension(&self) -> Option<&str> {
        let name = self.0.rsplit('/').next()?;
        name.rsplit_once('.').map(|(_, extension)| extension)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::parse(text)
    }
}

fn check(key: &str) -> Result<(), InvalidKey> {
    if key.is_empty() {
        return Err(InvalidKey::Empty);
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(InvalidKey::TooLong { bytes: key.len() });
    }
    for segment in key.split('/') {
        let key = || key.to_owned();
        if segment.is_empty() {
            return Err(InvalidKey::EmptySegment { key: key() });
        }
        if segment.starts_with('.') {
            return Err(InvalidKey::DotSegment { key: key() });
        }
        if segment.len() > SEGMENT_BYTES_MAX {
            return Err(InvalidKey::SegmentTooLong { key: key() });
        }
        let wrong = |c: &char| !(c.is_ascii_alphanumeric() || "._-=+@~".contains(*c));
        if let Some(found) = segment.chars().find(wrong) {
            return Err(InvalidKey::Character { key: key(), found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_keys_are_accepted() {
        for key in [
            "a",
            "vision/metadata/0af3/latest.json",
            "brand/a-1_b=2+c@d~e/source.pdf",
            "a/b..c",
        ] {
            assert_eq!(Key::parse(key).unwrap().as_str(), key);
        }
        assert_eq!(Key::parse("a.b/c").unwrap().extension(), None);
        assert_eq!(Key::parse("a/b.tar.gz").unwrap().extension(), Some("gz"));
    }

    #[test]
    fn keys_that_could_leave_the_root_are_refused() {
        let refused = [
            "",
            "/",
            "/etc/passwd",
            "a//b",
            "a/",
            "..",
            "../a",
            "a/../b",
            "a/./b",
            ".types/a",
            "a/.hidden",
            "a\\..\\b",
            "C:\\a",
            "a\0b",
            "a b",
            "a%2e%2e",
            "ä",
            "a\nb",
            "a?b",
            "a:b",
        ];
        for key in refused {
            assert!(Key::parse(key).is_err(), "{key:?}");
        }
        assert!(Key::parse(&"a".repeat(201)).is_err());
        assert!(Key::parse(&"a/".repeat(256)).is_err());
        assert_eq!(
            Key::parse(&"a/".repeat(400)),
            Err(InvalidKey::TooLong { bytes: 800 })
        );
    }
}
