//! What every store does: one suite, run on each.

#[path = "suite/lists.rs"]
mod lists;
#[path = "suite/notes.rs"]
mod notes;
#[path = "suite/prune.rs"]
mod prune;
#[path = "suite/rows.rs"]
mod rows;

use lists::{
    apps_are_listed_by_name, events_are_listed_by_name_and_time,
    outputs_are_left_out_of_lists_or_bounded, runs_are_counted_alike_whatever_the_moment,
    runs_are_listed_by_function_status_and_time, runs_are_listed_by_when_they_started_and_ended,
    the_past_is_read_by_arrival_however_old_the_id_is,
};
use notes::{
    deep_spans_are_put_beside, notes_find_their_place_in_the_tree, notes_go_with_their_run,
    notes_of_one_batch_are_bounded_as_those_of_many, what_is_noted_is_merged_by_kind_and_target,
    what_is_noted_of_a_run_is_bounded, what_is_noted_of_a_run_that_is_not_there_is_dropped,
};
use prune::{
    a_key_is_remembered_for_a_day_though_its_run_is_gone,
    a_run_larger_than_a_slice_goes_all_the_same, a_walk_does_not_look_back,
    a_walk_ends_where_it_is_told_to, a_walk_in_small_slices_gets_everywhere_once,
    an_ended_run_with_work_left_stays_until_that_is_done,
    an_event_that_started_nothing_goes_by_its_own_age, an_old_run_goes_with_all_that_is_of_it,
    events_that_wait_to_start_a_run_stay, pruning_changes_nothing_that_is_loaded,
    what_is_unfinished_stays_and_its_events,
};
use rows::{Rows, at, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stepwell_engine::{
    BulkCancelRow, Change, ItemId, ItemKind, KeyRow, LastCall, RunEnd, RunStatus, Snapshot,
    Timestamp,
};
use stepwell_protocol::{RunId, StepId, limits};
use stepwell_store::{Reader, Store, StoreError, Writer, memory, sqlite};
use tempfile::TempDir;

/// A store under test.
struct Opened {
    writer: Box<dyn Writer>,
    reader: Arc<dyn Reader>,
    _folder: Option<TempDir>,
}

impl Opened {
    fn new(store: Store, folder: Option<TempDir>) -> Self {
        Self {
            writer: store.writer,
            reader: store.reader,
            _folder: folder,
        }
    }

    fn commit(&mut self, changes: Vec<Change>) {
        self.writer.commit(&changes).expect("the batch is written");
    }

    fn load(&mut self, now: Timestamp) -> Snapshot {
        self.writer.load(now).expect("the live rows are read")
    }

    /// Commits a batch whose last change does not fit, and checks that nothing of it is visible.
    fn refuse(&mut self, changes: Vec<Change>) {
        let before = self.load(at(0));
        let events = self.event_names();
        self.writer
            .commit(&changes)
            .expect_err("the batch does not fit");
        assert_eq!(self.load(at(0)), before);
        assert_eq!(self.event_names(), events);
    }

    fn event_names(&self) -> Vec<String> {
        let events = self.reader.events(None, None, 1_000);
        let events = events.expect("events are read").into_iter();
        events.map(|event| event.name).collect()
    }
}

macro_rules! suite {
    ($($name:ident)*) => {
        mod in_memory {
            $(#[test] fn $name() { super::$name(super::Opened::new(super::memory::open(), None)); })*
        }
        mod in_sqlite {
            $(#[test] fn $name() {
                let folder = tempfile::tempdir().expect("a folder");
                let store = super::sqlite::open(&super::sqlite::Options::new(folder.path().join("stepwell.db")));
                super::$name(super::Opened::new(store.expect("the store opens"), Some(folder)));
            })*
        }
    };
}

suite! {
    an_empty_store_is_empty
    apps_and_functions_are_replaced
    an_event_is_written_once
    events_are_read_newest_first
    a_run_goes_from_queued_to_ended
    steps_come_back_in_order_as_they_were
    attempts_come_back_in_order
    queue_items_of_every_kind_are_replaced_and_deleted
    throttles_are_replaced_and_deleted
    bulk_cancellations_are_read_replaced_and_deleted
    what_is_loaded_is_what_was_written
    ended_runs_are_not_loaded_but_what_they_still_announce_is
    keys_are_remembered_for_a_day
    a_batch_is_all_or_nothing
    a_batch_that_failed_may_be_written_again_without_what_failed
    changes_of_a_batch_are_applied_in_order
    an_empty_batch_changes_nothing
    a_probe_changes_nothing
    readers_see_whole_batches_while_they_are_written
    an_old_run_goes_with_all_that_is_of_it
    an_event_that_started_nothing_goes_by_its_own_age
    what_is_unfinished_stays_and_its_events
    an_ended_run_with_work_left_stays_until_that_is_done
    a_key_is_remembered_for_a_day_though_its_run_is_gone
    pruning_changes_nothing_that_is_loaded
    a_walk_in_small_slices_gets_everywhere_once
    a_walk_does_not_look_back
    a_walk_ends_where_it_is_told_to
    events_that_wait_to_start_a_run_stay
    a_run_larger_than_a_slice_goes_all_the_same
    runs_are_listed_by_function_status_and_time
    runs_are_listed_by_when_they_started_and_ended
    outputs_are_left_out_of_lists_or_bounded
    runs_are_counted_alike_whatever_the_moment
    events_are_listed_by_name_and_time
    the_past_is_read_by_arrival_however_old_the_id_is
    apps_are_listed_by_name
    what_is_noted_is_merged_by_kind_and_target
    what_is_noted_of_a_run_that_is_not_there_is_dropped
    what_is_noted_of_a_run_is_bounded
    notes_of_one_batch_are_bounded_as_those_of_many
    notes_find_their_place_in_the_tree
    deep_spans_are_put_beside
    notes_go_with_their_run
}

fn an_empty_store_is_empty(mut store: Opened) {
    let mut rows = Rows::new();
    assert_eq!(store.load(at(0)), Snapshot::default());
    let event = rows.event("x/y");
    let run = rows.run(&event).id;
    let reader = &store.reader;
    assert!(reader.run(run).unwrap().is_none());
    assert!(reader.run_state(run).unwrap().is_none());
    assert!(reader.event(event.id).unwrap().is_none());
    assert!(reader.runs_of_event(event.id).unwrap().is_empty());
    assert!(reader.events(None, None, 10).unwrap().is_empty());
    assert!(reader.steps(run).unwrap().is_empty());
    assert!(reader.attempts(run).unwrap().is_empty());
    assert!(reader.functions().unwrap().is_empty());
}

fn apps_and_functions_are_replaced(mut store: Opened) {
    let rows = Rows::new();
    let (left, right) = (rows.app("left"), rows.app("right"));
    let zebra = rows.function(&left, "zebra");
    let ant = rows.function(&left, "ant");
    let bee = rows.function(&right, "bee");
    store.commit(vec![
        Change::AppPut(right.clone()),
        Change::AppPut(left.clone()),
        Change::FunctionPut(zebra.clone()),
        Change::FunctionPut(bee),
        Change::FunctionPut(ant.clone()),
    ]);
    let listed = |store: &Opened| {
        let functions = store.reader.functions().unwrap().into_iter();
        functions
            .map(|function| {
                format!(
                    "{} {} {}",
                    function.app_name, function.slug, function.config
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        listed(&store),
        [
            "left ant {\"of\":\"ant\"}",
            "left zebra {\"of\":\"zebra\"}",
            "right bee {\"of\":\"bee\"}"
        ]
    );
    let mut changed = ant;
    changed.config = "{}".to_owned();
    changed.version = 2;
    let mut archived = zebra;
    archived.archived = true;
    let mut renamed = left;
    renamed.name = "renamed".to_owned();
    store.commit(vec![
        Change::FunctionPut(changed.clone()),
        Change::FunctionPut(archived.clone()),
        Change::AppPut(renamed.clone()),
    ]);
    assert_eq!(
        listed(&store),
        ["renamed ant {}", "right bee {\"of\":\"bee\"}"]
    );
    let all = store.reader.all_functions().unwrap();
    let all: Vec<_> = all
        .iter()
        .map(|function| (&*function.slug, function.archived))
        .collect();
    assert_eq!(all, [("ant", false), ("zebra", true), ("bee", false)]);
    let snapshot = store.load(at(0));
    assert!(snapshot.functions.contains(&changed));
    assert!(snapshot.functions.contains(&archived));
    assert!(snapshot.apps.contains(&renamed));
    assert_eq!((snapshot.apps.len(), snapshot.functions.len()), (2, 3));
}

fn an_event_is_written_once(mut store: Opened) {
    let mut rows = Rows::new();
    let event = rows.event("x/y");
    let mut again = event.clone();
    again.name = "other".to_owned();
    again.body = json(r#"{"name":"other"}"#);
    store.commit(vec![Change::EventPut(event.clone())]);
    store.commit(vec![Change::EventPut(again)]);
    let read = store.reader.event(event.id).unwrap().expect("it is there");
    assert_eq!(read.id, event.id);
    assert_eq!(read.name, "x/y");
    assert_eq!(read.external_id, event.external_id);
    assert_eq!(read.ts_ms, event.ts_ms);
    assert_eq!(read.received_at, event.received_at);
    assert_eq!(read.body.get(), event.body.get());
    assert_eq!(store.event_names(), ["x/y"]);
}

fn events_are_read_newest_first(mut store: Opened) {
    let mut rows = Rows::new();
    let events: Vec<_> = (0..6)
        .map(|index| rows.event(if index % 2 == 0 { "even" } else { "odd" }))
        .collect();
    store.commit(events.iter().cloned().map(Change::EventPut).collect());
    let read = |name: Option<&str>, before: Option<usize>, limit| {
        let before = before.map(|index: usize| events[index].id);
        let found = store.reader.events(name, before, limit).unwrap();
        found
            .iter()
            .map(|found| {
                events
                    .iter()
                    .position(|event| event.id == found.id)
                    .unwrap()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(read(None, None, 100), [5, 4, 3, 2, 1, 0]);
    assert_eq!(read(None, None, 2), [5, 4]);
    assert_eq!(read(None, Some(4), 2), [3, 2]);
    assert_eq!(read(Some("even"), None, 100), [4, 2, 0]);
    assert_eq!(read(Some("even"), Some(2), 100), [0]);
    assert_eq!(read(Some("ev"), None, 100), Vec::<usize>::new());
    assert_eq!(read(None, Some(0), 100), Vec::<usize>::new());
    assert_eq!(read(None, None, 0), Vec::<usize>::new());
}

fn a_run_goes_from_queued_to_ended(mut store: Opened) {
    let mut rows = Rows::new();
    let event = rows.event("x/y");
    let (first, second) = (rows.run(&event), rows.run(&event));
    store.commit(vec![
        Change::EventPut(event.clone()),
        Change::RunPut(Box::new(second.clone())),
        Change::RunPut(Box::new(first.clone())),
    ]);
    let run = store.reader.run(first.id).unwrap().expect("it is there");
    assert_eq!(run.id, first.id);
    assert_eq!(run.function, first.function);
    assert_eq!(run.function_version, first.function_version);
    assert_eq!(run.events, [event.id]);
    assert_eq!(run.status, RunStatus::Scheduled);
    assert_eq!(run.queued_at, first.queued_at);
    assert_eq!((run.started_at, run.ended_at), (None, None));
    assert!(run.output.is_none());

    let mut progress = first.progress.clone();
    progress.status = RunStatus::Running;
    progress.started_at = Some(at(5));
    store.commit(vec![Change::RunProgress(Box::new(progress))]);
    let run = store.reader.run(first.id).unwrap().expect("it is there");
    assert_eq!(run.status, RunStatus::Running);
    assert_eq!(run.started_at, Some(at(5)));

    store.commit(vec![Rows::end(
        &first,
        RunStatus::Completed,
        Some("[1, 2]"),
    )]);
    let run = store.reader.run(first.id).unwrap().expect("it is there");
    assert_eq!(run.status, RunStatus::Completed);
    assert_eq!(run.started_at, Some(at(5)));
    assert_eq!(run.ended_at, Some(at(9)));
    assert_eq!(run.output.expect("it has one").get(), "[1, 2]");

    let last_call = Some(LastCall {
        item: ItemId(7),
        queued_at: at(1),
        started_at: at(2),
        status: Some(504),
    });
    store.commit(vec![Change::RunEnd(RunEnd {
        id: second.id,
        status: RunStatus::Failed,
        ended_at: at(9),
        output: None,
        cause: None,
        last_call,
    })]);
    let run = store.reader.run(second.id).unwrap().expect("it is there");
    assert_eq!(run.last_call, last_call);

    store.commit(vec![Rows::end(&second, RunStatus::Cancelled, None)]);
    let runs = store.reader.runs_of_event(event.id).unwrap();
    let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
    assert_eq!(ids, [first.id, second.id], "oldest first");
    assert_eq!(runs[1].status, RunStatus::Cancelled);
    assert!(runs[1].output.is_none());
}

fn steps_come_back_in_order_as_they_were(mut store: Opened) {
    let mut rows = Rows::new();
    let event = rows.event("x/y");
    let (run, other) = (rows.run(&event), rows.run(&event));
    let ids = [
        StepId::of("step", 0),
        StepId::parse("plain"),
        StepId::parse(""),
    ];
    let values = [
        r#"{"data":{"b":1,"a":[1.50,"ü"]}}"#,
        "null",
        r#"{"error":{}}"#,
    ];
    let mut changes = vec![
        Change::EventPut(event.clone()),
        Change::RunPut(Box::new(run.clone())),
        Change::RunPut(Box::new(other.clone())),
    ];
    for (position, (id, value)) in ids.iter().zip(values).enumerate() {
        changes.push(Rows::step(&run, id, position, value));
    }
    store.commit(changes);
    let steps = store.reader.steps(run.id).unwrap();
    assert_eq!(steps.len(), 3);
    for (position, step) in steps.iter().enumerate() {
        assert_eq!(step.step, ids[position]);
        assert_eq!(step.value.get(), values[position], "byte for byte");
        assert_eq!(step.op, "StepRun");
        assert_eq!(step.name, format!("step {position}"));
        assert_eq!(step.failed, position == 2);
        assert_eq!(step.attempt, 3);
        assert_eq!((step.started_at, step.ended_at), (at(1), at(2)));
    }
    let state = store
        .reader
        .run_state(run.id)
        .unwrap()
        .expect("it is there");
    assert_eq!(state.events.len(), 1);
    assert_eq!(state.events[0].get(), event.body.get());
    let found: Vec<_> = state
        .steps
        .iter()
        .map(|(id, value)| (id.clone(), value.get()))
        .collect();
    assert_eq!(found, ids.into_iter().zip(values).collect::<Vec<_>>());
    let state = store
        .reader
        .run_state(other.id)
        .unwrap()
        .expect("it is there");
    assert!(state.steps.is_empty());
}

fn attempts_come_back_in_order(mut store: Opened) {
    let mut rows = Rows::new();
    let event = rows.event("x/y");
    let run = rows.run(&event);
    store.commit(vec![
        Change::EventPut(event),
        Change::RunPut(Box::new(run.clone())),
        Rows::attempt(&run, 0, Some(StepId::of("a", 0)), Some(at(7))),
    ]);
    store.commit(vec![Rows::attempt(&run, 1, None, None)]);
    let attempts = store.reader.attempts(run.id).unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].attempt, 0);
    assert_eq!(attempts[0].step, Some(StepId::of("a", 0)));
    assert_eq!(attempts[0].retry_at, Some(at(7)));
    assert_eq!(attempts[0].name, "a step");
    assert_eq!(attempts[0].error.as_deref(), Some(r#"{"name":"Error"}"#));
    assert_eq!(
        (attempts[0].started_at, attempts[0].ended_at),
        (at(1), at(2))
    );
    assert_eq!(attempts[1].attempt, 1);
    assert_eq!(
        (attempts[1].step.clone(), attempts[1].retry_at),
        (None, None)
    );
}

fn queue_items_of_every_kind_are_replaced_and_deleted(mut store: Opened) {
    let mut rows = Rows::new();
    let event = rows.event("x/y");
    let run = rows.run(&event);
    let (hash, text) = (StepId::of("a", 0), StepId::parse("a"));
    let kinds = [
        ItemKind::Start,
        ItemKind::Discovery(None),
        ItemKind::Discovery(Some(hash.clone())),
        ItemKind::Step(text.clone()),
        ItemKind::Sleep(hash.clone()),
        ItemKind::WaitForEvent(text.clone()),
        ItemKind::WaitForSignal(text.clone()),
        ItemKind::Invoke(text.clone()),
        ItemKind::Gateway(text),
        ItemKind::Endpoint,
        ItemKind::Announce,
    ];
    let mut items: Vec<_> = kinds
        .into_iter()
        .map(|kind| rows.item(&run, kind))
        .collect();
    let mut changes = vec![
        Change::EventPut(event),
        Change::RunPut(Box::new(run.clone())),
    ];
    changes.extend(items.iter().cloned().map(Box::new).map(Change::ItemPut));
    store.commit(changes);
    assert_eq!(store.load(at(0)).items, items);
    items[0].attempt = 4;
    items[0].due = at(99);
    items[0].kind = ItemKind::Discovery(Some(hash));
    let gone = items.remove(1);
    store.commit(vec![
        Change::ItemPut(Box::new(items[0].clone())),
        Change::ItemDelete(gone.id),
        Change::ItemDelete(gone.id),
    ]);
    assert_eq!(store.load(at(0)).items, items);
}

fn throttles_are_replaced_and_deleted(mut store: Opened) {
    let mut throttles = [Rows::throttle(1, 10), Rows::throttle(u128::MAX, 20)];
    store.commit(throttles.iter().cloned().map(Change::ThrottlePut).collect());
    assert_eq!(store.load(at(0)).throttles, throttles);
    throttles[1].tat_us = i64::MAX as u64;
    store.commit(vec![
        Change::ThrottlePut(throttles[1].clone()),
        Change::ThrottleDelete(1),
        Change::ThrottleDelete(7),
    ]);
    assert_eq!(store.load(at(0)).throttles, throttles[1..]);
}

fn bulk_cancellations_are_read_replaced_and_deleted(mut store: Opened) {
    let rows = Rows::new();
    let function = rows.function(&rows.app("app"), "f");
    let [first, second] =
        [1, 2].map(|number| Rows::bulk_cancel(number, &function, Some("true"), None));
    let put = |row: &BulkCancelRow| Change::BulkCancelPut(Box::new(row.clone()));
    store.commit(vec![put(&second), put(&first)]);
    let read = |store: &Opened| store.reader.bulk_cancels().expect("they are read");
    assert_eq!(read(&store), [first.clone(), second.clone()]);
    let done = BulkCancelRow {
        done: true,
        ..first
    };
    store.commit(vec![put(&done), Change::BulkCancelDelete(second.id)]);
    assert_eq!(read(&store), [done]);
}

fn what_is_loaded_is_what_was_written(mut store: Opened) {
    let mut rows = Rows::new();
    let (changes, expected) = rows.a_bit_of_everything();
    store.commit(changes);
    assert_eq!(store.load(at(100)), expected);
    assert_eq!(store.load(at(100)), expected, "loading changes nothing");
}

fn ended_runs_are_not_loaded_but_what_they_still_announce_is(mut store: Opened) {
    let mut rows = Rows::new();
    let event = rows.event("x/y");
    let (quiet, heard) = (rows.run(&event), rows.run(&event));
    let announcement = rows.item(&heard, ItemKind::Announce);
    store.commit(vec![
        Change::EventPut(event),
        Change::RunPut(Box::new(quiet.clone())),
        Change::RunPut(Box::new(heard.clone())),
        Rows::step(&heard, &StepId::of("a", 0), 0, "1"),
        Rows::end(&quiet, RunStatus::Completed, None),
        Rows::end(&heard, RunStatus::Failed, Some("{}")),
        Change::ItemPut(Box::new(announcement.clone())),
    ]);
    let snapshot = store.load(at(0));
    assert_eq!(snapshot.runs, []);
    assert_eq!(snapshot.items, std::slice::from_ref(&announcement));
    assert_eq!(snapshot.ended, [(heard.id, RunStatus::Failed)]);
    store.commit(vec![Change::ItemDelete(announcement.id)]);
    let snapshot = store.load(at(0));
    assert_eq!((snapshot.items.len(), snapshot.ended.len()), (0, 0));
}

fn keys_are_remembered_for_a_day(mut store: Opened) {
    let mut rows = Rows::new();
    let event = rows.event("x/y");
    let (mut live, mut over, mut none) = (rows.run(&event), rows.run(&event), rows.run(&event));
    live.dedupe_key = Some(1);
    over.dedupe_key = Some(u128::MAX);
    none.dedupe_key = None;
    let queued_at = live.queued_at;
    let (live_id, over_id) = (live.id, over.id);
    store.commit(vec![
        Change::EventPut(event),
        Change::KeyPut(KeyRow {
            key: 2,
            at: queued_at,
        }),
        Change::KeyPut(KeyRow {
            key: 3,
            at: queued_at,
        }),
        Change::KeyDelete(3),
        Change::RunPut(Box::new(live)),
        Change::RunPut(Box::new(over.clone())),
        Change::RunPut(Box::new(none)),
        Rows::end(&over, RunStatus::Completed, None),
    ]);
    let day = limits::IDEMPOTENCY_MS;
    let all = [
        (1, Some(live_id), queued_at),
        (2, None, queued_at),
        (u128::MAX, Some(over_id), queued_at),
    ];
    assert_eq!(store.load(queued_at).recent_keys, all);
    assert_eq!(store.load(queued_at.after_ms(day - 1)).recent_keys, all);
    assert_eq!(store.load(queued_at.after_ms(day)).recent_keys, []);
}

fn a_batch_is_all_or_nothing(mut store: Opened) {
    let mut rows = Rows::new();
    let (changes, _) = rows.a_bit_of_everything();
    let event = rows.event("other");
    let run = rows.run(&event);
    let unknown = rows.run(&event);
    let good = |run| {
        vec![
            Change::EventPut(Rows::new().event("never")),
            Change::AppPut(Rows::new().app("never")),
            Change::ThrottlePut(Rows::throttle(77, 1)),
            Change::RunPut(Box::new(run)),
        ]
    };
    // In an empty store, and in one that holds rows.
    for changes in [Vec::new(), changes] {
        store.commit(changes);
        for last in [
            Change::RunPut(Box::new(run.clone())),
            Change::RunProgress(Box::new(unknown.progress.clone())),
            Rows::end(&unknown, RunStatus::Completed, None),
        ] {
            let mut batch = good(run.clone());
            batch.push(last);
            store.refuse(batch);
            assert!(store.reader.run(run.id).unwrap().is_none());
        }
    }
}

fn a_batch_that_failed_may_be_written_again_without_what_failed(mut store: Opened) {
    let mut rows = Rows::new();
    let event = rows.event("x/y");
    let (run, unknown) = (rows.run(&event), rows.run(&event));
    let mut batch = vec![
        Change::EventPut(event.clone()),
        Change::RunPut(Box::new(run.clone())),
        Rows::step(&run, &StepId::of("a", 0), 0, "1"),
        Rows::end(&unknown, RunStatus::Completed, None),
    ];
    store.refuse(batch.clone());
    batch.pop();
    store.commit(batch);
    assert_eq!(store.reader.runs_of_event(event.id).unwrap().len(), 1);
    assert_eq!(store.reader.steps(run.id).unwrap().len(), 1);
}

fn changes_of_a_batch_are_applied_in_order(mut store: Opened) {
    let mut rows = Rows::new();
    let event = rows.event("x/y");
    let run = rows.run(&event);
    let mut progress = run.progress.clone();
    progress.status = RunStatus::Running;
    progress.request_version = 1;
    let mut later = progress.clone();
    later.request_version = 2;
    let item = rows.item(&run, ItemKind::Start);
    store.commit(vec![
        Change::EventPut(event),
        Change::RunPut(Box::new(run)),
        Change::RunProgress(Box::new(progress)),
        Change::ItemPut(Box::new(item.clone())),
        Change::ItemDelete(item.id),
        Change::RunProgress(Box::new(later.clone())),
        Change::ThrottlePut(Rows::throttle(1, 1)),
        Change::ThrottleDelete(1),
        Change::ThrottlePut(Rows::throttle(1, 2)),
    ]);
    let snapshot = store.load(at(0));
    assert_eq!(snapshot.runs[0].0.progress, later);
    assert_eq!(snapshot.items, []);
    assert_eq!(snapshot.throttles, [Rows::throttle(1, 2)]);
}

fn an_empty_batch_changes_nothing(mut store: Opened) {
    store.commit(Vec::new());
    assert_eq!(store.load(at(0)), Snapshot::default());
}

fn a_probe_changes_nothing(mut store: Opened) {
    let mut rows = Rows::new();
    let (changes, expected) = rows.a_bit_of_everything();
    store.commit(changes);
    for bytes in [0, 1, 100_000, 1_000_000] {
        store.writer.probe(bytes).expect("there is room");
    }
    assert_eq!(store.load(at(100)), expected);
}

fn readers_see_whole_batches_while_they_are_written(mut store: Opened) {
    const BATCHES: usize = 60;
    let mut rows = Rows::new();
    let runs: Vec<_> = (0..BATCHES)
        .map(|_| {
            let event = rows.event("x/y");
            (rows.run(&event), event)
        })
        .collect();
    let done = AtomicBool::new(false);
    let reader = Arc::clone(&store.reader);
    std::thread::scope(|scope| {
        // More than a store has connections.
        for _ in 0..6 {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < BATCHES && !done.load(Ordering::Acquire) {
                    for (index, (run, event)) in runs.iter().enumerate().skip(seen) {
                        let state = reader.run_state(run.id).expect("reading goes on");
                        let Some(state) = state else { break };
                        assert_eq!(state.steps.len(), 2, "half a batch is visible");
                        assert_eq!(state.events.len(), 1);
                        assert_eq!(reader.runs_of_event(event.id).unwrap().len(), 1);
                        assert_eq!(reader.steps(run.id).unwrap().len(), 2);
                        seen = index + 1;
                    }
                }
            });
        }
        for (run, event) in &runs {
            store.commit(vec![
                Change::RunPut(Box::new(run.clone())),
                Rows::step(run, &StepId::of("a", 0), 0, "1"),
                Rows::step(run, &StepId::of("b", 0), 1, "2"),
                Change::EventPut(event.clone()),
            ]);
        }
        done.store(true, Ordering::Release);
    });
    let live = store.load(at(0)).runs;
    assert_eq!(live.len(), BATCHES);
    let _: Result<(), StoreError> = store.writer.probe(0);
}
