//! What was spent counts, whatever came of it.

use super::{SAMPLE, Studio, event};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use studio233_ai::{
    Answer, BrandExtraction, BrandReader, BrandReading, Document, EMBEDDING_DIMENSIONS, EmbedError,
    Embedder, ProviderError, Purpose, ReadError, Usage,
};
use studio233_brand::{BrandDna, BrandSummary};
use studio233_db::{BudgetScope, UsageKind, WorkspaceId};

fn tokens(input_tokens: u64) -> Usage {
    Usage {
        provider: "test".to_owned(),
        input_tokens,
        ..Usage::default()
    }
}

async fn tokens_used(studio: &Studio) -> u64 {
    let workspace = BudgetScope::Workspace(WorkspaceId::new("w"));
    let database = &studio.deps.database;
    let used = database.usage_since(&workspace, UsageKind::Tokens, 0).await;
    used.unwrap()
}

/// Takes one text at a time for 5 tokens, and is refused from the third on.
#[derive(Default)]
struct RunsDry(AtomicU32);

#[async_trait]
impl Embedder for RunsDry {
    fn provider(&self) -> &str {
        "test"
    }

    fn batch_max(&self) -> usize {
        1
    }

    async fn embed(
        &self,
        texts: &[String],
        _: Purpose,
    ) -> Result<Answer<Vec<Vec<f32>>>, EmbedError> {
        if self.0.fetch_add(1, Ordering::SeqCst) >= 2 {
            return Err(EmbedError::Call {
                provider: "test".to_owned(),
                source: ProviderError::Malformed {
                    problem: "no quota".to_owned(),
                },
            });
        }
        let vectors = vec![vec![0.0; EMBEDDING_DIMENSIONS]; texts.len()];
        Ok(Answer::new(vectors, tokens(5)))
    }
}

#[tokio::test]
async fn what_was_embedded_before_indexing_failed_counts() {
    let mut studio = Studio::new().await;
    let embedder = Arc::new(RunsDry::default());
    studio.deps.embedder = embedder.clone();
    let url = studio.document(SAMPLE).await;
    let ingested = studio.ingest(event(&url)).await;
    assert_eq!(ingested.error(), "cannot embed brand.pdf");
    // Attempts after the first are refused at once, and cost nothing.
    assert!(embedder.0.load(Ordering::SeqCst) >= 3);
    assert_eq!(tokens_used(&studio).await, 10);
}

/// Reads nothing, for 100 tokens; or fails, for 30.
struct Reader {
    fails: bool,
}

#[async_trait]
impl BrandReader for Reader {
    fn provider(&self) -> &str {
        "test"
    }

    async fn read(&self, _: &Document) -> Result<BrandReading, ReadError> {
        match self.fails {
            true => Err(ReadError::Unreadable {
                provider: "test".to_owned(),
                what: "patience",
                usage: vec![tokens(30)],
            }),
            false => Ok(BrandReading {
                dna: BrandDna::default(),
                summary: BrandSummary::default(),
                provider: "test".to_owned(),
                usage: vec![tokens(100)],
            }),
        }
    }
}

#[tokio::test]
async fn readings_that_did_not_do_count() {
    for (parser_fails, reader_fails, expected) in
        [(false, false, 200), (true, false, 130), (true, true, 60)]
    {
        let mut studio = Studio::new().await;
        let extraction = BrandExtraction::new(Arc::new(Reader {
            fails: reader_fails,
        }));
        studio.deps.extraction = extraction.with_parser(Arc::new(Reader {
            fails: parser_fails,
        }));
        let url = studio.document(SAMPLE).await;
        let ingested = studio.ingest(event(&url)).await;
        assert!(!ingested.error().is_empty());
        assert_eq!(tokens_used(&studio).await, expected);
    }
}
