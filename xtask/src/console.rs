//! Everything xtask prints goes through here. Its output is its purpose.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::time::{Duration, Instant};

pub(crate) fn line(text: &str) {
    println!("{text}");
}

pub(crate) fn failure(text: &str) {
    eprintln!("error: {text}");
}

/// Announces a piece of work, does it, and says how long it took.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> T) -> (T, Duration) {
    println!("\n==> {what}");
    let started = Instant::now();
    let result = work();
    let took = started.elapsed();
    println!("==> {what}: {}", seconds(took));
    (result, took)
}

pub(crate) fn seconds(duration: Duration) -> String {
    let total = duration.as_secs_f64();
    if total < 60.0 {
        format!("{total:.1} s")
    } else {
        format!(
            "{} min {:02} s",
            duration.as_secs() / 60,
            duration.as_secs() % 60
        )
    }
}
