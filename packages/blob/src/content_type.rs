use std::fmt;

/// A media type such as `application/pdf`, lower case, without parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContentType(String);

/// The text is not a media type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a content type; write it like `application/pdf`")]
pub struct InvalidContentType {
    text: String,
}

/// What names say about their content; the rest is told by the writer.
const BY_EXTENSION: [(&str, &str); 16] = [
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("gif", "image/gif"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("md", "text/markdown"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("wav", "audio/wav"),
    ("webp", "image/webp"),
];

impl ContentType {
    /// Checks and normalises a media type; parameters (`; charset=…`) are dropped.
    pub fn parse(text: &str) -> Result<Self, InvalidContentType> {
        let essence = text
            .split(';')
            .next()
            .unwrap_or("")
            .trim()
            .to_ascii_lowercase();
        let token = |part: &str| {
            !part.is_empty()
                && part.len() <= 100
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
        };
        match essence.split_once('/') {
            Some((kind, subtype)) if token(kind) && token(subtype) => Ok(Self(essence)),
            _ => Err(InvalidContentType {
                text: text.chars().take(120).collect(),
            }),
        }
    }

    pub fn pdf() -> Self {
        Self("application/pdf".to_owned())
    }

    pub fn json() -> Self {
        Self("application/json".to_owned())
    }

    /// Bytes of unknown kind.
    pub fn octet_stream() -> Self {
        Self("application/octet-stream".to_owned())
    }

    /// What a file name's extension says, if it is a known one.
    pub fn of_extension(extension: &str) -> Option<Self> {
        let extension = extension.to_ascii_lowercase();
        let found = BY_EXTENSION.iter().find(|(known, _)| *known == extension);
        found.map(|(_, essence)| Self((*essence).to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter() {
        let parsed = ContentType::parse("Application/PDF; version=1.7").unwrap();
        assert_eq!(parsed, ContentType::pdf());
        assert_eq!(ContentType::of_extension("PDF"), Some(ContentType::pdf()));
        assert_eq!(ContentType::of_extension("xyz"), None);
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for text in [
            "",
            "pdf",
            "/pdf",
            "application/",
            "a/b/c",
            "a b/c",
            "text/html\r\nx: y",
        ] {
            assert!(ContentType::parse(text).is_err(), "{text:?}");
        }
    }
}
