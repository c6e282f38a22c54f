//! All there is to tell of a run, in one view.

use super::{RUN_COLUMNS, SELECT_ATTEMPTS, SELECT_FUNCTIONS, SELECT_ITEMS, attempt, function, run};
use crate::sqlite::codec::{Column, Json};
use crate::sqlite::load;
use crate::{AttemptRecord, History, MetadataRecord, StepOutline};
use rusqlite::{Connection, OptionalExtension, Row};
use stepwell_engine::ItemRow;
use stepwell_protocol::RunId;
use stepwell_protocol::otlp::UserSpan;

pub(super) fn history(connection: &Connection, id: RunId) -> rusqlite::Result<Option<History>> {
    // One transaction, so that all is of one moment.
    let view = connection.unchecked_transaction()?;
    let found = view
        .prepare_cached(&format!("select {RUN_COLUMNS} from runs where id = ?"))?
        .query_row([Column(id)], run)
        .optional()?;
    let Some(run) = found else {
        return Ok(None);
    };
    let steps = view
        .prepare_cached(
            "select step_id, op, name, failed, started_at, ended_at, queued_at, detail, failures_of from steps \
             where run_id = ? order by position",
        )?
        .query_map([Column(id)], outline)?
        .collect::<rusqlite::Result<Vec<StepOutline>>>()?;
    let attempts = view
        .prepare_cached(SELECT_ATTEMPTS)?
        .query_map([Column(id)], attempt)?
        .collect::<rusqlite::Result<Vec<AttemptRecord>>>()?;
    let items = view
        .prepare_cached(SELECT_ITEMS)?
        .query_map([Column(id)], load::item)?
        .collect::<rusqlite::Result<Vec<ItemRow>>>()?;
    let mut started = view.prepare_cached(
        "select run_id from event_runs where event_id = ? order by run_id limit 1",
    )?;
    let mut invoked = Vec::new();
    for event in History::invocations(&items, &attempts) {
        let run = started
            .query_row([Column(event)], |row| Ok(row.get::<_, Column<RunId>>(0)?.0))
            .optional()?;
        invoked.extend(run.map(|run| (event, run)));
    }
    let function = view
        .prepare_cached(&format!("{SELECT_FUNCTIONS} where functions.id = ?"))?
        .query_row([Column(run.function)], function)
        .optional()?;
    Ok(Some(History {
        run,
        function,
        steps,
        attempts,
        items,
        invoked,
        metadata: metadata(&view, id)?,
        user_spans: user_spans(&view, id)?,
    }))
}

pub(super) fn metadata(view: &Connection, run: RunId) -> rusqlite::Result<Vec<MetadataRecord>> {
    view.prepare_cached(
        "select target, kind, vals, updated_at from metadata where run_id = ? order by updated_at, target, kind",
    )?
    .query_map([Column(run)], |row| {
        Ok(MetadataRecord {
            target: row.get::<_, Json<_>>(0)?.0,
            kind: row.get(1)?,
            values: row.get::<_, Json<_>>(2)?.0,
            updated_at: row.get::<_, Column<_>>(3)?.0,
        })
    })?
    .collect()
}

fn user_spans(view: &Connection, run: RunId) -> rusqlite::Result<Vec<UserSpan>> {
    view.prepare_cached("select span from user_spans where run_id = ? order by id")?
        .query_map([Column(run)], |row| Ok(row.get::<_, Json<_>>(0)?.0))?
        .collect()
}

fn outline(row: &Row<'_>) -> rusqlite::Result<StepOutline> {
    Ok(StepOutline {
        step: row.get::<_, Column<_>>(0)?.0,
        op: row.get(1)?,
        name: row.get(2)?,
        failed: row.get(3)?,
        started_at: row.get::<_, Column<_>>(4)?.0,
        ended_at: row.get::<_, Column<_>>(5)?.0,
        queued_at: row.get::<_, Column<_>>(6)?.0,
        detail: row.get::<_, Option<Json<_>>>(7)?.map(|json| json.0),
        failures_of: load::item_id_or_none(row, 8)?,
    })
}
