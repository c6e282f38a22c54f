//! The tables, and how older ones become newer ones.

use super::doing;
use crate::StoreError;
use rusqlite::Connection;
use std::path::Path;

/// One step from each version to the next; the file's `user_version` says how many were taken. A step that is on the main
/// branch is never changed: a test knows each by its hash, and a file of each version is upgraded by another
/// (`tests/versions` of this crate).
const STEPS: &[&str] = &[
    // 1: apps and functions; events, runs and their steps; the queue.
    "
    create table apps (
        id blob not null primary key, name text not null, url text not null, sdk text not null,
        framework text not null, checksum text not null, synced_at integer not null
    ) strict, without rowid;
    create table functions (
        id blob not null primary key, app_id blob not null, slug text not null, name text not null,
        config text not null, version integer not null, archived integer not null
    ) strict, without rowid;
    create table events (
        id blob not null primary key, name text not null, external_id text not null, ts integer not null,
        received_at integer not null, body text not null
    ) strict, without rowid;
    create table runs (
        id blob not null primary key, function_id blob not null, function_version integer not null,
        event_ids blob not null, dedupe_key blob, announces integer not null, queued_at integer not null,
        keys text, status text not null, started_at integer, request_version integer not null,
        force_plan integer not null, pending text, ended_at integer, output text
    ) strict, without rowid;
    create index runs_unfinished on runs (id) where ended_at is null;
    create table event_runs (
        event_id blob not null, run_id blob not null, primary key (event_id, run_id)
    ) strict, without rowid;
    create table steps (
        run_id blob not null, position integer not null, step_id any not null, op text not null,
        name text not null, value text not null, failed integer not null, attempt integer not null,
        started_at integer not null, ended_at integer not null, primary key (run_id, position)
    ) strict, without rowid;
    create table attempts (
        run_id blob not null, item_id integer not null, attempt integer not null, step_id any,
        name text not null, error text not null, started_at integer not null, ended_at integer not null,
        retry_at integer
    ) strict;
    create index attempts_run on attempts (run_id);
    create table items (
        id integer primary key, run_id blob not null, kind text not null, step_id any,
        due integer not null, attempt integer not null
    ) strict;
    create table probe (id integer primary key, filler blob not null) strict;
    create table throttles (key blob not null primary key, tat_us integer not null) strict, without rowid;
    ",
    // 2: the newest events of a name, without reading all others.
    "create index events_name on events (name, id);",
    // 3: waits, cancellations, windows, batches, schedules, deferred and repeated runs, verdicts.
    "
    alter table functions add column paused integer not null default 0;
    alter table runs add column origin text;
    alter table runs add column cause text;
    alter table steps add column queued_at integer not null default 0;
    alter table steps add column detail text;
    update steps set queued_at = started_at;
    alter table items add column race integer not null default 0;
    alter table items add column title text;
    alter table items add column wait text;
    update items set race = 1, kind = 'sleep' where kind = 'racing-sleep';
    create index items_run on items (run_id);
    create table cancels (
        id integer primary key, run_id blob not null, event text not null, condition text,
        expires_at integer not null
    ) strict;
    create table deliveries (id integer primary key, event_id blob not null) strict;
    create table debounces (
        key blob not null primary key, function_id blob not null, opened_at integer not null,
        closes_at integer not null, ts integer not null, draft text not null, event_id blob not null
    ) strict, without rowid;
    create table batches (
        id integer primary key, key blob not null, function_id blob not null, closes_at integer not null,
        keys text
    ) strict;
    create table batch_events (
        batch_id integer not null, position integer not null, event_id blob not null, bytes integer not null,
        reply_to text, primary key (batch_id, position)
    ) strict, without rowid;
    create table recent_keys (key blob not null primary key, at integer not null) strict, without rowid;
    create table schedules (
        function_id blob not null, cron text not null, after integer not null, primary key (function_id, cron)
    ) strict, without rowid;
    create table defers (
        run_id blob not null, step_id any not null, slug text not null, input text, meta text,
        status text not null, primary key (run_id, step_id)
    ) strict, without rowid;
    create table inputs (
        run_id blob not null, step_id any not null, input text not null, primary key (run_id, step_id)
    ) strict, without rowid;
    create table verdicts (
        event_id blob not null, function_id blob not null, verdict text not null,
        primary key (event_id, function_id)
    ) strict, without rowid;
    create index deliveries_event on deliveries (event_id);
    create index debounces_event on debounces (event_id);
    create index batch_events_event on batch_events (event_id);
    ",
    // 4: the keys of runs that were pruned within their 24 hours.
    "
    create table forgotten_keys (
        queued_at integer not null, key blob not null, primary key (queued_at, key)
    ) strict, without rowid;
    ",
    // 5: what the tree of a run's spans needs. An attempt whose error is null was cut short by its run's end.
    "
    alter table runs add column last_item integer;
    alter table runs add column last_queued_at integer;
    alter table runs add column last_started_at integer;
    alter table steps add column failures_of integer;
    alter table items add column failures_of integer;
    alter table attempts add column queued_at integer not null default 0;
    alter table attempts add column op text;
    alter table attempts add column detail text;
    update attempts set queued_at = started_at;
    ",
    // 6: lists of runs. Together they cost a run about 5 µs of a commit: those by time grow at their end only, and the
    // one by status has the few that did not complete.
    "
    create index runs_function on runs (function_id, id);
    create index runs_otherwise on runs (status, id) where ended_at is not null and status <> 'Completed';
    create index runs_started on runs (started_at) where started_at is not null;
    create index runs_ended on runs (ended_at) where ended_at is not null;
    ",
    // 7: events whose id is more than an hour older than they are: a sender gave up for a while, and kept its seed.
    "
    create index events_late on events (name, received_at)
        where hex(substr(id, 1, 6)) < printf('%012X', received_at - 3600000);
    ",
    // 8: bulk cancellations; what is noted of runs; bounds of functions; by which HTTP status a run's last call failed.
    "
    create table bulk_cancels (
        id blob not null primary key, function_id blob not null, started_after integer,
        started_before integer not null, condition text, created_at integer not null, after blob,
        done integer not null
    ) strict, without rowid;
    create table metadata (
        run_id blob not null, target text not null, kind text not null, vals text not null,
        updated_at integer not null, primary key (run_id, target, kind)
    ) strict, without rowid;
    create table user_spans (
        run_id blob not null, id text not null, span text not null, primary key (run_id, id)
    ) strict, without rowid;
    alter table functions add column steps_max integer;
    alter table functions add column state_bytes_max integer;
    alter table runs add column last_status integer;
    ",
];

/// The newest version.
pub(super) fn known() -> u32 {
    u32::try_from(STEPS.len()).expect("a handful of steps")
}

/// Brings the file to the newest version, each step in a transaction of its own.
pub(super) fn upgrade(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let known = known();
    let version: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(doing("reading the schema version"))?;
    if version > known {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            found: version,
            known,
        });
    }
    for (index, step) in STEPS.iter().enumerate().skip(version as usize) {
        let upgraded = connection.transaction().and_then(|transaction| {
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "user_version", index + 1)?;
            transaction.commit()
        });
        upgraded.map_err(doing("upgrading the schema"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::STEPS;
    use crate::sqlite::{self, Options};
    use rusqlite::Connection;
    use sha2::{Digest, Sha256};

    /// The SHA-256 of each step that may be in someone's file.
    const FROZEN: [&str; 8] = [
        "46663375ffe5477b6e325ade2e9ec747b7d13ac4a29366aa91b4ac2c4c08a5df",
        "dca5e4edd92f70ea9191ceb470b781ee1e762740b9b5c579ba709e809952632e",
        "85ef66ace69ea8b41d17a95ac4d8b8a71c1dcd30336b4cd0650038a017c9616b",
        "5149595e4b10da61b0631382c1870d167472ee485a113fe96422b6bc669adda8",
        "ba5da378a93feb44a00a8d9eb6238c792be685d205f8d3c5f8756008f3d7afac",
        "004e10f5d80011c2590ccbb690ea68a8d924168a078855cf19a415b830b8f054",
        "c0e1db46df60d478f8e012330519a910c11c193d06c0a699ac3fa422952e095f",
        "9f036598a3912327edf7209d35e775e61fd77377518a1cbffd9adc501b119936",
    ];

    #[test]
    fn a_step_that_may_have_been_taken_is_never_changed() {
        let taken: Vec<String> = STEPS
            .iter()
            .map(|step| hex::encode(Sha256::digest(step)))
            .collect();
        for (index, (step, frozen)) in taken.iter().zip(FROZEN).enumerate() {
            let version = index + 1;
            assert_eq!(
                step, frozen,
                "the step to version {version} is in people's files: leave it, and add another one"
            );
        }
        assert_eq!(taken.len(), FROZEN.len(), "freeze the new step: {taken:?}");
    }

    #[test]
    fn a_file_of_version_1_is_upgraded_with_what_it_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("stepwell.db");
        let old = Connection::open(&path).expect("the file opens");
        old.execute_batch(STEPS[0]).expect("version 1 is made");
        old.pragma_update(None, "user_version", 1)
            .expect("the version is set");
        for (id, name) in [(1, "x/y"), (2, "x/z"), (3, "x/y")] {
            let row = ([id; 16], name);
            old.execute("insert into events values (?, ?, 'id', 1, 2, '{}')", row)
                .expect("the event is written");
        }
        drop(old);

        let store = sqlite::open(&Options::new(&path)).expect("the store opens");
        let named = |name| {
            let events = store
                .reader
                .events(name, None, 10)
                .expect("events are read");
            let ids = events.into_iter().map(|event| event.id.to_bytes()[0]);
            ids.collect::<Vec<_>>()
        };
        assert_eq!(named(Some("x/y")), [3, 1]);
        assert_eq!(named(None), [3, 2, 1]);
        drop(store);
        let upgraded = Connection::open(&path).expect("the file opens");
        let version: usize = upgraded
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .expect("the version is read");
        assert_eq!(version, STEPS.len());
        let index = "select count(*) from pragma_index_list('events') where name = 'events_name'";
        let indexes: u32 = upgraded
            .query_row(index, [], |row| row.get(0))
            .expect("it is asked");
        assert_eq!(indexes, 1);
    }
}
