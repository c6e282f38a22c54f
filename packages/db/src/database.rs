use crate::vector;
use sqlx::SqlitePool;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::path::{Path, PathBuf};
use std::time::Duration;

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Long enough for any transaction of ours, short enough for a caller to learn of trouble.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// SQLite has one writer; a few connections let readers pass it.
const CONNECTIONS_MAX: u32 = 8;

/// The studio's database. Cloning is cheap and shares the connections.
#[derive(Debug, Clone)]
pub struct Database {
    pub(crate) backend: Backend,
}

/// Where the tables are. Operations match on it, without a wildcard arm.
#[derive(Debug, Clone)]
pub(crate) enum Backend {
    Sqlite(SqlitePool),
}

/// Why a database operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    #[error("cannot open the database {}; check that its folder exists and is writable", path.display())]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("cannot bring the database {} up to date; it may be newer than this program", path.display())]
    Migrate {
        path: PathBuf,
        source: sqlx::migrate::MigrateError,
    },
    #[error("cannot load the vector extension")]
    VectorExtension(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("there is no workspace {id}")]
    NoSuchWorkspace { id: String },
    #[error("the asset {id} belongs to another workspace; register it under another id")]
    AssetElsewhere { id: String },
    #[error("the workspace slug {slug:?} is taken; choose another")]
    SlugTaken { slug: String },
    #[error("the stored {what} cannot be read")]
    Corrupt {
        what: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot {operation}")]
    Query {
        operation: &'static str,
        source: sqlx::Error,
    },
}

impl DbError {
    /// Trying again may help: the database or its connections were busy, or the disk was full or failing.
    pub fn is_transient(&self) -> bool {
        let Self::Query { source, .. } = self else {
            return false;
        };
        match source {
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => true,
            // SQLITE_BUSY, _LOCKED, _IOERR, _FULL, _CANTOPEN and their extended codes.
            sqlx::Error::Database(error) => error
                .code()
                .and_then(|code| code.parse::<u32>().ok())
                .is_some_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14)),
            _ => false,
        }
    }
}

impl Database {
    /// Opens (or creates) an SQLite file and brings its tables up to date. Its folder must exist.
    pub async fn open_sqlite(path: impl AsRef<Path>) -> Result<Self, DbError> {
        let path = path.as_ref();
        vector::register_extension().map_err(|error| DbError::VectorExtension(error.into()))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A committed profile must survive a power cut: its event is not sent again.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .connect_with(options)
            .await
            .map_err(|source| DbError::Open {
                path: path.to_owned(),
                source,
            })?;
        SQLITE_MIGRATIONS
            .run(&pool)
            .await
            .map_err(|source| DbError::Migrate {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            backend: Backend::Sqlite(pool),
        })
    }

    /// Waits for the connections to finish and closes them.
    pub async fn close(&self) {
        let Backend::Sqlite(pool) = &self.backend;
        pool.close().await;
    }
}

/// Names the operation that a failed query belongs to.
pub(crate) fn failed(operation: &'static str) -> impl FnOnce(sqlx::Error) -> DbError {
    move |source| DbError::Query { operation, source }
}

pub(crate) fn corrupt<E>(what: impl Into<String>) -> impl FnOnce(E) -> DbError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |source| DbError::Corrupt {
        what: what.into(),
        source: source.into(),
    }
}

#[cfg(test)]
mod tests;
