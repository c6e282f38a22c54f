//! The writing side: a batch of changes becomes one transaction.

mod notes;

use super::codec::{Column, Json, NO_ERROR};
use super::lock::Lock;
use super::upkeep::{self, Upkeep};
use super::{Durability, doing, load, prune, synchronous};
use crate::{Pruned, Slice, StoreError, Writer};
use rusqlite::types::ToSql;
use rusqlite::{CachedStatement, Connection, params};
use stepwell_engine::{
    AppRow, AttemptRow, Change, EventRow, FunctionRow, ItemRow, RunEnd, RunProgress, RunRow,
    Snapshot, StepRow, Timestamp,
};
use stepwell_protocol::StepId;

/// The least that a probe writes: about as much as a usual batch.
const PROBE_BYTES_MIN: usize = 64 * 1024;
/// The most that a probe writes, whatever it is asked for: it holds up everyone, and wears the disk.
const PROBE_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct SqliteWriter {
    connection: Connection,
    /// What a commit survives.
    durability: Durability,
    /// What a transaction survives as the connection is set now.
    set_to: Durability,
    upkeep: Upkeep,
    /// Held as long as the connection; other processes see it.
    _lock: Lock,
}

impl SqliteWriter {
    /// Of a connection that is set to this durability.
    pub(super) fn new(connection: Connection, durability: Durability, lock: Lock) -> Self {
        Self {
            connection,
            durability,
            set_to: durability,
            upkeep: Upkeep::default(),
            _lock: lock,
        }
    }

    /// Sets what transactions survive from now on.
    fn survive(&mut self, durability: Durability) -> Result<(), StoreError> {
        if self.set_to != durability {
            self.connection
                .pragma_update(None, "synchronous", synchronous(durability))
                .map_err(doing("setting what a commit survives"))?;
            self.set_to = durability;
        }
        Ok(())
    }

    /// Does a piece of upkeep. It need not be synced by itself: the next commit syncs it, too.
    fn piece<T>(
        &mut self,
        what: &'static str,
        piece: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.survive(Durability::Process)?;
        let done = self.upkeep.piece(&mut self.connection, piece);
        done.map_err(doing(what))
    }
}

impl Writer for SqliteWriter {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.survive(self.durability)?;
        let written = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .and_then(|transaction| {
                let mut noted = notes::Tallies::default();
                for change in changes {
                    write(&transaction, change, &mut noted)?;
                }
                transaction.commit()
            });
        written.map_err(doing("writing a batch"))
    }

    fn probe(&mut self, bytes: usize) -> Result<(), StoreError> {
        // Rows take more room than what they say: pages are not filled, and indexes come on top.
        let bytes = bytes
            .saturating_add(bytes / 4)
            .clamp(PROBE_BYTES_MIN, PROBE_BYTES_MAX);
        self.survive(self.durability)?;
        fill(&self.connection, bytes).map_err(doing("probing"))
    }

    fn load(&mut self, now: Timestamp) -> Result<Snapshot, StoreError> {
        load::snapshot(&mut self.connection, now).map_err(doing("loading the live rows"))
    }

    fn prune(&mut self, slice: &Slice) -> Result<Pruned, StoreError> {
        self.piece("pruning", |connection| prune::slice(connection, slice))
    }

    fn bytes_used(&mut self) -> Result<u64, StoreError> {
        upkeep::bytes_used(&self.connection).map_err(doing("asking for the file's size"))
    }

    fn give_back(&mut self) -> Result<bool, StoreError> {
        self.piece("giving room back", |connection| {
            upkeep::give_back(connection)
        })
    }
}

/// Takes room in the log and in the file, and leaves both to the next batch.
fn fill(connection: &Connection, bytes: usize) -> rusqlite::Result<()> {
    let mut put =
        connection.prepare_cached("insert or replace into probe values (1, zeroblob(?))")?;
    put.execute([bytes])?;
    put.execute([0])?;
    // Folding the log into the file proves that the file has the room too, and lets the log begin anew. A reader or a
    // back-up in the middle of something keeps the log as it is: no reason to refuse writes.
    connection.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()))
}

fn write(
    connection: &Connection,
    change: &Change,
    noted: &mut notes::Tallies,
) -> rusqlite::Result<()> {
    let statement =
        |sql| -> rusqlite::Result<CachedStatement<'_>> { connection.prepare_cached(sql) };
    match change {
        Change::AppPut(row) => put_app(
            statement("insert or replace into apps values (?, ?, ?, ?, ?, ?, ?)")?,
            row,
        ),
        Change::FunctionPut(row) => put_function(
            statement("insert or replace into functions values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?,
            row,
        ),
        Change::EventPut(row) => put_event(
            statement("insert or ignore into events values (?, ?, ?, ?, ?, ?)")?,
            row,
        ),
        Change::RunPut(row) => {
            put_run(
                statement(
                    "insert into runs values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, null, null, ?, null, null, null, null, null)",
                )?,
                row,
            )?;
            let mut link = statement("insert into event_runs values (?, ?)")?;
            for event in &row.events {
                link.execute(params![Column(*event), Column(row.id)])?;
            }
            Ok(())
        }
        Change::RunProgress(row) => update_run(
            statement(
                "update runs set status = ?2, started_at = ?3, request_version = ?4, force_plan = ?5, pending = ?6 \
                 where id = ?1",
            )?,
            row,
        ),
        Change::RunEnd(row) => end_run(
            statement(
                "update runs set status = ?2, ended_at = ?3, output = ?4, cause = ?5, last_item = ?6, \
                 last_queued_at = ?7, last_started_at = ?8, last_status = ?9, pending = null where id = ?1",
            )?,
            row,
        ),
        Change::StepPut(row) => put_step(
            statement("insert into steps values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?,
            row,
        ),
        Change::AttemptPut(row) => put_attempt(
            statement("insert into attempts values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?,
            row,
        ),
        Change::ItemPut(row) => put_item(
            statement("insert or replace into items values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?,
            row,
        ),
        Change::ItemDelete(id) => {
            statement("delete from items where id = ?")?.execute(params![id.0 as i64])?;
            Ok(())
        }
        Change::ThrottlePut(row) => {
            statement("insert or replace into throttles values (?, ?)")?
                .execute(params![Column(row.key), row.tat_us as i64])?;
            Ok(())
        }
        Change::ThrottleDelete(key) => {
            statement("delete from throttles where key = ?")?.execute(params![Column(*key)])?;
            Ok(())
        }
        Change::MetadataPut(row) => notes::put_metadata(connection, row, noted),
        other => write_rarer(connection, other),
    }
}

/// Changes that most runs do without.
fn write_rarer(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    let execute = |sql, values: &[&dyn ToSql]| -> rusqlite::Result<()> {
        connection.prepare_cached(sql)?.execute(values).map(|_| ())
    };
    match change {
        Change::CancelPut(row) => execute(
            "insert or replace into cancels values (?, ?, ?, ?, ?)",
            &[
                &(row.id.0 as i64),
                &Column(row.run),
                &&*row.event,
                &row.condition.as_deref(),
                &Column(row.expires_at),
            ],
        ),
        Change::CancelDelete(id) => execute("delete from cancels where id = ?", &[&(id.0 as i64)]),
        Change::BulkCancelPut(row) => execute(
            "insert or replace into bulk_cancels values (?, ?, ?, ?, ?, ?, ?, ?)",
            &[
                &Column(row.id),
                &Column(row.function),
                &row.started_after.map(Column),
                &Column(row.started_before),
                &row.condition.as_deref(),
                &Column(row.created_at),
                &row.after.map(Column),
                &row.done,
            ],
        ),
        Change::BulkCancelDelete(id) => {
            execute("delete from bulk_cancels where id = ?", &[&Column(*id)])
        }
        Change::DeliveryPut(row) => execute(
            "insert or replace into deliveries values (?, ?)",
            &[&(row.id.0 as i64), &Column(row.event)],
        ),
        Change::DeliveryDelete(id) => {
            execute("delete from deliveries where id = ?", &[&(id.0 as i64)])
        }
        Change::DebouncePut(row) => execute(
            "insert or replace into debounces values (?, ?, ?, ?, ?, ?, ?)",
            &[
                &Column(row.key),
                &Column(row.function),
                &Column(row.opened_at),
                &Column(row.closes_at),
                &row.ts_ms,
                &row.draft,
                &Column(row.event),
            ],
        ),
        Change::DebounceDelete(key) => {
            execute("delete from debounces where key = ?", &[&Column(*key)])
        }
        Change::BatchPut(row) => execute(
            "insert or replace into batches values (?, ?, ?, ?, ?)",
            &[
                &(row.id.0 as i64),
                &Column(row.key),
                &Column(row.function),
                &Column(row.closes_at),
                &row.keys,
            ],
        ),
        Change::BatchEventPut(row) => execute(
            "insert or replace into batch_events values (?, ?, ?, ?, ?)",
            &[
                &(row.batch.0 as i64),
                &row.position,
                &Column(row.event),
                &(row.bytes as i64),
                &row.reply_to.as_ref().map(Json),
            ],
        ),
        Change::BatchDelete(id) => {
            execute(
                "delete from batch_events where batch_id = ?",
                &[&(id.0 as i64)],
            )?;
            execute("delete from batches where id = ?", &[&(id.0 as i64)])
        }
        Change::KeyPut(row) => execute(
            "insert or replace into recent_keys values (?, ?)",
            &[&Column(row.key), &Column(row.at)],
        ),
        Change::KeyDelete(key) => {
            execute("delete from recent_keys where key = ?", &[&Column(*key)])
        }
        Change::SchedulePut(row) => execute(
            "insert or replace into schedules values (?, ?, ?)",
            &[&Column(row.function), &&*row.cron, &Column(row.after)],
        ),
        Change::ScheduleDelete(function, cron) => execute(
            "delete from schedules where function_id = ? and cron = ?",
            &[&Column(*function), &&**cron],
        ),
        Change::DeferPut(row) => execute(
            "insert into defers values (?, ?, ?, ?, ?, ?) on conflict (run_id, step_id) do update set \
             status = excluded.status, input = excluded.input, meta = excluded.meta",
            &[
                &Column(row.run),
                &Column(&row.step),
                &row.slug,
                &row.input.as_ref().map(Column),
                &row.meta.as_ref().map(Column),
                &row.status.as_str(),
            ],
        ),
        Change::InputPut(row) => execute(
            "insert or replace into inputs values (?, ?, ?)",
            &[&Column(row.run), &Column(&row.step), &Column(&row.input)],
        ),
        Change::UserSpansPut(row) => notes::put_spans(connection, row),
        Change::VerdictPut(row) => execute(
            "insert or replace into verdicts values (?, ?, ?)",
            &[
                &Column(row.event),
                &Column(row.function),
                &Json(&row.verdict),
            ],
        ),
        other => unreachable!("{other:?} is not rare"),
    }
}

fn put_app(mut statement: CachedStatement<'_>, row: &AppRow) -> rusqlite::Result<()> {
    let values = params![
        Column(row.id),
        row.name,
        row.url,
        row.sdk,
        row.framework,
        row.checksum,
        Column(row.synced_at)
    ];
    statement.execute(values).map(|_| ())
}

fn put_function(mut statement: CachedStatement<'_>, row: &FunctionRow) -> rusqlite::Result<()> {
    let values = params![
        Column(row.id),
        Column(row.app),
        row.slug,
        row.name,
        row.config,
        row.version,
        row.archived,
        row.paused,
        row.bounds.steps,
        row.bounds.state_bytes
    ];
    statement.execute(values).map(|_| ())
}

fn put_event(mut statement: CachedStatement<'_>, row: &EventRow) -> rusqlite::Result<()> {
    let values = params![
        Column(row.id),
        row.name,
        row.external_id,
        row.ts_ms,
        Column(row.received_at),
        Column(&row.body)
    ];
    statement.execute(values).map(|_| ())
}

fn put_run(mut statement: CachedStatement<'_>, row: &RunRow) -> rusqlite::Result<()> {
    let values = params![
        Column(row.id),
        Column(row.function),
        row.function_version,
        Column(&row.events),
        row.dedupe_key.map(Column),
        row.announces,
        Column(row.queued_at),
        row.keys,
        row.progress.status.as_str(),
        row.progress.started_at.map(Column),
        row.progress.request_version,
        row.progress.force_plan,
        pending_text(&row.progress.pending),
        row.origin.as_deref().map(Json),
    ];
    statement.execute(values).map(|_| ())
}

fn update_run(mut statement: CachedStatement<'_>, row: &RunProgress) -> rusqlite::Result<()> {
    let values = params![
        Column(row.id),
        row.status.as_str(),
        row.started_at.map(Column),
        row.request_version,
        row.force_plan,
        pending_text(&row.pending),
    ];
    one_row(statement.execute(values)?)
}

fn end_run(mut statement: CachedStatement<'_>, row: &RunEnd) -> rusqlite::Result<()> {
    let output = row.output.as_ref().map(Column);
    let values = params![
        Column(row.id),
        row.status.as_str(),
        Column(row.ended_at),
        output,
        row.cause.as_ref().map(Json),
        row.last_call.map(|call| call.item.0 as i64),
        row.last_call.map(|call| Column(call.queued_at)),
        row.last_call.map(|call| Column(call.started_at)),
        row.last_call.and_then(|call| call.status)
    ];
    one_row(statement.execute(values)?)
}

/// An update of a run that is not there is no update.
fn one_row(changed: usize) -> rusqlite::Result<()> {
    match changed {
        1 => Ok(()),
        other => Err(rusqlite::Error::StatementChangedRows(other)),
    }
}

fn put_step(mut statement: CachedStatement<'_>, row: &StepRow) -> rusqlite::Result<()> {
    let values = params![
        Column(row.run),
        row.position,
        Column(&row.step),
        row.op,
        row.name,
        Column(&row.value),
        row.failed,
        row.attempt,
        Column(row.started_at),
        Column(row.ended_at),
        Column(row.queued_at),
        row.detail,
        row.failures_of.map(|item| item.0 as i64)
    ];
    statement.execute(values).map(|_| ())
}

fn put_attempt(mut statement: CachedStatement<'_>, row: &AttemptRow) -> rusqlite::Result<()> {
    let values = params![
        Column(row.run),
        row.item.0 as i64,
        row.attempt,
        row.step.as_ref().map(Column),
        row.name,
        row.error.as_deref().unwrap_or(NO_ERROR),
        Column(row.started_at),
        Column(row.ended_at),
        row.retry_at.map(Column),
        Column(row.queued_at),
        row.op,
        row.detail
    ];
    statement.execute(values).map(|_| ())
}

fn put_item(mut statement: CachedStatement<'_>, row: &ItemRow) -> rusqlite::Result<()> {
    let values = params![
        row.id.0 as i64,
        Column(row.run),
        row.kind.as_str(),
        row.kind.step().map(Column),
        Column(row.due),
        row.attempt,
        row.race,
        row.title.as_deref(),
        row.wait.as_deref().map(Json),
        row.failures_of.map(|item| item.0 as i64)
    ];
    statement.execute(values).map(|_| ())
}

fn pending_text(pending: &[StepId]) -> Option<String> {
    (!pending.is_empty()).then(|| serde_json::to_string(pending).expect("step ids serialise"))
}

#[cfg(test)]
mod tests;
