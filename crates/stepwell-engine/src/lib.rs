//! The decisions of durable functions, as a deterministic state machine.
//!
//! [`Engine`] holds the live state of one shard in memory and has one verb, [`Engine::handle`]: it takes an
//! [`Input`] (something that happened) and appends to a [`Decision`] the [`Change`]s to write and the
//! [`Effect`]s to carry out *once those changes are durable*. Time, randomness and ids are arguments, so the
//! same inputs make the same decisions.
//!
//! The engine keeps what decisions need — ids, statuses, queue order, timers, counters — and never payloads:
//! events and step outputs pass through it into changes.
//!
//! What it does not do: read or write anything, know the time, call functions, parse HTTP.

mod announce;
mod arrival;
mod change;
mod checkpoint;
mod decision;
mod effect;
mod engine;
pub mod flow;
pub mod function;
mod ids;
mod input;
mod item;
mod lifecycle;
mod queue;
mod reply;
mod retry;
mod run;
mod snapshot;
mod status;
mod sync;
mod timestamp;
mod triggers;

pub use change::{
    AppRow, AttemptRow, Change, EventRow, FunctionRow, ItemRow, RunEnd, RunProgress, RunRow,
    StepRow, ThrottleRow,
};
pub use checkpoint::CheckpointError;
pub use decision::{Answer, Decision};
pub use effect::{Announcement, Call, Effect};
pub use engine::{Config, Engine, LoadError};
pub use ids::IdSource;
pub use input::{
    AppSync, CheckpointedStep, Input, NewEvent, ReportedOp, ReportedOutcome, ReportedReply,
};
pub use item::{ItemId, ItemKind};
pub use retry::Backoff;
pub use run::CancelError;
pub use snapshot::Snapshot;
pub use status::{IllegalTransition, RunStatus};
pub use timestamp::Timestamp;
