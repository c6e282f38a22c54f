//! What commands print: lines for people, JSON for programs.

use crate::table::Table;
use anyhow::Context;
use serde_json::{Value, json};
use std::io::{ErrorKind, Write};

/// Prints a line. A reader that has had enough, such as `head`, is no error, and nobody is left to print for.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.context("cannot write to the standard output"),
    }
}

/// Prints a value as indented JSON.
pub(crate) fn value(value: &Value) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value).context("the answer cannot be written as JSON")?)
}

/// Prints a table, or says that it has no rows.
pub(crate) fn rows(table: &Table, none: &str) -> anyhow::Result<()> {
    if table.is_empty() {
        line(none)
    } else {
        line(&table.render())
    }
}

/// A size for people.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes;
    let mut rest = 0;
    let mut unit = 0;
    while size >= 1_024 && unit + 1 < UNITS.len() {
        rest = size % 1_024;
        size /= 1_024;
        unit += 1;
    }
    match unit {
        0 => format!("{size} B"),
        _ => format!("{size}.{} {}", rest * 10 / 1_024, UNITS[unit]),
    }
}

/// The last word of a command that failed.
#[expect(
    clippy::print_stderr,
    reason = "the user's terminal is where a command's error goes"
)]
pub(crate) fn complain(error: &str, json: bool) {
    if json {
        eprintln!("{}", json!({"error": error}));
    } else {
        eprintln!("error: {error}");
    }
}
