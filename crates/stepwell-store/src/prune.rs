//! Pruning: forgetting what is old, a bounded slice at a time.

use stepwell_engine::Timestamp;
use stepwell_protocol::{EventId, RunId};

/// One slice of a walk over all runs and events, oldest id first: what may go, and how much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Runs that ended and events that came in before this moment may go.
    pub before: Timestamp,
    /// The time now: the duplicate keys of the last 24 hours are kept, whatever goes.
    pub now: Timestamp,
    /// Where the last slice of this walk stopped; nothing at its beginning.
    pub after: Option<Mark>,
    /// The last run or event to look at; nothing when the walk goes to its end.
    pub until: Option<Mark>,
    /// Rows to look at or remove; 0 counts as 1, so that every slice gets on.
    pub rows_max: usize,
    /// Bytes of payloads to remove; likewise.
    pub bytes_max: usize,
}

impl Slice {
    /// The first slice of a walk, without limits.
    #[must_use]
    pub const fn whole(before: Timestamp, now: Timestamp) -> Self {
        Self {
            before,
            now,
            after: None,
            until: None,
            rows_max: usize::MAX,
            bytes_max: usize::MAX,
        }
    }
}

/// What a slice removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Runs, with all that was recorded of them.
    pub runs: usize,
    /// Events.
    pub events: usize,
    /// Where to go on; nothing when the walk is over.
    pub next: Option<Mark>,
    /// The run, right after `next`, of which only a part is gone yet.
    pub torn: Option<Mark>,
}

/// A place in a walk: the run or event that was looked at last. Their ids share one order, that of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u128);

impl Mark {
    pub(crate) const fn at(id: u128) -> Self {
        Self(id)
    }

    /// The id after which a slice begins. No id is 0.
    pub(crate) fn id(mark: Option<Self>) -> u128 {
        mark.map_or(0, |mark| mark.0)
    }
}

impl From<RunId> for Mark {
    fn from(id: RunId) -> Self {
        Self(u128::from_be_bytes(id.to_bytes()))
    }
}

impl From<EventId> for Mark {
    fn from(id: EventId) -> Self {
        Self(u128::from_be_bytes(id.to_bytes()))
    }
}

/// The id at which a slice ends: none from there on is looked at.
pub(crate) fn end_of(slice: &Slice) -> u128 {
    let until = slice
        .until
        .map_or(u128::MAX, |mark| mark.0.saturating_add(1));
    first_id(slice.before).min(until)
}

/// The least id of this moment, for ids that begin with their time: what was made before is less.
pub(crate) fn first_id(moment: Timestamp) -> u128 {
    /// Bits of an id below its time.
    const RANDOM_BITS: u32 = 80;
    const MS_MAX: u64 = (1 << (u128::BITS - RANDOM_BITS)) - 1;
    if moment.ms() > MS_MAX {
        u128::MAX
    } else {
        u128::from(moment.ms()) << RANDOM_BITS
    }
}

/// What is left of a slice's limits.
#[derive(Debug)]
pub(crate) struct Budget {
    rows: usize,
    bytes: usize,
}

impl Budget {
    pub(crate) const fn of(slice: &Slice) -> Self {
        Self {
            rows: if slice.rows_max == 0 {
                1
            } else {
                slice.rows_max
            },
            bytes: if slice.bytes_max == 0 {
                1
            } else {
                slice.bytes_max
            },
        }
    }

    pub(crate) const fn is_spent(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }

    pub(crate) const fn spend(&mut self, rows: usize, bytes: usize) {
        self.rows = self.rows.saturating_sub(rows);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
