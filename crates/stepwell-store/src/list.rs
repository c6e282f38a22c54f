//! Lists of runs and of events: what is wanted of them, and the pages that they come in.
//!
//! A list is walked along an index, and a page ends after so many rows looked at, found or not: no question costs more
//! for what else there is. One who wants the rest goes on where the page ended.

use crate::{EventRecord, RunRecord};
use std::fmt;
use std::str::FromStr;
use stepwell_engine::{RunStatus, Timestamp};
use stepwell_protocol::{EventId, FunctionId, RunId};

/// A moment in the life of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunTime {
    /// When it was scheduled, as its id says.
    #[default]
    Queued,
    /// When it was first called.
    Started,
    /// When it ended.
    Ended,
}

/// Which runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFilter {
    /// Of these functions; of any when absent.
    pub functions: Option<Vec<FunctionId>>,
    /// That stand so; any when empty.
    pub statuses: Vec<RunStatus>,
    /// Whether another run deferred them; both when absent.
    pub deferred: Option<bool>,
    /// The moment that lies within the bounds.
    pub time: RunTime,
    /// From then on.
    pub from: Option<Timestamp>,
    /// Before then.
    pub until: Option<Timestamp>,
}

/// A list of runs. Runs that have not come to the moment they are ordered by are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunQuery {
    /// Which runs.
    pub filter: RunFilter,
    /// What they are ordered by; those of one moment by their ids.
    pub order: RunTime,
    /// Whether the oldest come first.
    pub oldest_first: bool,
    /// The place that the page comes after.
    pub after: Option<RunPlace>,
    /// The most runs of a page.
    pub limit: usize,
    /// The most rows to look at.
    pub rows_max: usize,
    /// The most bytes of outputs in a page, beyond those of its first run; nothing to leave outputs out.
    pub output_bytes_max: Option<usize>,
}

impl RunQuery {
    /// The runs scheduled last, without their outputs.
    #[must_use]
    pub fn newest(limit: usize) -> Self {
        Self {
            filter: RunFilter::default(),
            order: RunTime::Queued,
            oldest_first: false,
            after: None,
            limit,
            rows_max: usize::MAX,
            output_bytes_max: None,
        }
    }
}

/// Where a run stands in a list: after all that are listed before it. Its text is what a client sends back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunPlace {
    /// The moment that the list is ordered by; nothing when that is the id's.
    pub at: Option<Timestamp>,
    /// The run.
    pub id: RunId,
}

impl fmt::Display for RunPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(formatter, "{}-{}", at.ms(), self.id),
            None => self.id.fmt(formatter),
        }
    }
}

/// A text that is no place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected what an earlier page of the same list ended with")]
pub struct ParsePlaceError;

impl FromStr for RunPlace {
    type Err = ParsePlaceError;

    fn from_str(text: &str) -> Result<Self, ParsePlaceError> {
        let (at, id) = match text.split_once('-') {
            Some((at, id)) => {
                let ms = at.parse::<u64>().map_err(|_| ParsePlaceError)?;
                // What no clock says no store keeps.
                i64::try_from(ms).map_err(|_| ParsePlaceError)?;
                (Some(Timestamp::from_ms(ms)), id)
            }
            None => (None, text),
        };
        let id = id.parse().map_err(|_| ParsePlaceError)?;
        Ok(Self { at, id })
    }
}

/// A page of a list of runs.
#[derive(Debug, Clone)]
pub struct RunPage {
    /// The runs; perhaps fewer than asked for though there are more.
    pub runs: Vec<RunRecord>,
    /// Where to go on; nothing when there is no more.
    pub next: Option<RunPlace>,
}

/// Which events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Of one of these names; of any when empty.
    pub names: Vec<String>,
    /// Whether to leave out the server's own.
    pub no_internal: bool,
    /// That came in from then on, as their ids say.
    pub from: Option<Timestamp>,
    /// And before then.
    pub until: Option<Timestamp>,
}

/// A list of events, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// Which events.
    pub filter: EventFilter,
    /// The event that the page comes after.
    pub after: Option<EventId>,
    /// The most events of a page.
    pub limit: usize,
    /// The most rows to look at.
    pub rows_max: usize,
    /// The most bytes of bodies in a page, beyond those of its first event.
    pub bytes_max: usize,
}

/// A page of a list of events.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// The events; perhaps fewer than asked for though there are more.
    pub events: Vec<EventRecord>,
    /// Where to go on; nothing when there is no more.
    pub next: Option<EventId>,
}

/// What the names of the server's own events begin with.
pub(crate) const INTERNAL: &str = "inngest/";
/// The name of the event that starts a deferred run.
pub(crate) const DEFERRED: &str = "inngest/deferred.schedule";

/// What a walk has to know of a run to tell whether it is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunKey {
    pub(crate) id: RunId,
    pub(crate) function: FunctionId,
    pub(crate) status: RunStatus,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
}

impl RunKey {
    /// Where it stands in a list of this order; nothing when it is not in it.
    pub(crate) fn place(&self, order: RunTime) -> Option<RunPlace> {
        let at = match order {
            RunTime::Queued => None,
            RunTime::Started => Some(self.started_at?),
            RunTime::Ended => Some(self.ended_at?),
        };
        Some(RunPlace { at, id: self.id })
    }
}

impl RunFilter {
    /// Whether a run is wanted, but for whether it was deferred.
    pub(crate) fn admits(&self, key: &RunKey) -> bool {
        let of_function = self.functions.as_ref();
        of_function.is_none_or(|functions| functions.contains(&key.function))
            && (self.statuses.is_empty() || self.statuses.contains(&key.status))
            && self.in_time(key)
    }

    /// The moment by which runs are walked to be counted. Where no bounds are set, runs count that have not come to
    /// the filter's, too.
    pub(crate) fn walked_by(&self) -> RunTime {
        match (self.from, self.until) {
            (None, None) => RunTime::Queued,
            _ => self.time,
        }
    }

    pub(crate) fn in_time(&self, key: &RunKey) -> bool {
        let moment = match self.time {
            RunTime::Queued => Some(Timestamp::from_ms(id_ms(key.id.to_bytes()))),
            RunTime::Started => key.started_at,
            RunTime::Ended => key.ended_at,
        };
        match (self.from, self.until) {
            (None, None) => true,
            (from, until) => moment.is_some_and(|moment| {
                from.is_none_or(|from| moment >= from) && until.is_none_or(|until| moment < until)
            }),
        }
    }
}

impl EventFilter {
    pub(crate) fn admits(&self, name: &str) -> bool {
        (self.names.is_empty() || self.names.iter().any(|wanted| wanted == name))
            && !(self.no_internal && name.starts_with(INTERNAL))
    }
}

/// The time that an id begins with.
fn id_ms(id: [u8; 16]) -> u64 {
    let mut ms = [0; 8];
    ms[2..].copy_from_slice(&id[..6]);
    u64::from_be_bytes(ms)
}
