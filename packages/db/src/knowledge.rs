use crate::database::{Backend, corrupt, failed};
use crate::{AssetId, Database, DbError, Embedding, WorkspaceId};
use serde_json::Value;
use sqlx::FromRow;

/// Most fragments one search returns.
pub const SEARCH_LIMIT_MAX: u32 = 100;

/// Which document chunks come from.
#[derive(Debug, Clone)]
pub struct KnowledgeSource {
    pub workspace_id: WorkspaceId,
    pub asset_id: AssetId,
}

/// A piece of a document, ready to be found.
#[derive(Debug, Clone)]
pub struct NewChunk {
    pub text: String,
    pub embedding: Embedding,
    /// A JSON object; what readers need to show where the text is from.
    pub metadata: Value,
}

/// A stored piece of knowledge and how near it is to what was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Fragment {
    pub id: String,
    pub asset_id: AssetId,
    pub text: String,
    pub metadata: Value,
    /// 1 − cosine distance: 1 is the same direction, 0 unrelated.
    pub similarity: f64,
}

#[derive(FromRow)]
struct Row {
    id: String,
    asset_id: String,
    text: String,
    metadata: String,
    similarity: Option<f64>,
}

impl Database {
    /// Replaces everything known from one asset, in one transaction: a reader sees the old chunks
    /// or the new ones. Doing it again with the same chunks changes nothing. Returns how many there are now.
    pub async fn replace_knowledge(
        &self,
        source: &KnowledgeSource,
        chunks: &[NewChunk],
        now_ms: i64,
    ) -> Result<u64, DbError> {
        let Backend::Sqlite(pool) = &self.backend;
        let (workspace, asset) = (source.workspace_id.as_str(), source.asset_id.as_str());
        // IMMEDIATE takes the write lock before reading, so that no upgrade can fail half way.
        let mut tx = pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed("begin replacing the knowledge of the asset"))?;
        sqlx::query("DELETE FROM brand_knowledge WHERE workspace_id = ?1 AND asset_id = ?2")
            .bind(workspace)
            .bind(asset)
            .execute(&mut *tx)
            .await
            .map_err(failed("delete the earlier knowledge of the asset"))?;
        for (ordinal, chunk) in chunks.iter().enumerate() {
            let inserted = sqlx::query(
                "INSERT INTO brand_knowledge
                     (id, node_id, workspace_id, asset_id, text, embedding, metadata, created_at_ms)
                 VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )
            .bind(chunk_id(source, ordinal))
            .bind(workspace)
            .bind(asset)
            .bind(&chunk.text)
            .bind(chunk.embedding.to_blob())
            .bind(chunk.metadata.to_string())
            .bind(now_ms)
            .execute(&mut *tx)
            .await;
            match inserted {
                Ok(_) => {}
                Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
                    return Err(DbError::NoSuchWorkspace {
                        id: workspace.to_owned(),
                    });
                }
                Err(source) => return Err(failed("store the knowledge of the asset")(source)),
            }
        }
        tx.commit()
            .await
            .map_err(failed("commit the knowledge of the asset"))?;
        Ok(chunks.len() as u64)
    }

    /// How many chunks a workspace has, or one asset of it.
    pub async fn knowledge_count(
        &self,
        workspace: &WorkspaceId,
        asset: Option<&AssetId>,
    ) -> Result<u64, DbError> {
        let Backend::Sqlite(pool) = &self.backend;
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM brand_knowledge
             WHERE workspace_id = ?1 AND (?2 IS NULL OR asset_id = ?2)",
        )
        .bind(workspace.as_str())
        .bind(asset.map(AssetId::as_str))
        .fetch_one(pool)
        .await
        .map_err(failed("count the knowledge"))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// The `limit` nearest fragments of a workspace (1 to [`SEARCH_LIMIT_MAX`]), nearest first; equal ones
    /// in the order they were stored.
    pub async fn search_knowledge(
        &self,
        workspace: &WorkspaceId,
        query: &Embedding,
        limit: u32,
    ) -> Result<Vec<Fragment>, DbError> {
        let Backend::Sqlite(pool) = &self.backend;
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, asset_id, text, metadata,
                    1.0 - vec_distance_cosine(embedding, ?2) AS similarity
             FROM brand_knowledge WHERE workspace_id = ?1
             ORDER BY similarity DESC, created_at_ms, rowid LIMIT ?3",
        )
        .bind(workspace.as_str())
        .bind(query.to_blob())
        .bind(limit.clamp(1, SEARCH_LIMIT_MAX))
        .fetch_all(pool)
        .await
        .map_err(failed("search the knowledge"))?;
        rows.into_iter().map(Row::into_fragment).collect()
    }
}

/// The same chunk of the same asset keeps its id. The length keeps ids with slashes apart.
fn chunk_id(source: &KnowledgeSource, ordinal: usize) -> String {
    let (workspace, asset) = (source.workspace_id.as_str(), source.asset_id.as_str());
    format!("{}:{workspace}/{asset}/{ordinal}", workspace.len())
}

impl Row {
    fn into_fragment(self) -> Result<Fragment, DbError> {
        let metadata = serde_json::from_str(&self.metadata)
            .map_err(corrupt(format!("metadata of fragment {}", self.id)))?;
        Ok(Fragment {
            id: self.id,
            asset_id: AssetId::new(self.asset_id),
            text: self.text,
            metadata,
            // A zero vector has no direction; its distance is NaN, which SQLite reads as NULL.
            similarity: self.similarity.unwrap_or(0.0),
        })
    }
}
