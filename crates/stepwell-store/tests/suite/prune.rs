//! What is forgotten when, and what never.

use super::Opened;
use super::rows::{Rows, at};
use smallvec::smallvec;
use stepwell_engine::{
    BatchEventRow, BatchRow, Change, DebounceRow, DeliveryRow, EventRow, IdSource, ItemId,
    ItemKind, ItemRow, RunEnd, RunRow, RunStatus, Timestamp, Verdict, VerdictRow,
};
use stepwell_protocol::{AppId, EventId, FunctionId, RunId, StepId, limits};
use stepwell_store::{Mark, Pruned, Slice};

const DAY: u64 = 24 * 60 * 60 * 1_000;

fn day(number: u64) -> Timestamp {
    at(number * DAY)
}

/// Makes rows of different days.
struct Days {
    rows: Rows,
    ids: IdSource,
}

impl Days {
    fn new() -> Self {
        Self {
            rows: Rows::new(),
            ids: IdSource::from_seed(2),
        }
    }

    fn event(&mut self, moment: Timestamp) -> EventRow {
        EventRow {
            id: self.ids.event_id(moment),
            received_at: moment,
            ..self.rows.event("x/y")
        }
    }

    fn run(&mut self, event: &EventRow) -> RunRow {
        let id = self.ids.run_id(event.received_at);
        let mut run = self.rows.run(event);
        run.progress.id = id;
        RunRow {
            id,
            queued_at: event.received_at,
            ..run
        }
    }

    /// An event with a run that has a step and an attempt.
    fn work(&mut self, store: &mut Opened, moment: Timestamp) -> (EventRow, RunRow) {
        let event = self.event(moment);
        let run = self.run(&event);
        store.commit(vec![
            Change::EventPut(event.clone()),
            Change::RunPut(Box::new(run.clone())),
            Rows::attempt(&run, 0, None, None),
            Rows::step(&run, &StepId::of("a", 0), 0, "1"),
        ]);
        (event, run)
    }

    fn announce(&mut self, run: &RunRow) -> ItemRow {
        self.rows.item(run, ItemKind::Announce)
    }
}

fn end(run: &RunRow, ended_at: Timestamp) -> Change {
    Change::RunEnd(RunEnd {
        id: run.id,
        status: RunStatus::Completed,
        ended_at,
        output: Some(super::rows::json("1")),
        cause: None,
        last_call: None,
    })
}

/// Everything that ended before this moment goes.
fn prune(store: &mut Opened, before: Timestamp) -> (usize, usize) {
    let pruned = slice(store, &Slice::whole(before, before));
    assert_eq!(
        pruned.next, None,
        "a slice without limits is the whole walk"
    );
    (pruned.runs, pruned.events)
}

fn slice(store: &mut Opened, slice: &Slice) -> Pruned {
    store.writer.prune(slice).expect("it is pruned")
}

fn is_there(store: &Opened, run: &RunRow) -> bool {
    store.reader.run(run.id).unwrap().is_some()
}

fn has_event(store: &Opened, event: &EventRow) -> bool {
    store.reader.event(event.id).unwrap().is_some()
}

pub(crate) fn an_old_run_goes_with_all_that_is_of_it(mut store: Opened) {
    let mut days = Days::new();
    let (old_event, old) = days.work(&mut store, day(1));
    let (event, run) = days.work(&mut store, day(2));
    store.commit(vec![end(&old, day(3)), end(&run, day(4))]);
    assert_eq!(prune(&mut store, day(3)), (0, 0), "not before its age");
    assert_eq!(prune(&mut store, day(4)), (1, 1));
    assert!(!is_there(&store, &old) && !has_event(&store, &old_event));
    let reader = &store.reader;
    assert!(reader.steps(old.id).unwrap().is_empty());
    assert!(reader.attempts(old.id).unwrap().is_empty());
    assert!(reader.runs_of_event(old_event.id).unwrap().is_empty());
    assert!(reader.run_state(old.id).unwrap().is_none());

    assert!(is_there(&store, &run) && has_event(&store, &event));
    assert_eq!(reader.steps(run.id).unwrap().len(), 1);
    assert_eq!(reader.attempts(run.id).unwrap().len(), 1);
    assert_eq!(reader.runs_of_event(event.id).unwrap().len(), 1);
    assert_eq!(prune(&mut store, day(4)), (0, 0), "nothing goes twice");
}

pub(crate) fn an_event_that_started_nothing_goes_by_its_own_age(mut store: Opened) {
    let mut days = Days::new();
    let (old, young) = (days.event(day(1)), days.event(day(2)));
    // Its sender chose an id of long ago.
    let backdated = EventRow {
        received_at: day(2),
        ..days.event(day(0))
    };
    store.commit(
        [&old, &young, &backdated]
            .map(|event| Change::EventPut(event.clone()))
            .into(),
    );
    assert_eq!(prune(&mut store, day(2)), (0, 1));
    assert!(!has_event(&store, &old));
    assert!(has_event(&store, &young) && has_event(&store, &backdated));
    assert_eq!(prune(&mut store, day(3)), (0, 2));
}

pub(crate) fn what_is_unfinished_stays_and_its_events(mut store: Opened) {
    let mut days = Days::new();
    let (shared, sleeping) = days.work(&mut store, day(0));
    let ended = days.run(&shared);
    let other = days.event(day(0));
    let both = RunRow {
        events: smallvec![shared.id, other.id],
        ..days.run(&shared)
    };
    let sleep = days
        .rows
        .item(&sleeping, ItemKind::Sleep(StepId::of("nap", 0)));
    store.commit(vec![
        Change::EventPut(other.clone()),
        Change::RunPut(Box::new(ended.clone())),
        Change::RunPut(Box::new(both.clone())),
        Change::ItemPut(Box::new(sleep.clone())),
        end(&ended, day(1)),
        end(&both, day(1)),
    ]);
    let before = store.load(day(400));
    assert_eq!(prune(&mut store, day(400)), (2, 1));
    assert!(!is_there(&store, &ended) && !is_there(&store, &both) && !has_event(&store, &other));
    assert_eq!(store.load(day(400)), before);
    assert_eq!(store.reader.steps(sleeping.id).unwrap().len(), 1);
    assert_eq!(store.reader.attempts(sleeping.id).unwrap().len(), 1);
    let state = store.reader.run_state(sleeping.id).unwrap();
    let state = state.expect("it is there");
    assert_eq!((state.events.len(), state.steps.len()), (1, 1));

    // Its event goes with the last run.
    store.commit(vec![Change::ItemDelete(sleep.id), end(&sleeping, day(400))]);
    assert_eq!(prune(&mut store, day(401)), (1, 1));
    assert!(!has_event(&store, &shared));
}

pub(crate) fn an_ended_run_with_work_left_stays_until_that_is_done(mut store: Opened) {
    let mut days = Days::new();
    let (event, run) = days.work(&mut store, day(0));
    let announce = days.announce(&run);
    store.commit(vec![
        end(&run, day(0)),
        Change::ItemPut(Box::new(announce.clone())),
    ]);
    assert_eq!(prune(&mut store, day(9)), (0, 0));
    assert!(is_there(&store, &run) && has_event(&store, &event));
    assert_eq!(store.load(day(9)).ended, [(run.id, RunStatus::Completed)]);
    store.commit(vec![Change::ItemDelete(announce.id)]);
    assert_eq!(prune(&mut store, day(9)), (1, 1));
}

pub(crate) fn a_key_is_remembered_for_a_day_though_its_run_is_gone(mut store: Opened) {
    let mut days = Days::new();
    let moment = day(5);
    let runs: Vec<RunRow> = [Some(7), Some(u128::MAX), None]
        .into_iter()
        .map(|dedupe_key| {
            let event = days.event(moment);
            let run = RunRow {
                dedupe_key,
                ..days.run(&event)
            };
            store.commit(vec![
                Change::EventPut(event),
                Change::RunPut(Box::new(run.clone())),
                end(&run, moment),
            ]);
            run
        })
        .collect();
    let now = moment.after_ms(1);
    let whole = Slice::whole(now, now);
    assert_eq!(slice(&mut store, &whole).runs, 3);
    assert!(runs.iter().all(|run| !is_there(&store, run)));
    let both = [(7, None, moment), (u128::MAX, None, moment)];
    let last = moment.after_ms(limits::IDEMPOTENCY_MS - 1);
    for _ in 0..2 {
        assert_eq!(store.load(now).recent_keys, both);
        assert_eq!(store.load(last).recent_keys, both);
        assert_eq!(store.load(last.after_ms(1)).recent_keys, []);
        // Later slices do not lose them.
        slice(&mut store, &Slice { now: last, ..whole });
    }
    // Afterwards nobody needs them: they do not come back, whatever the clock says.
    slice(
        &mut store,
        &Slice {
            now: last.after_ms(1),
            ..whole
        },
    );
    assert_eq!(store.load(now).recent_keys, []);
}

pub(crate) fn pruning_changes_nothing_that_is_loaded(mut store: Opened) {
    let (changes, expected) = Rows::new().a_bit_of_everything();
    store.commit(changes);
    slice(
        &mut store,
        &Slice::whole(Timestamp::from_ms(u64::MAX), at(100)),
    );
    assert_eq!(store.load(at(100)), expected);
}

pub(crate) fn a_walk_in_small_slices_gets_everywhere_once(mut store: Opened) {
    const RUNS: usize = 150;
    for rows_max in [0, 1, 7, 100, 10_000] {
        let mut days = Days::new();
        let (mut kept, mut changes) = (Vec::new(), Vec::new());
        for number in 0..RUNS {
            let moment = day(1).after_ms(number as u64);
            let (event, unused) = (days.event(moment), days.event(moment));
            let run = days.run(&event);
            changes.push(Change::EventPut(event));
            changes.push(Change::EventPut(unused));
            changes.push(Change::RunPut(Box::new(run.clone())));
            if number % 3 == 0 {
                kept.push(run.id);
            } else {
                changes.push(Rows::step(&run, &StepId::of("a", 0), 0, "1"));
                changes.push(end(&run, day(2)));
            }
        }
        store.commit(changes);
        let mut next = Slice {
            rows_max,
            ..Slice::whole(day(3), day(3))
        };
        let (mut slices, mut runs, mut events) = (0, 0, 0);
        loop {
            let pruned = slice(&mut store, &next);
            slices += 1;
            (runs, events) = (runs + pruned.runs, events + pruned.events);
            // What one looked at may take a few rows more with it.
            assert!(pruned.runs + pruned.events <= rows_max + 2, "{pruned:?}");
            if pruned.next.is_none() {
                break;
            }
            assert!(pruned.next >= next.after, "back from {:?}", next.after);
            next.after = pruned.next;
            assert!(slices < 10 * RUNS, "it does not end");
        }
        let old = RUNS - kept.len();
        assert_eq!((runs, events), (old, old + RUNS), "{rows_max} rows at once");
        let left: Vec<RunId> = store.load(day(3)).runs.iter().map(|run| run.0.id).collect();
        assert_eq!(left, kept);
        assert_eq!(store.event_names().len(), kept.len());

        let rest = store.load(day(3)).runs;
        store.commit(rest.iter().map(|run| end(&run.0, day(2))).collect());
        prune(&mut store, day(3));
    }
}

pub(crate) fn a_walk_does_not_look_back(mut store: Opened) {
    let mut days = Days::new();
    let (_, first) = days.work(&mut store, day(1));
    let (_, second) = days.work(&mut store, day(2));
    store.commit(vec![end(&first, day(3)), end(&second, day(3))]);
    let from_second = Slice {
        after: Some(Mark::from(first.id)),
        ..Slice::whole(day(4), day(4))
    };
    assert_eq!(slice(&mut store, &from_second).runs, 1);
    assert!(is_there(&store, &first) && !is_there(&store, &second));
    assert_eq!(prune(&mut store, day(4)), (1, 1));
}

pub(crate) fn a_run_larger_than_a_slice_goes_all_the_same(mut store: Opened) {
    let mut days = Days::new();
    let (event, large) = days.work(&mut store, day(1));
    let value = format!("\"{}\"", "x".repeat(10_000));
    let steps = (1..30).map(|position| {
        let step = StepId::of("large", position);
        Rows::step(&large, &step, position, &value)
    });
    store.commit(steps.chain([end(&large, day(1))]).collect());
    let (_, next_run) = days.work(&mut store, day(2));
    store.commit(vec![end(&next_run, day(2))]);
    let mut next = Slice {
        bytes_max: 25_000,
        ..Slice::whole(day(3), day(3))
    };
    let mut runs = 0;
    while let Some(mark) = {
        let pruned = slice(&mut store, &next);
        runs += pruned.runs;
        pruned.next
    } {
        next.after = Some(mark);
        assert!(runs < 3);
    }
    assert_eq!(runs, 2);
    assert!(store.reader.steps(large.id).unwrap().is_empty());
    assert!(!has_event(&store, &event));
}

pub(crate) fn a_walk_ends_where_it_is_told_to(mut store: Opened) {
    let mut days = Days::new();
    let runs: Vec<RunRow> = (1..=3)
        .map(|number| {
            let (_, run) = days.work(&mut store, day(number));
            store.commit(vec![end(&run, day(number))]);
            run
        })
        .collect();
    let to_second = Slice {
        until: Some(Mark::from(runs[1].id)),
        ..Slice::whole(day(9), day(9))
    };
    let pruned = slice(&mut store, &to_second);
    assert_eq!((pruned.runs, pruned.next, pruned.torn), (2, None, None));
    let left = runs
        .iter()
        .map(|run| store.reader.run(run.id).unwrap().is_some());
    assert_eq!(left.collect::<Vec<_>>(), [false, false, true]);
}

pub(crate) fn events_that_wait_to_start_a_run_stay(mut store: Opened) {
    let mut rows = Rows::new();
    let events: Vec<EventRow> = (0..4).map(|_| rows.event("x/y")).collect();
    let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
    let function = FunctionId::of(AppId::of("app"), "f");
    let moment = events[0].received_at;
    let batch = BatchRow {
        id: ItemId(1),
        key: 1,
        function,
        closes_at: moment,
        keys: None,
    };
    let window = |event| {
        Change::DebouncePut(Box::new(DebounceRow {
            key: 2,
            function,
            event,
            opened_at: moment,
            closes_at: moment,
            ts_ms: 0,
            draft: "{}".to_owned(),
        }))
    };
    let delivery = DeliveryRow {
        id: ItemId(2),
        event: ids[2],
    };
    store.commit(events.into_iter().map(Change::EventPut).collect());
    store.commit(vec![
        Change::BatchPut(Box::new(batch)),
        Change::BatchEventPut(Box::new(BatchEventRow {
            batch: ItemId(1),
            position: 0,
            event: ids[0],
            bytes: 1,
            reply_to: None,
        })),
        // The window's event was another one at first.
        window(ids[3]),
        window(ids[1]),
        Change::DeliveryPut(delivery),
        Change::VerdictPut(Box::new(VerdictRow {
            event: ids[3],
            function,
            verdict: Verdict::BatchKeyInvalid,
        })),
    ]);
    let much_later = moment.after_ms(1_000_000_000);
    assert_eq!(prune(&mut store, much_later), (0, 1));
    assert!(
        store
            .reader
            .verdicts(ids[3])
            .expect("it is read")
            .is_empty()
    );
    store.commit(vec![
        Change::BatchDelete(ItemId(1)),
        Change::DebounceDelete(2),
        Change::DeliveryDelete(ItemId(2)),
    ]);
    assert_eq!(prune(&mut store, much_later), (0, 3));
}
