//! Lists of runs and of events.

use crate::Opened;
use crate::rows::{Rows, at, json};
use stepwell_engine::{Change, EventRow, RunEnd, RunProgress, RunStatus, Timestamp};
use stepwell_protocol::{AppId, FunctionId, RunId};
use stepwell_store::{EventFilter, EventQuery, RunFilter, RunPlace, RunQuery, RunTime};

fn function(name: &str) -> FunctionId {
    FunctionId::of(AppId::of("app"), name)
}

/// Twelve runs, oldest first. The n-th was queued at n s, started at 100 s less n, and ended at 200 s plus n modulo 4.
fn twelve(store: &mut Opened) -> Vec<RunId> {
    use RunStatus::{Cancelled, Completed, Failed, Running, Scheduled, Skipped};
    let statuses = [
        Completed, Running, Failed, Completed, Scheduled, Cancelled, Failed, Running, Completed,
        Skipped, Scheduled, Completed,
    ];
    let mut rows = Rows::new();
    let mut ids = Vec::new();
    for (n, status) in (0..).zip(statuses) {
        let name = if n == 3 || n == 4 {
            "inngest/deferred.schedule"
        } else {
            "x/y"
        };
        let event = rows.event_at(name, at(n * 1_000));
        let mut run = rows.run_at(&event, at(n * 1_000));
        run.function = function(["a", "b", "c"][n as usize % 3]);
        ids.push(run.id);
        let id = run.id;
        store.commit(vec![Change::EventPut(event), Change::RunPut(Box::new(run))]);
        if !matches!(status, Scheduled | Skipped) {
            store.commit(vec![Change::RunProgress(Box::new(RunProgress {
                id,
                status: Running,
                started_at: Some(at(100_000 - n * 1_000)),
                request_version: 2,
                force_plan: false,
                pending: Vec::new(),
            }))]);
        }
        if status.has_ended() {
            store.commit(vec![Change::RunEnd(RunEnd {
                id,
                status,
                ended_at: at(200_000 + n % 4 * 1_000),
                output: Some(json(&format!("\"{n:0>100}\""))),
                cause: None,
                last_call: None,
            })]);
        }
    }
    ids
}

/// The places of the runs that a query finds; the same in pages of every size, and however few rows a page looks at.
#[track_caller]
fn found(store: &Opened, ids: &[RunId], query: &RunQuery) -> Vec<usize> {
    let place = |id: RunId| ids.iter().position(|known| *known == id).expect("known");
    let whole = store.reader.find_runs(query).expect("runs are listed");
    assert_eq!(whole.next, None);
    let whole: Vec<usize> = whole.runs.iter().map(|run| place(run.id)).collect();
    for (limit, rows_max) in [(1, usize::MAX), (5, usize::MAX), (usize::MAX, 1), (2, 3)] {
        let mut query = RunQuery {
            limit,
            rows_max,
            ..query.clone()
        };
        let mut pages = Vec::new();
        loop {
            let page = store.reader.find_runs(&query).expect("runs are listed");
            assert!(page.runs.len() <= limit.min(rows_max));
            pages.extend(page.runs.iter().map(|run| place(run.id)));
            let Some(next) = page.next else {
                break;
            };
            // As a client gives it back.
            query.after = Some(next.to_string().parse::<RunPlace>().expect("it reads back"));
        }
        assert_eq!(pages, whole, "pages of {limit} runs, {rows_max} rows");
    }
    let counted = store.reader.count_runs(&query.filter, usize::MAX);
    let counted = counted.expect("runs are counted");
    if query.order == query.filter.time {
        assert_eq!(counted, whole.len());
    }
    whole
}

pub(crate) fn runs_are_listed_by_function_status_and_time(mut store: Opened) {
    let ids = twelve(&mut store);
    let all = RunQuery::newest(usize::MAX);
    let of = |filter: RunFilter| RunQuery {
        filter,
        ..all.clone()
    };
    let list = |query: &RunQuery| found(&store, &ids, query);
    assert_eq!(list(&all), (0..12).rev().collect::<Vec<_>>());
    let oldest = RunQuery {
        oldest_first: true,
        ..all.clone()
    };
    assert_eq!(list(&oldest), (0..12).collect::<Vec<_>>());

    let functions = |names: &[&str]| Some(names.iter().map(|name| function(name)).collect());
    let mut filter = RunFilter {
        functions: functions(&["a", "c"]),
        ..RunFilter::default()
    };
    assert_eq!(list(&of(filter.clone())), [11, 9, 8, 6, 5, 3, 2, 0]);
    filter.statuses = vec![RunStatus::Failed, RunStatus::Completed];
    assert_eq!(list(&of(filter.clone())), [11, 8, 6, 3, 2, 0]);
    filter.statuses = vec![RunStatus::Failed, RunStatus::Scheduled, RunStatus::Skipped];
    assert_eq!(list(&of(filter.clone())), [9, 6, 2]);
    filter.functions = functions(&[]);
    assert_eq!(list(&of(filter)), Vec::<usize>::new());

    let statuses = |statuses: &[RunStatus]| {
        of(RunFilter {
            statuses: statuses.to_vec(),
            ..RunFilter::default()
        })
    };
    assert_eq!(list(&statuses(&[RunStatus::Running])), [7, 1]);
    let unusual = [
        RunStatus::Failed,
        RunStatus::Cancelled,
        RunStatus::Scheduled,
    ];
    assert_eq!(list(&statuses(&unusual)), [10, 6, 5, 4, 2]);

    let deferred = |deferred| {
        of(RunFilter {
            deferred: Some(deferred),
            statuses: vec![RunStatus::Completed, RunStatus::Scheduled],
            ..RunFilter::default()
        })
    };
    assert_eq!(list(&deferred(true)), [4, 3]);
    assert_eq!(list(&deferred(false)), [11, 10, 8, 0]);
}

pub(crate) fn runs_are_listed_by_when_they_started_and_ended(mut store: Opened) {
    let ids = twelve(&mut store);
    let between = |time, from: u64, until: u64, order| RunQuery {
        filter: RunFilter {
            time,
            from: Some(at(from * 1_000)),
            until: Some(at(until * 1_000)),
            ..RunFilter::default()
        },
        order,
        ..RunQuery::newest(usize::MAX)
    };
    let list = |query: &RunQuery| found(&store, &ids, query);
    use RunTime::{Ended, Queued, Started};
    assert_eq!(list(&between(Queued, 3, 6, Queued)), [5, 4, 3]);
    assert_eq!(list(&between(Started, 93, 96, Started)), [5, 6, 7]);
    assert_eq!(list(&between(Ended, 201, 203, Ended)), [6, 2, 9, 5]);
    assert_eq!(list(&between(Queued, 3, 8, Started)), [3, 5, 6, 7]);
    assert_eq!(list(&between(Ended, 200, 201, Queued)), [8, 0]);
    let oldest = RunQuery {
        oldest_first: true,
        ..between(Ended, 201, 203, Ended)
    };
    assert_eq!(list(&oldest), [5, 9, 2, 6]);
}

pub(crate) fn runs_are_counted_alike_whatever_the_moment(mut store: Opened) {
    twelve(&mut store);
    let count = |time, bounds: Option<(u64, u64)>, rows_max| {
        let moment = |s: u64| at(s * 1_000);
        let filter = RunFilter {
            time,
            from: bounds.map(|(from, _)| moment(from)),
            until: bounds.map(|(_, until)| moment(until)),
            ..RunFilter::default()
        };
        let counted = store.reader.count_runs(&filter, rows_max);
        counted.expect("runs are counted")
    };
    use RunTime::{Ended, Queued, Started};
    // Without bounds those count as well that have not come so far.
    for time in [Queued, Started, Ended] {
        assert_eq!(count(time, None, usize::MAX), 12, "{time:?}");
        assert_eq!(count(time, None, 5), 5, "{time:?}");
    }
    assert_eq!(count(Started, Some((93, 96)), usize::MAX), 3);
    assert_eq!(count(Ended, Some((201, 203)), usize::MAX), 4);
    // Rows out of the bounds are not walked.
    assert_eq!(count(Started, Some((93, 96)), 3), 3);
    assert_eq!(count(Ended, Some((201, 203)), 2), 2);
}

pub(crate) fn outputs_are_left_out_of_lists_or_bounded(mut store: Opened) {
    twelve(&mut store);
    let mut query = RunQuery::newest(usize::MAX);
    let page = store.reader.find_runs(&query).unwrap();
    assert!(page.runs.iter().all(|run| run.output.is_none()));
    query.output_bytes_max = Some(250);
    let page = store.reader.find_runs(&query).unwrap();
    let outputs = page.runs.iter().filter(|run| run.output.is_some());
    assert_eq!(outputs.count(), 2, "each is of 102 bytes");
    assert!(page.next.is_some());
    query.output_bytes_max = Some(1);
    query.after = page.next;
    let page = store.reader.find_runs(&query).unwrap();
    let outputs = page.runs.iter().filter(|run| run.output.is_some());
    assert_eq!(outputs.count(), 1, "a page has one run at least");
}

pub(crate) fn events_are_listed_by_name_and_time(mut store: Opened) {
    let mut rows = Rows::new();
    let events: Vec<_> = (0..9)
        .map(|n| {
            let name = ["x/a", "inngest/function.finished", "x/b"][n as usize % 3];
            rows.event_at(name, at(n * 1_000))
        })
        .collect();
    store.commit(events.iter().cloned().map(Change::EventPut).collect());
    let list = |filter: EventFilter| {
        let mut lists = Vec::new();
        for (limit, rows_max) in [(100, 100), (1, 100), (100, 1), (2, 2)] {
            let mut query = EventQuery {
                filter: filter.clone(),
                after: None,
                limit,
                rows_max,
                bytes_max: 1 << 20,
            };
            let mut found = Vec::new();
            loop {
                let page = store.reader.find_events(&query).expect("events are listed");
                let place = |id| events.iter().position(|event| event.id == id);
                found.extend(page.events.iter().filter_map(|event| place(event.id)));
                if page.next.is_none() {
                    break;
                }
                query.after = page.next;
            }
            lists.push(found);
        }
        let counted = store.reader.count_events(&filter, 100);
        assert_eq!(counted.expect("events are counted"), lists[0].len());
        assert!(lists.iter().all(|list| *list == lists[0]), "{lists:?}");
        lists.remove(0)
    };
    let filter = EventFilter::default();
    assert_eq!(list(filter.clone()), [8, 7, 6, 5, 4, 3, 2, 1, 0]);
    let users = EventFilter {
        no_internal: true,
        ..filter.clone()
    };
    assert_eq!(list(users), [8, 6, 5, 3, 2, 0]);
    let named = |names: &[&str]| EventFilter {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..filter.clone()
    };
    assert_eq!(list(named(&["x/a"])), [6, 3, 0]);
    assert_eq!(list(named(&["x/a", "x/b", "x/c"])), [8, 6, 5, 3, 2, 0]);
    let mut timed = named(&["x/a", "x/b"]);
    timed.from = Some(at(3_000));
    timed.until = Some(at(8_000));
    assert_eq!(list(timed), [6, 5, 3]);

    let bytes_max = events[8].body.get().len() + 1;
    let query = EventQuery {
        filter,
        after: None,
        limit: 100,
        rows_max: 100,
        bytes_max,
    };
    let page = store.reader.find_events(&query).unwrap();
    assert_eq!((page.events.len(), page.next), (1, Some(events[8].id)));
    let names =
        store
            .reader
            .event_names(&[events[2].id, Rows::new().event("other").id, events[0].id]);
    let names = names.expect("names are read");
    assert_eq!(names[0].as_deref(), Some("x/b"));
    assert_eq!(names[2].as_deref(), Some("x/a"));
}

pub(crate) fn the_past_is_read_by_arrival_however_old_the_id_is(mut store: Opened) {
    const HOUR: u64 = 60 * 60 * 1_000;
    let mut rows = Rows::new();
    // When the id was made and when the event came, in hours.
    let times = [
        (1, 30),
        (2, 2),
        (3, 40),
        (9, 11),
        (26, 26),
        (30, 30),
        (31, 33),
    ];
    let events: Vec<_> = times
        .into_iter()
        .map(|(made, came)| EventRow {
            received_at: at(came * HOUR),
            ..rows.event_at("x/a", at(made * HOUR))
        })
        .collect();
    let other = EventRow {
        received_at: at(30 * HOUR),
        ..rows.event_at("x/b", at(HOUR))
    };
    store.commit(events.iter().cloned().map(Change::EventPut).collect());
    store.commit(vec![Change::EventPut(other)]);
    let since = |hours: u64, limit: usize| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store
                .reader
                .events_since("x/a", at(hours * HOUR), after, limit);
            let page = page.expect("the past is read");
            assert!(page.len() <= limit);
            let Some(last) = page.last() else {
                return found;
            };
            after = Some(last.id);
            let place = |id| events.iter().position(|event| event.id == id);
            found.extend(page.iter().filter_map(|event| place(event.id)));
        }
    };
    for limit in [1, 2, 100] {
        assert_eq!(since(0, limit), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(since(11, limit), [0, 2, 3, 4, 5, 6]);
        assert_eq!(since(30, limit), [0, 2, 5, 6]);
        assert_eq!(since(41, limit), [] as [usize; 0]);
    }
}

pub(crate) fn apps_are_listed_by_name(mut store: Opened) {
    let rows = Rows::new();
    let (b, a) = (rows.app("b"), rows.app("a"));
    store.commit(vec![Change::AppPut(b), Change::AppPut(a.clone())]);
    let apps = store.reader.apps().expect("apps are read");
    let names: Vec<&str> = apps.iter().map(|app| &*app.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(
        (&apps[0].url, &apps[0].sdk, apps[0].synced_at),
        (&a.url, &a.sdk, a.synced_at)
    );
    assert_eq!(apps[0].synced_at, Timestamp::from_ms(at(1).ms()));
}
