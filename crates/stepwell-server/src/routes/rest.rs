//! `/v1/…`: events and runs, as the protocol's REST API shows them.

mod rows;

pub(crate) use rows::{ACCOUNT, ENVIRONMENT};
pub(crate) use rows::{EventRow, JobRow, RunRow};

use super::query::Params;
use crate::answer::{ApiError, Failure, Found, Success};
use crate::state::Shared;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use stepwell_engine::Timestamp;
use stepwell_protocol::{EventId, RunId, span};
use stepwell_store::{EventFilter, EventQuery};

const EVENTS_DEFAULT: usize = 20;
const EVENTS_MAX: usize = 51;
/// Bytes of bodies in a list, beyond those of its first event.
const EVENTS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Events, newest first. The cursor is the internal id of the last one seen.
#[utoipa::path(get, path = "/v1/events", tag = "Events",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 51), ("cursor" = Option<String>, Query),
        ("name" = Option<String>, Query), ("received_after" = Option<String>, Query, format = DateTime),
        ("received_before" = Option<String>, Query, format = DateTime)),
    responses((status = 200, body = Success<Vec<EventRow>>), (status = 400, body = Failure)))]
pub(super) async fn events(
    State(shared): State<Shared>,
    params: Params,
) -> Result<Found<Vec<EventRow>>, ApiError> {
    let after = params.one("cursor").map(str::parse::<EventId>).transpose();
    let after = after.map_err(|_| {
        let message = "the cursor is not an event's internal id";
        ApiError::new(StatusCode::BAD_REQUEST, message)
    })?;
    let query = EventQuery {
        filter: EventFilter {
            names: params.one("name").map(str::to_owned).into_iter().collect(),
            no_internal: false,
            // Not that moment itself.
            from: params.moment("receivedAfter")?.map(|at| at.after_ms(1)),
            until: params.moment("receivedBefore")?,
        },
        after,
        limit: params.limit(EVENTS_DEFAULT, EVENTS_MAX)?,
        // Every row that is walked is of the list.
        rows_max: usize::MAX,
        bytes_max: EVENTS_BYTES_MAX,
    };
    let read = shared.handle.read(move |reader| reader.find_events(&query));
    let page = read.await?;
    Ok(Found(
        page.events.iter().map(EventRow::of).collect(),
        shared.handle.now().ms(),
    ))
}

/// An event.
#[utoipa::path(get, path = "/v1/events/{event}", tag = "Events",
    params(("event" = String, Path, description = "Its internal id.")),
    responses(
        (status = 200, body = Success<EventRow>), (status = 400, body = Failure), (status = 404, body = Failure)))]
pub(super) async fn event(
    State(shared): State<Shared>,
    Path(event): Path<String>,
) -> Result<Found<EventRow>, ApiError> {
    let id = event_id(&event)?;
    let found = shared.handle.read(move |reader| reader.event(id)).await?;
    let found = found.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "Event not found"))?;
    Ok(Found(EventRow::of(&found), shared.handle.now().ms()))
}

/// The runs that an event started.
#[utoipa::path(get, path = "/v1/events/{event}/runs", tag = "Events",
    params(("event" = String, Path, description = "Its internal id.")),
    responses((status = 200, body = Success<Vec<RunRow>>), (status = 400, body = Failure)))]
pub(super) async fn runs_of_event(
    State(shared): State<Shared>,
    Path(event): Path<String>,
) -> Result<Found<Vec<RunRow>>, ApiError> {
    let id = event_id(&event)?;
    let found = shared
        .handle
        .read(move |reader| reader.runs_of_event(id))
        .await?;
    Ok(Found(
        found.iter().map(RunRow::of).collect(),
        shared.handle.now().ms(),
    ))
}

/// A run.
#[utoipa::path(get, path = "/v1/runs/{run}", tag = "Runs", params(("run" = String, Path)),
    responses(
        (status = 200, body = Success<RunRow>), (status = 400, body = Failure), (status = 404, body = Failure)))]
pub(super) async fn run(
    State(shared): State<Shared>,
    Path(run): Path<String>,
) -> Result<Found<RunRow>, ApiError> {
    let id = run_id(&run)?;
    let found = shared.handle.read(move |reader| reader.run(id)).await?;
    let found = found.ok_or_else(|| unknown_run(id))?;
    Ok(Found(RunRow::of(&found), shared.handle.now().ms()))
}

/// Cancels a run. One that has ended already stays as it is; that is no error, as it is not running any more.
#[utoipa::path(delete, path = "/v1/runs/{run}", tag = "Runs", params(("run" = String, Path)),
    responses((status = 200), (status = 400, body = Failure), (status = 404, body = Failure)))]
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
#[utoipa::path(get, path = "/v1/runs/{run}/jobs", tag = "Runs", params(("run" = String, Path)),
    responses((status = 200, body = Success<Vec<JobRow>>), (status = 400, body = Failure)))]
pub(super) async fn jobs(
    State(shared): State<Shared>,
    Path(run): Path<String>,
) -> Result<Found<Vec<JobRow>>, ApiError> {
    const JOBS_MAX: usize = 10;
    let id = run_id(&run)?;
    let items = shared.handle.read(move |reader| reader.items(id)).await?;
    let jobs = items.iter().take(JOBS_MAX).enumerate();
    let jobs = jobs.map(|(position, item)| JobRow {
        id: item.id.to_string(),
        at: moment(item.due),
        position,
        kind: item.kind.as_str(),
        attempt: item.attempt,
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
