//! Queue items: the work that a run waits for.

use crate::Timestamp;
use std::fmt;
use stepwell_protocol::{RunId, StepId};

/// A queue item. Ids increase with time, also across restarts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub u64);

/// Ids of one millisecond, before they run ahead of the clock.
const IDS_PER_MS: u64 = 1 << 12;

impl ItemId {
    /// The id after `last`, not before `now`.
    pub(crate) fn after(last: Self, now: Timestamp) -> Self {
        Self((last.0 + 1).max(now.ms().saturating_mul(IDS_PER_MS)))
    }

    /// About when the item was made.
    pub(crate) fn made_at(self) -> Timestamp {
        Timestamp::from_ms(self.0 / IDS_PER_MS)
    }
}

impl fmt::Debug for ItemId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#{}", self.0)
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// What an item does when it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemKind {
    /// Calls the function for the first time.
    Start,
    /// Calls the function to find what comes next; the step whose end caused it, if one did.
    Discovery(Option<StepId>),
    /// Calls the function to run this one planned step.
    Step(StepId),
    /// Ends this sleep, then calls the function unless other steps of its group are still pending.
    Sleep(StepId),
    /// Ends this sleep, then calls the function whatever else is pending.
    RacingSleep(StepId),
    /// Tells the world that the run has ended.
    Announce,
}

impl ItemKind {
    /// The name in the store.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Discovery(_) => "discovery",
            Self::Step(_) => "step",
            Self::Sleep(_) => "sleep",
            Self::RacingSleep(_) => "racing-sleep",
            Self::Announce => "announce",
        }
    }

    /// The step in the store.
    #[must_use]
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::Start | Self::Announce => None,
            Self::Discovery(cause) => cause.as_ref(),
            Self::Step(step) | Self::Sleep(step) | Self::RacingSleep(step) => Some(step),
        }
    }

    /// The kind of this name and step; `None` when they do not go together.
    #[must_use]
    pub fn from_parts(name: &str, step: Option<StepId>) -> Option<Self> {
        match (name, step) {
            ("start", None) => Some(Self::Start),
            ("discovery", cause) => Some(Self::Discovery(cause)),
            ("step", Some(step)) => Some(Self::Step(step)),
            ("sleep", Some(step)) => Some(Self::Sleep(step)),
            ("racing-sleep", Some(step)) => Some(Self::RacingSleep(step)),
            ("announce", None) => Some(Self::Announce),
            _ => None,
        }
    }
}

/// A queue item as the engine holds it.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) run: RunId,
    pub(crate) kind: ItemKind,
    pub(crate) due: Timestamp,
    pub(crate) attempt: u32,
    pub(crate) state: ItemState,
}

/// Where an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemState {
    /// On the timer.
    Later,
    /// In a lane.
    Ready,
    /// Being called; which dispatch, since when, and how many of the run's steps had ended by then.
    InFlight {
        generation: u64,
        since: Timestamp,
        steps_ended: usize,
    },
}
