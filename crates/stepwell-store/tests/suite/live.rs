//! What is live: written, replaced, deleted, and loaded when an engine starts.

use crate::Opened;
use crate::rows::{Rows, at};
use stepwell_engine::{BulkCancelRow, Change, ItemKind, KeyRow, RunStatus};
use stepwell_protocol::{StepId, limits};

pub(crate) fn queue_items_of_every_kind_are_replaced_and_deleted(mut store: Opened) {
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

pub(crate) fn throttles_are_replaced_and_deleted(mut store: Opened) {
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

pub(crate) fn bulk_cancellations_are_read_replaced_and_deleted(mut store: Opened) {
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

pub(crate) fn what_is_loaded_is_what_was_written(mut store: Opened) {
    let mut rows = Rows::new();
    let (changes, expected) = rows.a_bit_of_everything();
    store.commit(changes);
    assert_eq!(store.load(at(100)), expected);
    assert_eq!(store.load(at(100)), expected, "loading changes nothing");
}

pub(crate) fn ended_runs_are_not_loaded_but_what_they_still_announce_is(mut store: Opened) {
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

pub(crate) fn keys_are_remembered_for_a_day(mut store: Opened) {
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
