//! Effects: what the world is asked to do once the changes are durable.

use crate::{ItemId, RunStatus, Sweep, Timestamp};
use std::sync::Arc;
use stepwell_protocol::gateway::Request;
use stepwell_protocol::{FunctionId, RunId, StepId};

/// Something to do once the decision's changes are durable.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Call a function and report what it answers as [`crate::Input::CallReturned`].
    Call(Box<Call>),
    /// Build the events of a run's end and report them as [`crate::Input::Announced`].
    Announce(Announcement),
    /// Give up a call: its run was cancelled. Its answer, if one comes, is still to be reported, or else that the call
    /// was not made.
    GiveUp {
        /// The queue item of the call.
        item: ItemId,
        /// The dispatch of the call.
        generation: u64,
    },
    /// Make an HTTP request and report what it gave as [`crate::Input::Fetched`].
    Fetch(Box<Fetch>),
    /// Find an event of the past and report it as [`crate::Input::LookedBack`].
    LookBack(Box<LookBack>),
    /// Report an event as [`crate::Input::Delivered`].
    Deliver(crate::DeliveryRow),
    /// Find the next unfinished runs that a bulk cancellation ends and report them as [`crate::Input::Swept`].
    Sweep(Box<Sweep>),
}

/// An HTTP request to make.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// The queue item, which the report must name.
    pub item: ItemId,
    /// Which dispatch, which the report must name.
    pub generation: u64,
    /// The run.
    pub run: RunId,
    /// The request.
    pub request: Arc<Request>,
}

/// A question about the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookBack {
    /// The queue item of the wait, which the report must name.
    pub item: ItemId,
    /// Its run, whose own events do not count.
    pub run: RunId,
    /// The event's name.
    pub name: Arc<str>,
    /// Which of the events: [`crate::waits::condition_holds`].
    pub condition: Option<Arc<str>>,
    /// Events that came in from this moment on, the earliest first.
    pub since: Timestamp,
    /// Events that came in later than this do not count: the wait was over by then, late as the answer may be. At that very
    /// moment they do, so that a wait of no time at all finds what came just before.
    pub until: Timestamp,
}

/// A call to make.
#[derive(Debug, Clone)]
pub struct Call {
    /// The queue item, which the answer must name.
    pub item: ItemId,
    /// Which dispatch, which the answer must name.
    pub generation: u64,
    /// The run.
    pub run: RunId,
    /// Its function.
    pub function: FunctionId,
    /// The function's public id.
    pub slug: Arc<str>,
    /// Where the function is called.
    pub url: Arc<str>,
    /// Whether it is a durable endpoint, which is called with the request that started the run.
    pub endpoint: bool,
    /// The one step to run, or nothing to discover what comes next.
    pub target: Option<StepId>,
    /// One past the position of the step whose end caused this call, else 0.
    pub stack_current: usize,
    /// How many of the run's steps have ended: as many values go along.
    pub steps_ended: usize,
    /// Whether it is the run's first call.
    pub starts: bool,
    /// Since when it could have been made: of a run's first call, when its event came, or else when it was to start.
    pub due: Timestamp,
    /// Which attempt, from 0.
    pub attempt: u32,
    /// How many attempts there are.
    pub attempts_max: u32,
    /// The run's request version, -1 on its first call.
    pub request_version: i32,
    /// Whether steps must be planned rather than run at once.
    pub force_plan: bool,
    /// The runs that it has deferred, and whether they can still be called off.
    pub defers: Vec<(StepId, bool)>,
}

/// A run's end that someone listens for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// The queue item, which the report must name.
    pub item: ItemId,
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub status: RunStatus,
}
