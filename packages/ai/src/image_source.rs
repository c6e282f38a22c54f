use crate::EncodedImage;
use async_trait::async_trait;

/// Why an image could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch the image at {url}")]
pub struct SourceError {
    /// The URL as it may be shown: without credentials and query.
    pub url: String,
    /// Whether fetching it later may succeed.
    pub transient: bool,
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Gets images by URL.
///
/// URLs come from users and from services. An implementation keeps them out of the network the studio
/// runs in, and bounds size and time. `data:` URLs never reach it. Fetching again is harmless.
#[async_trait]
pub trait ImageSource: Send + Sync {
    async fn fetch(&self, url: &str) -> Result<EncodedImage, SourceError>;
}
