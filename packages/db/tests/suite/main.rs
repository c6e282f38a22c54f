//! The repository suite: every test runs on SQLite and on PostgreSQL.

use std::path::PathBuf;
use studio233_db::{Database, DatabaseUrl};

/// Declares tests of a database, once for each kind.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::Place::sqlite().open().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::Place::postgres().open().await).await;
            })+
        }
    };
}

mod assets;
mod batches;
mod budgets;
mod indexing;
mod knowledge;
mod opening;
mod runs;
mod sample;
mod workflows;
mod workspaces;

/// Where a test's own database is.
struct Place {
    url: DatabaseUrl,
    text: String,
    folder: Option<tempfile::TempDir>,
}

impl Place {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("studio.db");
        let text = format!("sqlite:{}", path.display());
        Self {
            url: DatabaseUrl::parse(&text).unwrap(),
            text,
            folder: Some(folder),
        }
    }

    fn postgres() -> Self {
        let text = testbed::postgres::database().unwrap_or_else(|error| panic!("{error}"));
        Self {
            url: DatabaseUrl::parse(&text).unwrap(),
            text,
            folder: None,
        }
    }

    /// Changes its tables past the database under test.
    async fn execute(&self, statement: &'static str) {
        if self.folder.is_some() {
            let pool = sqlx::SqlitePool::connect(&self.text).await.unwrap();
            sqlx::query(statement).execute(&pool).await.unwrap();
            pool.close().await;
        } else {
            let pool = sqlx::PgPool::connect(&self.text).await.unwrap();
            sqlx::query(statement).execute(&pool).await.unwrap();
            pool.close().await;
        }
    }

    async fn open(self) -> Opened {
        let db = Database::open(&self.url).await.unwrap();
        Opened { db, place: self }
    }
}

/// A test's database; it is gone when this is dropped.
struct Opened {
    db: Database,
    place: Place,
}

impl std::ops::Deref for Opened {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.db
    }
}
