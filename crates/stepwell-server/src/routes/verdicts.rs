//! Why a function ran for an event, or did not; and what a run waits for.

use super::rest::{event_id, moment, run_id, unknown_run};
use crate::answer::{ApiError, Found};
use crate::state::Shared;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::collections::HashMap;
use stepwell_engine::{Standing, Verdict};
use stepwell_protocol::{EventId, FunctionId};
use stepwell_store::{Reader, RunRecord, StoreError};

/// What was decided about an event, for each function that listens to its name.
pub(super) async fn of_event(
    State(shared): State<Shared>,
    Path(event): Path<String>,
) -> Result<Found<Vec<Value>>, ApiError> {
    let id = event_id(&event)?;
    let rows = shared
        .handle
        .read(move |reader| match reader.event(id)? {
            Some(_) => read(reader, id).map(Some),
            None => Ok(None),
        })
        .await?;
    let Some(rows) = rows else {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "Event not found"));
    };
    let mut told = Vec::with_capacity(rows.len());
    for (slug, verdict, run) in rows {
        let mut row = json!(verdict);
        row["function"] = slug.into();
        if let Some(run) = run {
            row["status"] = run.status.as_str().into();
            if !run.status.has_ended()
                && let Some(standing) = shared.handle.standing(run.id).await?
            {
                row["waits"] = standing_row(&standing);
            }
        }
        told.push(row);
    }
    Ok(Found(told, shared.handle.now().ms()))
}

type Row = (String, Verdict, Option<RunRecord>);

/// Runs tell that they were started; the other verdicts are recorded. A run that an event started later, after waiting
/// for others, outdoes what was decided when it came.
fn read(reader: &dyn Reader, event: EventId) -> Result<Vec<Row>, StoreError> {
    let mut found: HashMap<FunctionId, (Verdict, Option<RunRecord>)> = reader
        .verdicts(event)?
        .into_iter()
        .map(|(function, verdict)| (function, (verdict, None)))
        .collect();
    for run in reader.runs_of_event(event)? {
        // A repetition is not what the event did.
        let repeats = run
            .origin
            .as_ref()
            .is_some_and(|origin| origin.original.is_some());
        let skipped = found
            .get(&run.function)
            .is_some_and(|(verdict, _)| matches!(verdict, Verdict::Skipped { .. }));
        if !repeats && !skipped {
            found.insert(run.function, (Verdict::Started { run: run.id }, Some(run)));
        }
    }
    let mut rows = Vec::with_capacity(found.len());
    for (function, (verdict, run)) in found {
        let slug = reader.function(function)?.map(|function| function.slug);
        rows.push((slug.unwrap_or_else(|| function.to_string()), verdict, run));
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(rows)
}

/// What an unfinished run waits for.
pub(super) async fn standing(
    State(shared): State<Shared>,
    Path(run): Path<String>,
) -> Result<Found<Value>, ApiError> {
    let id = run_id(&run)?;
    let standing = match shared.handle.standing(id).await? {
        Some(standing) => standing_row(&standing),
        None => {
            let found = shared.handle.read(move |reader| reader.run(id)).await?;
            let found = found.ok_or_else(|| unknown_run(id))?;
            json!({"for": "nothing", "status": found.status.as_str()})
        }
    };
    Ok(Found(standing, shared.handle.now().ms()))
}

fn standing_row(standing: &Standing) -> Value {
    match standing {
        Standing::Time(at) => json!({"for": "time", "until": moment(*at)}),
        Standing::Wait(at) => json!({"for": "event", "until": moment(*at)}),
        Standing::Call => json!({"for": "call"}),
        Standing::Queue {
            ahead,
            limit,
            throttled_until,
            paused,
        } => json!({
            "for": "turn",
            "ahead": ahead,
            "limit": limit.as_ref().map(|key| json!({"concurrency": {"key": key}})),
            "throttled_until": throttled_until.map(moment),
            "paused": paused,
        }),
    }
}
