use crate::database::{Backend, in_transaction, on_backend};
use crate::error::failed;
use crate::json::Json;
use crate::vector::Vector;
use crate::{AssetId, Database, DbError, Embedding, WorkspaceId};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use std::borrow::Cow;

/// Most fragments one search returns.
pub const SEARCH_LIMIT_MAX: u32 = 100;

/// Most fragments that are read without a question.
pub const KNOWLEDGE_NEWEST_MAX: u32 = 50;

/// Most sources that an overview names.
const SOURCES_MAX: i64 = 200;

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

/// A stored piece of knowledge.
#[derive(Debug, Clone, PartialEq)]
pub struct Knowledge {
    pub id: String,
    pub asset_id: AssetId,
    pub text: String,
    pub metadata: Value,
    pub created_at_ms: i64,
}

/// What a workspace knows, at a glance. JSON is camelCase, as the web app answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KnowledgeOverview {
    /// All fragments.
    pub node_count: u64,
    /// What they are from, the newest first; at most 200.
    pub sources: Vec<KnowledgeSourceCount>,
    /// The kinds of knowledge there are among the sources: `document`, and what metadata says as `type`.
    pub attributes: Vec<String>,
}

/// One source of knowledge.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KnowledgeSourceCount {
    pub asset_id: AssetId,
    /// The file, or the asset when it is gone.
    pub name: String,
    /// `document`, or the `type` in its metadata.
    pub kind: String,
    pub fragments: u64,
    pub newest_at_ms: i64,
}

#[derive(FromRow)]
struct FragmentRow {
    id: String,
    asset_id: String,
    text: String,
    metadata: Json,
    similarity: Option<f64>,
}

#[derive(FromRow)]
struct KnowledgeRow {
    id: String,
    asset_id: String,
    text: String,
    metadata: Json,
    created_at_ms: i64,
}

#[derive(FromRow)]
struct SourceRow {
    asset_id: String,
    name: String,
    kind: String,
    fragments: i64,
    newest_at_ms: i64,
}

impl Database {
    /// Replaces everything known from one asset's pages, in one transaction: a reader sees the old chunks or the new
    /// ones. Doing it again with the same chunks changes nothing. Returns how many there are now.
    pub async fn replace_knowledge(
        &self,
        source: &KnowledgeSource,
        chunks: &[NewChunk],
        now_ms: i64,
    ) -> Result<u64, DbError> {
        self.replace_knowledge_part(source, "", chunks, now_ms)
            .await
    }

    /// Replaces one part of what is known from an asset, as [`replace_knowledge`](Self::replace_knowledge) does, and
    /// leaves the other parts. Parts are named by their writers: `visual_dna` for what was seen, a note's id for what
    /// was added; the asset's pages are the part without a name.
    pub async fn replace_knowledge_part(
        &self,
        source: &KnowledgeSource,
        part: &str,
        chunks: &[NewChunk],
        now_ms: i64,
    ) -> Result<u64, DbError> {
        let (workspace, asset) = (source.workspace_id.as_str(), source.asset_id.as_str());
        in_transaction!(self, "replace the knowledge of the asset", |tx| {
            // Two that replace the same at once do so one after another.
            let locked =
                sqlx::query("UPDATE workspace SET updated_at_ms = updated_at_ms WHERE id = $1")
                    .bind(workspace)
                    .execute(&mut *tx)
                    .await
                    .map_err(failed("lock the knowledge of the workspace"))?;
            if locked.rows_affected() == 0 {
                return Err(DbError::NoSuchWorkspace {
                    id: workspace.to_owned(),
                });
            }
            sqlx::query(
                "DELETE FROM brand_knowledge
                 WHERE workspace_id = $1 AND asset_id = $2 AND part = $3",
            )
            .bind(workspace)
            .bind(asset)
            .bind(part)
            .execute(&mut *tx)
            .await
            .map_err(failed("delete the earlier knowledge of the asset"))?;
            for (ordinal, chunk) in (0_i64..).zip(chunks) {
                sqlx::query(
                    "INSERT INTO brand_knowledge (id, node_id, workspace_id, asset_id, part, ordinal,
                                                  text, embedding, metadata, created_at_ms)
                     VALUES ($1, $1, $2, $3, $4, $5, $6, $7, $8, $9)",
                )
                .bind(chunk_id(source, part, ordinal))
                .bind(workspace)
                .bind(asset)
                .bind(part)
                .bind(ordinal)
                .bind(storable(&chunk.text))
                .bind(Vector(&chunk.embedding))
                .bind(Json::of(&chunk.metadata))
                .bind(now_ms)
                .execute(&mut *tx)
                .await
                .map_err(failed("store the knowledge of the asset"))?;
            }
        });
        Ok(chunks.len() as u64)
    }

    /// How many chunks a workspace has, or one asset of it.
    pub async fn knowledge_count(
        &self,
        workspace: &WorkspaceId,
        asset: Option<&AssetId>,
    ) -> Result<u64, DbError> {
        let count: i64 = on_backend!(self, |pool| sqlx::query_scalar(
            "SELECT count(*) FROM brand_knowledge
             WHERE workspace_id = $1 AND ($2 IS NULL OR asset_id = $2)",
        )
        .bind(workspace.as_str())
        .bind(asset.map(AssetId::as_str))
        .fetch_one(pool)
        .await)
        .map_err(failed("count the knowledge"))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// The newest fragments of a workspace, newest first (a document's in its order), at most `limit` (1 to
    /// [`KNOWLEDGE_NEWEST_MAX`]).
    pub async fn newest_knowledge(
        &self,
        workspace: &WorkspaceId,
        limit: u32,
    ) -> Result<Vec<Knowledge>, DbError> {
        let rows: Vec<KnowledgeRow> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT id, asset_id, text, metadata, created_at_ms FROM brand_knowledge
             WHERE workspace_id = $1
             ORDER BY created_at_ms DESC, asset_id, part, ordinal LIMIT $2",
        )
        .bind(workspace.as_str())
        .bind(i64::from(limit.clamp(1, KNOWLEDGE_NEWEST_MAX)))
        .fetch_all(pool)
        .await)
        .map_err(failed("read the newest knowledge"))?;
        Ok(rows.into_iter().map(KnowledgeRow::into_knowledge).collect())
    }

    /// What a workspace knows, at a glance.
    pub async fn knowledge_overview(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<KnowledgeOverview, DbError> {
        let rows: Vec<SourceRow> = on_backend!(self, |pool| {
            sqlx::query_as(
            "SELECT known.asset_id, COALESCE(MAX(asset.name), known.asset_id) AS name, known.kind,
                    COUNT(*) AS fragments, MAX(known.created_at_ms) AS newest_at_ms
             FROM (SELECT asset_id, created_at_ms, COALESCE(metadata ->> 'type', 'document') AS kind
                   FROM brand_knowledge WHERE workspace_id = $1) AS known
             LEFT JOIN asset ON asset.id = known.asset_id
             GROUP BY known.asset_id, known.kind
             ORDER BY newest_at_ms DESC, known.asset_id, known.kind LIMIT $2",
        )
        .bind(workspace.as_str())
        .bind(SOURCES_MAX)
        .fetch_all(pool)
        .await
        })
        .map_err(failed("read what the workspace knows"))?;
        let mut attributes: Vec<String> = rows.iter().map(|row| row.kind.clone()).collect();
        attributes.sort();
        attributes.dedup();
        Ok(KnowledgeOverview {
            node_count: self.knowledge_count(workspace, None).await?,
            sources: rows.into_iter().map(SourceRow::into_source).collect(),
            attributes,
        })
    }

    /// The `limit` nearest fragments of a workspace (1 to [`SEARCH_LIMIT_MAX`]), nearest first; equal ones in the order
    /// they were stored. Every fragment of the workspace is compared: the answer is exact.
    pub async fn search_knowledge(
        &self,
        workspace: &WorkspaceId,
        query: &Embedding,
        limit: u32,
    ) -> Result<Vec<Fragment>, DbError> {
        let limit = i64::from(limit.clamp(1, SEARCH_LIMIT_MAX));
        // A zero vector has no direction: its distance is NaN, which is NULL in SQLite and last in either order.
        let rows: Result<Vec<FragmentRow>, _> =
            match &self.backend {
                Backend::Sqlite(pool) => {
                    sqlx::query_as(
                        "SELECT id, asset_id, text, metadata,
                            1.0 - vec_distance_cosine(embedding, $2) AS similarity
                     FROM brand_knowledge WHERE workspace_id = $1
                     ORDER BY similarity DESC, created_at_ms, asset_id, part, ordinal LIMIT $3",
                    )
                    .bind(workspace.as_str())
                    .bind(Vector(query))
                    .bind(limit)
                    .fetch_all(pool)
                    .await
                }
                Backend::Postgres(pool) => sqlx::query_as(
                    "SELECT id, asset_id, text, metadata, 1.0 - (embedding <=> $2) AS similarity
                     FROM brand_knowledge WHERE workspace_id = $1
                     ORDER BY embedding <=> $2, created_at_ms, asset_id, part, ordinal LIMIT $3",
                )
                .bind(workspace.as_str())
                .bind(Vector(query))
                .bind(limit)
                .fetch_all(pool)
                .await,
            };
        let rows = rows.map_err(failed("search the knowledge"))?;
        Ok(rows.into_iter().map(FragmentRow::into_fragment).collect())
    }
}

/// The same chunk of the same asset keeps its id. The lengths keep ids with slashes apart.
fn chunk_id(source: &KnowledgeSource, part: &str, ordinal: i64) -> String {
    let (workspace, asset) = (source.workspace_id.as_str(), source.asset_id.as_str());
    match part {
        "" => format!("{}:{workspace}/{asset}/{ordinal}", workspace.len()),
        part => format!(
            "{}.{}:{workspace}/{asset}/{part}/{ordinal}",
            workspace.len(),
            asset.len()
        ),
    }
}

/// Text out of PDFs may hold NUL, which PostgreSQL stores nowhere and nobody reads.
fn storable(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => text.replace('\0', "").into(),
        false => text.into(),
    }
}

impl FragmentRow {
    fn into_fragment(self) -> Fragment {
        Fragment {
            id: self.id,
            asset_id: AssetId::new(self.asset_id),
            text: self.text,
            metadata: self.metadata.0,
            similarity: self
                .similarity
                .filter(|value| !value.is_nan())
                .unwrap_or(0.0),
        }
    }
}

impl KnowledgeRow {
    fn into_knowledge(self) -> Knowledge {
        Knowledge {
            id: self.id,
            asset_id: AssetId::new(self.asset_id),
            text: self.text,
            metadata: self.metadata.0,
            created_at_ms: self.created_at_ms,
        }
    }
}

impl SourceRow {
    fn into_source(self) -> KnowledgeSourceCount {
        KnowledgeSourceCount {
            asset_id: AssetId::new(self.asset_id),
            name: self.name,
            kind: self.kind,
            fragments: u64::try_from(self.fragments).unwrap_or_default(),
            newest_at_ms: self.newest_at_ms,
        }
    }
}
