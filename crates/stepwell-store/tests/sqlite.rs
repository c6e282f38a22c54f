//! What only a store in a file does: reopening, locking, versions, limits, damage.

#[path = "suite/rows.rs"]
mod rows;

use rows::{Rows, at};
use std::path::{Path, PathBuf};
use std::process::Command;
use stepwell_engine::{Change, Snapshot};
use stepwell_store::sqlite::{self, Durability, Options};
use stepwell_store::{Store, StoreError};
use tempfile::TempDir;

/// Tells a copy of this program that it is to act as another process, on this file.
const OTHER_PROCESS_FILE: &str = "STEPWELL_TEST_OTHER_PROCESS_FILE";
/// The process that is to hold the file; without it, nobody.
const OTHER_PROCESS_HOLDER: &str = "STEPWELL_TEST_OTHER_PROCESS_HOLDER";

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data/stepwell.db");
    (folder, path)
}

fn open(path: &Path) -> Store {
    sqlite::open(&Options::new(path)).expect("the store opens")
}

fn refused(path: &Path) -> StoreError {
    sqlite::open(&Options::new(path)).expect_err("the store does not open")
}

/// An error with what led to it.
fn whole(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    for durability in [Durability::Full, Durability::Process] {
        let (_folder, path) = folder();
        let options = Options {
            durability,
            ..Options::new(&path)
        };
        let (changes, expected) = Rows::new().a_bit_of_everything();
        let mut store = sqlite::open(&options).expect("the store opens");
        store.writer.commit(&changes).expect("the batch is written");
        drop(store);
        let mut store = sqlite::open(&options).expect("the store opens again");
        let loaded = store.writer.load(at(100)).expect("the live rows are read");
        assert_eq!(loaded, expected);
    }
}

#[test]
fn a_file_is_opened_once_in_a_process() {
    let (_folder, path) = folder();
    let store = open(&path);
    let error = refused(&path);
    let StoreError::Locked { path: named, owner } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((named, *owner), (&path, Some(std::process::id())));
    assert_eq!(
        error.to_string(),
        format!(
            "{} is in use by another process (pid {}); stop it, or give this one another file",
            path.display(),
            std::process::id()
        )
    );
    drop(store);
    open(&path);
}

#[cfg(unix)]
#[test]
fn a_file_is_opened_once_by_whatever_name() {
    use std::os::unix::fs::symlink;
    let (folder, path) = folder();
    let (linked_file, linked_folder) = (folder.path().join("link.db"), folder.path().join("link"));
    symlink(&path, &linked_file).expect("a link is made");
    symlink(folder.path().join("data"), &linked_folder).expect("a link is made");
    let names = [
        path.clone(),
        linked_file,
        linked_folder.join("stepwell.db"),
        folder.path().join("link/../data/stepwell.db"),
    ];
    std::fs::create_dir(folder.path().join("data")).expect("a folder is made");
    // The first one opened makes the file; a link may be there before what it names.
    for first in [1, 0, 2, 3] {
        let mut store = open(&names[first]);
        store.writer.probe(0).expect("there is room");
        for second in &names {
            let error = refused(second);
            assert!(
                matches!(&error, StoreError::Locked { path, .. } if path == second),
                "{error:?}"
            );
        }
    }
    assert!(path.exists());
}

#[test]
fn a_file_is_opened_once_on_a_machine() {
    let (_folder, path) = folder();
    let store = open(&path);
    act_as_another_process(&path, Some(std::process::id()));
    drop(store);
    act_as_another_process(&path, None);
    // The other process died without closing.
    open(&path);
}

/// Runs [`the_other_process`] in a process of its own and waits for its end.
fn act_as_another_process(path: &Path, holder: Option<u32>) {
    let program = std::env::current_exe().expect("a test knows its program");
    let mut command = Command::new(program);
    command
        .args(["--exact", "the_other_process", "--nocapture"])
        .env(OTHER_PROCESS_FILE, path);
    match holder {
        Some(pid) => command.env(OTHER_PROCESS_HOLDER, pid.to_string()),
        None => command.env_remove(OTHER_PROCESS_HOLDER),
    };
    let output = command.output().expect("the program starts");
    assert_eq!(
        output.status.code(),
        Some(ACTED),
        "the other process says: {}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// The exit code of a copy that did act as another process, rather than pass a test.
const ACTED: i32 = 77;

#[test]
fn the_other_process() {
    let Some(path) = std::env::var_os(OTHER_PROCESS_FILE).map(PathBuf::from) else {
        return;
    };
    let holder = std::env::var(OTHER_PROCESS_HOLDER).ok();
    match (sqlite::open(&Options::new(&path)), holder) {
        (Err(StoreError::Locked { owner, .. }), Some(holder)) => {
            assert_eq!(owner.map(|pid| pid.to_string()), Some(holder));
        }
        (Ok(_open), None) => std::process::exit(ACTED),
        (other, holder) => panic!("held by {holder:?}: {other:?}"),
    }
    std::process::exit(ACTED);
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let (_folder, path) = folder();
    drop(open(&path));
    let connection = rusqlite::Connection::open(&path).expect("the file opens");
    connection
        .pragma_update(None, "user_version", 4_000)
        .expect("the version is set");
    drop(connection);
    let error = refused(&path);
    assert!(
        matches!(error, StoreError::TooNew { found: 4_000, known, .. } if known < 4_000),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .starts_with(&format!("{} has schema version 4000, but", path.display())),
        "{error}"
    );
}

#[test]
fn a_full_store_refuses_whole_batches_and_recovers() {
    let (_folder, path) = folder();
    let limited = |bytes_max| Options {
        bytes_max: Some(bytes_max),
        ..Options::new(&path)
    };
    let mut store = sqlite::open(&limited(512 * 1024)).expect("the store opens");
    store.writer.probe(0).expect("there is room at first");
    let mut rows = Rows::new();
    let mut written = 0;
    let refused_batch = loop {
        let batch = large_batch(&mut rows);
        match store.writer.commit(&batch) {
            Ok(()) => written += 1,
            Err(StoreError::Full) => break batch,
            Err(error) => panic!("{error:?}"),
        }
        assert!(written < 100, "the limit does not hold");
    };
    assert!(written > 0);
    let events = |store: &Store| store.reader.events(None, None, 10_000).unwrap().len();
    assert_eq!(events(&store), written * 2, "half a batch is visible");
    let mut small = 0;
    while store
        .writer
        .commit(&[Change::EventPut(rows.event("small"))])
        .is_ok()
    {
        small += 1;
        assert!(small < 10_000, "the limit does not hold");
    }
    let message = "the disk that holds the database is full; make room and work goes on by itself";
    // It stays refused, and a probe says so, until there is room.
    for _ in 0..3 {
        let error = store.writer.commit(&refused_batch).expect_err("it is full");
        assert_eq!(error.to_string(), message);
        let error = store.writer.probe(0).expect_err("it is full");
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(events(&store), written * 2 + small);
    let loaded = store.writer.load(at(0)).expect("reading goes on");
    assert_eq!(loaded.runs.len(), written);
    drop(store);

    let mut store = sqlite::open(&limited(4 * 1024 * 1024)).expect("the store opens again");
    store.writer.probe(100_000).expect("there is room");
    store
        .writer
        .commit(&refused_batch)
        .expect("the same batch is written");
    assert_eq!(events(&store), (written + 1) * 2 + small);
}

#[test]
fn a_probe_finds_room_for_a_batch_of_its_size_and_leaves_it_to_that_batch() {
    let (_folder, path) = folder();
    let options = Options {
        bytes_max: Some(560 * 1024),
        ..Options::new(&path)
    };
    let mut store = sqlite::open(&options).expect("the store opens");
    store.writer.probe(0).expect("there is room for a little");
    let error = store.writer.probe(600_000).expect_err("that is too much");
    assert!(matches!(error, StoreError::Full), "{error:?}");
    let mut rows = Rows::new();
    let batch: Vec<_> = (0..3).flat_map(|_| large_batch(&mut rows)).collect();
    store.writer.probe(300_000).expect("there is room");
    store.writer.commit(&batch).expect("the room is there");
}

#[test]
fn probes_do_not_make_the_files_grow() {
    let (_folder, path) = folder();
    let mut store = open(&path);
    let sizes = |store: &mut Store| {
        store.writer.probe(1_000_000).expect("there is room");
        let log = path.with_extension("db-wal");
        [&path, &log].map(|file| std::fs::metadata(file).expect("the file is there").len())
    };
    let first = sizes(&mut store);
    assert!(first.iter().all(|size| *size > 1_000_000), "{first:?}");
    for _ in 0..10 {
        assert_eq!(sizes(&mut store), first);
    }
    // Whatever is asked for, it does not fill the disk by itself.
    store.writer.probe(usize::MAX).expect("there is room");
    let [file, _] = sizes(&mut store);
    assert!(file < 80 * 1024 * 1024, "{file}");
}

/// A run and two events of 50 KB each.
fn large_batch(rows: &mut Rows) -> Vec<Change> {
    let mut events = [rows.event("x/y"), rows.event("x/z")];
    for event in &mut events {
        event.body = rows::json(&format!("{{\"data\":\"{}\"}}", "x".repeat(50_000)));
    }
    let run = rows.run(&events[0]);
    let [first, second] = events;
    vec![
        Change::EventPut(first),
        Change::RunPut(Box::new(run)),
        Change::EventPut(second),
    ]
}

#[test]
fn what_is_no_database_is_refused_by_name() {
    let (_folder, path) = folder();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "not a database at all, ".repeat(1_000)).unwrap();
    let error = refused(&path);
    assert_eq!(
        error.to_string(),
        format!(
            "the database is damaged: {} cannot be used (file is not a database, while opening the database); put a \
             back-up in its place, or name another file",
            path.display()
        )
    );
}

#[test]
fn a_damaged_file_is_said_to_be_damaged() {
    let (_folder, path) = folder();
    let mut store = open(&path);
    let mut rows = Rows::new();
    for _ in 0..5 {
        store.writer.commit(&large_batch(&mut rows)).unwrap();
    }
    drop(store);
    // Everything past the first page, where the version stands.
    let mut bytes = std::fs::read(&path).unwrap();
    let sound = bytes.len().min(4_096);
    bytes[sound..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let mut store = match sqlite::open(&Options::new(&path)) {
        Err(StoreError::Damaged(_)) => return,
        Err(error) => panic!("{}", whole(&error)),
        Ok(store) => store,
    };
    let error = store.writer.load(at(0)).expect_err("it is damaged");
    assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
    let error = store
        .reader
        .events(None, None, 10)
        .expect_err("it is damaged");
    assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
}

#[test]
fn a_row_that_does_not_read_back_is_said_to_be_damaged() {
    let (_folder, path) = folder();
    let (changes, _) = Rows::new().a_bit_of_everything();
    let mut store = open(&path);
    store.writer.commit(&changes).unwrap();
    drop(store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute("update runs set status = 'Dancing'", [])
        .unwrap();
    drop(connection);
    let mut store = open(&path);
    let error = store
        .writer
        .load(at(0))
        .expect_err("no status is called so");
    assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = refused(&file.join("stepwell.db"));
    assert!(
        matches!(&error, StoreError::Open { path, .. } if *path == file),
        "{error:?}"
    );
}

#[test]
fn an_empty_file_becomes_a_store() {
    let (_folder, path) = folder();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "").unwrap();
    assert_eq!(open(&path).writer.load(at(0)).unwrap(), Snapshot::default());
}
