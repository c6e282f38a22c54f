use crate::language_model::MODEL_TIMEOUT;
use crate::{Answer, EncodedImage, ProviderError, Usage};
use async_trait::async_trait;
use std::time::Duration;

/// What an image model is asked.
#[derive(Debug, Clone)]
pub struct ImageRequest {
    /// What to do, in words.
    pub prompt: String,
    /// What to do it with, the image to change first.
    pub images: Vec<EncodedImage>,
    /// How long one model may take.
    pub timeout: Duration,
}

impl ImageRequest {
    pub fn new(prompt: impl Into<String>, images: impl IntoIterator<Item = EncodedImage>) -> Self {
        Self {
            prompt: prompt.into(),
            images: images.into_iter().collect(),
            timeout: MODEL_TIMEOUT,
        }
    }
}

/// An image that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeImage {
    pub image: EncodedImage,
    /// What the provider says about it; the local provider says what it did.
    pub note: Option<String>,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    #[error("{provider} returned no image{}", because(said.as_deref()))]
    NoImage {
        provider: String,
        /// What it answered instead.
        said: Option<String>,
        usage: Box<Usage>,
    },
    #[error("{provider} refuses to make the image: {reason}")]
    Blocked {
        provider: String,
        reason: String,
        usage: Box<Usage>,
    },
    #[error("image {number} cannot be read")]
    Unreadable {
        /// From 1, in the order of the request.
        number: usize,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{provider} takes at most {limit_bytes} bytes of images at once, these are {bytes}")]
    TooLarge {
        provider: String,
        bytes: usize,
        limit_bytes: usize,
    },
    #[error("{provider} cannot {what}; {hint}")]
    Unavailable {
        provider: String,
        what: String,
        hint: &'static str,
    },
    #[error("{provider} did not make the image")]
    Call {
        provider: String,
        source: ProviderError,
    },
}

fn because(said: Option<&str>) -> String {
    said.map(|said| format!(": {said}")).unwrap_or_default()
}

impl ImageError {
    /// Whether the same call may succeed later. A model that drew nothing may draw the next time.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoImage { .. } => true,
            Self::Call { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// When the same call is worth making again, if the provider says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call { source, .. } => source.retry_after(),
            _ => None,
        }
    }

    /// What was consumed although there is no image.
    pub fn usage(&self) -> Option<&Usage> {
        match self {
            Self::NoImage { usage, .. } | Self::Blocked { usage, .. } => Some(usage),
            Self::Call { source, .. } => source.usage(),
            _ => None,
        }
    }
}

/// Makes an image out of words and images.
///
/// Contract: one image or an error. A call has no effect but its cost, so calling again is harmless, though models
/// make another image each time; a dropped call is given up.
#[async_trait]
pub trait ImageModel: Send + Sync {
    /// Who makes images, for people and metadata: `local`, `gemini (gemini-3-pro-image)`, …
    fn provider(&self) -> &str;

    async fn make(&self, request: &ImageRequest) -> Result<Answer<MadeImage>, ImageError>;
}
