use super::{OF_A_NAME, select_events};
use crate::sqlite::{self, Options};
use rusqlite::Connection;

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
