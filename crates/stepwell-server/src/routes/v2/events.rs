//! Events: sending one, and the runs that one started.

use super::super::SMALL_BODY_BYTES_MAX;
use super::super::query::Params;
use super::run_list::output_bytes;
use super::run_row::{Names, Run};
use super::{Answer, Envelope, Errors, Page, Refusal, found, page};
use crate::answer::ApiError;
use crate::body::Body;
use crate::state::Shared;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepwell_protocol::EventId;
use utoipa::ToSchema;

/// The longest name, in characters.
const NAME_MAX: usize = 512;
/// Runs of a page, when nobody says, and at most.
const RUNS_DEFAULT: usize = 20;
const RUNS_MAX: usize = 40;

/// An event to send.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub(super) struct NewEvent {
    /// What happened.
    #[schema(min_length = 1, max_length = 512)]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    user: Option<Box<RawValue>>,
    /// By which one that comes twice is known, for 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// When it happened, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<i64>,
}

/// An event by its internal id.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventReference {
    event_id: String,
}

/// Sends an event; answers once it is durable.
#[utoipa::path(post, path = "/events", tag = "Events", request_body = NewEvent,
    responses((status = 200, body = Envelope<EventReference>), (status = 400, body = Errors)))]
pub(super) async fn send(
    State(shared): State<Shared>,
    body: Result<Body<SMALL_BODY_BYTES_MAX>, ApiError>,
) -> Answer<EventReference> {
    let body = body?;
    let sent: NewEvent = stepwell_protocol::decode::from_slice(&body.bytes)
        .map_err(|error| Refusal::invalid(error.to_string()))?;
    let refused =
        |message: String| Refusal::new(StatusCode::BAD_REQUEST, "validation_error", message);
    if sent.name.chars().count() > NAME_MAX {
        return Err(refused(format!(
            "name: expected at most {NAME_MAX} characters"
        )));
    }
    let text = serde_json::to_string(&sent).map_err(|error| refused(error.to_string()))?;
    let event = shared.handle.accept_event(&text, 0, None);
    let event = event.map_err(|error| refused(error.to_string()))?;
    let event_id = event.id.to_string();
    shared.handle.receive_events(vec![event]).await?;
    Ok(found(&shared, EventReference { event_id }))
}

/// The runs that an event started, oldest first.
#[utoipa::path(get, path = "/events/{event}/runs", tag = "Events",
    params(
        ("event" = String, Path, description = "Its internal id."), ("includeOutput" = Option<bool>, Query),
        ("cursor" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 40)),
    responses((status = 200, body = Envelope<Vec<Run>>), (status = 400, body = Errors)))]
pub(super) async fn runs(
    State(shared): State<Shared>,
    Path(event): Path<String>,
    params: Params,
) -> Answer<Vec<Run>> {
    let id: EventId = event
        .parse()
        .map_err(|_| Refusal::malformed("the event's internal id is not a ULID"))?;
    let with_output = output_bytes(&params)?.is_some();
    let limit = params.limit(RUNS_DEFAULT, RUNS_MAX)?;
    let after: Option<stepwell_protocol::RunId> =
        params.parsed("cursor", "what an earlier page of the same list ended with")?;
    let read = shared.handle.read(move |reader| {
        let mut runs = reader.runs_of_event(id)?;
        runs.retain(|run| after.is_none_or(|after| run.id > after));
        let has_more = runs.len() > limit;
        runs.truncate(limit);
        if !with_output {
            runs.iter_mut().for_each(|run| run.output = None);
        }
        let names = Names::read(reader, &runs)?;
        let rows: Vec<Run> = runs.iter().map(|run| Run::of(run, &names)).collect();
        Ok((rows, has_more))
    });
    let (runs, has_more) = read.await?;
    let last = runs.last().map(|run| run.id.clone());
    let place = Page {
        cursor: last.filter(|_| has_more),
        has_more,
        limit,
    };
    Ok(page(&shared, runs, place))
}
