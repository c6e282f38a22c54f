//! The one place that writes to the terminal: answers to standard output, complaints to standard error.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what commands answer is their output"
)]

use std::io::{IsTerminal, Write};
use studio233_setup::Failure;

/// A line of a command's answer. A reader that has gone away wants no more of it.
pub(crate) fn line(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
}

/// A failure, and what to do next.
pub(crate) fn failure(failure: &Failure) {
    let mut error = std::io::stderr();
    let _ = writeln!(error, "error: {}", failure.message);
    if let Some(hint) = &failure.hint {
        let _ = writeln!(error, "  next: {hint}");
    }
}

/// A remark that is no part of the answer.
pub(crate) fn remark(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}

/// How this program was called, so that what is suggested can be typed.
pub(crate) fn program() -> String {
    let called = std::env::args().next();
    called
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "studio233".to_owned())
}

/// Whether a person reads along.
pub(crate) fn is_watched() -> bool {
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}
