//! Providers that fail as tests need it.

use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use studio233_ai::local::{LocalBrandReader, LocalEmbedder};
use studio233_ai::{
    Answer, BrandReader, BrandReading, Document, EmbedError, Embedder, Purpose, ReadError,
};
use studio233_db::Database;

/// Fails some times before it works as the local provider does.
pub(super) struct Faltering {
    failures: usize,
    pub(super) calls: AtomicUsize,
    transient: bool,
}

impl Faltering {
    pub(super) fn new(failures: usize, transient: bool) -> Arc<Self> {
        Arc::new(Self {
            failures,
            calls: AtomicUsize::new(0),
            transient,
        })
    }

    fn falters(&self) -> bool {
        self.calls.fetch_add(1, Ordering::SeqCst) < self.failures
    }
}

#[async_trait]
impl Embedder for Faltering {
    fn provider(&self) -> &str {
        "faltering"
    }

    fn batch_max(&self) -> usize {
        1_000
    }

    async fn embed(
        &self,
        texts: &[String],
        purpose: Purpose,
    ) -> Result<Answer<Vec<Vec<f32>>>, EmbedError> {
        if self.falters() {
            return Err(EmbedError::Provider {
                provider: "faltering".to_owned(),
                transient: self.transient,
                source: "no quota".into(),
            });
        }
        LocalEmbedder.embed(texts, purpose).await
    }
}

#[async_trait]
impl BrandReader for Faltering {
    fn provider(&self) -> &str {
        "faltering"
    }

    async fn read(&self, document: &Document) -> Result<BrandReading, ReadError> {
        if self.falters() {
            return Err(ReadError::Provider {
                provider: "faltering".to_owned(),
                transient: self.transient,
                source: "overloaded".into(),
                usage: Vec::new(),
            });
        }
        LocalBrandReader.read(document).await
    }
}

/// Takes the database away before it refuses.
pub(super) struct Closing(pub(super) Database);

#[async_trait]
impl BrandReader for Closing {
    fn provider(&self) -> &str {
        "closing"
    }

    async fn read(&self, _: &Document) -> Result<BrandReading, ReadError> {
        self.0.close().await;
        Err(ReadError::Provider {
            provider: "closing".to_owned(),
            transient: false,
            source: "not today".into(),
            usage: Vec::new(),
        })
    }
}
