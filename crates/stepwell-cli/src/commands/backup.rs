//! `stepwell backup`: a copy of the database, also while a server uses it.

use crate::printing;
use anyhow::anyhow;
use clap::Args;
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stepwell_store::sqlite::{self, BackupError, BackupProgress, Existing};

/// How often the progress is said again on a terminal.
const SAY_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(after_long_help = "\
The copy is of one moment, checked, and complete or not there at all. To restore, stop the server and start it on the copy, or put \
the copy in the place of its file and remove the -wal and -shm beside it.")]
pub(crate) struct Arguments {
    /// Where to put the copy.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The database to copy.
    #[arg(long, env = "STEPWELL_DB", value_name = "FILE")]
    db: Option<PathBuf>,
    /// The folder of the file stepwell.db, when --db names no other.
    #[arg(
        long,
        env = "STEPWELL_SQLITE_DIR",
        default_value = ".stepwell",
        value_name = "FOLDER"
    )]
    sqlite_dir: PathBuf,
    /// Put the copy in the place of a file that is there already.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> anyhow::Result<()> {
    let usual = || arguments.sqlite_dir.join("stepwell.db");
    let database = arguments.db.clone().unwrap_or_else(usual);
    let existing = if arguments.force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    let begun = Instant::now();
    let mut ticker = Ticker::new(json);
    let made = sqlite::backup(&database, &arguments.file, existing, |progress| {
        ticker.say(progress);
    });
    ticker.end();
    let made = made.map_err(|error| match error {
        BackupError::Exists(_) => anyhow!("{error}; replace it with --force"),
        other => other.into(),
    })?;
    if json {
        return printing::value(&json!({
            "database": database.display().to_string(),
            "file": arguments.file.display().to_string(),
            "bytes": made.bytes,
            "schema": made.schema,
            "runs_unfinished": made.runs_unfinished,
            "took_ms": u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        }));
    }
    printing::line(&format!(
        "{} of {} copied to {} and checked; {} runs in it have not ended",
        printing::bytes(made.bytes),
        database.display(),
        arguments.file.display(),
        made.runs_unfinished
    ))
}

/// Says on a terminal how far it is, now and then, on one line.
struct Ticker {
    speaks: bool,
    said_at: Option<Instant>,
}

impl Ticker {
    fn new(json: bool) -> Self {
        Self {
            speaks: !json && std::io::stderr().is_terminal(),
            said_at: None,
        }
    }

    fn say(&mut self, progress: BackupProgress) {
        if !self.speaks || self.said_at.is_some_and(|at| at.elapsed() < SAY_EVERY) {
            return;
        }
        self.said_at = Some(Instant::now());
        let percent = progress.copied * 100 / progress.total.max(1);
        let of = printing::bytes(progress.total);
        // A terminal that is gone needs no progress.
        write!(std::io::stderr(), "\r\u{1b}[Kcopying: {percent} % of {of}").unwrap_or_default();
    }

    fn end(&self) {
        if self.said_at.is_some() {
            write!(std::io::stderr(), "\r\u{1b}[K").unwrap_or_default();
        }
    }
}
