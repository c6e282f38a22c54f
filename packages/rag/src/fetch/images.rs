use super::{Fetcher, shown_url};
use async_trait::async_trait;
use studio233_ai::{EncodedImage, ImageSource, SourceError};

/// Images from where documents come from, under the same rules. The fetcher's limits have to be for images
/// ([`FetchLimits::images`](super::FetchLimits::images)).
#[async_trait]
impl ImageSource for Fetcher {
    async fn fetch(&self, url: &str) -> Result<EncodedImage, SourceError> {
        let failed = |transient, source| SourceError {
            url: shown_url(url),
            transient,
            source,
        };
        let fetched = Self::fetch(self, url)
            .await
            .map_err(|error| failed(error.is_transient(), error.into()))?;
        EncodedImage::new(fetched.bytes).map_err(|error| failed(false, error.into()))
    }
}
