//! Google's Gemini models over the Generative Language API (v1beta): `generateContent` and `batchEmbedContents`.
//!
//! The key travels in a header, never in a URL. Each capability has a primary model and may have a fallback, which is
//! asked when the primary is out of quota, out of order, gone or talks nonsense, and not when the request itself
//! is at fault: the fallback would say the same, and a block for safety is an answer.

mod embedding;
mod fallback;
mod generate;
mod inline;
mod wire;

pub use crate::http::SetupError;

use crate::http::Service;
use crate::{ApiKey, ProviderError};
use generate::Shown;
use http::header::HeaderName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;
use wire::ErrorResponse;

/// How the provider calls itself.
pub const PROVIDER: &str = "gemini";

/// Images of one request, encoded: the API takes 20 MB of a request inline, in base64. Larger ones are made smaller.
pub const INLINE_BYTES_MAX: usize = 14 * 1024 * 1024;

/// A model, and the one that is asked when it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    pub primary: String,
    pub fallback: Option<String>,
}

impl Models {
    pub fn new(primary: impl Into<String>, fallback: Option<&str>) -> Self {
        Self {
            primary: primary.into(),
            fallback: fallback.map(str::to_owned),
        }
    }
}

/// Where the API is and which models are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeminiSettings {
    pub base_url: String,
    /// For language and vision.
    pub language: Models,
    /// For making images.
    pub image: Models,
    pub embedding: String,
    /// How long embedding one batch may take. Other calls say themselves how long they may.
    pub embedding_timeout: Duration,
}

impl Default for GeminiSettings {
    fn default() -> Self {
        Self {
            base_url: "https://generativelanguage.googleapis.com/v1beta".to_owned(),
            language: Models::new("gemini-3.5-flash", Some("gemini-3.5-flash-lite")),
            image: Models::new("gemini-3-pro-image", Some("gemini-3.1-flash-image")),
            embedding: "gemini-embedding-001".to_owned(),
            embedding_timeout: Duration::from_secs(60),
        }
    }
}

/// The provider: a [`LanguageModel`](crate::LanguageModel), a [`Vision`](crate::vision::Vision), an
/// [`ImageModel`](crate::ImageModel) and an [`Embedder`](crate::Embedder). Clones share connections.
#[derive(Clone)]
pub struct Gemini {
    service: Service,
    settings: GeminiSettings,
    shown: Shown,
}

impl Gemini {
    pub fn new(key: ApiKey, settings: GeminiSettings) -> Result<Self, SetupError> {
        let header = HeaderName::from_static("x-goog-api-key");
        let service = Service::new(&settings.base_url, key, header, "")?;
        let shown = Shown::of(&settings);
        Ok(Self {
            service,
            settings,
            shown,
        })
    }

    /// One call of a model's method, and its answer.
    async fn call<T: DeserializeOwned>(
        &self,
        model: &str,
        method: &str,
        request: &impl Serialize,
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<T, ProviderError> {
        let url = self.method_url(model, method)?;
        let request = self.service.post(url).json(request);
        let reply = self.service.send(request, timeout, bytes_max).await?;
        if !reply.status.is_success() {
            let read = self.service.read::<ErrorResponse>(&reply);
            let error = read.unwrap_or_default().error;
            let (said, wait) = (error.said(), error.retry_delay());
            return Err(self.service.refusal(&reply, said, wait));
        }
        self.service.read(&reply)
    }

    fn method_url(&self, model: &str, method: &str) -> Result<url::Url, ProviderError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if model.is_empty() || !model.chars().all(plain) {
            return Err(ProviderError::Malformed {
                problem: format!("{model:?} is no name of a model"),
            });
        }
        self.service.url(&format!("models/{model}:{method}"))
    }
}

impl fmt::Debug for Gemini {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Gemini")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
