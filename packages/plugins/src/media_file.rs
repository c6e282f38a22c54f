use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A JSON object of any content.
pub type Object = Map<String, Value>;

/// Longest name that is kept.
const NAME_CHARACTERS_MAX: usize = 120;

/// A file that flows between nodes. The bytes are behind the URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaFile {
    /// Unique among the files of a node.
    pub id: String,
    /// Where its bytes are: `https:`, or `blob:` for the studio's own.
    pub url: String,
    /// As people know it, with its extension.
    pub name: String,
    #[serde(rename = "type")]
    pub kind: MediaKind,
    /// E.g. `png`; empty when nobody said.
    pub format: String,
    /// In bytes; 0 when nobody said.
    pub size: u64,
    /// In pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// In pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// In seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
}

/// What kind of medium a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    Image,
    Video,
    Audio,
}

impl MediaKind {
    /// All kinds, for plugins that take any.
    pub const ALL: &'static [Self] = &[Self::Image, Self::Video, Self::Audio];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }

    fn of(text: &str) -> Option<Self> {
        let name = text.split('/').next().unwrap_or(text);
        Self::ALL
            .iter()
            .copied()
            .find(|kind| name.eq_ignore_ascii_case(kind.name()))
    }
}

impl MediaFile {
    /// Makes the best of what a producer called a file: it needs a `url` and a `name`, the rest has defaults (the id is
    /// the URL, the type that of `metadata.mimeType`, else image). None when it cannot be one.
    pub fn coerce(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let text = |key: &str| {
            let text = object.get(key)?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        // JavaScript has one kind of number, so whole ones may come as 3.0.
        let number = |key: &str| object.get(key)?.as_f64().filter(|number| *number >= 0.0);
        let side = |key: &str| {
            let side = number(key)?;
            (side >= 1.0 && side <= f64::from(u32::MAX)).then_some(side as u32)
        };
        let url = text("url")?;
        let metadata = object.get("metadata").and_then(Value::as_object).cloned();
        let mime_type = metadata
            .as_ref()
            .and_then(|metadata| metadata.get("mimeType")?.as_str());
        let kind = text("type")
            .as_deref()
            .and_then(MediaKind::of)
            .or_else(|| mime_type.and_then(MediaKind::of))
            .unwrap_or(MediaKind::Image);
        Some(Self {
            id: text("id").unwrap_or_else(|| url.clone()),
            name: text("name")?,
            kind,
            format: text("format").unwrap_or_default(),
            size: number("size").map_or(0, |size| size as u64),
            width: side("width"),
            height: side("height"),
            duration: number("duration"),
            metadata,
            url,
        })
    }

    /// The name without folders and control characters, and not too long: what may be shown and stored.
    pub fn plain_name(&self) -> String {
        let last = self.name.rsplit(['/', '\\']).next().unwrap_or("");
        let plain: String = last
            .chars()
            .filter(|character| !character.is_control())
            .collect();
        let plain = plain.trim().trim_start_matches('.');
        if plain.is_empty() {
            return "file".to_owned();
        }
        let length = plain.chars().count();
        // The end has the extension.
        plain
            .chars()
            .skip(length.saturating_sub(NAME_CHARACTERS_MAX))
            .collect()
    }

    /// The name without its extension.
    pub(crate) fn stem(&self) -> String {
        let name = self.plain_name();
        match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() && extension.len() <= 5 => stem.to_owned(),
            _ => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_producer_calls_a_file_becomes_one() {
        let least = MediaFile::coerce(&json!({"url": "https://a/b.png", "name": "b.png"})).unwrap();
        assert_eq!(
            serde_json::to_value(&least).unwrap(),
            json!({
                "id": "https://a/b.png", "url": "https://a/b.png", "name": "b.png",
                "type": "image", "format": "", "size": 0
            })
        );
        let whole = json!({
            "id": "1", "url": "blob:a", "name": "b", "type": "video", "format": "mp4", "size": 7,
            "width": 3, "height": 4, "duration": 1.5, "metadata": {"mimeType": "audio/mpeg"}
        });
        let file = MediaFile::coerce(&whole).unwrap();
        assert_eq!(serde_json::to_value(&file).unwrap(), whole);
    }

    #[test]
    fn the_type_is_that_of_the_mime_type_else_image() {
        let kind = |mime_type: &str| {
            let value = json!({"url": "u", "name": "n", "metadata": {"mimeType": mime_type}});
            MediaFile::coerce(&value).unwrap().kind
        };
        assert_eq!(kind("video/mp4"), MediaKind::Video);
        assert_eq!(kind("audio/mpeg"), MediaKind::Audio);
        assert_eq!(kind("application/pdf"), MediaKind::Image);
    }

    #[test]
    fn what_has_no_url_or_name_is_no_file() {
        for value in [
            json!("https://a"),
            json!({"url": "u"}),
            json!({"name": "n"}),
            json!({"url": "", "name": "n"}),
            json!({"url": 1, "name": "n"}),
            json!(null),
        ] {
            assert_eq!(MediaFile::coerce(&value), None, "{value}");
        }
    }

    #[test]
    fn names_lead_nowhere() {
        let plain = |name: &str| {
            MediaFile::coerce(&json!({"url": "u", "name": name}))
                .unwrap()
                .plain_name()
        };
        assert_eq!(plain("../../etc/passwd"), "passwd");
        assert_eq!(plain("C:\\photos\\a.png"), "a.png");
        assert_eq!(plain(".."), "file");
        assert_eq!(plain("a\u{0}b\n.png"), "ab.png");
        assert_eq!(plain("Grüße 1.png"), "Grüße 1.png");
        assert!(plain(&format!("{}.png", "x".repeat(500))).ends_with("x.png"));
    }
}
