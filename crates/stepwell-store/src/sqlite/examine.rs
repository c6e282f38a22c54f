//! Looks at a database file without changing it, also while a server has it open.

use super::{connect, doing, schema};
use crate::StoreError;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::path::Path;
use stepwell_engine::Timestamp;

/// The most faults that are told.
const FAULTS_MAX: u32 = 10;

/// What a database file holds, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// The version of its schema.
    pub schema: u32,
    /// The newest version that this program knows; an older file is upgraded when it is opened.
    pub schema_known: u32,
    /// What is damaged; nothing when all is well.
    pub faults: Vec<String>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of its log.
    pub log_bytes: u64,
    /// Bytes of the file that hold nothing.
    pub free_bytes: u64,
    /// Runs that have not ended.
    pub runs_unfinished: u64,
    /// Queue items that were due before the moment that was asked for, and when the first was.
    pub overdue: u64,
    /// When the first of them was due.
    pub overdue_since: Option<Timestamp>,
}

/// Examines a file. `due_before` is the moment before which an item counts as overdue; `whole` compares every index
/// with its table, which reads all of the file more than once.
///
/// # Errors
/// [`StoreError`] when the file cannot be opened or is no database of ours. Damage inside is a fault, not an error.
pub fn examine(path: &Path, due_before: Timestamp, whole: bool) -> Result<Examination, StoreError> {
    let size = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.len());
    let bytes = size(path).map_err(|source| StoreError::Open {
        path: path.to_owned(),
        source,
    })?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // There is none when the file was closed well.
    let log_bytes = size(Path::new(&log)).unwrap_or(0);
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let number = |pragma: &str| {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, u64>(0))
            .map_err(doing("examining the database"))
    };
    let schema = u32::try_from(number("user_version")?).unwrap_or(u32::MAX);
    let free_bytes = number("freelist_count")? * number("page_size")?;
    let mut examination = Examination {
        schema,
        schema_known: schema::known(),
        faults: faults(&connection, whole)?,
        bytes,
        log_bytes,
        free_bytes,
        runs_unfinished: 0,
        overdue: 0,
        overdue_since: None,
    };
    if schema == 0 {
        examination
            .faults
            .push("it is no database of Stepwell".to_owned());
        return Ok(examination);
    }
    match work(&connection, due_before) {
        Ok((runs, overdue, since)) => {
            examination.runs_unfinished = runs;
            examination.overdue = overdue;
            examination.overdue_since = since.map(Timestamp::from_ms);
        }
        Err(error) => examination
            .faults
            .push(format!("its work cannot be read: {error}")),
    }
    Ok(examination)
}

pub(super) fn faults(connection: &Connection, whole: bool) -> Result<Vec<String>, StoreError> {
    let pragma = if whole {
        "integrity_check"
    } else {
        "quick_check"
    };
    let check = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(&format!("pragma {pragma}({FAULTS_MAX})"))?;
        let found = statement.query_map([], |row| row.get::<_, String>(0))?;
        found.collect()
    };
    match check().map_err(doing("checking the database")) {
        Ok(found) => Ok(found.into_iter().filter(|text| text != "ok").collect()),
        Err(StoreError::Damaged(reason)) => Ok(vec![reason]),
        Err(error) => Err(error),
    }
}

fn work(
    connection: &Connection,
    due_before: Timestamp,
) -> rusqlite::Result<(u64, u64, Option<u64>)> {
    let runs = connection.query_row(
        "select count(*) from runs where ended_at is null",
        [],
        |row| row.get(0),
    )?;
    let overdue = connection
        .query_row(
            "select count(*), min(due) from items where due < ? and kind <> 'announce'",
            [due_before.ms()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let (overdue, since) = overdue.unwrap_or((0, None));
    Ok((runs, overdue, since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{Options, open};
    use std::path::PathBuf;

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("stepwell.db");
        (folder, path)
    }

    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

    #[test]
    fn a_file_is_examined_while_it_is_in_use_and_after() {
        let (_folder, path) = file();
        let store = open(&Options::new(&path)).expect("the store opens");
        let used = examine(&path, NOW, true).expect("it is examined");
        assert_eq!(used.faults, [""; 0]);
        assert_eq!(used.schema, used.schema_known);
        assert!(used.log_bytes > 0);
        drop(store);
        let closed = examine(&path, NOW, false).expect("it is examined");
        assert_eq!(
            (closed.faults.len(), closed.runs_unfinished, closed.overdue),
            (0, 0, 0)
        );
    }

    #[test]
    fn overdue_work_is_counted() {
        let (_folder, path) = file();
        drop(open(&Options::new(&path)).expect("the store opens"));
        let connection = Connection::open(&path).expect("the file opens");
        for (id, due) in [(1, 5), (2, 7), (3, 9)] {
            let row = "insert into items (id, run_id, kind, due, attempt) values (?, x'00', 'start', ?, 0)";
            connection
                .execute(row, [id, due])
                .expect("the item is written");
        }
        drop(connection);
        let found = examine(&path, Timestamp::from_ms(9), true).expect("it is examined");
        assert_eq!(
            (found.overdue, found.overdue_since),
            (2, Some(Timestamp::from_ms(5)))
        );
    }

    #[test]
    fn damage_is_told_and_what_is_no_database_is_refused() {
        let (folder, path) = file();
        drop(open(&Options::new(&path)).expect("the store opens"));
        let mut bytes = std::fs::read(&path).expect("the file is read");
        let half = bytes.len() / 2;
        for byte in &mut bytes[half..] {
            *byte = 0xaa;
        }
        std::fs::write(&path, bytes).expect("the file is written");
        let found = examine(&path, NOW, true).expect("it is examined");
        assert!(!found.faults.is_empty());

        let other = folder.path().join("other.db");
        let connection = Connection::open(&other).expect("the file opens");
        connection
            .execute_batch("create table t (x)")
            .expect("a table is made");
        drop(connection);
        let found = examine(&other, NOW, true).expect("it is examined");
        assert_eq!(found.faults, ["it is no database of Stepwell"]);

        let notes = folder.path().join("notes.txt");
        std::fs::write(&notes, "not a database\n".repeat(100)).expect("the file is written");
        assert!(matches!(
            examine(&notes, NOW, true),
            Err(StoreError::Damaged(_))
        ));
        let nowhere = folder.path().join("nowhere.db");
        assert!(matches!(
            examine(&nowhere, NOW, true),
            Err(StoreError::Open { .. })
        ));
        assert!(!nowhere.exists(), "looking makes nothing");
    }
}
