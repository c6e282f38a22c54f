//! Reading the live rows at start-up, in one consistent view.

use super::codec::{Column, Json};
use crate::prune::first_id;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, Row, Transaction, params};
use std::collections::HashMap;
use stepwell_engine::{
    AppRow, BatchEventRow, BatchRow, Bounds, BulkCancelRow, CancelRow, DebounceRow, DeferStatus,
    DeliveryRow, FunctionRow, ItemId, ItemKind, ItemRow, RunProgress, RunRow, ScheduleRow,
    Snapshot, ThrottleRow, Timestamp,
};
use stepwell_protocol::{RunId, StepId, limits};

pub(super) fn snapshot(connection: &mut Connection, now: Timestamp) -> rusqlite::Result<Snapshot> {
    let transaction = connection.transaction()?;
    let since = Timestamp::from_ms(now.ms().saturating_sub(limits::IDEMPOTENCY_MS));
    let mut steps = steps_of_unfinished(&transaction)?;
    let runs = rows(
        &transaction,
        "select id, function_id, function_version, event_ids, dedupe_key, announces, queued_at, keys, status, \
         started_at, request_version, force_plan, pending, origin from runs where ended_at is null",
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
            "select id, app_id, slug, name, config, version, archived, paused, steps_max, state_bytes_max from functions",
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
            "select id, run_id, kind, step_id, due, attempt, race, title, wait, failures_of from items",
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
        recent_keys: recent_keys(&transaction, since)?,
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
        cancels: rows(
            &transaction,
            "select id, run_id, event, condition, expires_at from cancels",
            [],
            cancel,
        )?,
        bulk_cancels: rows(&transaction, SELECT_BULK_CANCELS, [], bulk_cancel)?,
        deliveries: rows(
            &transaction,
            "select id, event_id from deliveries",
            [],
            |row| {
                Ok(DeliveryRow {
                    id: item_id(row, 0)?,
                    event: row.get::<_, Column<_>>(1)?.0,
                })
            },
        )?,
        debounces: rows(
            &transaction,
            "select key, function_id, opened_at, closes_at, ts, draft, event_id from debounces",
            [],
            debounce,
        )?,
        batches: batches(&transaction)?,
        schedules: rows(
            &transaction,
            "select function_id, cron, after from schedules",
            [],
            |row| {
                Ok(ScheduleRow {
                    function: row.get::<_, Column<_>>(0)?.0,
                    cron: row.get::<_, String>(1)?.into(),
                    after: row.get::<_, Column<_>>(2)?.0,
                })
            },
        )?,
        defers: rows(
            &transaction,
            "select run_id, step_id, defers.status, coalesce(length(cast(input as blob)), 0) \
             from defers join runs on runs.id = run_id where runs.ended_at is null",
            [],
            |row| {
                Ok((
                    row.get::<_, Column<_>>(0)?.0,
                    row.get::<_, Column<_>>(1)?.0,
                    defer_status(row, 2)?,
                    row.get(3)?,
                ))
            },
        )?,
    };
    snapshot.normalize();
    Ok(snapshot)
}

fn recent_keys(
    transaction: &Transaction<'_>,
    since: Timestamp,
) -> rusqlite::Result<Vec<(u128, Option<RunId>, Timestamp)>> {
    let mut keys = rows(
        transaction,
        // Run ids begin with their time, so this reads only the last day's.
        "select dedupe_key, id, queued_at from runs \
         where id >= ? and dedupe_key is not null and queued_at > ?",
        params![Column(first_id(since)), Column(since)],
        |row| {
            let (id, queued_at) = (row.get::<_, Column<_>>(1)?.0, row.get::<_, Column<_>>(2)?.0);
            let at = RunRow::key_since(id, queued_at);
            Ok((row.get::<_, Column<_>>(0)?.0, Some(id), at))
        },
    )?;
    keys.retain(|(_, _, at)| *at > since);
    keys.extend(rows(
        transaction,
        // Those of runs that were pruned within their day, and of events that shared a run.
        "select key, at from recent_keys where at > ?1 \
         union all select key, queued_at from forgotten_keys where queued_at > ?1",
        params![Column(since)],
        |row| {
            let (key, at) = (row.get::<_, Column<_>>(0)?.0, row.get::<_, Column<_>>(1)?.0);
            Ok((key, None, at))
        },
    )?);
    Ok(keys)
}

fn batches(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<(BatchRow, Vec<BatchEventRow>)>> {
    let batches = rows(
        transaction,
        "select id, key, function_id, closes_at, keys from batches",
        [],
        |row| {
            Ok(BatchRow {
                id: item_id(row, 0)?,
                key: row.get::<_, Column<_>>(1)?.0,
                function: row.get::<_, Column<_>>(2)?.0,
                closes_at: row.get::<_, Column<_>>(3)?.0,
                keys: row.get(4)?,
            })
        },
    )?;
    let events = rows(
        transaction,
        "select batch_id, position, event_id, bytes, reply_to from batch_events \
         order by batch_id, position",
        [],
        |row| {
            Ok(BatchEventRow {
                batch: item_id(row, 0)?,
                position: row.get(1)?,
                event: row.get::<_, Column<_>>(2)?.0,
                bytes: row.get::<_, i64>(3)? as u64,
                reply_to: row.get::<_, Option<Json<_>>>(4)?.map(|json| json.0),
            })
        },
    )?;
    let mut of_batch: HashMap<ItemId, Vec<BatchEventRow>> = HashMap::new();
    for event in events {
        of_batch.entry(event.batch).or_default().push(event);
    }
    let with_events = batches.into_iter().map(|batch| {
        let events = of_batch.remove(&batch.id).unwrap_or_default();
        (batch, events)
    });
    Ok(with_events.collect())
}

fn cancel(row: &Row<'_>) -> rusqlite::Result<CancelRow> {
    Ok(CancelRow {
        id: item_id(row, 0)?,
        run: row.get::<_, Column<_>>(1)?.0,
        event: row.get::<_, String>(2)?.into(),
        condition: row.get::<_, Option<String>>(3)?.map(Into::into),
        expires_at: row.get::<_, Column<_>>(4)?.0,
    })
}

pub(super) const SELECT_BULK_CANCELS: &str = "select id, function_id, started_after, started_before, condition, created_at, after, done \
     from bulk_cancels order by id";

pub(super) fn bulk_cancel(row: &Row<'_>) -> rusqlite::Result<BulkCancelRow> {
    Ok(BulkCancelRow {
        id: row.get::<_, Column<_>>(0)?.0,
        function: row.get::<_, Column<_>>(1)?.0,
        started_after: row.get::<_, Option<Column<_>>>(2)?.map(|column| column.0),
        started_before: row.get::<_, Column<_>>(3)?.0,
        condition: row.get::<_, Option<String>>(4)?.map(Into::into),
        created_at: row.get::<_, Column<_>>(5)?.0,
        after: row.get::<_, Option<Column<_>>>(6)?.map(|column| column.0),
        done: row.get(7)?,
    })
}

fn debounce(row: &Row<'_>) -> rusqlite::Result<DebounceRow> {
    Ok(DebounceRow {
        key: row.get::<_, Column<_>>(0)?.0,
        function: row.get::<_, Column<_>>(1)?.0,
        opened_at: row.get::<_, Column<_>>(2)?.0,
        closes_at: row.get::<_, Column<_>>(3)?.0,
        ts_ms: row.get(4)?,
        draft: row.get(5)?,
        event: row.get::<_, Column<_>>(6)?.0,
    })
}

pub(super) fn item_id(row: &Row<'_>, index: usize) -> rusqlite::Result<ItemId> {
    Ok(ItemId(row.get::<_, i64>(index)? as u64))
}

pub(super) fn item_id_or_none(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<ItemId>> {
    let id = row.get::<_, Option<i64>>(index)?;
    Ok(id.map(|id| ItemId(id as u64)))
}

pub(super) fn defer_status(row: &Row<'_>, index: usize) -> rusqlite::Result<DeferStatus> {
    let text: String = row.get(index)?;
    DeferStatus::parse(&text).ok_or(FromSqlError::InvalidType.into())
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
        paused: row.get(7)?,
        bounds: Bounds {
            steps: row.get(8)?,
            state_bytes: row.get(9)?,
        },
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
        origin: row
            .get::<_, Option<Json<_>>>(13)?
            .map(|json| Box::new(json.0)),
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

pub(super) fn item(row: &Row<'_>) -> rusqlite::Result<ItemRow> {
    let kind: String = row.get(2)?;
    let step = row
        .get::<_, Option<Column<StepId>>>(3)?
        .map(|column| column.0);
    let kind = ItemKind::from_parts(&kind, step).ok_or(FromSqlError::InvalidType)?;
    Ok(ItemRow {
        id: item_id(row, 0)?,
        run: row.get::<_, Column<_>>(1)?.0,
        kind,
        due: row.get::<_, Column<_>>(4)?.0,
        attempt: row.get(5)?,
        race: row.get(6)?,
        title: row.get::<_, Option<String>>(7)?.map(Into::into),
        wait: row
            .get::<_, Option<Json<_>>>(8)?
            .map(|json| Box::new(json.0)),
        failures_of: item_id_or_none(row, 9)?,
    })
}
