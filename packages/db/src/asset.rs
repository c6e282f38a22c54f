use crate::database::on_backend;
use crate::error::{corrupt, failed};
use crate::json::Json;
use crate::{AssetId, Database, DbError, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;

/// What kind of file an asset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AssetType {
    Image,
    Video,
    Audio,
    Document,
    Model,
    Other,
}

impl AssetType {
    const ALL: [Self; 6] = [
        Self::Image,
        Self::Video,
        Self::Audio,
        Self::Document,
        Self::Model,
        Self::Other,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "IMAGE",
            Self::Video => "VIDEO",
            Self::Audio => "AUDIO",
            Self::Document => "DOCUMENT",
            Self::Model => "MODEL",
            Self::Other => "OTHER",
        }
    }

    /// The type that a MIME type stands for. Documents are PDF, text and office files.
    pub fn of_mime_type(mime_type: &str) -> Self {
        let essence = mime_type
            .split(';')
            .next()
            .unwrap_or("")
            .trim()
            .to_ascii_lowercase();
        match essence.split_once('/') {
            Some(("image", _)) => Self::Image,
            Some(("video", _)) => Self::Video,
            Some(("audio", _)) => Self::Audio,
            Some(("model", _)) => Self::Model,
            Some(("text", _)) => Self::Document,
            Some(("application", subtype))
                if matches!(subtype, "pdf" | "msword" | "rtf" | "json")
                    || subtype.starts_with("vnd.openxmlformats-officedocument")
                    || subtype.starts_with("vnd.oasis.opendocument")
                    || subtype.starts_with("vnd.ms-") =>
            {
                Self::Document
            }
            _ => Self::Other,
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("unknown asset type {text:?}"))
    }
}

/// An asset as stored. JSON is camelCase, as the web app answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asset {
    pub id: AssetId,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: AssetType,
    pub url: String,
    #[serde(rename = "size")]
    pub size_bytes: u64,
    pub mime_type: String,
    pub metadata: Value,
    pub project_id: Option<String>,
    pub workspace_id: Option<WorkspaceId>,
    pub is_brand_asset: bool,
    /// The event that last asked for it to be read.
    pub event: Option<AssetEvent>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

/// An event that was sent, or was about to be, for an asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssetEvent {
    /// The id that its producer gave it: sending it again under this id is sending it once.
    pub id: String,
    /// The server's id of it; none while it is not known to have arrived.
    pub received_as: Option<String>,
    /// Whether whoever asked has been shown what came of it.
    pub seen: bool,
}

/// An asset to store. Its type follows from the MIME type.
#[derive(Debug, Clone)]
pub struct NewAsset {
    pub id: AssetId,
    pub name: String,
    pub url: String,
    pub size_bytes: u64,
    pub mime_type: String,
    /// A JSON object.
    pub metadata: Value,
    pub project_id: Option<String>,
    pub workspace_id: Option<WorkspaceId>,
    pub is_brand_asset: bool,
}

/// What of a workspace's archive is known.
#[derive(Debug, Clone, PartialEq)]
pub struct BrandAssets {
    /// All brand assets of the workspace.
    pub total: u64,
    /// Of these, the ones without knowledge: the oldest, as many as were asked for.
    pub without_knowledge: Vec<Asset>,
    /// How many there are without.
    pub without_knowledge_total: u64,
}

#[derive(FromRow)]
struct Row {
    id: String,
    name: String,
    #[sqlx(rename = "type")]
    kind: String,
    url: String,
    size_bytes: i64,
    mime_type: String,
    metadata: Json,
    project_id: Option<String>,
    workspace_id: Option<String>,
    is_brand_asset: bool,
    event_id: Option<String>,
    event_received_as: Option<String>,
    event_seen: bool,
    created_at_ms: i64,
    updated_at_ms: i64,
}

impl Row {
    fn into_asset(self) -> Result<Asset, DbError> {
        let what = |column: &str| format!("{column} of asset {}", self.id);
        Ok(Asset {
            kind: AssetType::parse(&self.kind).map_err(corrupt(what("type")))?,
            metadata: self.metadata.0,
            size_bytes: u64::try_from(self.size_bytes).map_err(corrupt(what("size")))?,
            id: AssetId::new(self.id),
            name: self.name,
            url: self.url,
            mime_type: self.mime_type,
            project_id: self.project_id,
            workspace_id: self.workspace_id.map(WorkspaceId::new),
            is_brand_asset: self.is_brand_asset,
            event: self.event_id.map(|id| AssetEvent {
                id,
                received_as: self.event_received_as,
                seen: self.event_seen,
            }),
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
        })
    }
}

impl Database {
    /// Stores an asset, or replaces the one of that id (which keeps its time of creation).
    /// An asset stays in its workspace: storing its id in another is
    /// [`DbError::AssetElsewhere`].
    pub async fn upsert_asset(&self, new: &NewAsset, now_ms: i64) -> Result<Asset, DbError> {
        let size_bytes = i64::try_from(new.size_bytes).unwrap_or(i64::MAX);
        let row: Result<Option<Row>, sqlx::Error> = on_backend!(self, |pool| {
            sqlx::query_as(
            "INSERT INTO asset (id, name, type, url, size_bytes, mime_type, metadata, project_id,
                                workspace_id, is_brand_asset, created_at_ms, updated_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
             ON CONFLICT (id) DO UPDATE SET
                 name = excluded.name, type = excluded.type, url = excluded.url,
                 size_bytes = excluded.size_bytes, mime_type = excluded.mime_type,
                 metadata = excluded.metadata, project_id = excluded.project_id,
                 is_brand_asset = excluded.is_brand_asset, updated_at_ms = excluded.updated_at_ms
             WHERE asset.workspace_id IS NOT DISTINCT FROM excluded.workspace_id
             RETURNING *",
        )
        .bind(new.id.as_str())
        .bind(&new.name)
        .bind(AssetType::of_mime_type(&new.mime_type).as_str())
        .bind(&new.url)
        .bind(size_bytes)
        .bind(&new.mime_type)
        .bind(Json::of(&new.metadata))
        .bind(&new.project_id)
        .bind(new.workspace_id.as_ref().map(WorkspaceId::as_str))
        .bind(new.is_brand_asset)
        .bind(now_ms)
        .fetch_optional(pool)
        .await
        });
        match row {
            Ok(Some(row)) => row.into_asset(),
            Ok(None) => Err(DbError::AssetElsewhere {
                id: new.id.to_string(),
            }),
            Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
                let id = new
                    .workspace_id
                    .as_ref()
                    .map_or("", WorkspaceId::as_str)
                    .to_owned();
                Err(DbError::NoSuchWorkspace { id })
            }
            Err(source) => Err(failed("store the asset")(source)),
        }
    }

    /// The asset of that id, if there is one.
    pub async fn asset(&self, id: &AssetId) -> Result<Option<Asset>, DbError> {
        let row: Option<Row> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT * FROM asset WHERE id = $1"
        )
        .bind(id.as_str())
        .fetch_optional(pool)
        .await)
        .map_err(failed("read the asset"))?;
        row.map(Row::into_asset).transpose()
    }

    /// Notes the event that is about to be sent for an asset, if `previous` is still the one noted (none: no
    /// event yet). False when it is not: someone else was first, and their event is the one to go on with.
    pub async fn begin_asset_event(
        &self,
        id: &AssetId,
        previous: Option<&str>,
        event: &str,
        now_ms: i64,
    ) -> Result<bool, DbError> {
        let done = on_backend!(self, |pool| sqlx::query(
            "UPDATE asset SET event_id = $3, event_received_as = NULL, event_seen = FALSE,
                              updated_at_ms = $4
             WHERE id = $1 AND event_id IS NOT DISTINCT FROM $2",
        )
        .bind(id.as_str())
        .bind(previous)
        .bind(event)
        .bind(now_ms)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))
        .map_err(failed("note the event of the asset"))?;
        Ok(done > 0)
    }

    /// Notes how the server knows the asset's event. Nothing happens when another event was begun since.
    pub async fn finish_asset_event(
        &self,
        id: &AssetId,
        event: &str,
        received_as: &str,
        now_ms: i64,
    ) -> Result<(), DbError> {
        on_backend!(self, |pool| sqlx::query(
            "UPDATE asset SET event_received_as = $3, updated_at_ms = $4
             WHERE id = $1 AND event_id = $2",
        )
        .bind(id.as_str())
        .bind(event)
        .bind(received_as)
        .bind(now_ms)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))
        .map_err(failed("note the event of the asset"))?;
        Ok(())
    }

    /// Notes that what came of the asset's event has been shown to whoever asked. Nothing happens when another
    /// event was begun since.
    pub async fn see_asset_event(&self, id: &AssetId, received_as: &str) -> Result<(), DbError> {
        on_backend!(self, |pool| sqlx::query(
            "UPDATE asset SET event_seen = TRUE WHERE id = $1 AND event_received_as = $2"
        )
        .bind(id.as_str())
        .bind(received_as)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))
        .map_err(failed("note that the asset's event was seen"))?;
        Ok(())
    }

    /// The brand assets of a workspace, and which of them nothing is known from, oldest first, at most `limit` (1 to
    /// 1,000).
    pub async fn brand_assets(
        &self,
        workspace: &WorkspaceId,
        limit: u32,
    ) -> Result<BrandAssets, DbError> {
        let (total, without): (i64, i64) = on_backend!(self, |pool| sqlx::query_as(
            "SELECT COUNT(*),
                    COUNT(CASE WHEN NOT EXISTS (SELECT 1 FROM brand_knowledge
                               WHERE workspace_id = $1 AND asset_id = asset.id) THEN 1 END)
             FROM asset WHERE workspace_id = $1 AND is_brand_asset = TRUE",
        )
        .bind(workspace.as_str())
        .fetch_one(pool)
        .await)
        .map_err(failed("count the brand assets"))?;
        let rows: Vec<Row> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT * FROM asset
             WHERE workspace_id = $1 AND is_brand_asset = TRUE
                   AND NOT EXISTS (SELECT 1 FROM brand_knowledge
                                   WHERE workspace_id = $1 AND asset_id = asset.id)
             ORDER BY created_at_ms, id LIMIT $2",
        )
        .bind(workspace.as_str())
        .bind(i64::from(limit.clamp(1, 1000)))
        .fetch_all(pool)
        .await)
        .map_err(failed("list the brand assets without knowledge"))?;
        let assets: Result<Vec<_>, _> = rows.into_iter().map(Row::into_asset).collect();
        Ok(BrandAssets {
            total: u64::try_from(total).unwrap_or_default(),
            without_knowledge: assets?,
            without_knowledge_total: u64::try_from(without).unwrap_or_default(),
        })
    }
}
