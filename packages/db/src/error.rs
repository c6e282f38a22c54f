/// Why a database operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// `database` names it without its password.
    #[error("cannot open the database {database}; {hint}")]
    Open {
        database: String,
        hint: &'static str,
        source: sqlx::Error,
    },
    #[error("cannot bring the database {database} up to date; {hint}")]
    Migrate {
        database: String,
        hint: &'static str,
        source: sqlx::migrate::MigrateError,
    },
    #[error("cannot load the vector extension")]
    VectorExtension(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("there is no workspace {id}")]
    NoSuchWorkspace { id: String },
    #[error("there is no workflow run {id}")]
    NoSuchRun { id: String },
    #[error("there is no batch job {id}")]
    NoSuchBatchJob { id: String },
    #[error("the asset {id} belongs to another workspace; register it under another id")]
    AssetElsewhere { id: String },
    #[error("the workspace slug {slug:?} is taken; choose another")]
    SlugTaken { slug: String },
    #[error("the {what} id {id:?} is taken; choose another")]
    IdTaken { what: &'static str, id: String },
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
    /// Trying again may help: the database or its connections were busy or away, two transactions met, or the disk was
    /// full or failing.
    pub fn is_transient(&self) -> bool {
        let Self::Query { source, .. } = self else {
            return false;
        };
        match source {
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| passes(&code)),
            _ => false,
        }
    }
}

fn passes(code: &str) -> bool {
    // SQLSTATE has five characters: connection lost, serialization or deadlock, no resources, being shut down or
    // started, a lock not got, a statement timed out. https://www.postgresql.org/docs/current/errcodes-appendix.html
    if code.len() == 5 {
        return matches!(&code[..2], "08" | "40" | "53" | "58")
            || matches!(code, "55P03" | "57014" | "57P01" | "57P02" | "57P03");
    }
    // SQLITE_BUSY, _LOCKED, _IOERR, _FULL, _CANTOPEN and their extended codes.
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14))
}

/// What could not be done; a column that cannot be read is what is stored, not what was asked.
pub(crate) fn failed(operation: &'static str) -> impl FnOnce(sqlx::Error) -> DbError {
    move |source| match source {
        sqlx::Error::ColumnDecode { index, source } => DbError::Corrupt {
            what: format!("column {index} ({operation})"),
            source,
        },
        source => DbError::Query { operation, source },
    }
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

/// Whether it is about that column being unique: SQLite names the column, PostgreSQL the constraint.
pub(crate) fn is_taken(
    error: &dyn sqlx::error::DatabaseError,
    table: &str,
    column: &str,
    constraint: &str,
) -> bool {
    error.is_unique_violation()
        && match error.constraint() {
            Some(violated) => violated == constraint,
            None => error.message().contains(&format!("{table}.{column}")),
        }
}

#[cfg(test)]
mod tests {
    use super::passes;

    #[test]
    fn what_passes_by_itself_is_known_by_its_code() {
        for code in [
            "5", "261", "13", "40001", "40P01", "57P01", "53300", "08006",
        ] {
            assert!(passes(code), "{code}");
        }
        for code in ["1", "19", "2067", "23505", "42P01", "22021", ""] {
            assert!(!passes(code), "{code}");
        }
    }
}
