//! What can go wrong with a store.

use std::path::PathBuf;

/// A store did not do what was asked. Nothing of a failed commit is visible.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the file.
    #[error(
        "{} is in use by another process{}; stop it, or give this one another file",
        path.display(),
        owner.as_ref().map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The database file.
        path: PathBuf,
        /// The other process, if it said so.
        owner: Option<u32>,
    },
    /// The file was written by a newer version.
    #[error("{} has schema version {found}, but this program knows only up to {known}; use a newer one", path.display())]
    TooNew {
        /// The database file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// The disk is full, or the store's own size limit is reached.
    #[error("the disk that holds the database is full; make room and work goes on by itself")]
    Full,
    /// A file could not be opened or made.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A row does not read back as what it should be.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The database says no.
    #[error("the database failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}
