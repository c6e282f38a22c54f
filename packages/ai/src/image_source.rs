use crate::EncodedImage;
use crate::http::shortened;
use async_trait::async_trait;
use std::time::Duration;
use url::Url;

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

impl SourceError {
    /// The image did not come in time.
    pub(crate) fn too_slow(url: &str, after: Duration) -> Self {
        Self {
            url: shown_url(url),
            transient: true,
            source: format!("it did not come within {} s", after.as_secs_f32()).into(),
        }
    }
}

/// The URL without credentials, query and fragment, which may be secret. What cannot be taken apart is not shown.
fn shown_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return "…".to_owned();
    };
    url.set_query(None);
    url.set_fragment(None);
    // What has no host has no credentials; then these fail, rightly.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    shortened(url.as_str())
}

/// Gets images by URL.
///
/// URLs come from users and from services. An implementation keeps them out of the network the studio
/// runs in, and bounds size and time. `data:` URLs never reach it. Fetching again is harmless.
#[async_trait]
pub trait ImageSource: Send + Sync {
    async fn fetch(&self, url: &str) -> Result<EncodedImage, SourceError>;
}
