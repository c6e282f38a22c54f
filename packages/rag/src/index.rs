use crate::{Chunk, Chunker};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use studio233_ai::{Document, EmbedError, Embedder, Purpose, Usage};
use studio233_db::{
    AssetId, Database, DbError, Embedding, KnowledgeSource, NewChunk, WorkspaceId, WrongDimensions,
};

/// Texts per call of the embedder, if it takes as many.
const BATCH_TEXTS: usize = 64;

/// Where a document is from.
#[derive(Debug, Clone)]
pub struct DocumentSource {
    pub workspace_id: WorkspaceId,
    pub asset_id: AssetId,
    /// As it was asked for.
    pub url: String,
    pub filename: String,
}

/// What indexing a document did.
#[derive(Debug, Clone, PartialEq)]
pub struct Indexed {
    pub chunk_count: u64,
    pub page_count: u32,
    /// Who embedded it.
    pub provider: String,
    /// What embedding it cost, a call each.
    pub usage: Vec<Usage>,
}

/// Why a document could not be indexed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    #[error("{filename} was not cut into pieces")]
    Cut {
        filename: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot embed {filename}")]
    Embed {
        filename: String,
        source: EmbedError,
        usage: Vec<Usage>,
    },
    #[error("{provider} answered a vector that cannot be stored")]
    Vector {
        provider: String,
        source: WrongDimensions,
        usage: Vec<Usage>,
    },
    #[error("cannot store the chunks of {filename}")]
    Store {
        filename: String,
        source: DbError,
        usage: Vec<Usage>,
    },
}

impl IndexError {
    /// Whether indexing the same document later may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Embed { source, .. } => source.is_transient(),
            Self::Vector { .. } => false,
            // The process is about to end, or cutting panicked, which it would again.
            Self::Cut { .. } => true,
            Self::Store { source, .. } => source.is_transient(),
        }
    }

    /// When indexing is worth trying again, if the embedder says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Embed { source, .. } => source.retry_after(),
            Self::Cut { .. } | Self::Vector { .. } | Self::Store { .. } => None,
        }
    }

    /// What embedding had cost before it failed, a call each.
    pub fn usage(&self) -> &[Usage] {
        match self {
            Self::Cut { .. } => &[],
            Self::Embed { usage, .. } | Self::Vector { usage, .. } | Self::Store { usage, .. } => {
                usage
            }
        }
    }
}

/// Makes documents searchable.
#[derive(Clone)]
pub struct Indexer {
    embedder: Arc<dyn Embedder>,
    database: Database,
    chunker: Chunker,
}

impl std::fmt::Debug for Indexer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Indexer")
            .field("embedder", &self.embedder.provider())
            .finish_non_exhaustive()
    }
}

impl Indexer {
    pub fn new(embedder: Arc<dyn Embedder>, database: Database, chunker: Chunker) -> Self {
        Self {
            embedder,
            database,
            chunker,
        }
    }

    /// Cuts, embeds and stores a document. Its earlier chunks are replaced in one transaction, so
    /// doing it again, or again after a crash, leaves exactly one set.
    pub async fn index(
        &self,
        document: &Document,
        source: &DocumentSource,
        now_ms: i64,
    ) -> Result<Indexed, IndexError> {
        let (chunker, cut) = (self.chunker, document.clone());
        // A long document keeps a thread busy for a while.
        let chunks = tokio::task::spawn_blocking(move || chunker.chunks(&cut)).await;
        let chunks = chunks.map_err(|error| IndexError::Cut {
            filename: source.filename.clone(),
            source: Box::new(error),
        })?;
        let batch = self.embedder.batch_max().clamp(1, BATCH_TEXTS);
        let mut stored = Vec::with_capacity(chunks.len());
        let mut usage = Vec::new();
        for chunks in chunks.chunks(batch) {
            let vectors = match self.embed(chunks, &mut usage).await {
                Ok(vectors) => vectors,
                Err(error) => {
                    return Err(IndexError::Embed {
                        filename: source.filename.clone(),
                        source: error,
                        usage,
                    });
                }
            };
            for (chunk, vector) in chunks.iter().zip(vectors) {
                let embedding = match Embedding::new(vector) {
                    Ok(embedding) => embedding,
                    Err(error) => {
                        return Err(IndexError::Vector {
                            provider: self.embedder.provider().to_owned(),
                            source: error,
                            usage,
                        });
                    }
                };
                let metadata = json!({
                    "workspaceId": source.workspace_id,
                    "assetId": source.asset_id,
                    "sourceUrl": source.url,
                    "filename": source.filename,
                    "page": chunk.page,
                });
                stored.push(NewChunk {
                    text: chunk.text.clone(),
                    embedding,
                    metadata,
                });
            }
        }
        let knowledge = KnowledgeSource {
            workspace_id: source.workspace_id.clone(),
            asset_id: source.asset_id.clone(),
        };
        let replaced = self
            .database
            .replace_knowledge(&knowledge, &stored, now_ms)
            .await;
        let chunk_count = match replaced {
            Ok(count) => count,
            Err(error) => {
                return Err(IndexError::Store {
                    filename: source.filename.clone(),
                    source: error,
                    usage,
                });
            }
        };
        Ok(Indexed {
            chunk_count,
            page_count: u32::try_from(document.pages.len()).unwrap_or(u32::MAX),
            provider: self.embedder.provider().to_owned(),
            usage,
        })
    }

    /// The vectors of a batch; what the call cost is added to `usage`.
    async fn embed(
        &self,
        chunks: &[Chunk],
        usage: &mut Vec<Usage>,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        let texts: Vec<String> = chunks.iter().map(|chunk| chunk.text.clone()).collect();
        let answer = self.embedder.embed(&texts, Purpose::Document).await?;
        usage.push(answer.usage);
        if answer.value.len() != texts.len() {
            return Err(EmbedError::WrongCount {
                provider: self.embedder.provider().to_owned(),
                asked: texts.len(),
                answered: answer.value.len(),
            });
        }
        Ok(answer.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use studio233_ai::document::{Block, Page};
    use studio233_ai::{Answer, EMBEDDING_DIMENSIONS, ProviderError};

    /// Takes one text at a time, and fails at the second.
    struct Breaks;

    #[async_trait]
    impl Embedder for Breaks {
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
            if texts[0].contains("second") {
                let after = Duration::from_secs(1);
                return Err(EmbedError::Call {
                    provider: "test".to_owned(),
                    source: ProviderError::Timeout { after },
                });
            }
            let usage = Usage {
                input_tokens: 5,
                ..Usage::default()
            };
            Ok(Answer::new(vec![vec![0.0; EMBEDDING_DIMENSIONS]], usage))
        }
    }

    /// Each text's number, at which its vector is 1.
    struct Numbers;

    #[async_trait]
    impl Embedder for Numbers {
        fn provider(&self) -> &str {
            "test"
        }

        fn batch_max(&self) -> usize {
            1000
        }

        async fn embed(
            &self,
            texts: &[String],
            _: Purpose,
        ) -> Result<Answer<Vec<Vec<f32>>>, EmbedError> {
            let vectors = texts.iter().map(|text| {
                let number: usize = text.trim_start_matches("page ").parse().unwrap();
                let mut vector = vec![0.0; EMBEDDING_DIMENSIONS];
                vector[number] = 1.0;
                vector
            });
            Ok(Answer::new(vectors.collect(), Usage::default()))
        }
    }

    #[tokio::test]
    async fn several_full_batches_keep_each_text_with_its_vector_and_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open_sqlite(folder.path().join("studio.db")).await;
        let database = database.unwrap();
        let workspace = studio233_db::NewWorkspace {
            id: WorkspaceId::new("w"),
            name: "w".to_owned(),
            slug: "w".to_owned(),
            user_id: "local".to_owned(),
        };
        database.create_workspace(&workspace, 1).await.unwrap();
        let chunker = Chunker::new(100, 0).unwrap();
        let indexer = Indexer::new(Arc::new(Numbers), database.clone(), chunker);
        // Three full batches, and one that is not.
        let pages = BATCH_TEXTS * 3 + 7;
        let page = |number: usize| Page {
            number: number as u32,
            blocks: vec![Block {
                text: format!("page {number}"),
                ..Block::default()
            }],
            ..Page::default()
        };
        let document = Document {
            filename: "brand.pdf".to_owned(),
            pages: (1..=pages).map(page).collect(),
            ..Document::default()
        };
        let source = DocumentSource {
            workspace_id: workspace.id.clone(),
            asset_id: AssetId::new("a"),
            url: "blob:brand.pdf".to_owned(),
            filename: "brand.pdf".to_owned(),
        };
        let indexed = indexer.index(&document, &source, 1).await.unwrap();
        assert_eq!(
            (indexed.chunk_count, indexed.usage.len()),
            (pages as u64, 4)
        );
        for number in [1, BATCH_TEXTS, BATCH_TEXTS + 1, BATCH_TEXTS * 3, pages] {
            let mut vector = vec![0.0; EMBEDDING_DIMENSIONS];
            vector[number] = 1.0;
            let vector = Embedding::new(vector).unwrap();
            let found = database.search_knowledge(&workspace.id, &vector, 1).await;
            let found = found.unwrap().remove(0);
            assert_eq!(found.text, format!("page {number}"));
            assert_eq!(found.metadata["page"], number);
        }
    }

    #[tokio::test]
    async fn what_was_embedded_before_a_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open_sqlite(folder.path().join("studio.db"))
            .await
            .unwrap();
        let indexer = Indexer::new(Arc::new(Breaks), database, Chunker::new(100, 0).unwrap());
        let page = |number, text: &str| Page {
            number,
            blocks: vec![Block {
                text: text.to_owned(),
                ..Block::default()
            }],
            ..Page::default()
        };
        let document = Document {
            filename: "brand.pdf".to_owned(),
            file: Vec::new().into(),
            title: None,
            pages: vec![page(1, "the first page"), page(2, "the second page")],
            images: Vec::new(),
        };
        let source = DocumentSource {
            workspace_id: WorkspaceId::new("w"),
            asset_id: AssetId::new("a"),
            url: "blob:brand.pdf".to_owned(),
            filename: "brand.pdf".to_owned(),
        };
        let error = indexer.index(&document, &source, 1).await.unwrap_err();
        let tokens: Vec<u64> = error
            .usage()
            .iter()
            .map(|usage| usage.input_tokens)
            .collect();
        assert_eq!(tokens, [5]);
        assert!(error.is_transient());
    }
}
