use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::fmt;
use studio233_media::Format;

/// Largest image that is taken out of a `data:` URL.
pub const DATA_URL_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Why bytes or a `data:` URL are no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnImage {
    #[error("it is empty")]
    Empty,
    #[error("it is neither PNG, JPEG, GIF nor WebP")]
    Unknown,
    #[error("it is not a data: URL in base64")]
    DataUrl,
    #[error("it is larger than {DATA_URL_BYTES_MAX} bytes")]
    TooLarge,
}

/// An image file of a type that providers take. Its bytes are shared by clones.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedImage {
    bytes: Bytes,
    kind: Format,
}

impl EncodedImage {
    /// Takes a file whose first bytes are an image's. Whether the rest can be decoded, decoding says.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, NotAnImage> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(NotAnImage::Empty);
        }
        let kind = Format::sniff(&bytes).ok_or(NotAnImage::Unknown)?;
        Ok(Self { bytes, kind })
    }

    /// Reads `data:image/png;base64,…`. The bytes decide the type, not the URL.
    pub fn from_data_url(url: &str) -> Result<Self, NotAnImage> {
        let (head, data) = url
            .strip_prefix("data:")
            .and_then(|rest| rest.split_once(','))
            .ok_or(NotAnImage::DataUrl)?;
        if !head.to_ascii_lowercase().ends_with(";base64") {
            return Err(NotAnImage::DataUrl);
        }
        Self::from_base64(data)
    }

    /// The file as text of the standard alphabet.
    pub(crate) fn from_base64(text: &str) -> Result<Self, NotAnImage> {
        if text.len() / 4 * 3 > DATA_URL_BYTES_MAX {
            return Err(NotAnImage::TooLarge);
        }
        let bytes = STANDARD
            .decode(text.trim())
            .map_err(|_| NotAnImage::DataUrl)?;
        Self::new(bytes)
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn kind(&self) -> Format {
        self.kind
    }

    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.bytes)
    }

    /// `data:image/png;base64,…`
    pub fn to_data_url(&self) -> String {
        format!(
            "data:{};base64,{}",
            self.kind.content_type(),
            self.to_base64()
        )
    }
}

impl fmt::Debug for EncodedImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "EncodedImage({}, {} bytes)",
            self.kind.content_type(),
            self.bytes.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_decide_what_an_image_is() {
        let png = b"\x89PNG\r\n\x1a\nrest".to_vec();
        let image = EncodedImage::new(png.clone()).unwrap();
        assert_eq!(image.kind(), Format::Png);
        let called_jpeg = image.to_data_url().replace("image/png", "image/jpeg");
        assert_eq!(EncodedImage::from_data_url(&called_jpeg).unwrap(), image);
        assert_eq!(
            format!("{image:?}"),
            format!("EncodedImage(image/png, {} bytes)", png.len())
        );
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let cases = [
            ("https://a.test/a.png", NotAnImage::DataUrl),
            ("data:image/png,plain", NotAnImage::DataUrl),
            ("data:image/png;base64,&&&", NotAnImage::DataUrl),
            ("data:image/png;base64,", NotAnImage::Empty),
            ("data:image/png;base64,PGh0bWw+", NotAnImage::Unknown),
        ];
        for (url, expected) in cases {
            assert_eq!(EncodedImage::from_data_url(url), Err(expected), "{url}");
        }
    }
}
