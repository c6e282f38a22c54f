//! `/fn/step-limit` and `/fn/state-size-limit`: how large the runs of one function may become.

use super::query::Params;
use crate::answer::{ApiError, Failure};
use crate::body::Body;
use crate::state::Shared;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use stepwell_engine::Bound;
use stepwell_protocol::FunctionId;
use utoipa::ToSchema;

/// The largest form.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// A bound on the runs of a function.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FunctionBound {
    function_id: String,
    /// Nothing when its runs may be as large as any.
    limit: Option<u32>,
}

/// Bounds the steps of a function's runs. More than any run may have counts as that. Parameters may come as a form.
#[utoipa::path(post, path = "/fn/step-limit", tag = "Apps",
    params(
        ("functionId" = String, Query, description = "The function's id, or its public one."),
        ("limit" = u32, Query, minimum = 1)),
    responses((status = 200, body = FunctionBound), (status = 400, body = Failure), (status = 404, body = Failure)))]
pub(super) async fn bound_steps(
    State(shared): State<Shared>,
    params: Params,
    form: Body<FORM_BYTES_MAX>,
) -> Result<Json<FunctionBound>, ApiError> {
    let params = params.with(&form.bytes);
    bound(&shared, &params, limit(&params)?, Bound::Steps).await
}

/// Lets a function's runs have as many steps as any.
#[utoipa::path(delete, path = "/fn/step-limit", tag = "Apps", params(("functionId" = String, Query)),
    responses((status = 200, body = FunctionBound), (status = 400, body = Failure), (status = 404, body = Failure)))]
pub(super) async fn unbound_steps(
    State(shared): State<Shared>,
    params: Params,
    form: Body<FORM_BYTES_MAX>,
) -> Result<Json<FunctionBound>, ApiError> {
    bound(&shared, &params.with(&form.bytes), None, Bound::Steps).await
}

/// Bounds the bytes of all values of a function's runs. More than any run may have counts as that.
#[utoipa::path(post, path = "/fn/state-size-limit", tag = "Apps",
    params(
        ("functionId" = String, Query, description = "The function's id, or its public one."),
        ("limit" = u32, Query, minimum = 1)),
    responses((status = 200, body = FunctionBound), (status = 400, body = Failure), (status = 404, body = Failure)))]
pub(super) async fn bound_state(
    State(shared): State<Shared>,
    params: Params,
    form: Body<FORM_BYTES_MAX>,
) -> Result<Json<FunctionBound>, ApiError> {
    let params = params.with(&form.bytes);
    bound(&shared, &params, limit(&params)?, Bound::StateBytes).await
}

/// Lets the values of a function's runs be as large as any.
#[utoipa::path(delete, path = "/fn/state-size-limit", tag = "Apps", params(("functionId" = String, Query)),
    responses((status = 200, body = FunctionBound), (status = 400, body = Failure), (status = 404, body = Failure)))]
pub(super) async fn unbound_state(
    State(shared): State<Shared>,
    params: Params,
    form: Body<FORM_BYTES_MAX>,
) -> Result<Json<FunctionBound>, ApiError> {
    bound(&shared, &params.with(&form.bytes), None, Bound::StateBytes).await
}

fn limit(params: &Params) -> Result<Option<u32>, ApiError> {
    let expected = "a number from 1 on";
    let limit = params.parsed::<u64>("limit", expected)?;
    match limit {
        Some(limit) if limit > 0 => Ok(Some(u32::try_from(limit).unwrap_or(u32::MAX))),
        _ => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            format!("limit: expected {expected}"),
        )),
    }
}

async fn bound(
    shared: &Shared,
    params: &Params,
    limit: Option<u32>,
    kind: fn(Option<u32>) -> Bound,
) -> Result<Json<FunctionBound>, ApiError> {
    let named = params.one("functionId").ok_or_else(|| {
        let message = "functionId: expected a function's id, or its public one";
        ApiError::new(StatusCode::BAD_REQUEST, message)
    })?;
    let unknown = || {
        let message = format!("could not find function with ID: {named}");
        ApiError::new(StatusCode::NOT_FOUND, message)
    };
    let id = match named.parse::<FunctionId>() {
        Ok(id) => id,
        Err(_) => {
            let functions = shared.handle.read(|reader| reader.functions()).await?;
            let mut named = functions.iter().filter(|one| one.slug == named);
            named.next().ok_or_else(unknown)?.id
        }
    };
    match shared.handle.bound(id, kind(limit)).await? {
        true => Ok(Json(FunctionBound {
            function_id: id.to_string(),
            limit,
        })),
        false => Err(unknown()),
    }
}
