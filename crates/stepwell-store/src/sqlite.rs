//! A store in one SQLite file.
//!
//! One connection writes, in WAL mode; a few others read. With [`Durability::Full`] a commit is on disk when it
//! returns; with [`Durability::Process`] it survives the process but perhaps not the machine.

mod backup;
mod codec;
mod examine;
mod load;
mod lock;
mod prune;
mod read;
mod schema;
mod upkeep;
mod write;

pub use backup::{BackedUp, BackupError, BackupProgress, Existing, backup};
pub use examine::{Examination, examine};

use crate::{Store, StoreError};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Connections that read; more questions at once wait.
const READERS: usize = 4;
/// How long a connection waits for another one's lock. Only checkpoints and back-ups hold one.
const BUSY: Duration = Duration::from_secs(5);

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The machine: every commit is synced to disk.
    #[default]
    Full,
    /// The process only: faster, for development.
    Process,
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database file; made if it is not there.
    pub path: PathBuf,
    /// What a commit survives.
    pub durability: Durability,
    /// The file's largest size in bytes; a commit that would exceed it fails with [`StoreError::Full`].
    pub bytes_max: Option<u64>,
}

impl Options {
    /// Full durability, no limit on size.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Full,
            bytes_max: None,
        }
    }
}

/// Opens the store, making or upgrading its file.
///
/// # Errors
/// [`StoreError::Locked`] when another process has it open, [`StoreError::TooNew`] when a newer version wrote
/// it, and whatever the file system or SQLite says.
pub fn open(options: &Options) -> Result<Store, StoreError> {
    if let Some(folder) = options
        .path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(|source| StoreError::Open {
            path: folder.to_owned(),
            source,
        })?;
    }
    let lock = lock::acquire(&options.path)?;
    let connection = open_writer(options).map_err(|error| match error {
        StoreError::Damaged(reason) => StoreError::Damaged(format!(
            "{} cannot be used ({reason}); put a back-up in its place, or name another file",
            options.path.display()
        )),
        other => other,
    })?;
    let readers = (0..READERS)
        .map(|_| {
            connect(
                &options.path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Store {
        writer: Box::new(write::SqliteWriter::new(
            connection,
            options.durability,
            lock,
        )),
        reader: Arc::new(read::SqliteReader::new(readers)),
    })
}

fn open_writer(options: &Options) -> Result<Connection, StoreError> {
    let mut connection = connect(&options.path, OpenFlags::default())?;
    prepare_writer(&connection, options).map_err(doing("opening the database"))?;
    schema::upgrade(&mut connection, &options.path)?;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection =
        Connection::open_with_flags(path, flags).map_err(doing("opening the database"))?;
    connection
        .busy_timeout(BUSY)
        .map_err(doing("opening the database"))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn prepare_writer(connection: &Connection, options: &Options) -> Result<(), rusqlite::Error> {
    // Heeded by a new file only, and only before anything else is written to it: lets it shrink in small steps.
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", synchronous(options.durability))?;
    connection.pragma_update(None, "foreign_keys", "off")?;
    // 8 MiB of cache; the log is folded into the file every 16 MiB, off the usual commit.
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_096)?;
    if let Some(bytes_max) = options.bytes_max {
        let page_size: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        connection.pragma_update_and_check(
            None,
            "max_page_count",
            (bytes_max / page_size).max(1),
            |_| Ok(()),
        )?;
    }
    Ok(())
}

fn synchronous(durability: Durability) -> &'static str {
    match durability {
        Durability::Full => "full",
        Durability::Process => "normal",
    }
}

fn doing(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    use rusqlite::{Error, ErrorCode};
    move |source| match (source.sqlite_error_code(), &source) {
        (Some(ErrorCode::DiskFull), _) => StoreError::Full,
        (Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt), _)
        | (
            None,
            Error::FromSqlConversionFailure(..)
            | Error::InvalidColumnType(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::StatementChangedRows(_),
        ) => StoreError::Damaged(format!("{source}, while {doing}")),
        _ => StoreError::Database { doing, source },
    }
}
