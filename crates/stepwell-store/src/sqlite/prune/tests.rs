use super::{SELECT_RUNS, select_events};
use crate::sqlite::{self, Options};
use crate::{Slice, Store};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use stepwell_engine::Timestamp;
use tempfile::TempDir;

const OLD: Timestamp = Timestamp::from_ms(1_000);
const NOW: Timestamp = Timestamp::from_ms(2_000);

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stepwell.db");
    (folder, path)
}

fn open(path: &Path) -> Store {
    sqlite::open(&Options::new(path)).expect("the store opens")
}

/// Puts ended runs and their steps in a file that no store has open: ids from 1, each with so many steps of so many
/// bytes.
fn fill(path: &Path, runs: u16, steps: u32, bytes: usize) {
    let mut connection = Connection::open(path).expect("the file opens");
    let rows = connection.transaction().expect("it is free");
    let value = "x".repeat(bytes);
    for run in 1..=runs {
        let id = id(run);
        rows.execute(
            "insert into runs values (?, x'', 1, x'', null, 0, 1, null, 'Completed', 1, 1, 0, null, 2, '1', null, null, \
             null, null, null, null)",
            [id],
        )
        .expect("the run is written");
        for position in 0..steps {
            rows.execute(
                "insert into steps values (?, ?, 'a', 'StepRun', 'a', ?, 0, 0, 1, 1, 1, null, null)",
                (id, position, &value),
            )
            .expect("the step is written");
        }
    }
    rows.commit().expect("there is room");
}

fn id(number: u16) -> [u8; 16] {
    let mut id = [0; 16];
    id[14..].copy_from_slice(&number.to_be_bytes());
    id
}

fn count(path: &Path, sql: &str) -> u64 {
    let connection = Connection::open(path).expect("the file opens");
    let counted = connection.query_row(sql, [], |row| row.get(0));
    counted.expect("it is counted")
}

/// Pages in the log that are not in the file yet.
fn unfolded(path: &Path) -> u64 {
    let connection = Connection::open(path).expect("the file opens");
    let pages = connection.query_row("pragma wal_checkpoint(noop)", [], |row| {
        Ok(row.get::<_, u64>(1)? - row.get::<_, u64>(2)?)
    });
    pages.expect("it says")
}

fn give_all_back(store: &mut Store) -> usize {
    let mut steps = 1;
    while store.writer.give_back().expect("it is given back") {
        steps += 1;
        assert!(steps < 10_000, "it does not end");
    }
    steps
}

/// The file's size once the log is folded into it.
fn file_bytes(store: &mut Store, path: &Path) -> u64 {
    store.writer.probe(0).expect("there is room");
    std::fs::metadata(path).expect("the file is there").len()
}

#[test]
fn a_slice_reads_no_more_than_it_says() {
    let (_folder, path) = folder();
    drop(open(&path));
    let connection = Connection::open(&path).expect("the file opens");
    for (question, expected) in [
        (
            SELECT_RUNS.to_owned(),
            &[
                "SEARCH runs USING PRIMARY KEY (id>? AND id<?)",
                "CORRELATED SCALAR SUBQUERY 1",
                "SEARCH items USING COVERING INDEX items_run (run_id=?)",
            ][..],
        ),
        (
            select_events(),
            &[
                "SEARCH events USING PRIMARY KEY (id>? AND id<?)",
                "CORRELATED SCALAR SUBQUERY 1",
                "SEARCH event_runs USING PRIMARY KEY (event_id=?)",
                "CORRELATED SCALAR SUBQUERY 2",
                "SEARCH debounces USING COVERING INDEX debounces_event (event_id=?)",
                "CORRELATED SCALAR SUBQUERY 3",
                "SEARCH batch_events USING COVERING INDEX batch_events_event (event_id=?)",
                "CORRELATED SCALAR SUBQUERY 4",
                "SEARCH deliveries USING COVERING INDEX deliveries_event (event_id=?)",
            ],
        ),
    ] {
        let plan = format!("explain query plan {question}");
        let mut statement = connection.prepare(&plan).expect("the plan is asked for");
        let steps = statement
            .raw_query()
            .mapped(|row| row.get::<_, String>("detail"))
            .collect::<Result<Vec<_>, _>>()
            .expect("the plan is read");
        assert_eq!(steps, expected);
    }
}

#[test]
fn a_large_run_goes_from_its_last_step_backwards_a_bounded_part_at_once() {
    let (_folder, path) = folder();
    let mut store = open(&path);
    fill(&path, 2, 20, 10_000);
    let mut slice = Slice {
        bytes_max: 45_000,
        ..Slice::whole(OLD, NOW)
    };
    for left in [15, 10, 5, 0] {
        let pruned = store.writer.prune(&slice).expect("it is pruned");
        slice.after = pruned.next;
        let first = "select count(*) from steps where run_id = x'00000000000000000000000000000001'";
        assert_eq!(count(&path, first), left);
        let last = format!("{first} and position >= {left}");
        assert_eq!(count(&path, &last), 0, "the first ones stay longest");
        assert_eq!(pruned.runs, usize::from(left == 0));
        assert_eq!(pruned.torn.is_some(), left != 0);
        assert_eq!(
            count(&path, "select count(*) from runs"),
            if left == 0 { 1 } else { 2 }
        );
    }
    // Rows count as bytes do.
    let mut slice = Slice {
        rows_max: 8,
        bytes_max: usize::MAX,
        ..slice
    };
    for left in [12, 4, 0] {
        slice.after = store.writer.prune(&slice).expect("it is pruned").next;
        assert_eq!(count(&path, "select count(*) from steps"), left);
    }
    assert_eq!(count(&path, "select count(*) from runs"), 0);
}

#[test]
fn the_log_is_folded_before_slices_make_it_long() {
    let (_folder, path) = folder();
    let mut store = open(&path);
    fill(&path, 2_000, 5, 700);
    store.writer.probe(0).expect("there is room");
    let mut slice = Slice {
        rows_max: 500,
        ..Slice::whole(OLD, NOW)
    };
    let (mut longest, mut slices) = (0, 0);
    loop {
        slice.after = store.writer.prune(&slice).expect("it is pruned").next;
        longest = unfolded(&path).max(longest);
        slices += 1;
        if slice.after.is_none() {
            break;
        }
    }
    assert!(slices > 20, "{slices} slices are large ones");
    assert!((200..1_000).contains(&longest), "{longest} pages");
}

#[test]
fn a_file_shrinks_step_by_step_to_what_it_holds_and_a_reserve() {
    let (_folder, path) = folder();
    let mut store = open(&path);
    fill(&path, 200, 5, 10_000);
    let (full, full_used) = (
        file_bytes(&mut store, &path),
        store.writer.bytes_used().expect("it says"),
    );
    assert!(full > 10_000_000 && full_used > 10_000_000);
    assert!(!store.writer.give_back().expect("nothing is free"));
    let pruned = store.writer.prune(&Slice::whole(OLD, NOW));
    assert_eq!(pruned.expect("it is pruned").runs, 200);
    let used = store.writer.bytes_used().expect("it says");
    assert!(used < 300_000, "{used} bytes hold nothing");
    assert_eq!(
        file_bytes(&mut store, &path),
        full,
        "it stays as it is at first"
    );
    let steps = give_all_back(&mut store);
    assert!(steps > 10, "{steps} steps are large ones");
    let shrunk = file_bytes(&mut store, &path);
    assert!((1_000_000..1_500_000).contains(&shrunk), "{shrunk}");
    assert!(store.writer.bytes_used().expect("it says") <= used);
    drop(store);
    let mut store = open(&path);
    assert_eq!(
        store.writer.load(NOW).expect("it is sound"),
        stepwell_engine::Snapshot::default()
    );
    assert_eq!(
        count(
            &path,
            "select count(*) from pragma_integrity_check() where integrity_check <> 'ok'"
        ),
        0
    );
}

#[test]
fn a_file_that_cannot_shrink_uses_its_room_again() {
    let (_folder, path) = folder();
    let old = Connection::open(&path).expect("the file opens");
    old.execute_batch("create table made_before (id integer primary key) strict")
        .expect("the file is made");
    drop(old);
    let mut store = open(&path);
    fill(&path, 200, 5, 10_000);
    let full = file_bytes(&mut store, &path);
    for _ in 0..3 {
        let pruned = store.writer.prune(&Slice::whole(OLD, NOW));
        assert_eq!(pruned.expect("it is pruned").runs, 200);
        assert_eq!(give_all_back(&mut store), 1);
        assert!(store.writer.bytes_used().expect("it says") < 300_000);
        fill(&path, 200, 5, 10_000);
        assert_eq!(file_bytes(&mut store, &path), full);
    }
}
