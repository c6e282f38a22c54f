//! `GET /api/events/{id}/runs`.

use super::Shared;
use super::error::ApiError;
use super::owner::User;
use crate::engine::{Event, moment};
use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use stepwell::EventId;

pub(crate) async fn runs(
    State(shared): State<Shared>,
    user: User,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let event: EventId = id.parse().map_err(|_| {
        ApiError::bad("bad_event_id", "the event's id is not a ULID")
            .hint("POST /api/assets answers it as event.id")
    })?;
    let found = shared.engine.event(event).await?;
    let event = found.ok_or_else(|| ApiError::absent("event", &id))?;
    must_own(&shared, &event, &user)
        .await
        .map_err(|_| ApiError::absent("event", &id))?;
    let runs = shared.engine.runs_of_event(event.id).await?;
    let runs = runs.iter().map(|run| {
        json!({
            "id": run.id,
            "function": run.function,
            "status": run.status.as_str(),
        })
    });
    Ok(Json(json!({
        "event": {
            "id": event.id,
            "name": event.name,
            "receivedAt": moment(event.received_at),
        },
        "runs": runs.collect::<Vec<_>>(),
    })))
}

/// Whether the event is of a workspace of the caller's.
pub(crate) async fn must_own(shared: &Shared, event: &Event, user: &User) -> Result<(), ApiError> {
    let workspace = event.workspace().unwrap_or_default();
    shared.own_workspace(workspace, user).await.map(|_| ())
}
