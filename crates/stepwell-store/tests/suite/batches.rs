//! Batches: whole or not at all, in order, and never half visible.

use crate::Opened;
use crate::rows::{Rows, at};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stepwell_engine::{Change, ItemKind, RunStatus, Snapshot};
use stepwell_protocol::StepId;
use stepwell_store::StoreError;

pub(crate) fn a_batch_is_all_or_nothing(mut store: Opened) {
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

pub(crate) fn a_batch_that_failed_may_be_written_again_without_what_failed(mut store: Opened) {
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

pub(crate) fn changes_of_a_batch_are_applied_in_order(mut store: Opened) {
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

pub(crate) fn an_empty_batch_changes_nothing(mut store: Opened) {
    store.commit(Vec::new());
    assert_eq!(store.load(at(0)), Snapshot::default());
}

pub(crate) fn a_probe_changes_nothing(mut store: Opened) {
    let mut rows = Rows::new();
    let (changes, expected) = rows.a_bit_of_everything();
    store.commit(changes);
    for bytes in [0, 1, 100_000, 1_000_000] {
        store.writer.probe(bytes).expect("there is room");
    }
    assert_eq!(store.load(at(100)), expected);
}

pub(crate) fn readers_see_whole_batches_while_they_are_written(mut store: Opened) {
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
