//! What the engine decided.

use crate::{
    BulkCancelError, CancelError, Change, CheckpointError, Effect, EndpointError, EndpointStarted,
    Verdict,
};
use stepwell_protocol::{AppId, RunId};

/// Changes to write, effects to carry out afterwards, and what to answer whoever asked.
#[derive(Debug, Default)]
pub struct Decision {
    /// Rows to write, in order.
    pub changes: Vec<Change>,
    /// What to do once they are written, in order.
    pub effects: Vec<Effect>,
    /// What to answer the sender of the input once they are written, if it waits for an answer.
    pub answer: Option<Answer>,
}

/// What an input's sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The events are recorded.
    EventsAccepted,
    /// The app is registered.
    AppSynced {
        /// The app.
        app: AppId,
        /// Whether anything changed.
        modified: bool,
    },
    /// What became of a checkpoint.
    Checkpointed(Result<(), CheckpointError>),
    /// What became of an endpoint's first report.
    EndpointStarted(Result<EndpointStarted, EndpointError>),
    /// What became of a later one.
    EndpointReported(Result<(), EndpointError>),
    /// What became of a wish to cancel.
    Cancelled(Result<(), CancelError>),
    /// What became of a bulk cancellation.
    BulkCancelled(Result<(), BulkCancelError>),
    /// Whether there was such a bulk cancellation to drop.
    BulkCancelDropped(bool),
    /// The run that a signal resumed, if one waited for it.
    Signalled(Option<RunId>),
    /// What became of an invocation; nothing when there is no such function.
    Invoked(Option<Verdict>),
    /// Whether the answer to a request is recorded: not if the run has ended meanwhile, or the request failed.
    Fetched(bool),
    /// The run that repeats another; nothing when its function is gone.
    Repeated(Option<RunId>),
    /// It is noted.
    Noted,
    /// Whether there is such a function to pause.
    Paused(bool),
    /// Whether there is such a function to bound.
    Bounded(bool),
    /// What an audit found wrong, and mended: a text each.
    Audited(Vec<String>),
}
