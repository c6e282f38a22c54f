//! `GET /api/workspaces/{id}/search`.

use super::Shared;
use super::error::ApiError;
use super::json::Query;
use super::owner::User;
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use studio233_db::SEARCH_LIMIT_MAX;

const FRAGMENTS: u32 = 5;

#[derive(Deserialize)]
pub(crate) struct Question {
    q: String,
    k: Option<u32>,
}

pub(crate) async fn search(
    State(shared): State<Shared>,
    user: User,
    Path(id): Path<String>,
    Query(question): Query<Question>,
) -> Result<Json<Value>, ApiError> {
    let limit = question.k.unwrap_or(FRAGMENTS);
    if !(1..=SEARCH_LIMIT_MAX).contains(&limit) {
        return Err(ApiError::bad(
            "bad_query",
            format!("k is {limit}; it is the number of fragments, 1 to {SEARCH_LIMIT_MAX}"),
        ));
    }
    let workspace = shared.own_workspace(&id, &user).await?;
    let found = shared
        .retriever
        .search(&workspace.id, &question.q, limit)
        .await?;
    Ok(Json(json!({"query": question.q, "fragments": found})))
}
