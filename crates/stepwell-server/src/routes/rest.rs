//! `/v1/…`: events and runs, as the protocol's REST API shows them.

use crate::answer::{ApiError, Found, value};
use crate::state::Shared;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stepwell_engine::Timestamp;
use stepwell_protocol::{EventId, RunId, span};
use stepwell_store::{EventRecord, RunRecord};

/// The account and the environment of a server that has one of each.
pub(crate) const ACCOUNT: &str = "00000000-0000-4000-a000-000000000000";
pub(crate) const ENVIRONMENT: &str = "00000000-0000-4000-b000-000000000000";
const EVENTS_DEFAULT: usize = 20;
const EVENTS_MAX: usize = 51;

#[derive(Deserialize)]
pub(super) struct EventsQuery {
    limit: Option<usize>,
    cursor: Option<String>,
    name: Option<String>,
}

pub(super) async fn events(
    State(shared): State<Shared>,
    Query(query): Query<EventsQuery>,
) -> Result<Found<Vec<Value>>, ApiError> {
    let limit = query.limit.unwrap_or(EVENTS_DEFAULT).clamp(1, EVENTS_MAX);
    let before = query
        .cursor
        .filter(|cursor| !cursor.is_empty())
        .map(|cursor| cursor.parse::<EventId>())
        .transpose()
        .map_err(|_| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "the cursor is not an event's internal id",
            )
        })?;
    let found = shared
        .handle
        .read(move |reader| reader.events(query.name.as_deref(), before, limit))
        .await?;
    Ok(Found(
        found.iter().map(event_row).collect(),
        shared.handle.now().ms(),
    ))
}

pub(super) async fn event(
    State(shared): State<Shared>,
    Path(event): Path<String>,
) -> Result<Found<Value>, ApiError> {
    let id = event_id(&event)?;
    let found = shared.handle.read(move |reader| reader.event(id)).await?;
    let found = found.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "Event not found"))?;
    Ok(Found(event_row(&found), shared.handle.now().ms()))
}

pub(super) async fn runs_of_event(
    State(shared): State<Shared>,
    Path(event): Path<String>,
) -> Result<Found<Vec<Value>>, ApiError> {
    let id = event_id(&event)?;
    let found = shared
        .handle
        .read(move |reader| reader.runs_of_event(id))
        .await?;
    Ok(Found(
        found.iter().map(run_row).collect(),
        shared.handle.now().ms(),
    ))
}

pub(super) async fn run(
    State(shared): State<Shared>,
    Path(run): Path<String>,
) -> Result<Found<Value>, ApiError> {
    let id = run_id(&run)?;
    let found = shared.handle.read(move |reader| reader.run(id)).await?;
    let found = found.ok_or_else(|| unknown_run(id))?;
    Ok(Found(run_row(&found), shared.handle.now().ms()))
}

/// Cancels a run. One that has ended already stays as it is; that is no error, as it is not running any more.
pub(super) async fn cancel(
    State(shared): State<Shared>,
    Path(run): Path<String>,
) -> Result<(), ApiError> {
    let id = run_id(&run)?;
    if shared.handle.cancel_run(id).await?.is_ok() {
        return Ok(());
    }
    let found = shared.handle.read(move |reader| reader.run(id)).await?;
    found.map(|_| ()).ok_or_else(|| unknown_run(id))
}

/// What is queued for a run: at most ten items.
pub(super) async fn jobs(
    State(shared): State<Shared>,
    Path(run): Path<String>,
) -> Result<Found<Vec<Value>>, ApiError> {
    const JOBS_MAX: usize = 10;
    let id = run_id(&run)?;
    let items = shared.handle.read(move |reader| reader.items(id)).await?;
    let jobs = items
        .iter()
        .take(JOBS_MAX)
        .enumerate()
        .map(|(position, item)| {
            json!({
                "JobID": item.id.to_string(),
                "at": moment(item.due),
                "position": position,
                "kind": item.kind.as_str(),
                "attempt": item.attempt,
            })
        });
    Ok(Found(jobs.collect(), shared.handle.now().ms()))
}

pub(super) fn unknown_run(id: RunId) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("Unable to load function run: {id}"),
    )
}

pub(super) fn event_id(text: &str) -> Result<EventId, ApiError> {
    text.parse().map_err(|_| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "the event's internal id is not a ULID",
        )
    })
}

pub(super) fn run_id(text: &str) -> Result<RunId, ApiError> {
    text.parse()
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "The run ID specified is invalid"))
}

pub(super) fn moment(at: Timestamp) -> String {
    span::format_moment_ms(i64::try_from(at.ms()).unwrap_or(i64::MAX))
}

fn event_row(record: &EventRecord) -> Value {
    let mut row = Map::new();
    row.insert("internal_id".to_owned(), record.id.to_string().into());
    row.insert("account_id".to_owned(), ACCOUNT.into());
    row.insert("environment_id".to_owned(), ENVIRONMENT.into());
    row.insert("received_at".to_owned(), moment(record.received_at).into());
    if let Value::Object(body) = value(&record.body) {
        row.extend(body);
    }
    Value::Object(row)
}

fn run_row(record: &RunRecord) -> Value {
    let origin = record.origin.clone().unwrap_or_default();
    let mut row = json!({
        "run_id": record.id,
        "run_started_at": moment(record.started_at.unwrap_or(record.queued_at)),
        "function_id": record.function,
        "function_version": record.function_version,
        "environment_id": ENVIRONMENT,
        "event_id": record.events.first(),
        "status": record.status.as_str(),
        "ended_at": record.ended_at.map(moment),
        "output": record.output.as_ref().map(value),
    });
    if let Some(batch) = origin.batch {
        row["batch_id"] = batch.to_string().into();
    }
    if let Some(original) = origin.original {
        row["original_run_id"] = original.to_string().into();
    }
    if let Some(cron) = origin.cron {
        row["cron"] = (*cron).into();
    }
    if let Some(cause) = record.cause {
        row["cause"] = json!(cause);
    }
    row
}
