//! Queue items: the work that a run waits for.

use crate::waits::WaitFor;
use crate::{AttemptRow, LastCall, RunStatus, StepDetail, Timestamp};
use std::fmt;
use std::sync::Arc;
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
    #[must_use]
    pub fn made_at(self) -> Timestamp {
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
    /// Ends this sleep.
    Sleep(StepId),
    /// Gives up this wait for an event.
    WaitForEvent(StepId),
    /// Gives up this wait for a signal.
    WaitForSignal(StepId),
    /// Gives up waiting for the function that this step invoked.
    Invoke(StepId),
    /// Makes the HTTP request that this step asked for.
    Gateway(StepId),
    /// Waits for the app that executes the run by itself to report more; goes on without it when it does not.
    Endpoint,
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
            Self::WaitForEvent(_) => "wait-for-event",
            Self::WaitForSignal(_) => "wait-for-signal",
            Self::Invoke(_) => "invoke",
            Self::Gateway(_) => "gateway",
            Self::Endpoint => "endpoint",
            Self::Announce => "announce",
        }
    }

    /// The step in the store.
    #[must_use]
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::Start | Self::Endpoint | Self::Announce => None,
            Self::Discovery(cause) => cause.as_ref(),
            Self::Step(step)
            | Self::Sleep(step)
            | Self::WaitForEvent(step)
            | Self::WaitForSignal(step)
            | Self::Invoke(step)
            | Self::Gateway(step) => Some(step),
        }
    }

    /// The kind of this name and step; `None` when they do not go together.
    #[must_use]
    pub fn from_parts(name: &str, step: Option<StepId>) -> Option<Self> {
        match (name, step) {
            ("start", None) => Some(Self::Start),
            ("discovery", cause) => Some(Self::Discovery(cause)),
            ("endpoint", None) => Some(Self::Endpoint),
            ("announce", None) => Some(Self::Announce),
            ("step", Some(step)) => Some(Self::Step(step)),
            ("sleep", Some(step)) => Some(Self::Sleep(step)),
            ("wait-for-event", Some(step)) => Some(Self::WaitForEvent(step)),
            ("wait-for-signal", Some(step)) => Some(Self::WaitForSignal(step)),
            ("invoke", Some(step)) => Some(Self::Invoke(step)),
            ("gateway", Some(step)) => Some(Self::Gateway(step)),
            _ => None,
        }
    }

    /// The step that the item runs or waits for; nothing when it is still to be found out.
    pub(crate) fn own_step(&self) -> Option<&StepId> {
        match self {
            Self::Discovery(_) => None,
            other => other.step(),
        }
    }

    /// Whether its time ends the step by itself, without a call or a request.
    pub(crate) fn ends_by_itself(&self) -> bool {
        matches!(
            self,
            Self::Sleep(_) | Self::WaitForEvent(_) | Self::WaitForSignal(_) | Self::Invoke(_)
        )
    }

    /// The op that made the item, as steps record it.
    pub(crate) fn op(&self) -> &'static str {
        match self {
            Self::Sleep(_) => "Sleep",
            Self::WaitForEvent(_) => "WaitForEvent",
            Self::WaitForSignal(_) => "WaitForSignal",
            Self::Invoke(_) => "InvokeFunction",
            Self::Gateway(_) => "Gateway",
            Self::Start | Self::Discovery(_) | Self::Step(_) | Self::Endpoint | Self::Announce => {
                "StepRun"
            }
        }
    }
}

/// A queue item: what the store keeps of it, and what the engine knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRow {
    /// The item.
    pub id: ItemId,
    /// Its run.
    pub run: RunId,
    /// What it does.
    pub kind: ItemKind,
    /// When.
    pub due: Timestamp,
    /// Failed attempts so far.
    pub attempt: u32,
    /// Whether the end of its step is enough to go on, whatever else of its parallel group is pending.
    pub race: bool,
    /// The step's name for people, where the step does not say it again at its end.
    pub title: Option<Arc<str>>,
    /// What a waiting item waits for besides its time.
    pub wait: Option<Box<WaitFor>>,
    /// The item whose call asked for this one, if that had failed before.
    pub failures_of: Option<ItemId>,
}

impl ItemRow {
    /// An item without more to it.
    pub(crate) fn new(id: ItemId, run: RunId, kind: ItemKind, due: Timestamp) -> Self {
        Self {
            id,
            run,
            kind,
            due,
            attempt: 0,
            race: false,
            title: None,
            wait: None,
            failures_of: None,
        }
    }
}

/// A queue item as the engine holds it.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) row: ItemRow,
    pub(crate) state: ItemState,
}

impl Item {
    /// What the end of its run cuts short here, if something has begun: a wait, a call, or the retry of a failed one.
    pub(crate) fn cut_short(
        &self,
        status: RunStatus,
        last_call: Option<LastCall>,
        now: Timestamp,
    ) -> Option<AttemptRow> {
        let row = &self.row;
        if last_call.is_some_and(|call| call.item == row.id) {
            return None;
        }
        let started_at = match self.state {
            // Unknown which call it was that ended the run: perhaps this one.
            ItemState::InFlight { .. } if status == RunStatus::Failed && last_call.is_none() => {
                return None;
            }
            ItemState::InFlight { since, .. } => since,
            _ if row.kind.ends_by_itself() => row.id.made_at().min(now),
            _ if row.attempt > 0 => now,
            _ => return None,
        };
        let step = row.kind.own_step();
        Some(AttemptRow {
            run: row.run,
            item: row.id,
            attempt: row.attempt,
            step: step.cloned(),
            name: row.title.as_deref().unwrap_or("").to_owned(),
            error: None,
            queued_at: row.due.min(started_at),
            started_at,
            ended_at: now,
            retry_at: None,
            op: step.map(|_| row.kind.op()),
            detail: StepDetail::of_item(row).map(|detail| detail.encode()),
        })
    }
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
    /// Its time has come, but what was asked about the past is not answered yet.
    LookingBack,
}
