//! `GET /api/workspaces/{id}/search` and `/context`.

use super::Shared;
use super::error::ApiError;
use super::json::Query;
use super::owner::User;
use super::workspaces::now_ms;
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use std::slice;
use studio233_ai::Usage;
use studio233_db::{SEARCH_LIMIT_MAX, WorkspaceId};
use studio233_inngest::middleware::Account;

const FRAGMENTS: u32 = 5;

/// What usage names in the place of a function. A spent budget holds runs; questions are answered and counted.
const SEARCH: &str = "search";
const CONTEXT: &str = "context";

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
    let limit = question.limit()?;
    let workspace = shared.own_workspace(&id, &user).await?;
    let searched = shared.retriever.search(&workspace.id, &question.q, limit);
    let searched = searched.await;
    let usage = match &searched {
        Ok(retrieved) => Some(&retrieved.usage),
        Err(error) => error.usage(),
    };
    shared.charge(SEARCH, &workspace.id, usage).await;
    let found = searched?.found;
    Ok(Json(json!({"query": question.q, "fragments": found})))
}

/// `{"query", "context", "sources": [{number, filename, page, assetId, score}]}`
pub(crate) async fn context(
    State(shared): State<Shared>,
    user: User,
    Path(id): Path<String>,
    Query(question): Query<Question>,
) -> Result<Json<Value>, ApiError> {
    let limit = question.limit()?;
    let workspace = shared.own_workspace(&id, &user).await?;
    let asked = shared
        .retriever
        .brand_context(&workspace, &question.q, limit);
    let asked = asked.await;
    let usage = match &asked {
        Ok(context) => Some(&context.usage),
        Err(error) => error.usage(),
    };
    shared.charge(CONTEXT, &workspace.id, usage).await;
    let context = asked?;
    Ok(Json(json!({
        "query": question.q,
        "context": context.text,
        "sources": context.sources,
    })))
}

impl Question {
    fn limit(&self) -> Result<u32, ApiError> {
        let limit = self.k.unwrap_or(FRAGMENTS);
        if (1..=SEARCH_LIMIT_MAX).contains(&limit) {
            return Ok(limit);
        }
        Err(ApiError::bad(
            "bad_query",
            format!("k is {limit}; it is the number of fragments, 1 to {SEARCH_LIMIT_MAX}"),
        ))
    }
}

impl Shared {
    async fn charge(&self, what: &str, workspace: &WorkspaceId, usage: Option<&Usage>) {
        let Some(usage) = usage else {
            return;
        };
        let (meter, prices) = (self.meter.clone(), self.money.prices.clone());
        let account = Account::outside_of_runs(meter, prices, what, workspace);
        account.charge(slice::from_ref(usage), now_ms()).await;
    }
}
