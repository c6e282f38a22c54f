use sqlx::postgres::PgConnectOptions;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a database is: `sqlite:FILE` or `postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=…`.
///
/// `Display` and `Debug` leave the password out.
#[derive(Clone)]
pub struct DatabaseUrl(pub(crate) Location);

#[derive(Clone)]
pub(crate) enum Location {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

/// Why a text names no database. It may hold a password, so it is not told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDatabaseUrl {
    #[error("the database URL has to begin with `sqlite:` or `postgres://`")]
    Scheme,
    #[error(
        "the database URL names no file; write `sqlite:studio.db` or `sqlite:///srv/studio.db`"
    )]
    NoFile,
    #[error("the database URL names no database; write `postgres://USER@HOST/NAME`")]
    NoName,
    #[error("the database URL cannot be read; write `postgres://USER:PASSWORD@HOST:PORT/NAME`")]
    Postgres(#[source] sqlx::Error),
}

impl DatabaseUrl {
    /// An SQLite file.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Location::Sqlite(path.into()))
    }

    /// Reads `sqlite:` followed by a path (a host part is not one: `sqlite:///srv/a.db` is `/srv/a.db`), or a
    /// `postgres://` URL (`postgresql://` is the same).
    ///
    /// # Errors
    /// What is wrong with it, without its text.
    pub fn parse(text: &str) -> Result<Self, InvalidDatabaseUrl> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(InvalidDatabaseUrl::NoFile);
            }
            return Ok(Self::sqlite(path));
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(InvalidDatabaseUrl::Scheme);
        }
        let options: PgConnectOptions = text.parse().map_err(InvalidDatabaseUrl::Postgres)?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(InvalidDatabaseUrl::NoName);
        }
        Ok(Self(Location::Postgres(Box::new(options))))
    }

    /// The SQLite file, if it is one.
    pub fn sqlite_file(&self) -> Option<&Path> {
        match &self.0 {
            Location::Sqlite(path) => Some(path),
            Location::Postgres(_) => None,
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Location::Sqlite(path) => write!(f, "{}", path.display()),
            Location::Postgres(options) => write!(
                f,
                "postgres://{}@{}:{}/{}",
                options.get_username(),
                options.get_host(),
                options.get_port(),
                options.get_database().unwrap_or_default(),
            ),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_servers_are_told_apart() {
        for (text, file) in [
            ("sqlite:studio.db", "studio.db"),
            ("sqlite:///srv/a.db", "/srv/a.db"),
            ("sqlite:/srv/a.db", "/srv/a.db"),
        ] {
            let url = DatabaseUrl::parse(text).unwrap();
            assert_eq!(url.sqlite_file(), Some(Path::new(file)), "{text}");
        }
        let url = DatabaseUrl::parse("postgresql://me:secret@db.example:5433/studio").unwrap();
        assert_eq!(url.sqlite_file(), None);
        assert_eq!(url.to_string(), "postgres://me@db.example:5433/studio");
    }

    #[test]
    fn no_message_repeats_a_password() {
        for text in [
            "mysql://me:secret@host/name",
            "secret",
            "sqlite:",
            "postgres://me:secret@host",
            "postgres://me:secret@host:port/name",
            "postgres://me:secret@host/name?sslmode=secret",
        ] {
            let Err(error) = DatabaseUrl::parse(text) else {
                panic!("{text} was taken");
            };
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let url = DatabaseUrl::parse("postgres://me:secret@host/name").unwrap();
        assert!(!format!("{url:?}{url}").contains("secret"));
    }
}
