//! `/api/workspaces`.

use super::Shared;
use super::error::ApiError;
use super::json::{JsonBody, Query};
use super::owner::User;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stepwell::Moment;
use studio233_db::{DbError, NewWorkspace, Workspace, WorkspaceId, workspace_slug};
use studio233_setup::set_budgets_of;
use uuid::Uuid;

const NAME_CHARS_MAX: usize = 100;

#[derive(Deserialize)]
pub(crate) struct New {
    name: String,
}

/// A workspace as the API shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    #[serde(flatten)]
    workspace: Workspace,
    /// Pieces of documents that can be found.
    knowledge_count: u64,
}

pub(crate) fn now_ms() -> i64 {
    Moment::from(std::time::SystemTime::now()).unix_ms()
}

/// Makes a workspace. One of the caller's of that name is found instead (200): asking twice is asking once.
/// Names that differ only in case and punctuation are the same.
pub(crate) async fn create(
    State(shared): State<Shared>,
    user: User,
    JsonBody(new): JsonBody<New>,
) -> Result<(StatusCode, Json<Shown>), ApiError> {
    let name = checked(&new.name)?;
    let slug = workspace_slug(name);
    if let Some(workspace) = own_by_slug(&shared, &slug, &user).await? {
        return limited(&shared, StatusCode::OK, workspace).await;
    }
    let new = NewWorkspace {
        id: WorkspaceId::new(Uuid::new_v4().to_string()),
        name: name.to_owned(),
        slug,
        user_id: user.0.clone(),
    };
    match shared.database.create_workspace(&new, now_ms()).await {
        Ok(workspace) => limited(&shared, StatusCode::CREATED, workspace).await,
        // Made by another request of the caller's since.
        Err(error @ DbError::SlugTaken { .. }) => {
            match own_by_slug(&shared, &new.slug, &user).await? {
                Some(workspace) => limited(&shared, StatusCode::OK, workspace).await,
                None => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Answers once the file's budgets of the workspace are set: whoever made it may have died before that.
async fn limited(
    shared: &Shared,
    status: StatusCode,
    workspace: Workspace,
) -> Result<(StatusCode, Json<Shown>), ApiError> {
    let Shared {
        money,
        client,
        database,
        ..
    } = shared;
    set_budgets_of(&workspace, &money.budgets, client, database).await?;
    Ok((status, shown(shared, workspace).await?))
}

#[derive(Deserialize)]
pub(crate) struct ByName {
    name: String,
}

/// `{"workspaces": [...]}`: none or one.
pub(crate) async fn find(
    State(shared): State<Shared>,
    user: User,
    Query(query): Query<ByName>,
) -> Result<Json<Value>, ApiError> {
    let slug = workspace_slug(checked(&query.name)?);
    let found = match own_by_slug(&shared, &slug, &user).await? {
        Some(workspace) => vec![shown(&shared, workspace).await?.0],
        None => Vec::new(),
    };
    Ok(Json(json!({"workspaces": found})))
}

pub(crate) async fn show(
    State(shared): State<Shared>,
    user: User,
    Path(id): Path<String>,
) -> Result<Json<Shown>, ApiError> {
    let workspace = shared.own_workspace(&id, &user).await?;
    shown(&shared, workspace).await
}

async fn shown(shared: &Shared, workspace: Workspace) -> Result<Json<Shown>, ApiError> {
    let knowledge_count = shared.database.knowledge_count(&workspace.id, None).await?;
    Ok(Json(Shown {
        workspace,
        knowledge_count,
    }))
}

async fn own_by_slug(
    shared: &Shared,
    slug: &str,
    user: &User,
) -> Result<Option<Workspace>, ApiError> {
    let found = shared.database.workspace_by_slug(slug).await?;
    Ok(found.filter(|workspace| workspace.user_id == user.0))
}

fn checked(name: &str) -> Result<&str, ApiError> {
    let name = name.trim();
    let chars = name.chars().count();
    if (1..=NAME_CHARS_MAX).contains(&chars) && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    Err(ApiError::bad(
        "bad_name",
        format!("a workspace's name has 1 to {NAME_CHARS_MAX} printable characters"),
    ))
}
