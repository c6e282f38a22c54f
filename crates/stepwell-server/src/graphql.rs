//! `POST /v0/gql`: apps, functions, events, runs and their traces, in the shape that the protocol's tools ask for.
//!
//! Everything is read through the store's reading side; the few mutations do what the REST API does. A question is
//! bounded before it is answered: by its length, its depth, and by what its lists may cost.

mod app;
mod event;
mod function;
mod legacy;
mod mutation;
mod query;
mod run;
mod run_list;
mod scalar;
mod search;
mod span;

use crate::answer::{ApiError, Failure};
use crate::body::Body;
use crate::state::Shared;
use async_graphql::{EmptySubscription, Error, Request, Response, Schema};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::LazyLock;
use stepwell_runtime::Unavailable;
use stepwell_store::StoreError;

/// The longest question, with its variables.
const REQUEST_BYTES_MAX: usize = 256 * 1024;
/// How deep a question may nest: what introspects a schema goes 13 deep, a trace with all of its attempts 12.
const DEPTH_MAX: usize = 24;
/// What a question may cost: a field costs 1, one that reads from the store [`READ`], a list as many times its entry as
/// it may have entries.
const COMPLEXITY_MAX: usize = 100_000;
/// What a field costs that reads from the store.
const READ: usize = 20;

type Questions = Schema<query::Query, mutation::Mutation, EmptySubscription>;

static SCHEMA: LazyLock<Questions> = LazyLock::new(|| {
    Schema::build(query::Query, mutation::Mutation, EmptySubscription)
        .limit_depth(DEPTH_MAX)
        .limit_complexity(COMPLEXITY_MAX)
        .finish()
});

/// A GraphQL question. What is not there is null, with an error beside it.
#[utoipa::path(post, path = "/v0/gql", tag = "GraphQL", request_body = Question,
    responses((status = 200, body = Told), (status = 400, body = Failure)))]
pub(crate) async fn answer(
    State(shared): State<Shared>,
    body: Body<REQUEST_BYTES_MAX>,
) -> Result<Json<Response>, ApiError> {
    let question: Request = serde_json::from_slice(&body.bytes).map_err(|error| {
        let message = format!("expected a GraphQL question in JSON: {error}");
        ApiError::new(StatusCode::BAD_REQUEST, message)
    })?;
    Ok(Json(SCHEMA.execute(question.data(shared)).await))
}

/// A question.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what a request reads as")]
#[serde(rename_all = "camelCase")]
pub(crate) struct Question {
    query: String,
    #[schema(value_type = Option<Object>)]
    variables: Option<serde_json::Value>,
    operation_name: Option<String>,
}

/// What is told: data, errors, or both.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what a response is written as")]
pub(crate) struct Told {
    #[schema(value_type = Option<Object>)]
    data: Option<serde_json::Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    errors: Option<Vec<serde_json::Value>>,
}

/// What a field costs that reads so often and gives so many entries. More than anyone may ask for is all the same, and
/// sums of it do not overflow.
fn cost(reads: usize, entries: usize, of_entry: usize) -> usize {
    let entries = entries.saturating_mul(of_entry);
    let cost = reads.saturating_mul(READ).saturating_add(entries);
    cost.saturating_add(1).min(COMPLEXITY_MAX + 1)
}

/// An error of the store, of which whoever asked learns that there was one.
fn unreadable(error: StoreError) -> Error {
    Error::new(ApiError::from(error).message)
}

fn unavailable(error: Unavailable) -> Error {
    Error::new(ApiError::from(error).message)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_is_what_it_was() {
        insta::assert_snapshot!(super::SCHEMA.sdl());
    }
}
