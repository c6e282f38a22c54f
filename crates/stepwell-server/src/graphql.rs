//! `POST /v0/gql`: apps, functions, events, runs and their traces, in the shape that the protocol's tools ask for.
//!
//! Everything is read through the store's reading side; the few mutations do what the REST API does. A question is
//! bounded before it is answered: by its length, its size, its depth, and by what its lists may cost; and while it is, by
//! the bytes that it is told.

mod app;
mod asked;
mod event;
mod function;
mod legacy;
mod mutation;
mod query;
mod run;
mod run_list;
mod scalar;
mod search;
mod size;
mod span;
mod worker;

use crate::answer::{ApiError, Failure};
use crate::body::Body;
use crate::state::Shared;
use async_graphql::parser::parse_query;
use async_graphql::{EmptySubscription, Error, Request, Response, Schema, ServerError};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
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
/// What a search costs besides: four of them fit into a question.
const SEARCH: usize = COMPLEXITY_MAX / 5;

type Questions = Schema<query::Query, mutation::Mutation, EmptySubscription>;

static SCHEMA: LazyLock<Questions> = LazyLock::new(|| {
    Schema::build(query::Query, mutation::Mutation, EmptySubscription)
        .limit_depth(DEPTH_MAX)
        .limit_complexity(COMPLEXITY_MAX)
        .extension(asked::Weigh)
        .finish()
});

/// A GraphQL question. What is not there is null, with an error beside it.
#[utoipa::path(post, path = "/v0/gql", tag = "GraphQL", request_body = Question,
    responses((status = 200, body = Told), (status = 400, body = Failure), (status = 415, body = Failure)))]
pub(crate) async fn answer(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Body<REQUEST_BYTES_MAX>,
) -> Result<Json<Response>, ApiError> {
    // Pages of other origins can send any other type without asking whether they may.
    if !is_json(&headers) {
        let message = "expected a GraphQL question with content-type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let question: Request = serde_json::from_slice(&body.bytes).map_err(|error| {
        let message = format!("expected a GraphQL question in JSON: {error}");
        ApiError::new(StatusCode::BAD_REQUEST, message)
    })?;
    Ok(Json(match parsed(question) {
        Ok(question) => {
            SCHEMA
                .execute(question.data(asked::Asked::new(shared)))
                .await
        }
        Err(error) => Response::from_errors(vec![error]),
    }))
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let kind = content_type.and_then(|value| value.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// A question that may be held to the schema's rules.
fn parsed(mut question: Request) -> Result<Request, ServerError> {
    let too_much = |error: Error| ServerError::new(error.message, None);
    size::check_text(&question.query).map_err(too_much)?;
    let document = parse_query(&question.query)?;
    size::check(&document).map_err(too_much)?;
    question.set_parsed_query(document);
    Ok(question)
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

/// The same of a list that may be searched.
fn list_cost(is_search: bool, entries: usize, of_entry: usize) -> usize {
    let flat = if is_search { SEARCH } else { 0 };
    (flat + cost(1, entries, of_entry)).min(COMPLEXITY_MAX + 1)
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
