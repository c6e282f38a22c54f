use crate::{Chunk, Chunker};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use studio233_ai::{Answer, Document, EmbedError, Embedder, Purpose, Usage};
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
    #[error("cannot embed {filename}")]
    Embed {
        filename: String,
        source: EmbedError,
    },
    #[error("{provider} answered a vector that cannot be stored")]
    Vector {
        provider: String,
        source: WrongDimensions,
    },
    #[error("cannot store the chunks of {filename}")]
    Store { filename: String, source: DbError },
}

impl IndexError {
    /// Whether indexing the same document later may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Embed { source, .. } => source.is_transient(),
            Self::Vector { .. } => false,
            Self::Store { source, .. } => source.is_transient(),
        }
    }

    /// When indexing is worth trying again, if the embedder says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Embed { source, .. } => source.retry_after(),
            Self::Vector { .. } | Self::Store { .. } => None,
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
        let chunks = self.chunker.chunks(document);
        let batch = self.embedder.batch_max().clamp(1, BATCH_TEXTS);
        let mut stored = Vec::with_capacity(chunks.len());
        let mut usage = Vec::new();
        for chunks in chunks.chunks(batch) {
            let Answer {
                value: vectors,
                usage: cost,
            } = self.embed(chunks, source).await?;
            usage.push(cost);
            for (chunk, vector) in chunks.iter().zip(vectors) {
                let embedding = Embedding::new(vector).map_err(|error| IndexError::Vector {
                    provider: self.embedder.provider().to_owned(),
                    source: error,
                })?;
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
        let chunk_count = self
            .database
            .replace_knowledge(&knowledge, &stored, now_ms)
            .await
            .map_err(|error| IndexError::Store {
                filename: source.filename.clone(),
                source: error,
            })?;
        Ok(Indexed {
            chunk_count,
            page_count: u32::try_from(document.pages.len()).unwrap_or(u32::MAX),
            provider: self.embedder.provider().to_owned(),
            usage,
        })
    }

    async fn embed(
        &self,
        chunks: &[Chunk],
        source: &DocumentSource,
    ) -> Result<Answer<Vec<Vec<f32>>>, IndexError> {
        let failed = |error| IndexError::Embed {
            filename: source.filename.clone(),
            source: error,
        };
        let texts: Vec<String> = chunks.iter().map(|chunk| chunk.text.clone()).collect();
        let answer = self
            .embedder
            .embed(&texts, Purpose::Document)
            .await
            .map_err(failed)?;
        if answer.value.len() != texts.len() {
            return Err(failed(EmbedError::WrongCount {
                provider: self.embedder.provider().to_owned(),
                asked: texts.len(),
                answered: answer.value.len(),
            }));
        }
        Ok(answer)
    }
}
