//! A seeded, single-threaded simulation of engine, store and apps under faults.
//!
//! A seed makes a [`Scenario`]: apps with random functions, a script of what happens when, and faults. [`run`] plays
//! it in simulated time, hours in milliseconds, with the runtime's rules for batches, commits, crashes and reloads,
//! and checks the promises of the design after every step, each in a file of its own under `invariant/`. At the end
//! the faults stop, and everything has to come to the end that its plan implies. A seed that fails is [`shrink`]ed
//! and told as a [`Story`].
//!
//! What it does not do: threads, HTTP, real time. The same seed gives the same story, to the letter.

mod app;
mod clock;
mod dice;
mod faults;
mod invariant;
mod ledger;
mod plan;
mod report;
mod scenario;
mod shrink;
mod store;
mod world;

pub use invariant::Violation;
pub use report::{Story, command_line, tell};
pub use scenario::{Scenario, StoreKind};
pub use shrink::{Shrunk, shrink};
pub use world::{Outcome, Tally, run};
