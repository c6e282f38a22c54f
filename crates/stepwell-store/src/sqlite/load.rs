//! Reading the live rows at start-up, in one consistent view.

use super::codec::Column;
use crate::prune::first_id;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, Row, Transaction, params};
use std::collections::HashMap;
use stepwell_engine::{
    AppRow, FunctionRow, ItemId, ItemKind, ItemRow, RunProgress, RunRow, Snapshot, ThrottleRow,
    Timestamp,
};
use stepwell_protocol::{RunId, StepId, limits};

pub(super) fn snapshot(connection: &mut Connection, now: Timestamp) -> rusqlite::Result<Snapshot> {
    let transaction = connection.transaction()?;
    let since = Timestamp::from_ms(now.ms().saturating_sub(limits::IDEMPOTENCY_MS));
    let mut steps = steps_of_unfinished(&transaction)?;
    let runs = rows(
        &transaction,
        "select id, function_id, function_version, event_ids, dedupe_key, announces, queued_at, keys, status, \
         started_at, request_version, force_plan, pending from runs where ended_at is null",
        [],
        run,
    )?;
    let mut snapshot = Snapshot {
        apps: rows(
            &transaction,
            "select id, name, url, sdk, framework, checksum, synced_at from apps",
            [],
            app,
        )?,
        functions: rows(
            &transaction,
            "select id, app_id, slug, name, config, version, archived from functions",
            [],
            function,
        )?,
        runs: runs
            .into_iter()
            .map(|run| {
                let (steps, bytes) = steps.remove(&run.id).unwrap_or_default();
                (run, steps, bytes)
            })
            .collect(),
        items: rows(
            &transaction,
            "select id, run_id, kind, step_id, due, attempt from items",
            [],
            item,
        )?,
        ended: rows(
            &transaction,
            "select runs.id, runs.status from items join runs on runs.id = items.run_id \
             where items.kind = 'announce' and runs.ended_at is not null",
            [],
            |row| Ok((row.get::<_, Column<_>>(0)?.0, row.get::<_, Column<_>>(1)?.0)),
        )?,
        recent_keys: rows(
            &transaction,
            // Run ids begin with their time, so this reads only the last day's.
            "select dedupe_key, queued_at from runs where id >= ?1 and dedupe_key is not null and queued_at > ?2 \
             union all select key, queued_at from forgotten_keys where queued_at > ?2",
            params![Column(first_id(since)), Column(since)],
            |row| Ok((row.get::<_, Column<_>>(0)?.0, row.get::<_, Column<_>>(1)?.0)),
        )?,
        throttles: rows(
            &transaction,
            "select key, tat_us from throttles",
            [],
            |row| {
                Ok(ThrottleRow {
                    key: row.get::<_, Column<_>>(0)?.0,
                    tat_us: row.get::<_, i64>(1)? as u64,
                })
            },
        )?,
    };
    snapshot.normalize();
    Ok(snapshot)
}

fn steps_of_unfinished(
    transaction: &Transaction<'_>,
) -> rusqlite::Result<HashMap<RunId, (Vec<StepId>, usize)>> {
    let mut statement = transaction.prepare(
        "select steps.run_id, steps.step_id, length(cast(steps.value as blob)) from runs \
         join steps on steps.run_id = runs.id where runs.ended_at is null order by steps.run_id, steps.position",
    )?;
    let mut found: HashMap<RunId, (Vec<StepId>, usize)> = HashMap::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let entry = found.entry(row.get::<_, Column<_>>(0)?.0).or_default();
        entry.0.push(row.get::<_, Column<_>>(1)?.0);
        entry.1 += row.get::<_, usize>(2)?;
    }
    Ok(found)
}

fn rows<T>(
    transaction: &Transaction<'_>,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    transaction.prepare(sql)?.query_map(values, read)?.collect()
}

fn app(row: &Row<'_>) -> rusqlite::Result<AppRow> {
    Ok(AppRow {
        id: row.get::<_, Column<_>>(0)?.0,
        name: row.get(1)?,
        url: row.get(2)?,
        sdk: row.get(3)?,
        framework: row.get(4)?,
        checksum: row.get(5)?,
        synced_at: row.get::<_, Column<_>>(6)?.0,
    })
}

fn function(row: &Row<'_>) -> rusqlite::Result<FunctionRow> {
    Ok(FunctionRow {
        id: row.get::<_, Column<_>>(0)?.0,
        app: row.get::<_, Column<_>>(1)?.0,
        slug: row.get(2)?,
        name: row.get(3)?,
        config: row.get(4)?,
        version: row.get(5)?,
        archived: row.get(6)?,
    })
}

fn run(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let id = row.get::<_, Column<RunId>>(0)?.0;
    let pending = match row.get::<_, Option<String>>(12)? {
        None => Vec::new(),
        Some(text) => serde_json::from_str(&text).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(
                12,
                rusqlite::types::Type::Text,
                Box::new(error),
            )
        })?,
    };
    Ok(RunRow {
        id,
        function: row.get::<_, Column<_>>(1)?.0,
        function_version: row.get(2)?,
        events: row.get::<_, Column<_>>(3)?.0,
        dedupe_key: row.get::<_, Option<Column<_>>>(4)?.map(|column| column.0),
        announces: row.get(5)?,
        queued_at: row.get::<_, Column<_>>(6)?.0,
        keys: row.get(7)?,
        progress: RunProgress {
            id,
            status: row.get::<_, Column<_>>(8)?.0,
            started_at: row.get::<_, Option<Column<_>>>(9)?.map(|column| column.0),
            request_version: row.get(10)?,
            force_plan: row.get(11)?,
            pending,
        },
    })
}

fn item(row: &Row<'_>) -> rusqlite::Result<ItemRow> {
    let kind: String = row.get(2)?;
    let step = row
        .get::<_, Option<Column<StepId>>>(3)?
        .map(|column| column.0);
    let kind = ItemKind::from_parts(&kind, step).ok_or(FromSqlError::InvalidType)?;
    Ok(ItemRow {
        id: ItemId(row.get::<_, i64>(0)? as u64),
        run: row.get::<_, Column<_>>(1)?.0,
        kind,
        due: row.get::<_, Column<_>>(4)?.0,
        attempt: row.get(5)?,
    })
}
