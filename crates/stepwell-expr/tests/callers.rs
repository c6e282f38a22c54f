//! What triggers, flow control, waits and cancellations ask of an expression.

use serde_json::{Value as Json, json};
use stepwell_expr::{Bindings, CompileErrorKind, Expr, IndexKey};

fn key(source: &str, data: Json) -> (String, bool) {
    let event = json!({"name": "a/b", "data": data});
    let key = Expr::compile(source)
        .expect("compiles")
        .eval_key(&Bindings::of_event(&event), 0)
        .expect("evaluates");
    (key.as_str().to_owned(), key.is_false())
}

#[test]
fn keys_are_written_the_documented_way() {
    let cases = [
        (json!("user-1"), "user-1", false),
        (json!(""), "", false),
        (json!(12), "12", false),
        (json!(12.0), "12", false),
        (json!(1.5), "1.5", false),
        (json!(9_007_199_254_740_993_i64), "9007199254740993", false),
        (json!(true), "true", false),
        (json!(false), "false", true),
        (json!("false"), "false", false),
        (json!(null), "null", false),
        (
            json!({"b": 1, "a": [2.0, "x"]}),
            r#"{"a":[2,"x"],"b":1}"#,
            false,
        ),
    ];
    for (value, text, is_false) in cases {
        let actual = key("event.data.k", json!({ "k": value }));
        assert_eq!(actual, (text.to_owned(), is_false), "{value}");
    }
    assert_eq!(key("event.data.k", json!({})), ("false".to_owned(), true));
    assert_eq!(
        key(
            "event.data.k + '-' + event.data.n",
            json!({"k": "a", "n": 7})
        )
        .0,
        "a-7"
    );
}

#[test]
fn priorities_are_integers_only() {
    let event = json!({"data": {"plan": "pro", "half": 1.5, "whole": 2.0, "n": 7}});
    let priority = |source: &str| {
        Expr::compile(source)
            .expect("compiles")
            .eval_int(&Bindings::of_event(&event), 0)
    };
    assert_eq!(
        priority("event.data.plan == 'pro' ? 120 : 0"),
        Ok(Some(120))
    );
    assert_eq!(priority("event.data.n * -1"), Ok(Some(-7)));
    for source in [
        "event.data.half",
        "event.data.whole",
        "event.data.missing",
        "'7'",
        "true",
    ] {
        assert_eq!(priority(source), Ok(None), "{source}");
    }
    assert!(priority("1 / 0").is_err());
}

#[test]
fn waits_and_cancellations_use_the_restricted_language() {
    let allowed = [
        "event.data.id == async.data.id",
        "async.data.ids[0] != event.data['some-id'] && !(async.data.done == true)",
        "async.data.kind in ['a', 'b'] || async.data.n >= -5",
        "int(async.data.n) == uint('5') || double(async.data.n) < 1.5",
        "async.data.x ? true : false",
    ];
    for source in allowed {
        Expr::compile_restricted(source).unwrap_or_else(|error| panic!("{}", error.render()));
    }
    let refused = [
        ("has(async.data.x)", "has", 1),
        ("async.data.list.exists(x, x == 1)", "exists", 17),
        ("async.data.list.filter(x, true) == []", "filter", 17),
        ("async.data.size == size(async.data.x)", "size", 20),
        ("async.data.x.startsWith('a')", "startsWith", 14),
        ("now() > async.data.at", "now", 1),
        ("string(async.data.x) == '1'", "string", 1),
        ("async.data.a + 1 == 2", "+", 14),
    ];
    for (source, name, column) in refused {
        let error = Expr::compile_restricted(source).expect_err(source);
        assert_eq!(
            (error.kind, error.column),
            (CompileErrorKind::Restricted, column),
            "{source}"
        );
        assert!(error.message.contains(name), "{source}: {error}");
        Expr::compile(source).expect("the whole language has it");
    }
}

#[test]
fn interpolation_replaces_event_paths_by_literals() {
    let event = json!({"name": "a/b", "data": {
        "id": "x\"y\\z\n\u{7}é", "n": 7, "neg": -1, "d": 1.0, "big": u64::MAX, "flag": false,
        "list": [1, "a", {"k": null}], "key": "id", "pos": 1,
    }});
    let cases = [
        (
            "event.data.id == async.data.id",
            r#""x\"y\\z\n\u0007é" == async.data.id"#,
        ),
        (
            "event.data.missing == async.data.id",
            "null == async.data.id",
        ),
        (
            "event.data[event.data.key] == async.x",
            r#""x\"y\\z\n\u0007é" == async.x"#,
        ),
        (
            "event.data.list[event.data.pos] == async.x",
            r#""a" == async.x"#,
        ),
        (
            "async.x in event.data.list",
            r#"async.x in [1, "a", {"k": null}]"#,
        ),
        (
            "event.data.list[async.i] == 1",
            r#"[1, "a", {"k": null}][async.i] == 1"#,
        ),
        ("event.data.flag", "false"),
        (
            "event.data.big == async.x",
            "18446744073709551615u == async.x",
        ),
        (
            "event.data.d < async.x && async.y || async.z",
            "1.0 < async.x && async.y || async.z",
        ),
        (
            "-event.data.neg - -event.data.n * (async.x - 1 - (2 - 3))",
            "-(-1) - -(7) * (async.x - 1 - (2 - 3))",
        ),
        (
            "(async.a || async.b) && !(async.c == 1)",
            "(async.a || async.b) && !(async.c == 1)",
        ),
        ("(async.a ? 1 : 2) ? 3 : 4", "(async.a ? 1 : 2) ? 3 : 4"),
        (
            "has(event.data.id) && !has(event.data.nope)",
            "true && !false",
        ),
        (
            "event.data.list.exists(e, e == async.x)",
            r#"[1, "a", {"k": null}].exists(e, e == async.x)"#,
        ),
        (
            "async.s.matches('^a\\\\d') && async.s.contains(event.data.n)",
            r#"async.s.matches("^a\\d") && async.s.contains(7)"#,
        ),
        (
            "async.list.map(x, x.on, x.id + event.data.n)",
            "async.list.map(x, x.on, x.id + 7)",
        ),
        (
            "{'a': async.x}.a == size(async.y)",
            r#"{"a": async.x}.a == size(async.y)"#,
        ),
    ];
    for (source, expected) in cases {
        let bound = Expr::compile(source)
            .expect("compiles")
            .interpolate(&event)
            .expect("interpolates");
        assert_eq!(bound.source(), expected);
        assert_eq!(
            Expr::compile_interpolated(bound.source()).as_ref(),
            Ok(&bound)
        );
        assert_eq!(
            bound.interpolate(&json!({})).as_ref(),
            Ok(&bound),
            "nothing is left to replace"
        );
    }
}

#[test]
fn an_interpolated_expression_decides_over_the_incoming_event_alone() {
    let trigger = json!({"data": {"id": "o-1", "min": 10}});
    let wait =
        Expr::compile("event.data.id == async.data.id && async.data.total >= event.data.min")
            .expect("compiles")
            .interpolate(&trigger)
            .expect("interpolates");
    let decide = |incoming: Json| wait.eval_bool(&Bindings::of_incoming(&incoming), 0);
    assert_eq!(
        decide(json!({"data": {"id": "o-1", "total": 10}})),
        Ok(true)
    );
    assert_eq!(
        decide(json!({"data": {"id": "o-1", "total": 9}})),
        Ok(false)
    );
    assert_eq!(
        decide(json!({"data": {"id": "o-2", "total": 10}})),
        Ok(false)
    );
    assert_eq!(decide(json!({"data": {}})), Ok(false));
}

#[test]
fn a_literal_false_is_seen() {
    let event = json!({"data": {"cancellable": false}});
    let is_false = |source: &str| {
        let expr = Expr::compile(source).expect("compiles");
        expr.interpolate(&event)
            .expect("interpolates")
            .is_literal_false()
    };
    assert!(is_false("event.data.cancellable"));
    assert!(is_false("false"));
    assert!(!is_false("event.data.other"));
    assert!(!is_false("async.data.x"));
}

#[test]
fn values_too_large_to_keep_are_refused() {
    let long = json!({"data": {"id": "x".repeat(100_000)}});
    let expr = Expr::compile("event.data.id == async.data.id").expect("compiles");
    assert_eq!(
        expr.interpolate(&long).expect_err("too long").kind,
        CompileErrorKind::TooLarge
    );
    let mut deep = json!(1);
    for _ in 0..1000 {
        deep = json!([deep]);
    }
    let deep = json!({"data": {"id": deep}});
    assert_eq!(
        expr.interpolate(&deep).expect_err("too deep").kind,
        CompileErrorKind::TooLarge
    );
}

#[test]
fn equalities_are_the_conjunctive_comparisons_with_literals() {
    let equalities = |source: &str| -> Vec<(String, IndexKey)> {
        Expr::compile(source)
            .expect("compiles")
            .equalities()
            .into_iter()
            .map(|equality| (equality.path.to_string(), equality.value))
            .collect()
    };
    let text = |text: &str| IndexKey::String(text.to_owned());
    assert_eq!(
        equalities(
            "async.data.id == 'a' && (1 == async.data['n'] && async.data.list[0] == true) && async.x > 1"
        ),
        [
            ("data.id".to_owned(), text("a")),
            ("data.n".to_owned(), IndexKey::Integer(1)),
            ("data.list[0]".to_owned(), IndexKey::Bool(true)),
        ]
    );
    for none in [
        "async.data.id == 'a' || async.data.n == 1",
        "!(async.data.id == 'a')",
        "async.data.id != 'a'",
        "async.data.id == null",
        "async.data.id == async.data.n",
        "event.data.id == 'a'",
        "async.data.id == ['a']",
        "async[async.key] == 'a'",
    ] {
        assert!(equalities(none).is_empty(), "{none}");
    }
    let found = Expr::compile("async.data.list[1].k == 2.0")
        .expect("compiles")
        .equalities();
    let event = json!({"data": {"list": [0, {"k": 2}]}});
    assert_eq!(
        found[0].path.find(&event).and_then(IndexKey::of).as_ref(),
        Some(&found[0].value)
    );
    assert_eq!(
        found[0].path.find(&json!({"data": {"list": {"1": 2}}})),
        None
    );
}

#[test]
fn index_keys_agree_with_equality() {
    let values = [
        json!(0),
        json!(-0.0),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!("1"),
        json!(true),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(9_007_199_254_740_992_i64),
        json!(9_007_199_254_740_992.0),
        json!(9_007_199_254_740_993_i64),
        json!(18_446_744_073_709_551_616.0),
        json!(1e300),
        json!(-9_223_372_036_854_775_808.0),
        json!(""),
    ];
    let equal = Expr::compile("event == async").expect("compiles");
    for a in &values {
        for b in &values {
            let bindings = Bindings {
                event: Some(a),
                incoming: Some(b),
                ..Bindings::default()
            };
            let by_value = equal.eval_bool(&bindings, 0);
            assert_eq!(
                by_value,
                Ok(IndexKey::of(a) == IndexKey::of(b)),
                "{a} == {b}"
            );
        }
    }
}

#[test]
fn expressions_are_shared_between_threads() {
    fn shareable<T: Send + Sync + Clone + 'static>() {}
    shareable::<Expr>();
    shareable::<stepwell_expr::Value<'static>>();
}

#[test]
fn a_search_sees_how_a_run_ended() {
    let (event, output) = (json!({"n": 1}), json!({"ok": true}));
    let completed = Bindings {
        event: Some(&event),
        output: Some(&output),
        ..Bindings::default()
    };
    let error = json!({"name": "Error"});
    let failed = Bindings {
        event: Some(&event),
        error: Some(&error),
        ..Bindings::default()
    };
    for (source, of_completed, of_failed) in [
        ("output.ok", true, false),
        ("event.n == 1 && output != null", true, false),
        ("error == null", true, false),
        ("error.name == 'Error'", false, true),
        ("['Error'].exists(name, error.name == name)", false, true),
    ] {
        let expr = Expr::compile_search(source).expect("it compiles");
        assert_eq!(expr.eval_bool(&completed, 0), Ok(of_completed), "{source}");
        assert_eq!(expr.eval_bool(&failed, 0), Ok(of_failed), "{source}");
        Expr::compile(source).expect_err("conditions of events see no end of a run");
    }
    let error = Expr::compile_search("result.ok").expect_err("there is no such variable");
    assert!(error.render().to_string().contains("`output` and `error`"));
}
