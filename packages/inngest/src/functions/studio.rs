//! What the studio's users start: workflows, dry runs of them, and product photos of a batch.

mod adapters;
pub mod dry_run;
pub mod ended;
pub mod fashion_item;
#[cfg(test)]
mod fixture;
pub mod housekeeping;
mod node;
pub mod process_workflow;

pub use adapters::{FetchedFiles, RemovedBy};

/// The condition of [`dry_run`]'s trigger. [`process_workflow`]'s is its complement, so that an event starts exactly one
/// of them, whatever its mode.
const IS_DRY_RUN: &str = r#"event.data.mode == "dryRun""#;

/// Why a run is ignored that is not there.
const RUN_MISSING: &str = "run missing";
/// Why a run is ignored that has ended: of another run of the function, or because somebody cancelled it.
const ALREADY_FINISHED: &str = "already finished";
