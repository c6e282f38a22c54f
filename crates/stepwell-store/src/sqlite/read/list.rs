//! Lists: sources of rows, each along an index, merged in the order of the list.

use super::{EVENT_COLUMNS, RUN_COLUMNS, SELECT_EVENT_NAME, event, run};
use crate::list::{DEFERRED, RunKey};
use crate::prune::first_id;
use crate::sqlite::codec::Column;
use crate::{
    EventFilter, EventPage, EventQuery, RunFilter, RunPage, RunPlace, RunQuery, RunRecord, RunTime,
};
use rusqlite::types::{ToSql, Value};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use smallvec::SmallVec;
use std::collections::VecDeque;
use stepwell_engine::{RunStatus, Timestamp};
use stepwell_protocol::{EventId, FunctionId};

/// Rows that a source reads at once.
const CHUNK: usize = 64;
/// Functions or names that are walked one by one; for more, all rows are walked.
const SOURCES_MAX: usize = 32;

const KEY_COLUMNS: &str = "id, function_id, status, started_at, ended_at";

pub(super) fn runs(connection: &Connection, query: &RunQuery) -> rusqlite::Result<RunPage> {
    // One transaction, so that all is of one moment.
    let view = connection.unchecked_transaction()?;
    let mut page = RunPage {
        runs: Vec::new(),
        next: None,
    };
    let mut walk = RunWalk::new(&view, query);
    let (mut bytes, mut last) = (0, None);
    while let Some((place, key)) = walk.next()? {
        if walk.looked_at > query.rows_max {
            page.next = last;
            break;
        }
        if is_wanted(&view, &query.filter, &key)? {
            if page.runs.len() >= query.limit {
                page.next = last;
                break;
            }
            let record = read_run(&view, &key, query.output_bytes_max.is_some())?;
            bytes += record
                .output
                .as_ref()
                .map_or(0, |output| output.get().len());
            let over = query.output_bytes_max.is_some_and(|most| bytes > most);
            if over && !page.runs.is_empty() {
                page.next = last;
                break;
            }
            page.runs.push(record);
        }
        last = Some(place);
    }
    Ok(page)
}

pub(super) fn count_runs(
    connection: &Connection,
    filter: &RunFilter,
    rows_max: usize,
) -> rusqlite::Result<usize> {
    let view = connection.unchecked_transaction()?;
    let query = RunQuery {
        filter: filter.clone(),
        order: filter.walked_by(),
        rows_max,
        ..RunQuery::newest(usize::MAX)
    };
    let mut walk = RunWalk::new(&view, &query);
    let mut count = 0;
    while let Some((_, key)) = walk.next()? {
        if walk.looked_at > rows_max {
            break;
        }
        count += usize::from(is_wanted(&view, filter, &key)?);
    }
    Ok(count)
}

fn is_wanted(view: &Connection, filter: &RunFilter, key: &RunKey) -> rusqlite::Result<bool> {
    if !filter.admits(key) {
        return Ok(false);
    }
    let Some(wanted) = filter.deferred else {
        return Ok(true);
    };
    let events = view
        .prepare_cached("select event_ids from runs where id = ?")?
        .query_row([Column(key.id)], |row| {
            row.get::<_, Column<SmallVec<[EventId; 1]>>>(0)
        })?;
    let name: Option<String> = match events.0.first() {
        Some(event) => view
            .prepare_cached(SELECT_EVENT_NAME)?
            .query_row([Column(*event)], |row| row.get(0))
            .optional()?,
        None => None,
    };
    Ok((name.as_deref() == Some(DEFERRED)) == wanted)
}

fn read_run(view: &Connection, key: &RunKey, with_output: bool) -> rusqlite::Result<RunRecord> {
    let columns = match with_output {
        true => RUN_COLUMNS.to_owned(),
        // A column that is not asked for is not read, however long it is.
        false => RUN_COLUMNS.replace("runs.output", "null"),
    };
    view.prepare_cached(&format!("select {columns} from runs where id = ?"))?
        .query_row([Column(key.id)], run)
}

/// A walk over the keys of runs that may be wanted, in the order of the list.
struct RunWalk<'a> {
    view: &'a Connection,
    query: &'a RunQuery,
    sources: Vec<RunSource>,
    looked_at: usize,
}

/// Rows of one index, or of one part of it, as the list wants them.
struct RunSource {
    sql: String,
    /// What tells the part from others.
    part: Vec<Value>,
    read: VecDeque<(RunPlace, RunKey)>,
    /// Where the next chunk begins.
    after: Option<RunPlace>,
    is_over: bool,
}

impl<'a> RunWalk<'a> {
    fn new(view: &'a Connection, query: &'a RunQuery) -> Self {
        let sources = run_sources(query).into_iter();
        let sources = sources.map(|(part, values)| RunSource {
            sql: select_keys(query, part),
            part: values,
            read: VecDeque::new(),
            after: query.after,
            is_over: false,
        });
        Self {
            view,
            query,
            sources: sources.collect(),
            looked_at: 0,
        }
    }

    fn next(&mut self) -> rusqlite::Result<Option<(RunPlace, RunKey)>> {
        let mut best: Option<(usize, RunPlace)> = None;
        for (index, source) in self.sources.iter_mut().enumerate() {
            source.fill(self.view, self.query)?;
            let Some((place, _)) = source.read.front() else {
                continue;
            };
            let is_better = best.is_none_or(|(_, best)| match self.query.oldest_first {
                true => *place < best,
                false => *place > best,
            });
            if is_better {
                best = Some((index, *place));
            }
        }
        self.looked_at += usize::from(best.is_some());
        Ok(best.and_then(|(index, _)| self.sources[index].read.pop_front()))
    }
}

impl RunSource {
    fn fill(&mut self, view: &Connection, query: &RunQuery) -> rusqlite::Result<()> {
        if !self.read.is_empty() || self.is_over {
            return Ok(());
        }
        let mut values = bounds(query, self.after);
        values.append(&mut self.part.clone());
        values.push(Value::from(i64::try_from(CHUNK).expect("a small number")));
        let mut statement = view.prepare_cached(&self.sql)?;
        let rows = statement.query_map(params_from_iter(values), key)?;
        for row in rows {
            let key = row?;
            if let Some(place) = key.place(query.order) {
                self.after = Some(place);
                self.read.push_back((place, key));
            }
        }
        self.is_over = self.read.len() < CHUNK;
        Ok(())
    }
}

/// The indexes to walk: conditions beyond the order's, and their values.
fn run_sources(query: &RunQuery) -> Vec<(&'static str, Vec<Value>)> {
    if query.order != RunTime::Queued {
        return vec![("", Vec::new())];
    }
    let statuses = &query.filter.statuses;
    if !statuses.is_empty() && !statuses.contains(&RunStatus::Completed) {
        let mut sources = Vec::new();
        if statuses.iter().any(|status| !status.has_ended()) {
            sources.push(("and ended_at is null", Vec::new()));
        }
        for status in RunStatus::ALL
            .into_iter()
            .filter(|status| status.has_ended())
        {
            if statuses.contains(&status) {
                let of_status = "and ended_at is not null and status <> 'Completed' and status = ?";
                sources.push((of_status, vec![Value::from(status.as_str().to_owned())]));
            }
        }
        return sources;
    }
    match &query.filter.functions {
        Some(functions) if functions.len() <= SOURCES_MAX => {
            let mut functions: Vec<FunctionId> = functions.clone();
            functions.sort_unstable();
            functions.dedup();
            let blob = |id: FunctionId| Value::from(id.to_bytes().to_vec());
            let parts = functions.into_iter();
            parts
                .map(|id| ("and function_id = ?", vec![blob(id)]))
                .collect()
        }
        _ => vec![("", Vec::new())],
    }
}

/// One statement for each order, direction and part; bounds that are absent are as wide as can be.
fn select_keys(query: &RunQuery, part: &str) -> String {
    let (after, direction) = match query.oldest_first {
        true => (">", "asc"),
        false => ("<", "desc"),
    };
    match column(query.order) {
        None => format!(
            "select {KEY_COLUMNS} from runs where id >= ? and id < ? {part} order by id {direction} limit ?"
        ),
        Some(column) => format!(
            "select {KEY_COLUMNS} from runs where {column} is not null and {column} >= ? and {column} <= ? \
             and ({column}, id) {after} (?, ?) {part} order by {column} {direction}, id {direction} limit ?"
        ),
    }
}

fn column(time: RunTime) -> Option<&'static str> {
    match time {
        RunTime::Queued => None,
        RunTime::Started => Some("started_at"),
        RunTime::Ended => Some("ended_at"),
    }
}

/// Between what to read, and after what. The place to go on from narrows the bounds, so that a late page costs no more
/// than the first.
fn bounds(query: &RunQuery, after: Option<RunPlace>) -> Vec<Value> {
    let filter = &query.filter;
    // Bounds on another moment than the order's are for each row to meet.
    let is_ordered = filter.time == query.order;
    let from = filter.from.filter(|_| is_ordered);
    let until = filter.until.filter(|_| is_ordered);
    let id = after.map(|after| u128::from_be_bytes(after.id.to_bytes()));
    if query.order == RunTime::Queued {
        let (from, until) = (from.map_or(0, first_id), until.map_or(u128::MAX, first_id));
        return match query.oldest_first {
            true => vec![
                blob(from.max(id.map_or(0, |id| id.saturating_add(1)))),
                blob(until),
            ],
            false => vec![blob(from), blob(until.min(id.unwrap_or(u128::MAX)))],
        };
    }
    let at = after.and_then(|after| after.at).map(Timestamp::ms);
    let from = from.map_or(0, Timestamp::ms);
    let last = until.map_or(u64::MAX, |until| until.ms().saturating_sub(1));
    let ms = |ms: u64| Value::from(i64::try_from(ms).unwrap_or(i64::MAX));
    match query.oldest_first {
        true => {
            let at = at.unwrap_or(0);
            vec![ms(from.max(at)), ms(last), ms(at), blob(id.unwrap_or(0))]
        }
        false => {
            let at = at.unwrap_or(u64::MAX);
            vec![
                ms(from),
                ms(last.min(at)),
                ms(at),
                blob(id.unwrap_or(u128::MAX)),
            ]
        }
    }
}

fn blob(id: u128) -> Value {
    Value::from(id.to_be_bytes().to_vec())
}

fn key(row: &Row<'_>) -> rusqlite::Result<RunKey> {
    Ok(RunKey {
        id: row.get::<_, Column<_>>(0)?.0,
        function: row.get::<_, Column<_>>(1)?.0,
        status: row.get::<_, Column<_>>(2)?.0,
        started_at: row.get::<_, Option<Column<_>>>(3)?.map(|column| column.0),
        ended_at: row.get::<_, Option<Column<_>>>(4)?.map(|column| column.0),
    })
}

pub(super) fn events(connection: &Connection, query: &EventQuery) -> rusqlite::Result<EventPage> {
    let view = connection.unchecked_transaction()?;
    let mut page = EventPage {
        events: Vec::new(),
        next: None,
    };
    let mut walk = EventWalk::new(&view, &query.filter, query.after);
    let mut body =
        view.prepare_cached(&format!("select {EVENT_COLUMNS} from events where id = ?"))?;
    let (mut bytes, mut last) = (0, None);
    while let Some((id, name)) = walk.next()? {
        if walk.looked_at > query.rows_max {
            page.next = last;
            break;
        }
        if query.filter.admits(&name) {
            if page.events.len() >= query.limit {
                page.next = last;
                break;
            }
            let record = body.query_row([Column(id)], event)?;
            bytes += record.body.get().len();
            if bytes > query.bytes_max && !page.events.is_empty() {
                page.next = last;
                break;
            }
            page.events.push(record);
        }
        last = Some(id);
    }
    Ok(page)
}

pub(super) fn count_events(
    connection: &Connection,
    filter: &EventFilter,
    rows_max: usize,
) -> rusqlite::Result<usize> {
    let view = connection.unchecked_transaction()?;
    let mut walk = EventWalk::new(&view, filter, None);
    let mut count = 0;
    while let Some((_, name)) = walk.next()? {
        if walk.looked_at > rows_max {
            break;
        }
        count += usize::from(filter.admits(&name));
    }
    Ok(count)
}

/// A walk over the ids and names of events, newest first.
struct EventWalk<'a> {
    view: &'a Connection,
    filter: &'a EventFilter,
    sources: Vec<EventSource>,
    looked_at: usize,
}

struct EventSource {
    name: Option<String>,
    read: VecDeque<(EventId, String)>,
    before: Option<EventId>,
    is_over: bool,
}

impl<'a> EventWalk<'a> {
    fn new(view: &'a Connection, filter: &'a EventFilter, after: Option<EventId>) -> Self {
        let names = match filter.names.len() {
            1..=SOURCES_MAX => {
                let mut names = filter.names.clone();
                names.sort_unstable();
                names.dedup();
                names.into_iter().map(Some).collect()
            }
            _ => vec![None],
        };
        let sources = names.into_iter().map(|name| EventSource {
            name,
            read: VecDeque::new(),
            before: after,
            is_over: false,
        });
        Self {
            view,
            filter,
            sources: sources.collect(),
            looked_at: 0,
        }
    }

    fn next(&mut self) -> rusqlite::Result<Option<(EventId, String)>> {
        for source in &mut self.sources {
            source.fill(self.view, self.filter)?;
        }
        let newest = self.sources.iter_mut().max_by_key(|source| {
            let front = source.read.front();
            front.map(|(id, _)| *id)
        });
        let newest = newest.and_then(|source| source.read.pop_front());
        self.looked_at += usize::from(newest.is_some());
        Ok(newest)
    }
}

impl EventSource {
    fn fill(&mut self, view: &Connection, filter: &EventFilter) -> rusqlite::Result<()> {
        if !self.read.is_empty() || self.is_over {
            return Ok(());
        }
        let until = filter.until.map_or(u128::MAX, first_id);
        let before = self.before.map(|id| u128::from_be_bytes(id.to_bytes()));
        let from = blob(filter.from.map_or(0, first_id));
        let before = blob(until.min(before.unwrap_or(u128::MAX)));
        let chunk = Value::from(i64::try_from(CHUNK).expect("a small number"));
        let mut values: Vec<&dyn ToSql> = vec![&from, &before];
        if let Some(name) = &self.name {
            values.push(name);
        }
        values.push(&chunk);
        let mut statement = view.prepare_cached(&select_event_keys(self.name.is_some()))?;
        let rows = statement.query_map(&*values, |row| {
            Ok((row.get::<_, Column<EventId>>(0)?.0, row.get(1)?))
        })?;
        for row in rows {
            let (id, name) = row?;
            self.before = Some(id);
            self.read.push_back((id, name));
        }
        self.is_over = self.read.len() < CHUNK;
        Ok(())
    }
}

fn select_event_keys(of_a_name: bool) -> String {
    let of_a_name = if of_a_name { "and name = ?" } else { "" };
    format!(
        "select id, name from events where id >= ? and id < ? {of_a_name} order by id desc limit ?"
    )
}

#[cfg(test)]
mod tests;
