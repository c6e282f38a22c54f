//! What only a store in memory does: forgetting what is old.

#[path = "suite/rows.rs"]
#[expect(dead_code, reason = "the suite writes rows of more kinds")]
mod rows;

use rows::{Rows, at};
use stepwell_engine::{Change, EventRow, ItemKind, ItemRow, RunRow, RunStatus};
use stepwell_store::{Store, memory};

/// Ended runs that are kept.
const ENDED_RUNS: usize = 10_000;
/// Events that are kept besides those of kept runs.
const EVENTS: usize = 100_000;

/// A run with an event of its own.
fn start(store: &mut Store, rows: &mut Rows) -> (EventRow, RunRow) {
    let event = rows.event("x/y");
    let run = rows.run(&event);
    commit(
        store,
        &[
            Change::EventPut(event.clone()),
            Change::RunPut(Box::new(run.clone())),
        ],
    );
    (event, run)
}

fn commit(store: &mut Store, changes: &[Change]) {
    store.writer.commit(changes).expect("the batch is written");
}

fn end(run: &RunRow) -> Change {
    Rows::end(run, RunStatus::Completed, Some("1"))
}

/// Starts and ends as many runs, all of one event, in one batch.
fn end_others(store: &mut Store, rows: &mut Rows, count: usize) {
    let event = rows.event("others");
    let mut changes = vec![Change::EventPut(event.clone())];
    for _ in 0..count {
        let run = rows.run(&event);
        changes.push(Change::RunPut(Box::new(run.clone())));
        changes.push(end(&run));
    }
    commit(store, &changes);
}

fn put_events(store: &mut Store, rows: &mut Rows, count: usize) {
    let changes: Vec<_> = (0..count)
        .map(|_| Change::EventPut(rows.event("nobody's")))
        .collect();
    commit(store, &changes);
}

fn kept(store: &Store, run: &RunRow) -> bool {
    store.reader.run(run.id).expect("it is read").is_some()
}

fn event_kept(store: &Store, event: &EventRow) -> bool {
    store.reader.event(event.id).expect("it is read").is_some()
}

fn events_kept(store: &Store) -> usize {
    let events = store.reader.events(None, None, usize::MAX);
    events.expect("they are read").len()
}

#[test]
fn ended_runs_that_still_have_work_do_not_keep_others() {
    let (mut store, mut rows) = (memory::open(), Rows::new());
    let runs: Vec<_> = (0..4).map(|_| start(&mut store, &mut rows).1).collect();
    let [announcing, moved, plain, last] = &runs[..] else {
        unreachable!("four were started");
    };
    let announce = rows.item(announcing, ItemKind::Announce);
    let mut passed_on = rows.item(announcing, ItemKind::Announce);
    let mut changes: Vec<_> = runs.iter().map(end).collect();
    changes.push(Change::ItemPut(Box::new(announce.clone())));
    changes.push(Change::ItemPut(Box::new(passed_on.clone())));
    // The same item again, late, and of another run.
    for run in [announcing.id, moved.id] {
        passed_on = ItemRow {
            run,
            due: at(99),
            ..passed_on
        };
        changes.push(Change::ItemPut(Box::new(passed_on.clone())));
    }
    commit(&mut store, &changes);

    end_others(&mut store, &mut rows, ENDED_RUNS - 1);
    let kept_now = |store: &Store| [announcing, moved, plain, last].map(|run| kept(store, run));
    assert_eq!(kept_now(&store), [true, true, false, true]);
    end_others(&mut store, &mut rows, ENDED_RUNS);
    assert_eq!(kept_now(&store), [true, true, false, false]);

    // They count as ended when their last item goes.
    commit(&mut store, &[Change::ItemDelete(announce.id)]);
    end_others(&mut store, &mut rows, ENDED_RUNS - 1);
    assert_eq!(kept_now(&store), [true, true, false, false]);
    end_others(&mut store, &mut rows, 1);
    assert_eq!(kept_now(&store), [false, true, false, false]);
    commit(&mut store, &[Change::ItemDelete(passed_on.id)]);
    end_others(&mut store, &mut rows, ENDED_RUNS);
    assert_eq!(kept_now(&store), [false, false, false, false]);
}

#[test]
fn a_run_that_sleeps_for_long_does_not_keep_events_of_others() {
    let (mut store, mut rows) = (memory::open(), Rows::new());
    let (event, sleeping) = start(&mut store, &mut rows);
    let (ended_event, ended) = start(&mut store, &mut rows);
    commit(&mut store, &[end(&ended)]);
    for _ in 0..3 {
        put_events(&mut store, &mut rows, EVENTS / 2);
    }
    assert!(event_kept(&store, &event) && event_kept(&store, &ended_event));
    assert_eq!(events_kept(&store), EVENTS + 2);

    // When the last run of an event goes, it is the oldest that nobody needs.
    end_others(&mut store, &mut rows, ENDED_RUNS);
    assert!(!kept(&store, &ended));
    assert!(!event_kept(&store, &ended_event));
    assert!(kept(&store, &sleeping) && event_kept(&store, &event));
    let state = store.reader.run_state(sleeping.id).expect("it is read");
    assert_eq!(state.expect("it is there").events.len(), 1);
    assert_eq!(events_kept(&store), EVENTS + 2);
}
