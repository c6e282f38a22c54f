//! The database file and its disk.

use super::{Findings, Status};
use crate::printing::bytes;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use stepwell_engine::Timestamp;
use stepwell_protocol::span;
use stepwell_store::sqlite;

/// Items that have been due for longer were not moved on.
const OVERDUE_MS: u64 = 10 * 60 * 1_000;
/// A disk with less room than the database is large, or than this, is worth a look.
const ROOM_MIN: u64 = 512 * 1024 * 1024;

/// Looks at a file, every index of it if `whole`.
pub(super) fn examine(path: &Path, whole: bool, findings: &mut Findings) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    let due_before = Timestamp::from_ms(now_ms.saturating_sub(OVERDUE_MS));
    let name = path.display();
    let found = match sqlite::examine(path, due_before, whole) {
        Ok(found) => found,
        Err(error) => {
            let mut reasons = vec![error.to_string()];
            let mut source = std::error::Error::source(&error);
            while let Some(inner) = source {
                reasons.push(inner.to_string());
                source = inner.source();
            }
            return findings.say(
                "database",
                Status::Failure,
                format!("{name}: {}", reasons.join(": ")),
            );
        }
    };
    let sizes = format!(
        "{name}, {}, of it {} free, log {}",
        bytes(found.bytes),
        bytes(found.free_bytes),
        bytes(found.log_bytes)
    );
    if found.faults.is_empty() {
        let checked = if whole {
            "all of it is well"
        } else {
            "its structure is well"
        };
        findings.say("database", Status::Ok, format!("{sizes}; {checked}"));
    } else {
        let faults = found.faults.join("; ");
        let detail = format!("{sizes}; {faults}; put a back-up in its place");
        findings.say("database", Status::Failure, detail);
    }
    let (schema, known) = (found.schema, found.schema_known);
    match schema.cmp(&known) {
        std::cmp::Ordering::Equal => {
            findings.say("schema", Status::Ok, format!("version {schema}"))
        }
        std::cmp::Ordering::Less => {
            let detail = format!("version {schema}; the next start upgrades it to {known}");
            findings.say("schema", Status::Warning, detail);
        }
        std::cmp::Ordering::Greater => {
            let detail = format!(
                "version {schema}, but this program knows only up to {known}; use a newer one"
            );
            findings.say("schema", Status::Failure, detail);
        }
    }
    let runs = found.runs_unfinished;
    match found.overdue_since {
        None => findings.say(
            "queue",
            Status::Ok,
            format!("{runs} unfinished runs, nothing overdue"),
        ),
        Some(since) => {
            let since = span::format_moment_ms(i64::try_from(since.ms()).unwrap_or(i64::MAX));
            let detail = format!(
                "{runs} unfinished runs; {} pieces of work have been due for more than 10 minutes, the first since {since}: a call \
                 of theirs takes this long, no server runs, their functions are paused, or limits hold them",
                found.overdue
            );
            findings.say("queue", Status::Warning, detail);
        }
    }
    disk(path, found.bytes, findings);
}

#[cfg(unix)]
fn disk(path: &Path, database: u64, findings: &mut Findings) {
    let disk = match nix::sys::statvfs::statvfs(path) {
        Ok(disk) => disk,
        Err(error) => return findings.say("disk", Status::Skipped, error.to_string()),
    };
    #[allow(clippy::useless_conversion, reason = "on some systems it has 32 bits")]
    let free = u64::from(disk.blocks_available()).saturating_mul(disk.fragment_size());
    let detail = format!("{} free", bytes(free));
    if free < ROOM_MIN.max(database) {
        let detail = format!(
            "{detail}, less than the database may need; make room, or limit it with --retain-size"
        );
        findings.say("disk", Status::Warning, detail);
    } else {
        findings.say("disk", Status::Ok, detail);
    }
}

#[cfg(not(unix))]
fn disk(_: &Path, _: u64, findings: &mut Findings) {
    findings.say(
        "disk",
        Status::Skipped,
        "the free room is not known on this system",
    );
}
