use crate::database::{in_transaction, on_backend};
use crate::error::{corrupt, failed, is_taken};
use crate::json::Json;
use crate::text::storable;
use crate::{Database, DbError, WorkspaceId, workspace_slug};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;

/// Whether documents of a workspace are being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum IndexingStatus {
    Idle,
    Indexing,
    Failed,
}

impl IndexingStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "IDLE",
            Self::Indexing => "INDEXING",
            Self::Failed => "FAILED",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        [Self::Idle, Self::Indexing, Self::Failed]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("unknown indexing status {text:?}"))
    }
}

/// A workspace as stored. JSON is camelCase, as the web app answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workspace {
    pub id: WorkspaceId,
    pub name: String,
    pub slug: String,
    pub user_id: String,
    pub brand_profile: Option<Value>,
    pub brand_summary: Option<Value>,
    pub indexing_status: IndexingStatus,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

/// What a new workspace starts with.
#[derive(Debug, Clone)]
pub struct NewWorkspace {
    pub id: WorkspaceId,
    pub name: String,
    /// Unique among workspaces.
    pub slug: String,
    pub user_id: String,
}

#[derive(FromRow)]
struct Row {
    id: String,
    name: String,
    slug: String,
    user_id: String,
    brand_profile: Option<Json>,
    brand_summary: Option<Json>,
    indexing_status: String,
    created_at_ms: i64,
    updated_at_ms: i64,
}

impl Row {
    fn into_workspace(self) -> Result<Workspace, DbError> {
        let what = |column: &str| format!("{column} of workspace {}", self.id);
        Ok(Workspace {
            brand_profile: self.brand_profile.map(|json| json.0),
            brand_summary: self.brand_summary.map(|json| json.0),
            indexing_status: IndexingStatus::parse(&self.indexing_status)
                .map_err(corrupt(what("indexing status")))?,
            id: WorkspaceId::new(self.id),
            name: self.name,
            slug: self.slug,
            user_id: self.user_id,
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
        })
    }
}

/// Who sums a brand up.
#[derive(Debug, Clone, Copy)]
pub struct SummaryRun<'r> {
    pub run_id: &'r str,
    /// What tells the newer of two runs.
    pub queued_ms: i64,
}

/// What is written of a workspace's brand, and by whom.
struct Brand {
    profile: Option<Value>,
    summary: Option<Value>,
    summary_run: Option<String>,
}

#[derive(FromRow)]
struct BrandRow {
    brand_profile: Option<Json>,
    brand_summary: Option<Json>,
    summary_run: Option<String>,
}

impl BrandRow {
    fn into_brand(self) -> Brand {
        Brand {
            profile: self.brand_profile.map(|json| json.0),
            summary: self.brand_summary.map(|json| json.0),
            summary_run: self.summary_run,
        }
    }
}

impl Database {
    /// Stores a new workspace. A taken slug is [`DbError::SlugTaken`].
    pub async fn create_workspace(
        &self,
        new: &NewWorkspace,
        now_ms: i64,
    ) -> Result<Workspace, DbError> {
        let row: Result<Row, sqlx::Error> = on_backend!(self, |pool| sqlx::query_as(
            "INSERT INTO workspace (id, name, slug, user_id, created_at_ms, updated_at_ms)
             VALUES ($1, $2, $3, $4, $5, $5) RETURNING *",
        )
        .bind(new.id.as_str())
        .bind(storable(&new.name))
        .bind(storable(&new.slug))
        .bind(storable(&new.user_id))
        .bind(now_ms)
        .fetch_one(pool)
        .await);
        match row {
            Ok(row) => row.into_workspace(),
            Err(sqlx::Error::Database(error))
                if is_taken(error.as_ref(), "workspace", "slug", "workspace_slug_key") =>
            {
                Err(DbError::SlugTaken {
                    slug: new.slug.clone(),
                })
            }
            Err(source) => Err(failed("create the workspace")(source)),
        }
    }

    /// The workspace of that id, if there is one.
    pub async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>, DbError> {
        let row: Option<Row> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT * FROM workspace WHERE id = $1"
        )
        .bind(id.as_str())
        .fetch_optional(pool)
        .await)
        .map_err(failed("read the workspace"))?;
        row.map(Row::into_workspace).transpose()
    }

    /// The workspace with that slug, if there is one.
    pub async fn workspace_by_slug(&self, slug: &str) -> Result<Option<Workspace>, DbError> {
        let row: Option<Row> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT * FROM workspace WHERE slug = $1"
        )
        .bind(storable(slug))
        .fetch_optional(pool)
        .await)
        .map_err(failed("read the workspace"))?;
        row.map(Row::into_workspace).transpose()
    }

    /// The workspace that people mean: by its id or its name, however that is spelt; the oldest if several are.
    pub async fn workspace_named(&self, name: &str) -> Result<Option<Workspace>, DbError> {
        let row: Option<Row> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT * FROM workspace WHERE id = $1 OR name = $1 OR slug = $2
             ORDER BY created_at_ms, id LIMIT 1"
        )
        .bind(storable(name))
        .bind(storable(&workspace_slug(name)))
        .fetch_optional(pool)
        .await)
        .map_err(failed("read the workspace"))?;
        row.map(Row::into_workspace).transpose()
    }

    /// Writes the brand profile and its summary together.
    pub async fn set_brand_profile(
        &self,
        id: &WorkspaceId,
        profile: &Value,
        summary: &Value,
        now_ms: i64,
    ) -> Result<(), DbError> {
        let brand = |_| (profile.clone(), summary.clone());
        self.replace_brand_profile(id, brand, now_ms).await
    }

    /// Writes the brand profile and its summary together, by what they are now, in one transaction: `brand` gets both, and
    /// gives the new ones.
    ///
    /// # Errors
    /// [`DbError::NoSuchWorkspace`].
    pub async fn replace_brand_profile(
        &self,
        id: &WorkspaceId,
        brand: impl FnOnce([Option<Value>; 2]) -> (Value, Value),
        now_ms: i64,
    ) -> Result<(), DbError> {
        let change = |now: Brand| {
            let (profile, summary) = brand([now.profile, now.summary]);
            Some([Some(profile), Some(summary)])
        };
        self.change_brand(id, change, now_ms).await.map(|_| ())
    }

    /// Changes the brand profile by what it is now, in one transaction: `change` gets the profile, and gives the new one
    /// or none to leave it. True when it was changed.
    ///
    /// # Errors
    /// [`DbError::NoSuchWorkspace`].
    pub async fn update_brand_profile(
        &self,
        id: &WorkspaceId,
        change: impl FnOnce(Option<Value>) -> Option<Value>,
        now_ms: i64,
    ) -> Result<bool, DbError> {
        let change = |now: Brand| Some([Some(change(now.profile)?), now.summary]);
        self.change_brand(id, change, now_ms).await
    }

    /// A run is about to read what is known, to sum the brand up: nobody who began before writes the summary any more.
    /// False, and nothing is changed, when a run has begun that was queued after this one.
    ///
    /// # Errors
    /// [`DbError::NoSuchWorkspace`].
    pub async fn begin_brand_summary(
        &self,
        id: &WorkspaceId,
        run: SummaryRun<'_>,
        now_ms: i64,
    ) -> Result<bool, DbError> {
        let begun = on_backend!(self, |pool| sqlx::query(
            "UPDATE workspace SET summary_run = $2, summary_queued_ms = $4
             WHERE id = $1
                   AND (summary_run = $2 OR summary_queued_ms IS NULL OR summary_queued_ms <= $3)",
        )
        .bind(id.as_str())
        .bind(storable(run.run_id))
        .bind(run.queued_ms)
        // A clock that was ahead once must not refuse all runs until that time has come.
        .bind(run.queued_ms.min(now_ms))
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))
        .map_err(failed("note who sums the brand up"))?;
        if begun > 0 {
            return Ok(true);
        }
        match self.workspace(id).await? {
            Some(_) => Ok(false),
            None => Err(no_such_workspace(id)),
        }
    }

    /// Changes the brand summary by what it is now, in one transaction: `change` gets the summary, and gives the new one,
    /// or none to clear it. False, and nothing is changed, when another run has begun since this one did.
    ///
    /// # Errors
    /// [`DbError::NoSuchWorkspace`].
    pub async fn write_brand_summary(
        &self,
        id: &WorkspaceId,
        run_id: &str,
        change: impl FnOnce(Option<Value>) -> Option<Value>,
        now_ms: i64,
    ) -> Result<bool, DbError> {
        let change = |now: Brand| {
            let is_latest = now.summary_run.as_deref() == Some(&*storable(run_id));
            is_latest.then(|| [now.profile, change(now.summary)])
        };
        self.change_brand(id, change, now_ms).await
    }

    /// Changes the brand by what it is now, in one transaction: `change` gives the new profile and summary, or none to leave
    /// both. True when they were written.
    async fn change_brand(
        &self,
        id: &WorkspaceId,
        change: impl FnOnce(Brand) -> Option<[Option<Value>; 2]>,
        now_ms: i64,
    ) -> Result<bool, DbError> {
        in_transaction!(self, "change the brand", |tx| {
            // Writing first is locking the row.
            let found: Option<BrandRow> = sqlx::query_as(
                "UPDATE workspace SET updated_at_ms = updated_at_ms WHERE id = $1
                 RETURNING brand_profile, brand_summary, summary_run",
            )
            .bind(id.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed("read the brand"))?;
            let Some(found) = found else {
                return Err(no_such_workspace(id));
            };
            let Some([profile, summary]) = change(found.into_brand()) else {
                return Ok(false);
            };
            sqlx::query(
                "UPDATE workspace SET brand_profile = $2, brand_summary = $3, updated_at_ms = $4
                 WHERE id = $1",
            )
            .bind(id.as_str())
            .bind(profile.map(Json))
            .bind(summary.map(Json))
            .bind(now_ms)
            .execute(&mut *tx)
            .await
            .map_err(failed("store the brand"))?;
        });
        Ok(true)
    }
}

pub(crate) fn no_such_workspace(id: &WorkspaceId) -> DbError {
    DbError::NoSuchWorkspace { id: id.to_string() }
}
