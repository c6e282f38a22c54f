//! Apps, functions, events, and what is recorded of runs: it comes back as it was.

use crate::Opened;
use crate::rows::{Rows, at, json};
use stepwell_engine::{Change, ItemId, LastCall, RunEnd, RunStatus};
use stepwell_protocol::{RunId, StepId};

pub(crate) fn apps_and_functions_are_replaced(mut store: Opened) {
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

pub(crate) fn an_event_is_written_once(mut store: Opened) {
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

pub(crate) fn events_are_read_newest_first(mut store: Opened) {
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

pub(crate) fn a_run_goes_from_queued_to_ended(mut store: Opened) {
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

pub(crate) fn steps_come_back_in_order_as_they_were(mut store: Opened) {
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

pub(crate) fn attempts_come_back_in_order(mut store: Opened) {
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
