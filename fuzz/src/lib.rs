//! What must hold for any input from outside, one module for each kind.
//!
//! `cargo +nightly fuzz run events --features libfuzzer` looks for an input that breaks one; what it has found interesting is
//! in `corpus/`, and tests try all of it again.

pub mod events;
pub mod expressions;
pub mod registrations;
pub mod replies;
pub mod requests;
pub mod signatures;
