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
mod audit;
mod batches;
mod bulk_cancel;
mod census;
mod change;
mod checkpoint;
mod decision;
mod deliver;
mod detail;
mod effect;
mod endpoint;
mod engine;
pub mod flow;
pub mod function;
mod groups;
mod handler_failure;
mod ids;
mod input;
mod item;
mod lifecycle;
mod load;
mod ops;
mod origin;
mod queue;
mod repeat;
mod reply;
mod retry;
mod run;
mod schedule;
mod snapshot;
mod standing;
mod status;
mod sync;
mod ticking;
mod timestamp;
mod triggers;
mod verdict;
pub mod waits;
mod windows;

pub use bulk_cancel::{BulkCancelError, BulkCancelRow, Sweep, bulk_condition_holds};
pub use census::{Backlog, Census};
pub use change::{
    AppRow, AttemptRow, BatchEventRow, BatchRow, Bounds, Change, DebounceRow, DeferRow,
    DeliveryRow, EventRow, FunctionRow, KeyRow, LastCall, MetadataRow, RunEnd, RunProgress, RunRow,
    ScheduleRow, StepInputRow, StepRow, ThrottleRow, UserSpansRow, VerdictRow,
};
pub use checkpoint::CheckpointError;
pub use decision::{Answer, Decision};
pub use detail::StepDetail;
pub use effect::{Announcement, Call, Effect, Fetch, LookBack};
pub use endpoint::{EndpointError, EndpointStart, EndpointStarted};
pub use engine::{Config, Engine};
pub use ids::IdSource;
pub use input::{
    AppSync, Ask, Bound, CheckpointedStep, Deferral, EventWait, FetchFailure, Input, Invocation,
    KeptStep, NewEvent, Repetition, ReportedOp, ReportedOutcome, ReportedReply, SignalWait,
};
pub use item::{ItemId, ItemKind, ItemRow};
pub use load::LoadError;
pub use ops::defer::DeferStatus;
pub use ops::invoke::invocation_event;
pub use origin::{Origin, ReplyTo};
pub use retry::Backoff;
pub use run::CancelError;
pub use snapshot::Snapshot;
pub use standing::{Standing, UnderWay};
pub use status::{Cause, IllegalTransition, RunStatus};
pub use ticking::CatchUp;
pub use timestamp::Timestamp;
pub use verdict::Verdict;
pub use waits::{CancelRow, WaitFor};
