use super::*;
use crate::sqlite::{Options, examine, open};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use stepwell_engine::{Change, EventRow, Timestamp};
use stepwell_protocol::{EventId, shared_json};

struct Files {
    _folder: tempfile::TempDir,
    database: PathBuf,
    copy: PathBuf,
}

fn files() -> Files {
    let folder = tempfile::tempdir().expect("a folder");
    Files {
        database: folder.path().join("stepwell.db"),
        copy: folder.path().join("copy.db"),
        _folder: folder,
    }
}

fn event(number: u64) -> Change {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    Change::EventPut(EventRow {
        id: EventId::from_bytes(id),
        name: "x/y".into(),
        external_id: String::new(),
        ts_ms: 1,
        received_at: Timestamp::from_ms(1),
        body: shared_json(format!("{{\"data\":\"{}\"}}", "x".repeat(2_000))).expect("it is JSON"),
    })
}

fn events_in(path: &Path) -> Vec<u64> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("it opens");
    let mut statement = connection
        .prepare("select id from events order by id")
        .expect("it is asked");
    let ids = statement.query_map([], |row| {
        let id: [u8; 16] = row.get(0)?;
        Ok(u64::from_be_bytes(id[8..].try_into().expect("eight bytes")))
    });
    ids.expect("they are read")
        .collect::<Result<_, _>>()
        .expect("they read")
}

#[test]
fn a_copy_made_under_load_is_of_one_moment() {
    let files = files();
    let mut store = open(&Options::new(&files.database)).expect("the store opens");
    // Several steps' worth.
    for batch in 0..10 {
        let changes: Vec<Change> = (0..500).map(|n| event(batch * 500 + n)).collect();
        store.writer.commit(&changes).expect("it is written");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (wrote, written) = mpsc::channel();
    let stopped = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        let mut next = 5_000;
        while !stopped.load(Ordering::SeqCst) {
            // Both or neither.
            store
                .writer
                .commit(&[event(next), event(next + 1)])
                .expect("it is written");
            next += 2;
            wrote.send(next).unwrap_or_default();
        }
        next
    });
    let before = written.recv().expect("it writes");
    let mut steps = Vec::new();
    let made = backup(&files.database, &files.copy, Existing::Keep, |progress| {
        // Every step finds the database changed.
        while written.try_recv().is_ok() {}
        written.recv().expect("it goes on writing");
        steps.push(progress);
    });
    let made = made.expect("the copy is made");
    stop.store(true, Ordering::SeqCst);
    let after = writer.join().expect("it writes well");

    assert!(steps.len() > 2, "{steps:?}");
    let last = steps.last().expect("there is progress");
    assert_eq!((last.copied, last.total), (made.bytes, made.bytes));
    let events = events_in(&files.copy);
    let count = events.len() as u64;
    assert_eq!(events, (0..count).collect::<Vec<_>>());
    assert!(
        before <= count && count <= after && count.is_multiple_of(2),
        "{count}"
    );
    let examined = examine(&files.copy, Timestamp::from_ms(1), true).expect("it is examined");
    assert_eq!(examined.faults, [""; 0]);
    assert_eq!((examined.log_bytes, examined.bytes), (0, made.bytes));
    // Nothing but the copy is there, which opens as any database does.
    let mut names: Vec<_> = std::fs::read_dir(files.copy.parent().expect("a folder"))
        .expect("it is read")
        .map(|entry| {
            entry
                .expect("it is there")
                .file_name()
                .into_string()
                .expect("it is text")
        })
        .filter(|name| name.starts_with("copy"))
        .collect();
    names.sort();
    assert_eq!(names, ["copy.db"]);
    let mut store = open(&Options::new(&files.copy)).expect("the copy opens");
    store.writer.commit(&[event(count)]).expect("it is written");
}

#[test]
fn a_file_that_is_there_is_kept_unless_told_otherwise() {
    let files = files();
    drop(open(&Options::new(&files.database)).expect("the store opens"));
    std::fs::write(&files.copy, "precious").expect("it is written");
    let made = backup(&files.database, &files.copy, Existing::Keep, |_| {});
    assert!(matches!(made, Err(BackupError::Exists(path)) if path == files.copy));
    assert_eq!(std::fs::read(&files.copy).expect("it is read"), b"precious");
    let made = backup(&files.database, &files.copy, Existing::Replace, |_| {});
    assert_eq!(
        made.expect("it is made").schema,
        super::super::schema::known()
    );
}

#[test]
fn what_cannot_be_copied_leaves_everything_as_it_was() {
    let files = files();
    drop(open(&Options::new(&files.database)).expect("the store opens"));
    // Neither file is there while nobody has the database open.
    let folder = files.database.parent().expect("a folder");
    std::fs::create_dir(folder.join("elsewhere")).expect("it is made");
    let detour = folder.join("elsewhere").join("..");
    for own in [
        files.database.clone(),
        with(&files.database, "-wal"),
        with(&files.database, ".lock"),
        with(&detour.join("stepwell.db"), "-wal"),
        with(&detour.join("stepwell.db"), "-shm"),
    ] {
        let made = backup(&files.database, &own, Existing::Replace, |_| {});
        assert!(matches!(made, Err(BackupError::Itself(_))), "{made:?}");
    }
    let nowhere = files.database.with_file_name("nowhere.db");
    let made = backup(&nowhere, &files.copy, Existing::Keep, |_| {});
    assert!(matches!(made, Err(BackupError::File { .. })), "{made:?}");
    assert!(!nowhere.exists(), "looking makes nothing");

    let foreign = files.database.with_file_name("foreign.db");
    let other = Connection::open(&foreign).expect("it opens");
    other
        .execute_batch("create table t (x)")
        .expect("it is made");
    drop(other);
    std::fs::write(&files.copy, "precious").expect("it is written");
    let made = backup(&foreign, &files.copy, Existing::Replace, |_| {});
    assert!(matches!(made, Err(BackupError::Foreign(_))), "{made:?}");

    let mut bytes = std::fs::read(&files.database).expect("it is read");
    let half = bytes.len() / 2;
    bytes[half..].fill(0xaa);
    let torn = files.database.with_file_name("torn.db");
    std::fs::write(&torn, bytes).expect("it is written");
    let made = backup(&torn, &files.copy, Existing::Replace, |_| {});
    assert!(
        matches!(
            made,
            Err(BackupError::Damaged(_) | BackupError::Store(StoreError::Damaged(_)))
        ),
        "{made:?}"
    );
    assert_eq!(std::fs::read(&files.copy).expect("it is read"), b"precious");
    let fresh = files.copy.with_file_name("fresh.db");
    assert!(backup(&torn, &fresh, Existing::Keep, |_| {}).is_err());
    assert!(!fresh.exists());
    assert_eq!(drafts(&files), [""; 0]);
}

/// Copies that are being made, or were left behind.
fn drafts(files: &Files) -> Vec<String> {
    let folder = files.copy.parent().expect("a folder");
    let names = std::fs::read_dir(folder).expect("it is read").map(|entry| {
        let name = entry.expect("it is there").file_name();
        name.into_string().expect("it is text")
    });
    let mut drafts: Vec<String> = names.filter(|name| name.ends_with(DRAFT)).collect();
    drafts.sort();
    drafts
}

#[test]
fn two_back_ups_to_one_place_at_once_are_both_whole() {
    let files = files();
    let mut store = open(&Options::new(&files.database)).expect("the store opens");
    store.writer.commit(&[event(0)]).expect("it is written");
    let mut inner = None;
    let outer = backup(&files.database, &files.copy, Existing::Replace, |_| {
        if inner.is_none() {
            store.writer.commit(&[event(1)]).expect("it is written");
            let made = backup(&files.database, &files.copy, Existing::Replace, |_| {});
            inner = Some((made, events_in(&files.copy)));
        }
    });
    let (made, events) = inner.expect("it was made in the midst");
    made.expect("the one that ended first is made");
    assert_eq!(events, [0, 1]);
    outer.expect("so is the other");
    assert_eq!(events_in(&files.copy), [0], "which came last");
    assert_eq!(drafts(&files), [""; 0]);
}

#[test]
fn what_a_killed_back_up_left_goes_when_it_is_a_day_old() {
    let files = files();
    drop(open(&Options::new(&files.database)).expect("the store opens"));
    let day = Duration::from_secs(24 * 60 * 60);
    for (name, age) in [
        ("copy.db.7-0.partial", day + Duration::from_secs(60)),
        ("copy.db.8-0.partial", day / 2),
        ("other.db.7-0.partial", 2 * day),
        ("copy.db.old.7-0.partial", 2 * day),
        ("copy.db.2024.partial", 2 * day),
    ] {
        let path = files.copy.with_file_name(name);
        let left = File::create(&path).expect("it is made");
        let changed = std::time::SystemTime::now() - age;
        left.set_modified(changed).expect("it is dated");
    }
    backup(&files.database, &files.copy, Existing::Keep, |_| {}).expect("it is made");
    assert_eq!(
        drafts(&files),
        [
            "copy.db.2024.partial",
            "copy.db.8-0.partial",
            "copy.db.old.7-0.partial",
            "other.db.7-0.partial"
        ]
    );
}
