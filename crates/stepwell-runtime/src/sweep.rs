//! Sweeps: the runs that a bulk cancellation ends, found in the store.

use serde_json::Value;
use stepwell_engine::{BulkCancelRow, RunStatus, Timestamp, bulk_condition_holds};
use stepwell_protocol::RunId;
use stepwell_store::{Reader, RunFilter, RunPlace, RunQuery, RunRecord, RunTime, StoreError};

/// Runs that one commit ends: what it writes in a few milliseconds.
const RUNS_MAX: usize = 250;
/// Unfinished runs that one question looks at, of whatever function.
const ROWS_MAX: usize = 5_000;

/// The next unfinished runs that a bulk cancellation ends, and where to go on.
///
/// # Errors
/// [`StoreError`] when they cannot be read.
pub(crate) fn next(
    row: &BulkCancelRow,
    reader: &dyn Reader,
    now: Timestamp,
) -> Result<(Vec<RunId>, Option<RunId>), StoreError> {
    let page = reader.find_runs(&RunQuery {
        filter: RunFilter {
            functions: Some(vec![row.function]),
            statuses: vec![RunStatus::Scheduled, RunStatus::Running],
            deferred: None,
            time: RunTime::Queued,
            from: row.started_after,
            until: Some(row.started_before),
        },
        oldest_first: true,
        after: row.after.map(|id| RunPlace { at: None, id }),
        rows_max: ROWS_MAX,
        ..RunQuery::newest(RUNS_MAX)
    })?;
    let mut found = Vec::with_capacity(page.runs.len());
    for run in page.runs {
        if is_meant(row, &run, reader, now)? {
            found.push(run.id);
        }
    }
    Ok((found, page.next.map(|place| place.id)))
}

fn is_meant(
    row: &BulkCancelRow,
    run: &RunRecord,
    reader: &dyn Reader,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(condition) = &row.condition else {
        return Ok(true);
    };
    let event = match run.events.first() {
        Some(event) => reader.event(*event)?,
        None => None,
    };
    let event = event.and_then(|event| serde_json::from_str::<Value>(event.body.get()).ok());
    Ok(event.is_some_and(|event| bulk_condition_holds(condition, &event, now)))
}
