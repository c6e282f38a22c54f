//! What must hold for any input from outside, one module for each kind.
//!
//! `cargo +nightly fuzz run events --features libfuzzer` looks for an input that breaks one; what it has found interesting is
//! in `corpus/`, and tests try all of it again.

pub mod connect;
pub mod events;
pub mod expressions;
pub mod registrations;
pub mod replies;
pub mod requests;
pub mod signatures;

use stepwell_engine::Timestamp;
use stepwell_runtime::{Clock, ManualClock};

/// The time at which the corpus was begun: ids of runs in it are of that day, and of another day they are refused.
fn clock_of_the_corpus() -> Clock {
    Clock::Manual(ManualClock::new(Timestamp::from_ms(1_767_225_600_000)))
}
