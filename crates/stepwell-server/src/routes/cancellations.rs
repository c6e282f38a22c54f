//! `/v1/cancellations`: ends all runs of a function that were scheduled within a span of time.

use super::SMALL_BODY_BYTES_MAX;
use super::rest::{ACCOUNT, ENVIRONMENT, moment};
use crate::answer::{ApiError, Failure, Found, Success};
use crate::body::Body;
use crate::state::Shared;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use stepwell_engine::{BulkCancelRow, Timestamp};
use stepwell_expr::Expr;
use stepwell_protocol::{AppId, BulkCancelId, FunctionId, span};
use stepwell_store::FunctionRecord;
use utoipa::ToSchema;

/// How far the clock of whoever asks may be ahead, in milliseconds.
const AHEAD_MS_MAX: u64 = 5_000;
/// The longest condition, in bytes: all of them are kept in memory.
const CONDITION_BYTES_MAX: usize = 16 * 1024;

/// Which runs to cancel.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewCancellation {
    /// The app's name.
    #[serde(default)]
    #[schema(required = true, min_length = 1)]
    app_id: String,
    /// The function's id within its app, or its public one.
    #[serde(default)]
    #[schema(required = true, min_length = 1)]
    function_id: String,
    /// Runs that were scheduled from then on.
    #[serde(default)]
    #[schema(format = DateTime)]
    started_after: Option<String>,
    /// Runs that were scheduled before then; a moment of the past.
    #[serde(default)]
    #[schema(required = true, nullable = false, format = DateTime)]
    started_before: Option<String>,
    /// Runs whose event meets this expression.
    #[serde(default, rename = "if")]
    condition: Option<String>,
}

/// A bulk cancellation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cancellation {
    #[schema(format = DateTime)]
    created_at: String,
    /// Always null.
    name: Option<String>,
    id: String,
    account_id: &'static str,
    environment_id: &'static str,
    app_id: Option<String>,
    function_internal_id: String,
    /// The function's id within its app.
    function_id: Option<String>,
    #[schema(format = DateTime)]
    started_after: Option<String>,
    #[schema(format = DateTime)]
    started_before: String,
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
    kind: &'static str,
    cause: &'static str,
    /// Always null.
    queue_name: Option<String>,
    /// Whether all runs of the span have been gone through.
    done: bool,
}

/// That a bulk cancellation is no more.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CancellationDeleted {
    ok: bool,
}

impl Cancellation {
    fn of(row: &BulkCancelRow, function: Option<&FunctionRecord>) -> Self {
        Self {
            created_at: moment(row.created_at),
            name: None,
            id: row.id.to_string(),
            account_id: ACCOUNT,
            environment_id: ENVIRONMENT,
            app_id: function.map(|function| function.app.to_string()),
            function_internal_id: row.function.to_string(),
            function_id: function.map(id_within_app),
            started_after: row.started_after.map(moment),
            started_before: moment(row.started_before),
            condition: row.condition.as_deref().map(str::to_owned),
            kind: "bulk_run",
            cause: "API",
            queue_name: None,
            done: row.done,
        }
    }
}

fn id_within_app(function: &FunctionRecord) -> String {
    let prefix = format!("{}-", function.app_name);
    let within = function.slug.strip_prefix(&prefix);
    within.unwrap_or(&function.slug).to_owned()
}

/// Cancels the unfinished runs of a function that were scheduled within a span of time. Runs end little by little, after
/// the answer; also those that come into the span later.
#[utoipa::path(post, path = "/v1/cancellations", tag = "Runs", request_body = NewCancellation,
    responses(
        (status = 200, body = Success<Cancellation>), (status = 400, body = Failure),
        (status = 404, description = "There is no such function.", body = Failure),
        (status = 429, description = "Too many are under way.", body = Failure)))]
pub(super) async fn create(
    State(shared): State<Shared>,
    body: Body<SMALL_BODY_BYTES_MAX>,
) -> Result<Found<Cancellation>, ApiError> {
    let bad = |message: String| ApiError::new(StatusCode::BAD_REQUEST, message);
    let asked: NewCancellation = stepwell_protocol::decode::from_slice(&body.bytes)
        .map_err(|error| bad(format!("Invalid cancellation: {error}")))?;
    let (started_after, started_before) = span_of(&asked, shared.handle.now()).map_err(bad)?;
    let function = function_of(&shared, &asked).await?;
    let condition = asked.condition.as_deref().map(str::trim);
    let condition = condition.filter(|condition| !condition.is_empty());
    if let Some(condition) = condition {
        check(condition).map_err(|error| bad(format!("invalid expression: {error}")))?;
    }
    let condition = condition.map(Into::into);
    let made = shared
        .handle
        .bulk_cancel(function.id, started_after, started_before, condition)
        .await?;
    match made {
        Ok(row) => Ok(Found(
            Cancellation::of(&row, Some(&function)),
            shared.handle.now().ms(),
        )),
        Err(error) => Err(ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            error.to_string(),
        )),
    }
}

fn check(condition: &str) -> Result<(), String> {
    if condition.len() > CONDITION_BYTES_MAX {
        return Err(format!("it has more than {CONDITION_BYTES_MAX} bytes"));
    }
    Expr::compile(condition)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// The span of time, or everything that is wrong with it.
fn span_of(
    asked: &NewCancellation,
    now: Timestamp,
) -> Result<(Option<Timestamp>, Timestamp), String> {
    let mut problems = Vec::new();
    if asked.app_id.is_empty() {
        problems.push("app_id is required".to_owned());
    }
    if asked.function_id.is_empty() {
        problems.push("function_id is required".to_owned());
    }
    let mut read = |name: &str, text: Option<&str>| {
        let text = text.filter(|text| !text.is_empty())?;
        let ms = span::parse_moment_ms(text).and_then(|ms| u64::try_from(ms).ok());
        if ms.is_none() {
            problems.push(format!(
                "{name}: expected a moment, such as 2026-01-31T12:00:00Z"
            ));
        }
        Some(ms.map(Timestamp::from_ms))
    };
    let after = read("started_after", asked.started_after.as_deref());
    let before = read("started_before", asked.started_before.as_deref());
    if before.is_none() {
        problems.push("started_before is required".to_owned());
    }
    let (after, before) = (after.flatten(), before.flatten());
    if before.is_some_and(|before| before > now.after_ms(AHEAD_MS_MAX)) {
        problems.push("started_before must be in the past".to_owned());
    }
    if let (Some(after), Some(before)) = (after, before)
        && after >= before
    {
        problems.push("started_after must be before started_before".to_owned());
    }
    match before {
        Some(before) if problems.is_empty() => Ok((after, before)),
        _ => Err(problems.join("\n")),
    }
}

/// By its id within the app, or by its public one; also one that is no longer registered.
async fn function_of(shared: &Shared, asked: &NewCancellation) -> Result<FunctionRecord, ApiError> {
    let (app, name) = (AppId::of(&asked.app_id), &asked.function_id);
    let ids = [format!("{}-{name}", asked.app_id), name.clone()];
    let ids = ids.map(|slug| FunctionId::of(app, &slug));
    let found = shared
        .handle
        .read(move |reader| {
            for id in ids {
                if let Some(found) = reader.function(id)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })
        .await?;
    found.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "function not found"))
}

/// Bulk cancellations, oldest first. Of those that are done, the last are kept.
#[utoipa::path(get, path = "/v1/cancellations", tag = "Runs",
    responses((status = 200, body = Success<Vec<Cancellation>>)))]
pub(super) async fn list(
    State(shared): State<Shared>,
) -> Result<Found<Vec<Cancellation>>, ApiError> {
    let listed = shared
        .handle
        .read(|reader| {
            let functions = reader.all_functions()?;
            let rows = reader.bulk_cancels()?;
            let of = |row: &BulkCancelRow| functions.iter().find(|one| one.id == row.function);
            Ok(rows
                .iter()
                .map(|row| Cancellation::of(row, of(row)))
                .collect())
        })
        .await?;
    Ok(Found(listed, shared.handle.now().ms()))
}

/// Ends a bulk cancellation: runs that it has not cancelled yet go on.
#[utoipa::path(delete, path = "/v1/cancellations/{id}", tag = "Runs", params(("id" = String, Path)),
    responses((status = 200, body = Success<CancellationDeleted>), (status = 404, body = Failure)))]
pub(super) async fn delete(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Found<CancellationDeleted>, ApiError> {
    let not_found = || ApiError::new(StatusCode::NOT_FOUND, "Cancellation not found");
    let id: BulkCancelId = id.parse().map_err(|_| not_found())?;
    match shared.handle.drop_bulk_cancel(id).await? {
        true => Ok(Found(
            CancellationDeleted { ok: true },
            shared.handle.now().ms(),
        )),
        false => Err(not_found()),
    }
}
