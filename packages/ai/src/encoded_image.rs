use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::fmt;

/// Largest image that is taken out of a `data:` URL.
pub const DATA_URL_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How an image is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageType {
    Png,
    Jpeg,
    Gif,
    Webp,
}

impl ImageType {
    /// The type that the first bytes are of; what a server or a file name says is not asked.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Some(Self::Webp),
            _ => None,
        }
    }

    /// `image/png`, …
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }

    /// `png`, `jpeg`, `gif`, `webp`
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Gif => "gif",
            Self::Webp => "webp",
        }
    }
}

impl fmt::Display for ImageType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.media_type())
    }
}

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
    kind: ImageType,
}

impl EncodedImage {
    /// Takes a file whose first bytes are an image's. Whether the rest can be decoded, decoding says.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, NotAnImage> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(NotAnImage::Empty);
        }
        let kind = ImageType::of(&bytes).ok_or(NotAnImage::Unknown)?;
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

    pub fn kind(&self) -> ImageType {
        self.kind
    }

    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.bytes)
    }

    /// `data:image/png;base64,…`
    pub fn to_data_url(&self) -> String {
        format!("data:{};base64,{}", self.kind, self.to_base64())
    }
}

impl fmt::Debug for EncodedImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "EncodedImage({}, {} bytes)",
            self.kind,
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
        assert_eq!(image.kind(), ImageType::Png);
        let called_jpeg = image.to_data_url().replace("image/png", "image/jpeg");
        assert_eq!(EncodedImage::from_data_url(&called_jpeg).unwrap(), image);
        assert_eq!(
            format!("{image:?}"),
            format!("EncodedImage(image/png, {} bytes)", png.len())
        );
        let webp = ImageType::of(b"RIFF\x10\0\0\0WEBPVP8 ");
        assert_eq!(webp, Some(ImageType::Webp));
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
