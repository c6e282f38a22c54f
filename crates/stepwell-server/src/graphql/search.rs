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

    /// A page of runs that meet it: one of their events, and their end. It ends early when much was looked into.
    pub(super) fn runs(&self, reader: &dyn Reader, query: &RunQuery) -> Result<RunPage> {
        let found = self.walk_runs(reader, query);
        found.map_err(unreadable)
    }

    fn walk_runs(&self, reader: &dyn Reader, query: &RunQuery) -> Result<RunPage, StoreError> {
        let mut page = RunPage {
            runs: Vec::new(),
            next: None,
        };
        let (mut looked_into, mut bytes) = (0, 0);
        let mut chunk = RunQuery {
            limit: CHUNK,
            output_bytes_max: Some(BYTES_MAX / 4),
            ..query.clone()
        };
        loop {
            let RunPage { runs, next } = reader.find_runs(&chunk)?;
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
            chunk.after = next;
            // Rows that were walked without finding any count, too.
            looked_into += 1;
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
        let (mut looked_into, mut bytes) = (0, 0);
        let mut chunk = EventQuery {
            limit: CHUNK,
            ..query.clone()
        };
        loop {
            let EventPage { events, next } = reader.find_events(&chunk)?;
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
            chunk.after = next;
            looked_into += 1;
        }
    }
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
