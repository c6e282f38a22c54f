use super::{OF_A_NAME, SqliteReader, select_events};
use crate::sqlite::{self, Options};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn events_are_found_without_reading_all_or_sorting() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stepwell.db");
    drop(sqlite::open(&Options::new(&path)).expect("the store opens"));
    let connection = Connection::open(&path).expect("the file opens");
    for (of_a_name, expected) in [
        ("", "SEARCH events USING PRIMARY KEY (id<?)"),
        (
            OF_A_NAME,
            "SEARCH events USING INDEX events_name (name=? AND id<?)",
        ),
    ] {
        let plan = format!("explain query plan {}", select_events(of_a_name));
        let mut statement = connection.prepare(&plan).expect("the plan is asked for");
        let steps = statement
            .raw_query()
            .mapped(|row| row.get::<_, String>("detail"))
            .collect::<Result<Vec<_>, _>>()
            .expect("the plan is read");
        assert_eq!(steps, [expected]);
    }
}

#[test]
fn a_question_that_panics_leaves_its_connection_to_the_next() {
    let connection = Connection::open_in_memory().expect("memory is there");
    let reader = SqliteReader::new(vec![connection]);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        reader.with("panicking", |connection| -> rusqlite::Result<()> {
            let _view = connection.unchecked_transaction()?;
            panic!("a broken invariant");
        })
    }));
    panicked.expect_err("the panic goes on");
    let idle = reader.idle.lock().expect("nobody panicked holding it");
    assert_eq!(idle.len(), 1);
    drop(idle);
    let answer = reader.with("asking", |connection| {
        let view = connection.unchecked_transaction()?;
        view.query_row("select 7", [], |row| row.get::<_, u32>(0))
    });
    assert_eq!(answer.expect("the connection is as before"), 7);
}
