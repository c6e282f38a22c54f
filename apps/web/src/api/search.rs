//! `GET /api/workspaces/{id}/search`.

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
use studio233_db::SEARCH_LIMIT_MAX;
use studio233_inngest::middleware::Account;

const FRAGMENTS: u32 = 5;

/// What usage names in the place of a function. A spent budget holds runs; questions are answered and counted.
const SEARCH: &str = "search";

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
    let searched = shared.retriever.search(&workspace.id, &question.q, limit);
    let searched = searched.await;
    let usage = match &searched {
        Ok(retrieved) => Some(&retrieved.usage),
        Err(error) => error.usage(),
    };
    if let Some(usage) = usage {
        let (meter, prices) = (shared.meter.clone(), shared.money.prices.clone());
        let account = Account::outside_of_runs(meter, prices, SEARCH, &workspace.id);
        account.charge(slice::from_ref(usage), now_ms()).await;
    }
    let found = searched?.found;
    Ok(Json(json!({"query": question.q, "fragments": found})))
}
