use crate::error::DbError;
use crate::url::{DatabaseUrl, Location};
use crate::vector;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, SqlitePool};
use std::path::Path;
use std::time::Duration;

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Long enough for any transaction of ours, short enough for a caller to learn of trouble.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// SQLite has one writer; a few connections let readers pass it. A PostgreSQL server has connections for others, too.
const CONNECTIONS_MAX: u32 = 8;

/// No statement of ours takes a second; one that takes this long would hold a connection for nobody.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// The studio's database. Cloning is cheap and shares the connections.
#[derive(Debug, Clone)]
pub struct Database {
    pub(crate) backend: Backend,
}

/// Where the tables are.
#[derive(Debug, Clone)]
pub(crate) enum Backend {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Has one expression carried out by whichever backend there is: its statements are written once, in the SQL that both
/// know (`$1` for parameters, `IS NOT DISTINCT FROM`, `TRUE`).
macro_rules! on_backend {
    ($database:expr, |$pool:ident| $work:expr) => {
        match &$database.backend {
            $crate::database::Backend::Sqlite($pool) => $work,
            $crate::database::Backend::Postgres($pool) => $work,
        }
    };
}

/// The same in a transaction, which is rolled back when the work returns early. In SQLite it has the write lock before it
/// reads, so that no upgrade fails half way; in PostgreSQL it locks the rows that it updates, so a decision updates first
/// what it reads.
macro_rules! in_transaction {
    ($database:expr, $operation:literal, |$tx:ident| $work:expr) => {
        match &$database.backend {
            $crate::database::Backend::Sqlite(pool) => {
                let begun = pool.begin_with("BEGIN IMMEDIATE").await;
                let mut $tx = begun.map_err($crate::error::failed($operation))?;
                let done = $work;
                $tx.commit()
                    .await
                    .map_err($crate::error::failed($operation))?;
                done
            }
            $crate::database::Backend::Postgres(pool) => {
                let mut $tx = pool
                    .begin()
                    .await
                    .map_err($crate::error::failed($operation))?;
                let done = $work;
                $tx.commit()
                    .await
                    .map_err($crate::error::failed($operation))?;
                done
            }
        }
    };
}

pub(crate) use {in_transaction, on_backend};

impl Database {
    /// Opens the database and brings its tables up to date. An SQLite file is created when missing, its folder is not;
    /// a PostgreSQL database has to exist, with the extension `vector` in it or to be had.
    ///
    /// # Errors
    /// [`DbError::Open`] or [`DbError::Migrate`].
    pub async fn open(url: &DatabaseUrl) -> Result<Self, DbError> {
        let backend = match &url.0 {
            Location::Sqlite(path) => Backend::Sqlite(open_sqlite(path).await?),
            Location::Postgres(options) => Backend::Postgres(open_postgres(url, options).await?),
        };
        Ok(Self { backend })
    }

    /// Opens (or creates) an SQLite file and brings its tables up to date. Its folder must exist.
    pub async fn open_sqlite(path: impl AsRef<Path>) -> Result<Self, DbError> {
        Self::open(&DatabaseUrl::sqlite(path.as_ref())).await
    }

    /// Waits for the connections to finish and closes them.
    pub async fn close(&self) {
        on_backend!(self, |pool| pool.close().await);
    }
}

async fn open_sqlite(path: &Path) -> Result<SqlitePool, DbError> {
    vector::register_extension().map_err(|error| DbError::VectorExtension(error.into()))?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A committed profile must survive a power cut: its event is not sent again.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT);
    let database = || path.display().to_string();
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .connect_with(options)
        .await
        .map_err(|source| DbError::Open {
            database: database(),
            hint: "check that its folder exists and is writable",
            source,
        })?;
    SQLITE_MIGRATIONS
        .run(&pool)
        .await
        .map_err(|source| DbError::Migrate {
            database: database(),
            hint: "it may be newer than this program",
            source,
        })?;
    Ok(pool)
}

async fn open_postgres(url: &DatabaseUrl, options: &PgConnectOptions) -> Result<PgPool, DbError> {
    let statement_timeout = STATEMENT_TIMEOUT.as_millis().to_string();
    let options = options
        .clone()
        .application_name("studio233")
        .options([("statement_timeout", statement_timeout)]);
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(BUSY_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(|source| DbError::Open {
            database: url.to_string(),
            hint: "check that the server runs and lets this user in",
            source,
        })?;
    // Processes that start together wait for one another here.
    POSTGRES_MIGRATIONS
        .run(&pool)
        .await
        .map_err(|source| DbError::Migrate {
            database: url.to_string(),
            hint: "check that the extension vector (pgvector) is installed on the server, and that the database is not \
                   newer than this program",
            source,
        })?;
    Ok(pool)
}
