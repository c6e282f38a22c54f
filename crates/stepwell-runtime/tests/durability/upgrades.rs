//! Files of every version of the schema: what was under way in them goes on.
//!
//! `stepwell-store/tests/versions/N.sql` is a file of version N as SQL, left behind by a server that died in the middle of four runs.

use crate::engine::{
    App, ended, ran, register, returned, runs, send, sleeps, soon, start, start_with, value,
};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use stepwell_engine::{RunStatus, Timestamp};
use stepwell_runtime::{Clock, Invocation, ManualClock};
use stepwell_store::sqlite::{self, Options};

/// When the server died that left the files behind.
const THEN: Timestamp = Timestamp::from_ms(1_767_225_600_000);
const HOUR_MS: u64 = 3_600_000;

fn fixture(version: u32) -> PathBuf {
    let versions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stepwell-store/tests/versions");
    versions.join(format!("{version}.sql"))
}

/// The newest version.
fn known(folder: &Path) -> u32 {
    let path = folder.join("new.db");
    drop(sqlite::open(&Options::new(&path)).expect("it opens"));
    let found = sqlite::examine(&path, THEN, false).expect("it is examined");
    found.schema_known
}

fn run_of(call: &Invocation) -> String {
    let event = serde_json::to_value(&call.request.event).expect("an event is JSON");
    event["data"]["id"].as_str().expect("it has one").to_owned()
}

/// Runs `first`, then sleeps in the run `asleep`, then returns both.
fn answer(call: &Invocation) -> stepwell_protocol::reply::RawReply {
    match (value(call, "first"), value(call, "nap")) {
        (None, _) => ran("first", &json!(1)),
        (Some(_), None) if run_of(call) == "asleep" => sleeps("nap", "10m"),
        (Some(first), _) => returned(&json!([first, run_of(call)])),
    }
}

#[tokio::test]
async fn a_file_of_any_version_is_upgraded_and_its_runs_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    for version in 1..=known(folder.path()) {
        let path = folder.path().join(format!("{version}.db"));
        let sql = std::fs::read_to_string(fixture(version));
        let sql = sql.unwrap_or_else(|error| panic!("version {version} has no file: {error}"));
        let old = Connection::open(&path).expect("it opens");
        old.execute_batch(&sql)
            .expect("it is a file of its version");
        drop(old);
        let found = sqlite::examine(&path, THEN, true).expect("it is examined");
        assert_eq!((found.schema, found.runs_unfinished), (version, 3));

        let app = App::new(|call| async move { answer(&call) });
        let clock = ManualClock::new(Timestamp::from_ms(THEN.ms() + HOUR_MS));
        let store = sqlite::open(&Options::new(&path)).expect("it is upgraded");
        let runtime = start(store, &app, Clock::Manual(clock));
        let runs = ended(&runtime.handle()).await;
        assert_eq!(
            runs.keys().collect::<Vec<_>>(),
            ["asleep", "called", "done", "queued"],
            "version {version}"
        );
        for (id, runs) in &runs {
            assert_eq!(runs.len(), 1, "version {version}: {id}");
            let output = runs[0]
                .output
                .as_ref()
                .map(|output| output.get().to_owned());
            assert_eq!(
                (runs[0].status, output.as_deref()),
                (
                    RunStatus::Completed,
                    Some(&*format!("[{{\"data\":1}},\"{id}\"]"))
                ),
                "version {version}: {id}"
            );
        }
        // What was recorded is not executed again: one call goes on, and the queued run needs two.
        let mut called: Vec<String> = app.calls().iter().map(run_of).collect();
        called.sort();
        assert_eq!(
            called,
            ["asleep", "called", "queued", "queued"],
            "version {version}"
        );
        assert_eq!(runtime.handle().violations(), 0);
        // And so it does for events that come now.
        send(&runtime.handle(), "new")
            .await
            .expect("it is taken in");
        assert_eq!(ended(&runtime.handle()).await.len(), 5);
        let found = sqlite::examine(&path, THEN, true).expect("it is examined");
        assert_eq!(found.schema, found.schema_known);
        assert_eq!(found.faults, [""; 0]);
    }
}

#[tokio::test]
async fn the_newest_version_has_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = fixture(known(folder.path()));
    if !file.exists() {
        let path = folder.path().join("left.db");
        leave_behind(&path).await;
        std::fs::write(&file, dump(&path)).expect("it is written");
        panic!("{} was missing; it is there now, add it", file.display());
    }
}

/// What a server leaves behind that dies: a run that is done, one asleep, one whose call is under way, and one that waits for its turn.
async fn leave_behind(path: &Path) {
    let app = App::new(|call| async move {
        if run_of(&call) == "called" && value(&call, "first").is_some() {
            std::future::pending::<()>().await;
        }
        answer(&call)
    });
    let store = sqlite::open(&Options::new(path)).expect("it opens");
    let runtime = start_with(store, &app, Clock::Manual(ManualClock::new(THEN)), 1);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    for (id, calls) in [("done", 2), ("asleep", 4), ("called", 6), ("queued", 6)] {
        send(&handle, id).await.expect("it is taken in");
        app.called(calls).await;
        if id == "done" || id == "asleep" {
            soon("it comes to rest", async {
                while handle.calls_in_flight() > 0 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    }
    assert_eq!(runs(&handle).await.len(), 4);
}

/// A database as SQL.
fn dump(path: &Path) -> String {
    let database = Connection::open(path).expect("it opens");
    let ask = |question: &str| -> Vec<Vec<String>> {
        let mut statement = database.prepare(question).expect("it is asked");
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..columns)
                .map(|at| Ok(literal(row.get_ref(at)?)))
                .collect()
        });
        rows.expect("it is answered")
            .collect::<Result<_, _>>()
            .expect("rows are read")
    };
    let text = |quoted: &str| quoted[1..quoted.len() - 1].replace("''", "'");
    let version = &ask("select user_version from pragma_user_version")[0][0];
    let mut sql = format!("pragma user_version = {version};\n");
    let made =
        "select sql, name, type from sqlite_schema where sql is not null order by type desc, name";
    for row in ask(made) {
        let name = text(&row[1]);
        writeln!(sql, "{};", text(&row[0])).expect("a string takes it");
        if text(&row[2]) != "table" {
            continue;
        }
        for values in ask(&format!("select * from {name}")) {
            writeln!(sql, "insert into {name} values ({});", values.join(", "))
                .expect("a string takes it");
        }
    }
    sql
}

fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => {
            format!("'{}'", String::from_utf8_lossy(text).replace('\'', "''"))
        }
        ValueRef::Blob(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{digits}'")
        }
    }
}
