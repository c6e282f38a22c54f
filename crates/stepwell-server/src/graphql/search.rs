//! Searches: expressions that the events of runs, and their ends, are to meet.

use super::unreadable;
use async_graphql::{Error, Result};
use serde_json::Value;
use stepwell_engine::{RunStatus, Timestamp};
use stepwell_expr::{Bindings, Expr};
use stepwell_protocol::{EventId, SharedJson};
use stepwell_store::{
    EventPage, EventQuery, EventRecord, Reader, RunPage, RunPlace, RunQuery, RunRecord, RunTime,
    StoreError,
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
        let walked = self.walk(reader, query).map_err(unreadable)?;
        let (runs, next) = (walked.found, walked.next);
        Ok(RunPage { runs, next })
    }

    /// A page of events that meet it, in the same way.
    pub(super) fn events(&self, reader: &dyn Reader, query: &EventQuery) -> Result<EventPage> {
        let walked = self.walk(reader, query).map_err(unreadable)?;
        let (events, next) = (walked.found, walked.next);
        Ok(EventPage { events, next })
    }

    fn walk<Q: Searched>(&self, reader: &dyn Reader, query: &Q) -> Result<Walked<Q>, StoreError> {
        let (limit, rows_max) = query.bounds();
        let mut walked = Walked {
            found: Vec::new(),
            next: None,
        };
        let (mut looked_into, mut rows, mut bytes) = (0, 0, 0);
        let mut after = query.after();
        loop {
            let chunk = query.chunk(reader, after, CHUNK_ROWS.min(rows_max))?;
            rows += rows_walked(chunk.found.len(), CHUNK_ROWS.min(rows_max));
            let mut entries = chunk.found.into_iter().peekable();
            while let Some(entry) = entries.next() {
                let place = query.place(&entry);
                looked_into += 1;
                if query.meets(&entry, self, reader, &mut bytes)? {
                    walked.found.push(entry);
                }
                let is_over = walked.found.len() >= limit
                    || looked_into >= LOOKED_INTO_MAX
                    || bytes >= BYTES_MAX;
                if is_over {
                    let has_more = entries.peek().is_some() || chunk.next.is_some();
                    walked.next = has_more.then_some(place);
                    return Ok(walked);
                }
            }
            if chunk.next.is_none() || chunk.next == after {
                return Ok(walked);
            }
            if rows >= rows_max {
                walked.next = chunk.next;
                return Ok(walked);
            }
            after = chunk.next;
        }
    }
}

/// What a walk has found, and where it goes on.
struct Walked<Q: Searched + ?Sized> {
    found: Vec<Q::Entry>,
    next: Option<Q::Place>,
}

/// A list that can be searched.
trait Searched {
    type Entry;
    type Place: Copy + PartialEq;

    /// The most entries that are wanted, and the most rows to walk for them.
    fn bounds(&self) -> (usize, usize);

    /// Where the page begins.
    fn after(&self) -> Option<Self::Place>;

    /// The next entries, with all that a search reads of them by themselves.
    fn chunk(
        &self,
        reader: &dyn Reader,
        after: Option<Self::Place>,
        rows_max: usize,
    ) -> Result<Walked<Self>, StoreError>;

    /// Where an entry stands.
    fn place(&self, entry: &Self::Entry) -> Self::Place;

    /// Whether an entry meets a search; counts what was read of it.
    fn meets(
        &self,
        entry: &Self::Entry,
        search: &Search,
        reader: &dyn Reader,
        bytes: &mut usize,
    ) -> Result<bool, StoreError>;
}

impl Searched for RunQuery {
    type Entry = RunRecord;
    type Place = RunPlace;

    fn bounds(&self) -> (usize, usize) {
        (self.limit, self.rows_max)
    }

    fn after(&self) -> Option<RunPlace> {
        self.after
    }

    fn chunk(
        &self,
        reader: &dyn Reader,
        after: Option<RunPlace>,
        rows_max: usize,
    ) -> Result<Walked<Self>, StoreError> {
        let RunPage { runs, next } = reader.find_runs(&Self {
            after,
            limit: CHUNK,
            rows_max,
            output_bytes_max: Some(BYTES_MAX / 4),
            ..self.clone()
        })?;
        Ok(Walked { found: runs, next })
    }

    fn place(&self, run: &RunRecord) -> RunPlace {
        place(run, self.order)
    }

    fn meets(
        &self,
        run: &RunRecord,
        search: &Search,
        reader: &dyn Reader,
        bytes: &mut usize,
    ) -> Result<bool, StoreError> {
        *bytes += run.output.as_ref().map_or(0, |output| output.get().len());
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
            if search.is_met(&bindings) {
                return Ok(true);
            }
            if *bytes >= BYTES_MAX {
                break;
            }
        }
        Ok(false)
    }
}

impl Searched for EventQuery {
    type Entry = EventRecord;
    type Place = EventId;

    fn bounds(&self) -> (usize, usize) {
        (self.limit, self.rows_max)
    }

    fn after(&self) -> Option<EventId> {
        self.after
    }

    fn chunk(
        &self,
        reader: &dyn Reader,
        after: Option<EventId>,
        rows_max: usize,
    ) -> Result<Walked<Self>, StoreError> {
        let EventPage { events, next } = reader.find_events(&Self {
            after,
            limit: CHUNK,
            rows_max,
            ..self.clone()
        })?;
        Ok(Walked {
            found: events,
            next,
        })
    }

    fn place(&self, event: &EventRecord) -> EventId {
        event.id
    }

    fn meets(
        &self,
        event: &EventRecord,
        search: &Search,
        _: &dyn Reader,
        bytes: &mut usize,
    ) -> Result<bool, StoreError> {
        *bytes += event.body.get().len();
        Ok(search.is_met(&Bindings::of_event(&parsed(&event.body))))
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
