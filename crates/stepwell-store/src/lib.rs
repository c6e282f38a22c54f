//! Durable storage for the engine.
//!
//! A store has two sides. The [`Writer`] takes the engine's changes, one atomic and durable batch at a time, and
//! gives back the live rows at start-up; one process owns it. The [`Reader`] answers what people and calls ask:
//! runs, events, steps. Both are blocking; who calls them from async code moves them off its threads.
//!
//! [`sqlite`] keeps a file, [`memory`] keeps nothing past the process. Every store passes the same suite.
//! [`history`] makes a tree of spans of what a store holds of a run.

mod error;
pub mod history;
mod list;
pub mod memory;
mod notes;
mod prune;
mod record;
pub mod sqlite;
mod store;

pub use error::StoreError;
pub use list::{
    EventFilter, EventPage, EventQuery, ParsePlaceError, RunFilter, RunPage, RunPlace, RunQuery,
    RunTime,
};
pub use notes::MetadataRecord;
pub use prune::{Mark, Pruned, Slice};
pub use record::{
    AppRecord, AttemptRecord, DeferRecord, EventRecord, FunctionRecord, History, RunRecord,
    RunState, StepOutline, StepRecord,
};
pub use store::{Reader, Store, Writer};
