use crate::{Answer, ProviderError};
use async_trait::async_trait;
use std::time::Duration;

/// Every embedder of the studio answers vectors of this length.
pub const EMBEDDING_DIMENSIONS: usize = 768;

/// What a text is embedded for. Some models embed questions and passages differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be found later.
    Document,
    /// To find with.
    Query,
}

/// Why texts could not be embedded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    #[error("{count} texts in one batch; {provider} takes at most {limit}")]
    BatchTooLarge {
        provider: String,
        count: usize,
        limit: usize,
    },
    #[error("{provider} answered {answered} vectors for {asked} texts")]
    WrongCount {
        provider: String,
        asked: usize,
        answered: usize,
    },
    #[error("{provider} could not embed the texts")]
    Provider {
        provider: String,
        /// Whether the same call may succeed later.
        transient: bool,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{provider} did not embed the texts")]
    Call {
        provider: String,
        source: ProviderError,
    },
}

impl EmbedError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Provider { transient, .. } => *transient,
            Self::Call { source, .. } => source.is_transient(),
            Self::BatchTooLarge { .. } | Self::WrongCount { .. } => false,
        }
    }

    /// When the same call is worth making again, if the provider says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call { source, .. } => source.retry_after(),
            _ => None,
        }
    }
}

/// Turns texts into vectors whose cosine says how near their meanings are.
///
/// Contract: one vector per text, in order, each [`EMBEDDING_DIMENSIONS`] long and of length 1 (or
/// all zeros for a text without words). A batch succeeds or fails whole; calling again is harmless.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// Who embeds, for people and metadata: `local`, `gemini (text-embedding-004)`, …
    fn provider(&self) -> &str;

    /// Most texts one call takes.
    fn batch_max(&self) -> usize;

    async fn embed(
        &self,
        texts: &[String],
        purpose: Purpose,
    ) -> Result<Answer<Vec<Vec<f32>>>, EmbedError>;
}
