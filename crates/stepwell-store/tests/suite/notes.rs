//! What is noted of runs: merged, bounded, told in the tree of spans.

use crate::rows::{Rows, at};
use crate::{Opened, Snapshot};
use serde_json::{Map, Value, json};
use stepwell_engine::{Change, MetadataRow, RunRow, RunStatus, UserSpansRow};
use stepwell_protocol::metadata::{Op, Target, Update};
use stepwell_protocol::otlp::UserSpan;
use stepwell_protocol::{StepId, limits};
use stepwell_store::Slice;
use stepwell_store::history::{self, Span};

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(values) => values,
        other => panic!("{other} is no object"),
    }
}

fn noted(run: &RunRow, target: Target, kind: &str, op: Op, values: Value) -> Change {
    Change::MetadataPut(Box::new(MetadataRow {
        run: run.id,
        target,
        update: Update {
            kind: kind.to_owned(),
            op,
            values: object(values),
        },
        at: at(5),
    }))
}

fn user_span(id: &str, parent: Option<&str>, name: &str, ms: u64) -> UserSpan {
    UserSpan {
        id: id.to_owned(),
        parent: parent.map(str::to_owned),
        name: name.to_owned(),
        kind: "INTERNAL".to_owned(),
        started_ms: at(ms).ms(),
        ended_ms: at(ms + 1).ms(),
        failed: name.contains("fails"),
        scope: None,
        scope_version: None,
        attributes: Map::new(),
        resource: Map::new(),
        step: None,
        attempt: None,
        is_top: false,
    }
}

fn made(run: &RunRow, spans: Vec<UserSpan>) -> Change {
    let run = run.id;
    Change::UserSpansPut(Box::new(UserSpansRow { run, spans }))
}

fn start(store: &mut Opened, rows: &mut Rows) -> RunRow {
    let event = rows.event("x/y");
    let run = rows.run(&event);
    store.commit(vec![
        Change::EventPut(event),
        Change::RunPut(Box::new(run.clone())),
    ]);
    run
}

/// What is noted of a run: scope, kind, values.
fn metadata(store: &Opened, run: &RunRow) -> Vec<(&'static str, String, Value)> {
    let found = store.reader.metadata(run.id).expect("it is read");
    let mut found: Vec<_> = found
        .into_iter()
        .map(|one| (one.target.scope(), one.kind, Value::Object(one.values)))
        .collect();
    found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    found
}

/// A tree as its names, what is noted, and whether the app made it.
fn told(span: &Span) -> Value {
    let kinds = span.metadata.iter().map(|one| one.kind.clone());
    json!([
        span.name,
        kinds.collect::<Vec<_>>(),
        span.userland.is_some(),
        span.children.iter().map(told).collect::<Vec<_>>(),
    ])
}

fn trace(store: &Opened, run: &RunRow) -> Value {
    let trace = history::trace(&*store.reader, run.id, &[]).expect("it is read");
    told(&trace.expect("it is there").root)
}

pub(crate) fn what_is_noted_is_merged_by_kind_and_target(mut store: Opened) {
    let mut rows = Rows::new();
    let (run, other) = (start(&mut store, &mut rows), start(&mut store, &mut rows));
    let step = StepId::of("charge", 0);
    let of_step = || Target::Step(step.clone());
    store.commit(vec![
        noted(&run, Target::Run, "k", Op::Merge, json!({"a": 1, "ü": "x"})),
        noted(&run, Target::Run, "k", Op::Merge, json!({"a": 2})),
        noted(&run, of_step(), "k", Op::Add, json!({"n": 1})),
        noted(
            &run,
            Target::Attempt(step.clone(), 1),
            "k",
            Op::Set,
            json!({"n": 9}),
        ),
        noted(&run, Target::Run, "gone", Op::Set, json!({"a": 1})),
        noted(&other, Target::Run, "k", Op::Set, json!({"other": true})),
    ]);
    store.commit(vec![
        noted(&run, of_step(), "k", Op::Add, json!({"n": 4})),
        noted(&run, Target::Run, "gone", Op::Delete, json!({"a": null})),
    ]);
    let expected = [
        ("run", "k".to_owned(), json!({"a": 2, "ü": "x"})),
        ("step", "k".to_owned(), json!({"n": 5})),
        ("step_attempt", "k".to_owned(), json!({"n": 9})),
    ];
    assert_eq!(metadata(&store, &run), expected);
    assert_eq!(metadata(&store, &other).len(), 1);
}

pub(crate) fn what_is_noted_of_a_run_that_is_not_there_is_dropped(mut store: Opened) {
    let mut rows = Rows::new();
    let event = rows.event("x/y");
    let run = rows.run(&event);
    store.commit(vec![
        noted(&run, Target::Run, "k", Op::Set, json!({"a": 1})),
        made(&run, vec![user_span("a", None, "query", 1)]),
    ]);
    store.commit(vec![
        Change::EventPut(event),
        Change::RunPut(Box::new(run.clone())),
    ]);
    assert!(metadata(&store, &run).is_empty());
    assert_eq!(trace(&store, &run)[3], json!([]));
}

pub(crate) fn what_is_noted_of_a_run_is_bounded(mut store: Opened) {
    let mut rows = Rows::new();
    let run = start(&mut store, &mut rows);
    let large = "x".repeat(60_000);
    let put = |kind: String, values| noted(&run, Target::Run, &kind, Op::Set, values);
    for number in 0..20 {
        store.commit(vec![put(format!("k{number}"), json!({"a": large}))]);
    }
    let bytes = metadata(&store, &run)
        .iter()
        .map(|(_, _, values)| values.to_string().len())
        .sum::<usize>();
    assert!(bytes <= limits::METADATA_PER_RUN_BYTES_MAX);
    assert!(
        bytes > limits::METADATA_PER_RUN_BYTES_MAX - 70_000,
        "{bytes}"
    );
    // What is there may still become smaller, and then there is room again.
    store.commit(vec![
        put("k0".to_owned(), json!({"a": 1})),
        put("new".to_owned(), json!({"a": "x".repeat(50_000)})),
    ]);
    let kinds: Vec<String> = metadata(&store, &run)
        .into_iter()
        .map(|one| one.1)
        .collect();
    assert!(kinds.contains(&"new".to_owned()));
    let grown = json!({"b": "x".repeat(10_000)});
    store.commit(vec![noted(&run, Target::Run, "k1", Op::Merge, grown)]);
    let k1 = metadata(&store, &run).into_iter().find(|one| one.1 == "k1");
    assert_eq!(
        k1.map(|one| one.2),
        Some(json!({"a": large})),
        "64 KiB each"
    );
    let many = (0..limits::USER_SPANS_PER_RUN_MAX + 10)
        .map(|number| user_span(&format!("{number:016x}"), None, "query", 1));
    store.commit(vec![made(&run, many.collect())]);
    let spans = trace(&store, &run)[3].as_array().map(Vec::len);
    assert_eq!(spans, Some(limits::USER_SPANS_PER_RUN_MAX));
}

pub(crate) fn notes_of_one_batch_are_bounded_as_those_of_many(mut store: Opened) {
    let mut rows = Rows::new();
    let other = start(&mut store, &mut rows);
    let event = rows.event("x/y");
    let run = rows.run(&event);
    let large = "x".repeat(60_000);
    let put = |kind: &str, op, values| noted(&run, Target::Run, kind, op, values);
    let set = |number: usize| put(&format!("k{number}"), Op::Set, json!({"a": large}));
    let mut batch = vec![
        put("early", Op::Set, json!({"a": "its run comes after it"})),
        Change::EventPut(event),
        Change::RunPut(Box::new(run.clone())),
        noted(&other, Target::Run, "k", Op::Set, json!({"a": large})),
    ];
    batch.extend((0..20).map(set));
    // Two that go, one that shrinks, and one that grows by what it was: room for three, not for a fourth.
    batch.extend([
        put("k0", Op::Delete, json!({"a": null})),
        put("k1", Op::Delete, json!({"a": null})),
        put("k2", Op::Set, json!({"a": 1})),
        put("k3", Op::Set, json!({"a": large})),
    ]);
    batch.extend((20..24).map(set));
    store.commit(batch);
    let kinds: Vec<String> = metadata(&store, &run)
        .into_iter()
        .map(|one| one.1)
        .collect();
    let kept = (2..17).chain(20..23).map(|number| format!("k{number}"));
    let mut kept: Vec<String> = kept.collect();
    kept.sort_unstable();
    assert_eq!(kinds, kept);
    assert_eq!(metadata(&store, &other).len(), 1);
    let small = |number: usize| put(&format!("n{number:04}"), Op::Set, json!({"a": 1}));
    store.commit((0..limits::METADATA_PER_RUN_MAX).map(small).collect());
    assert_eq!(metadata(&store, &run).len(), limits::METADATA_PER_RUN_MAX);
}

pub(crate) fn notes_find_their_place_in_the_tree(mut store: Opened) {
    let mut rows = Rows::new();
    let run = start(&mut store, &mut rows);
    let step = StepId::of("charge", 0);
    let of_step = |mut span: UserSpan| {
        span.step = Some(step.clone());
        span
    };
    let mut top = of_step(user_span("0b", Some("0a"), "in the step", 3));
    top.is_top = true;
    store.commit(vec![
        Rows::step(&run, &step, 0, "1"),
        noted(&run, Target::Run, "of run", Op::Set, json!({"a": 1})),
        noted(
            &run,
            Target::Step(step.clone()),
            "of step",
            Op::Set,
            json!({"a": 1}),
        ),
        noted(
            &run,
            Target::Attempt(step.clone(), 0),
            "of attempt",
            Op::Set,
            json!({"a": 1}),
        ),
        noted(
            &run,
            Target::Step(StepId::of("unknown", 0)),
            "lost",
            Op::Set,
            json!({"a": 1}),
        ),
        noted(
            &run,
            Target::Span("0c".to_owned()),
            "of span",
            Op::Set,
            json!({"a": 1}),
        ),
        made(
            &run,
            vec![
                user_span("0a", Some("ff"), "late", 9),
                user_span("01", None, "early", 1),
                top,
                of_step(user_span("0c", Some("0b"), "fails", 4)),
                user_span("0d", Some("0e"), "circle", 5),
                user_span("0e", Some("0d"), "circle", 6),
            ],
        ),
    ]);
    // An export that comes twice.
    store.commit(vec![made(&run, vec![user_span("01", None, "again", 2)])]);
    let expected = json!([
        "Run",
        ["lost", "of run"],
        false,
        [
            [
                "step 0",
                ["of attempt", "of step"],
                false,
                [["in the step", [], true, [["fails", ["of span"], true, []]]]]
            ],
            ["early", [], true, []],
            ["circle", [], true, [["circle", [], true, []]]],
            ["late", [], true, []]
        ]
    ]);
    let mut told = trace(&store, &run);
    let kinds = told[1].as_array_mut().expect("a list");
    kinds.sort_by_key(Value::to_string);
    let kinds = told[3][0][1].as_array_mut().expect("a list");
    kinds.sort_by_key(Value::to_string);
    assert_eq!(told, expected);
}

pub(crate) fn deep_spans_are_put_beside(mut store: Opened) {
    let mut rows = Rows::new();
    let run = start(&mut store, &mut rows);
    let name = |number: usize| format!("{number:02x}");
    let chain = (0..100).map(|number| {
        let above = (number > 0).then(|| name(number - 1));
        user_span(&name(number), above.as_deref(), "query", 1)
    });
    store.commit(vec![made(&run, chain.collect())]);
    let trace = history::trace(&*store.reader, run.id, &[]).expect("it is read");
    let root = trace.expect("it is there").root;
    let (mut count, mut deepest) = (0, 0);
    fn walk(span: &Span, depth: usize, visit: &mut impl FnMut(usize)) {
        visit(depth);
        for child in &span.children {
            walk(child, depth + 1, visit);
        }
    }
    walk(&root, 0, &mut |depth| {
        count += 1;
        deepest = deepest.max(depth);
    });
    assert_eq!(count, 101);
    assert!(deepest <= 20, "{deepest}");
}

pub(crate) fn notes_go_with_their_run(mut store: Opened) {
    let mut rows = Rows::new();
    let run = start(&mut store, &mut rows);
    let note = || {
        vec![
            noted(&run, Target::Run, "k", Op::Set, json!({"a": 1})),
            made(&run, vec![user_span("01", None, "query", 1)]),
        ]
    };
    store.commit(note());
    store.commit(vec![Rows::end(&run, RunStatus::Completed, None)]);
    assert_eq!(
        metadata(&store, &run).len(),
        1,
        "also of one that has ended"
    );
    let pruned = store
        .writer
        .prune(&Slice::whole(at(1_000_000), at(1_000_000)));
    assert_eq!(pruned.expect("it is pruned").runs, 1);
    store.commit(note());
    assert!(metadata(&store, &run).is_empty());
    assert_eq!(store.load(at(0)), Snapshot::default());
}
