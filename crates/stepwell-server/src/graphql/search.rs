//! Searches: expressions that the events of runs, and their ends, are to meet.

use super::unreadable;
use async_graphql::{Error, Result};
use serde_json::Value;
use stepwell_engine::{RunStatus, Timestamp};
use stepwell_expr::{Bindings, Expr};
use stepwell_protocol::SharedJson;
use stepwell_store::{
    EventPage, EventQuery, Reader, RunPage, RunPlace, RunQuery, RunRecord, RunTime, StoreError,
};

/// Runs or events that a page of a search looks into.
const LOOKED_INTO_MAX: usize = 1_000;
/// Those that are read at once.
const CHUNK: usize = 50;
/// Rows that are walked at once to find them. Those of a chunk that is full are not known, so a page walks this many
/// times its chunks besides the `rows_max` of its query: 5,000.
const CHUNK_ROWS: usize = 250;
/// Bytes that a page of a search reads, about.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Expressions, one a line, all of which are to be true.
pub(super) struct Search {
    exprs: Vec<Expr>,
    now_ms: i64,
}

impl Search {
    /// The search of this text; nothing when it is empty.
    pub(super) fn of(text: Option<&str>, now: Timestamp) -> Result<Option<Self>> {
        let lines = text.unwrap_or("").lines().map(str::trim);
        let exprs: Vec<Expr> = lines
            .filter(|line| !line.is_empty())
            .map(|line| {
                Expr::compile_search(line)
                    .map_err(|error| Error::new(format!("query: {}", error.render())))
            })
            .collect::<Result<_>>()?;
        let now_ms = i64::try_from(now.ms()).unwrap_or(i64::MAX);
        Ok((!exprs.is_empty()).then_some(Self { exprs, now_ms }))
    }

    /// An expression that fails is not met.
    fn is_met(&self, bindings: &Bindings<'_>) -> bool {
        let mut exprs = self.exprs.iter();
        exprs.all(|expr| expr.eval_bool(bindings, self.now_ms) == Ok(true))
    }

    /// A page of runs that meet it: one of their events, and their end. It ends early when much was looked
    /// into or walked, with the place where it got to.
    pub(super) fn runs(&self, reader: &dyn Reader, query: &RunQuery) -> Result<RunPage> {
        let found = self.walk_runs(reader, query);
        found.map_err(unreadable)
    }

    fn walk_runs(&self, reader: &dyn Reader, query: &RunQuery) -> Result<RunPage, StoreError> {
        let mut page = RunPage {
            runs: Vec::new(),
            next: None,
        };
        let (mut looked_into, mut rows, mut bytes) = (0, 0, 0);
        let mut chunk = RunQuery {
            limit: CHUNK,
            rows_max: CHUNK_ROWS.min(query.rows_max),
            output_bytes_max: Some(BYTES_MAX / 4),
            ..query.clone()
        };
        loop {
            let RunPage { runs, next } = reader.find_runs(&chunk)?;
            rows += rows_walked(runs.len(), chunk.rows_max);
            let mut runs = runs.into_iter().peekable();
            while let Some(run) = runs.next() {
                let place = place(&run, query.order);
                looked_into += 1;
                bytes += run.output.as_ref().map_or(0, |output| output.get().len());
                if self.admits_run(reader, &run, &mut bytes)? {
                    page.runs.push(run);
                }
                let is_over = page.runs.len() >= query.limit
                    || looked_into >= LOOKED_INTO_MAX
                    || bytes >= BYTES_MAX;
                if is_over {
                    page.next = (runs.peek().is_some() || next.is_some()).then_some(place);
                    return Ok(page);
                }
            }
            if next.is_none() || chunk.after == next {
                return Ok(page);
            }
            if rows >= query.rows_max {
                page.next = next;
                return Ok(page);
            }
            chunk.after = next;
        }
    }

    fn admits_run(
        &self,
        reader: &dyn Reader,
        run: &RunRecord,
        bytes: &mut usize,
    ) -> Result<bool, StoreError> {
        let end = run.output.as_ref().map(parsed);
        let (output, error) = match run.status {
            RunStatus::Failed => (None, end.as_ref()),
            _ => (end.as_ref(), None),
        };
        for id in &run.events {
            let Some(event) = reader.event(*id)? else {
                continue;
            };
            *bytes += event.body.get().len();
            let event = parsed(&event.body);
            let bindings = Bindings {
                event: Some(&event),
                output,
                error,
                ..Bindings::default()
            };
            if self.is_met(&bindings) {
                return Ok(true);
            }
            if *bytes >= BYTES_MAX {
                break;
            }
        }
        Ok(false)
    }

    /// A page of events that meet it.
    pub(super) fn events(&self, reader: &dyn Reader, query: &EventQuery) -> Result<EventPage> {
        let found = self.walk_events(reader, query);
        found.map_err(unreadable)
    }

    fn walk_events(
        &self,
        reader: &dyn Reader,
        query: &EventQuery,
    ) -> Result<EventPage, StoreError> {
        let mut page = EventPage {
            events: Vec::new(),
            next: None,
        };
        let (mut looked_into, mut rows, mut bytes) = (0, 0, 0);
        let mut chunk = EventQuery {
            limit: CHUNK,
            rows_max: CHUNK_ROWS.min(query.rows_max),
            ..query.clone()
        };
        loop {
            let EventPage { events, next } = reader.find_events(&chunk)?;
            rows += rows_walked(events.len(), chunk.rows_max);
            let mut events = events.into_iter().peekable();
            while let Some(event) = events.next() {
                let id = event.id;
                looked_into += 1;
                bytes += event.body.get().len();
                if self.is_met(&Bindings::of_event(&parsed(&event.body))) {
                    page.events.push(event);
                }
                let is_over = page.events.len() >= query.limit
                    || looked_into >= LOOKED_INTO_MAX
                    || bytes >= BYTES_MAX;
                if is_over {
                    page.next = (events.peek().is_some() || next.is_some()).then_some(id);
                    return Ok(page);
                }
            }
            if next.is_none() || chunk.after == next {
                return Ok(page);
            }
            if rows >= query.rows_max {
                page.next = next;
                return Ok(page);
            }
            chunk.after = next;
        }
    }
}

/// The rows that a chunk counts for: one that is not full may have walked all that it was allowed to.
fn rows_walked(found: usize, rows_max: usize) -> usize {
    if found < CHUNK { rows_max } else { found }
}

/// Where a run stands in a list of this order.
pub(super) fn place(run: &RunRecord, order: RunTime) -> RunPlace {
    let at = match order {
        RunTime::Queued => None,
        RunTime::Started => run.started_at,
        RunTime::Ended => run.ended_at,
    };
    RunPlace { at, id: run.id }
}

fn parsed(json: &SharedJson) -> Value {
    serde_json::from_str(json.get()).unwrap_or_default()
}
