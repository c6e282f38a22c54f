//! The reading side: a few connections, each used by one question at a time.

mod list;
mod past;

use super::codec::{Column, Json, NO_ERROR};
use super::{doing, load};
use crate::{
    AppRecord, AttemptRecord, DeferRecord, EventFilter, EventPage, EventQuery, EventRecord,
    FunctionRecord, History, MetadataRecord, Reader, RunFilter, RunPage, RunQuery, RunRecord,
    RunState, StepRecord, StoreError,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use smallvec::SmallVec;
use std::sync::{Condvar, Mutex, PoisonError};
use stepwell_engine::{BulkCancelRow, ItemRow, LastCall, Timestamp, Verdict};
use stepwell_protocol::{EventId, FunctionId, RunId, SharedJson, StepId};

const RUN_COLUMNS: &str = "runs.id, runs.function_id, runs.function_version, runs.event_ids, runs.status, \
     runs.queued_at, runs.started_at, runs.ended_at, runs.output, runs.origin, runs.cause, runs.last_item, runs.last_queued_at, \
     runs.last_started_at, runs.last_status";
const SELECT_FUNCTIONS: &str = "select functions.id, app_id, coalesce(apps.name, ''), slug, functions.name, config, \
     functions.version, functions.paused, functions.archived \
     from functions left join apps on apps.id = app_id";
const STEP_COLUMNS: &str = "step_id, op, name, value, failed, attempt, started_at, ended_at, queued_at, detail, failures_of";
const SELECT_ATTEMPTS: &str = "select item_id, attempt, step_id, name, error, started_at, ended_at, retry_at, \
     queued_at, op, detail from attempts where run_id = ? order by rowid";
const SELECT_ITEMS: &str = "select id, run_id, kind, step_id, due, attempt, race, title, wait, failures_of \
     from items where run_id = ? order by id";
const EVENT_COLUMNS: &str = "id, name, external_id, ts, received_at, body";
const SELECT_EVENT_NAME: &str = "select name from events where id = ?";
const OF_A_NAME: &str = "and name = ?3";
/// By how much an event may be younger than its id before it counts as come late, in milliseconds.
const SEED_AGE_MS: u64 = 60 * 60 * 1_000;
/// The events of the index `events_late`, in the words of the schema.
const CAME_LATE: &str = "hex(substr(id, 1, 6)) < printf('%012X', received_at - 3600000)";

#[derive(Debug)]
pub(super) struct SqliteReader {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl SqliteReader {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        Self {
            idle: Mutex::new(connections),
            returned: Condvar::new(),
        }
    }

    fn with<T>(
        &self,
        what: &'static str,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let borrowed = self.borrow();
        question(borrowed.connection()).map_err(doing(what))
    }

    fn borrow(&self) -> Borrowed<'_> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle = self
            .returned
            .wait_while(idle, |idle| idle.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        Borrowed {
            reader: self,
            connection: idle.pop(),
        }
    }
}

/// A connection that goes back when its question ends, also by a panic.
struct Borrowed<'a> {
    reader: &'a SqliteReader,
    /// There until dropped.
    connection: Option<Connection>,
}

impl Borrowed<'_> {
    fn connection(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("the wait ended because one is idle")
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let idle = self.reader.idle.lock();
        let mut idle = idle.unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.connection.take());
        drop(idle);
        self.reader.returned.notify_one();
    }
}

impl Reader for SqliteReader {
    fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.with("reading a run", |connection| {
            connection
                .prepare_cached(&format!("select {RUN_COLUMNS} from runs where id = ?"))?
                .query_row([Column(id)], run)
                .optional()
        })
    }

    fn runs_of_event(&self, id: EventId) -> Result<Vec<RunRecord>, StoreError> {
        self.with("reading an event's runs", |connection| {
            connection
                .prepare_cached(&format!(
                    "select {RUN_COLUMNS} from event_runs join runs on runs.id = event_runs.run_id \
                     where event_runs.event_id = ? order by runs.id"
                ))?
                .query_map([Column(id)], run)?
                .collect()
        })
    }

    fn event(&self, id: EventId) -> Result<Option<EventRecord>, StoreError> {
        self.with("reading an event", |connection| {
            connection
                .prepare_cached(&format!("select {EVENT_COLUMNS} from events where id = ?"))?
                .query_row([Column(id)], event)
                .optional()
        })
    }

    fn events(
        &self,
        name: Option<&str>,
        before: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let before = before.unwrap_or(EventId::from_bytes([0xff; 16]));
        self.with("reading events", |connection| {
            let before = Column(before);
            match name {
                None => connection
                    .prepare_cached(&select_events(""))?
                    .query_map(params![before, limit], event)?
                    .collect(),
                Some(name) => connection
                    .prepare_cached(&select_events(OF_A_NAME))?
                    .query_map(params![before, limit, name], event)?
                    .collect(),
            }
        })
    }

    fn events_since(
        &self,
        name: &str,
        since: Timestamp,
        after: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<EventRecord>, StoreError> {
        self.with("reading events of the past", |connection| {
            // Ids begin with the time at which they were made, which for a seeded one is its sender's; those that came
            // much later than that have an index of their own.
            let floor = first_event_id(since.ms().saturating_sub(SEED_AGE_MS));
            let after = after.unwrap_or(EventId::from_bytes([0; 16]));
            connection
                .prepare_cached(&format!(
                    "select {EVENT_COLUMNS} from events where name = ?1 and id > max(?2, ?3) and received_at >= ?4 \
                     union all \
                     select {EVENT_COLUMNS} from events indexed by events_late where name = ?1 and received_at >= ?4 \
                     and {CAME_LATE} and id > ?2 and id <= ?3 \
                     order by id limit ?5"
                ))?
                .query_map(params![name, Column(after), Column(floor), Column(since), limit], event)?
                .collect()
        })
    }

    fn find_runs(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        self.with("listing runs", |connection| list::runs(connection, query))
    }

    fn count_runs(&self, filter: &RunFilter, rows_max: usize) -> Result<usize, StoreError> {
        self.with("counting runs", |connection| {
            list::count_runs(connection, filter, rows_max)
        })
    }

    fn find_events(&self, query: &EventQuery) -> Result<EventPage, StoreError> {
        self.with("listing events", |connection| {
            list::events(connection, query)
        })
    }

    fn count_events(&self, filter: &EventFilter, rows_max: usize) -> Result<usize, StoreError> {
        self.with("counting events", |connection| {
            list::count_events(connection, filter, rows_max)
        })
    }

    fn event_names(&self, ids: &[EventId]) -> Result<Vec<Option<String>>, StoreError> {
        self.with("reading events' names", |connection| {
            let mut name = connection.prepare_cached(SELECT_EVENT_NAME)?;
            let names = ids.iter().map(|id| {
                let found = name.query_row([Column(*id)], |row| row.get(0));
                found.optional()
            });
            names.collect()
        })
    }

    fn verdicts(&self, event: EventId) -> Result<Vec<(FunctionId, Verdict)>, StoreError> {
        self.with("reading an event's verdicts", |connection| {
            connection
                .prepare_cached("select function_id, verdict from verdicts where event_id = ?")?
                .query_map([Column(event)], |row| {
                    Ok((row.get::<_, Column<_>>(0)?.0, row.get::<_, Json<_>>(1)?.0))
                })?
                .collect()
        })
    }

    fn bulk_cancels(&self) -> Result<Vec<BulkCancelRow>, StoreError> {
        self.with("reading bulk cancellations", |connection| {
            connection
                .prepare_cached(load::SELECT_BULK_CANCELS)?
                .query_map([], load::bulk_cancel)?
                .collect()
        })
    }

    fn defers(&self, run: RunId) -> Result<Vec<DeferRecord>, StoreError> {
        self.with("reading a run's deferred runs", |connection| {
            connection
                .prepare_cached("select step_id, slug, input, status from defers where run_id = ?")?
                .query_map([Column(run)], |row| {
                    Ok(DeferRecord {
                        step: row.get::<_, Column<_>>(0)?.0,
                        slug: row.get(1)?,
                        input: row.get::<_, Option<Column<_>>>(2)?.map(|column| column.0),
                        status: load::defer_status(row, 3)?,
                    })
                })?
                .collect()
        })
    }

    fn items(&self, run: RunId) -> Result<Vec<ItemRow>, StoreError> {
        self.with("reading a run's queue items", |connection| {
            connection
                .prepare_cached(SELECT_ITEMS)?
                .query_map([Column(run)], load::item)?
                .collect()
        })
    }

    fn steps(&self, run: RunId) -> Result<Vec<StepRecord>, StoreError> {
        self.with("reading a run's steps", |connection| {
            connection
                .prepare_cached(&format!(
                    "select {STEP_COLUMNS} from steps where run_id = ? order by position"
                ))?
                .query_map([Column(run)], step)?
                .collect()
        })
    }

    fn step(&self, run: RunId, id: &StepId) -> Result<Option<StepRecord>, StoreError> {
        self.with("reading a step", |connection| {
            connection
                .prepare_cached(&format!(
                    "select {STEP_COLUMNS} from steps where run_id = ? and step_id = ?"
                ))?
                .query_row(params![Column(run), Column(id)], step)
                .optional()
        })
    }

    fn history(&self, run: RunId) -> Result<Option<History>, StoreError> {
        self.with("reading a run's history", |connection| {
            past::history(connection, run)
        })
    }

    fn metadata(&self, run: RunId) -> Result<Vec<MetadataRecord>, StoreError> {
        self.with("reading what is noted of a run", |connection| {
            past::metadata(connection, run)
        })
    }

    fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.with("reading a run's attempts", |connection| {
            connection
                .prepare_cached(SELECT_ATTEMPTS)?
                .query_map([Column(run)], attempt)?
                .collect()
        })
    }

    fn run_state(&self, run: RunId) -> Result<Option<RunState>, StoreError> {
        self.with("reading what a call carries", |connection| {
            // One transaction, so that events and steps are of one moment.
            let view = connection.unchecked_transaction()?;
            let ids = view
                .prepare_cached("select event_ids from runs where id = ?")?
                .query_row([Column(run)], |row| {
                    row.get::<_, Column<SmallVec<[EventId; 1]>>>(0)
                })
                .optional()?;
            let Some(Column(ids)) = ids else {
                return Ok(None);
            };
            let mut event = view.prepare_cached("select body from events where id = ?")?;
            let events = ids
                .iter()
                .map(|id| {
                    event.query_row([Column(*id)], |row| {
                        Ok(row.get::<_, Column<SharedJson>>(0)?.0)
                    })
                })
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let steps = view
                .prepare_cached(
                    "select step_id, value from steps where run_id = ? order by position",
                )?
                .query_map([Column(run)], |row| {
                    Ok((row.get::<_, Column<_>>(0)?.0, row.get::<_, Column<_>>(1)?.0))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let inputs = view
                .prepare_cached("select step_id, input from inputs where run_id = ?")?
                .query_map([Column(run)], |row| {
                    Ok((row.get::<_, Column<_>>(0)?.0, row.get::<_, Column<_>>(1)?.0))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(Some(RunState {
                events,
                steps,
                inputs,
            }))
        })
    }

    fn apps(&self) -> Result<Vec<AppRecord>, StoreError> {
        self.with("reading apps", |connection| {
            connection
                .prepare_cached(
                    "select id, name, url, sdk, framework, checksum, synced_at from apps order by name",
                )?
                .query_map([], app)?
                .collect()
        })
    }

    fn function(&self, id: FunctionId) -> Result<Option<FunctionRecord>, StoreError> {
        self.with("reading a function", |connection| {
            connection
                .prepare_cached(&format!("{SELECT_FUNCTIONS} where functions.id = ?"))?
                .query_row([Column(id)], function)
                .optional()
        })
    }

    fn functions(&self) -> Result<Vec<FunctionRecord>, StoreError> {
        self.with("reading functions", |connection| {
            connection
                .prepare_cached(&format!(
                    "{SELECT_FUNCTIONS} where archived = 0 order by apps.name, slug"
                ))?
                .query_map([], function)?
                .collect()
        })
    }

    fn all_functions(&self) -> Result<Vec<FunctionRecord>, StoreError> {
        self.with("reading all functions", |connection| {
            connection
                .prepare_cached(&format!("{SELECT_FUNCTIONS} order by apps.name, slug"))?
                .query_map([], function)?
                .collect()
        })
    }
}

/// Two statements rather than one with an `or`, for which no index would be used.
fn select_events(of_a_name: &str) -> String {
    format!(
        "select {EVENT_COLUMNS} from events where id < ?1 {of_a_name} order by id desc limit ?2"
    )
}

fn app(row: &Row<'_>) -> rusqlite::Result<AppRecord> {
    Ok(AppRecord {
        id: row.get::<_, Column<_>>(0)?.0,
        name: row.get(1)?,
        url: row.get(2)?,
        sdk: row.get(3)?,
        framework: row.get(4)?,
        checksum: row.get(5)?,
        synced_at: row.get::<_, Column<_>>(6)?.0,
    })
}

fn function(row: &Row<'_>) -> rusqlite::Result<FunctionRecord> {
    Ok(FunctionRecord {
        id: row.get::<_, Column<_>>(0)?.0,
        app: row.get::<_, Column<_>>(1)?.0,
        app_name: row.get(2)?,
        slug: row.get(3)?,
        name: row.get(4)?,
        config: row.get(5)?,
        version: row.get(6)?,
        paused: row.get(7)?,
        archived: row.get(8)?,
    })
}

fn run(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    Ok(RunRecord {
        id: row.get::<_, Column<_>>(0)?.0,
        function: row.get::<_, Column<_>>(1)?.0,
        function_version: row.get(2)?,
        events: row.get::<_, Column<SmallVec<[EventId; 1]>>>(3)?.0.to_vec(),
        status: row.get::<_, Column<_>>(4)?.0,
        queued_at: row.get::<_, Column<_>>(5)?.0,
        started_at: row.get::<_, Option<Column<_>>>(6)?.map(|column| column.0),
        ended_at: row.get::<_, Option<Column<_>>>(7)?.map(|column| column.0),
        output: row.get::<_, Option<Column<_>>>(8)?.map(|column| column.0),
        origin: row.get::<_, Option<Json<_>>>(9)?.map(|json| json.0),
        cause: row.get::<_, Option<Json<_>>>(10)?.map(|json| json.0),
        last_call: last_call(row, 11)?,
    })
}

fn event(row: &Row<'_>) -> rusqlite::Result<EventRecord> {
    Ok(EventRecord {
        id: row.get::<_, Column<_>>(0)?.0,
        name: row.get(1)?,
        external_id: row.get(2)?,
        ts_ms: row.get(3)?,
        received_at: row.get::<_, Column<_>>(4)?.0,
        body: row.get::<_, Column<_>>(5)?.0,
    })
}

fn step(row: &Row<'_>) -> rusqlite::Result<StepRecord> {
    Ok(StepRecord {
        step: row.get::<_, Column<_>>(0)?.0,
        op: row.get(1)?,
        name: row.get(2)?,
        value: row.get::<_, Column<_>>(3)?.0,
        failed: row.get(4)?,
        attempt: row.get(5)?,
        started_at: row.get::<_, Column<_>>(6)?.0,
        ended_at: row.get::<_, Column<_>>(7)?.0,
        queued_at: row.get::<_, Column<_>>(8)?.0,
        detail: row.get::<_, Option<Json<_>>>(9)?.map(|json| json.0),
        failures_of: load::item_id_or_none(row, 10)?,
    })
}

fn last_call(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<LastCall>> {
    let Some(item) = load::item_id_or_none(row, first)? else {
        return Ok(None);
    };
    Ok(Some(LastCall {
        item,
        queued_at: row.get::<_, Column<_>>(first + 1)?.0,
        started_at: row.get::<_, Column<_>>(first + 2)?.0,
        status: row.get(first + 3)?,
    }))
}

/// The least id of an event of this moment.
fn first_event_id(ms: u64) -> EventId {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    EventId::from_bytes(bytes)
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<AttemptRecord> {
    Ok(AttemptRecord {
        item: load::item_id(row, 0)?,
        attempt: row.get(1)?,
        step: row.get::<_, Option<Column<_>>>(2)?.map(|column| column.0),
        name: row.get(3)?,
        error: Some(row.get(4)?).filter(|error| error != NO_ERROR),
        started_at: row.get::<_, Column<_>>(5)?.0,
        ended_at: row.get::<_, Column<_>>(6)?.0,
        retry_at: row.get::<_, Option<Column<_>>>(7)?.map(|column| column.0),
        queued_at: row.get::<_, Column<_>>(8)?.0,
        op: row.get(9)?,
        detail: row.get::<_, Option<Json<_>>>(10)?.map(|json| json.0),
    })
}

#[cfg(test)]
mod tests;
