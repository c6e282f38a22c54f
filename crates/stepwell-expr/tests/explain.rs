//! Why an expression is not true: the part, and the values it reads.

use serde_json::{Value as Json, json};
use stepwell_expr::{Bindings, Expr};

fn event() -> Json {
    json!({
        "name": "order/paid",
        "data": {
            "yes": true, "no": false, "nil": null, "five": 5, "half": 0.5, "plan": "trial", "big": u64::MAX,
            "list": [1, 2, 3], "items": [{"sku": "a", "qty": 1}], "position": 1, "some-name": "dashed",
        },
    })
}

/// The explanation in one line: `part | path = value, path = value`, or `true`.
fn explained(source: &str, bindings: &Bindings<'_>) -> String {
    let expr = Expr::compile(source).unwrap_or_else(|error| panic!("{}", error.render()));
    match expr.explain(bindings, 0) {
        None => "true".to_owned(),
        Some(explanation) => {
            let values: Vec<String> = explanation
                .values
                .iter()
                .map(|(path, value)| format!("{path} = {value}"))
                .collect();
            format!("{} | {}", explanation.part, values.join(", "))
        }
    }
}

fn check(cases: &[(&str, &str)]) {
    let event = event();
    let incoming = json!({"data": {"id": "b"}});
    let bindings = Bindings {
        event: Some(&event),
        incoming: Some(&incoming),
        ..Bindings::default()
    };
    let wrong: Vec<String> = cases
        .iter()
        .map(|(source, expected)| (source, expected, explained(source, &bindings)))
        .filter(|(_, expected, actual)| actual != *expected)
        .map(|(source, expected, actual)| format!("{source}:\n  {expected}\n  {actual}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_true_needs_no_explanation() {
    check(&[
        ("event.data.five == 5", "true"),
        ("event.data.no || event.data.yes", "true"),
        ("!event.data.no", "true"),
    ]);
}

#[test]
fn the_first_condition_that_does_not_hold() {
    check(&[
        (
            "event.data.plan == 'pro'",
            r#"event.data.plan == "pro" | event.data.plan = "trial""#,
        ),
        (
            "event.data.yes && event.data.five > 7 && event.data.no",
            "event.data.five > 7 | event.data.five = 5",
        ),
        (
            "(event.data.yes && (event.data.five == 5 && event.data.no)) && event.data.nil",
            "event.data.no | event.data.no = false",
        ),
        (
            "event.data.yes && event.data.id == async.data.id",
            r#"event.data.id == async.data.id | event.data.id = missing, async.data.id = "b""#,
        ),
        (
            "event.data.five + event.data.half > event.data.five * 2",
            "event.data.five + event.data.half > event.data.five * 2 | event.data.five = 5, event.data.half = 0.5",
        ),
        ("false", "false | "),
    ]);
}

#[test]
fn alternatives_fail_together() {
    check(&[
        (
            "event.data.five > 7 || event.data.plan == 'pro'",
            r#"event.data.five > 7 || event.data.plan == "pro" | event.data.five = 5, event.data.plan = "trial""#,
        ),
        (
            "event.data.yes && (event.data.no || event.data.nil == 1) && event.data.no",
            "event.data.no || event.data.nil == 1 | event.data.no = false, event.data.nil = null",
        ),
    ]);
}

#[test]
fn a_negation_is_looked_through() {
    check(&[
        ("!event.data.yes", "!event.data.yes | event.data.yes = true"),
        (
            "!event.data.gone",
            "!event.data.gone | event.data.gone = missing",
        ),
        (
            "event.data.yes && !(event.data.no || event.data.five == 5 || event.data.nil)",
            "!(event.data.five == 5) | event.data.five = 5",
        ),
        (
            "!(event.data.yes && event.data.five == 5)",
            "!(event.data.yes && event.data.five == 5) | event.data.yes = true, event.data.five = 5",
        ),
        (
            "!(event.data.yes && event.data.gone)",
            "!event.data.gone | event.data.gone = missing",
        ),
        (
            "!(!(event.data.yes && event.data.five == 6))",
            "event.data.five == 6 | event.data.five = 5",
        ),
    ]);
}

#[test]
fn a_value_that_is_not_a_boolean_is_not_true() {
    check(&[
        (
            "event.data.yes && event.data.five",
            "event.data.five | event.data.five = 5",
        ),
        (
            "event.data.no || event.data.plan",
            r#"event.data.plan | event.data.plan = "trial""#,
        ),
        ("event.data.nil", "event.data.nil | event.data.nil = null"),
    ]);
}

#[test]
fn what_failed_is_the_part() {
    check(&[
        (
            "event.data.plan < 3",
            r#"event.data.plan < 3 | event.data.plan = "trial""#,
        ),
        (
            "event.data.yes && event.data.plan < 3 && event.data.yes",
            r#"event.data.plan < 3 | event.data.plan = "trial""#,
        ),
        (
            "event.data.five > 3 ? event.data.plan < 3 : event.data.no",
            r#"event.data.plan < 3 | event.data.plan = "trial""#,
        ),
        (
            "event.data.five > 3 ? event.data.no : event.data.yes",
            "event.data.five > 3 ? event.data.no : event.data.yes | \
             event.data.five = 5, event.data.no = false, event.data.yes = true",
        ),
    ]);
}

#[test]
fn what_a_part_reads() {
    check(&[
        (
            "has(event.data.gone)",
            "has(event.data.gone) | event.data.gone = missing",
        ),
        (
            "event.data.list[event.data.position] == 3",
            "event.data.list[event.data.position] == 3 | \
             event.data.list[event.data.position] = 2, event.data.position = 1",
        ),
        (
            "event.data.list[event.data.five - 4] == 3",
            "event.data.list[event.data.five - 4] == 3 | event.data.list = [1,2,3], event.data.five = 5",
        ),
        (
            "event.data['some-name'] == event.name",
            r#"event.data["some-name"] == event.name | event.data["some-name"] = "dashed", event.name = "order/paid""#,
        ),
        (
            "event.data.items.exists(item, item.qty > event.data.five)",
            r#"event.data.items.exists(item, item.qty > event.data.five) | event.data.items = [{"sku":"a","qty":1}], event.data.five = 5"#,
        ),
        (
            "event.data.big in [1, event.data.five]",
            "event.data.big in [1, event.data.five] | event.data.big = 18446744073709551615, event.data.five = 5",
        ),
        (
            "event.data.plan.startsWith(event.name) || event.data.plan.matches('^p') || size(event.data.list) > 5",
            r#"event.data.plan.startsWith(event.name) || event.data.plan.matches("^p") || size(event.data.list) > 5 | event.data.plan = "trial", event.name = "order/paid", event.data.list = [1,2,3]"#,
        ),
    ]);
}

#[test]
fn a_wait_is_explained_by_the_incoming_event() {
    let event = json!({"data": {"id": "a"}});
    let incoming = json!({"data": {"id": "b", "ok": true}});
    let wait = Expr::compile_restricted("async.data.ok == true && async.data.id == event.data.id")
        .unwrap()
        .interpolate(&event)
        .unwrap();
    assert_eq!(
        explained(wait.source(), &Bindings::of_incoming(&incoming)),
        r#"async.data.id == "a" | async.data.id = "b""#
    );
}

#[test]
fn long_values_are_cut_and_many_are_left_out() {
    let wide = "🐱".repeat(300);
    let fields: Vec<String> = (0..20).map(|index| format!("event.f{index}")).collect();
    let event = json!({
        "text": wide, "exact": "x".repeat(198), "over": "x".repeat(199), "list": vec![wide.clone(); 50], "data": {wide.as_str(): 1},
    });
    let bindings = Bindings::of_event(&event);
    let value = |source: &str| {
        let explanation = Expr::compile(source)
            .unwrap()
            .explain(&bindings, 0)
            .unwrap();
        explanation.values[0].1.clone()
    };
    for path in ["event.text", "event.list", "event.data", "event.over"] {
        let value = value(&format!("{path} == 1"));
        assert_eq!(value.chars().count(), 200, "{path}: {value}");
        assert!(value.ends_with('…'), "{path}: {value}");
    }
    assert_eq!(value("event.exact == 1").chars().count(), 200);
    assert!(!value("event.exact == 1").contains('…'));
    assert!(value("event.text == 1").starts_with("\"🐱🐱"));

    let many = Expr::compile(&fields.join(" || ")).unwrap();
    let explanation = many.explain(&bindings, 0).unwrap();
    assert_eq!(explanation.values.len(), 10);
    assert_eq!(
        explanation.values[9],
        ("event.f9".to_owned(), "missing".to_owned())
    );

    let long = vec!["event.text == 'something quite long'"; 200].join(" || ");
    let explanation = Expr::compile(&long).unwrap().explain(&bindings, 0).unwrap();
    assert_eq!(explanation.part.chars().count(), 2_000);
    assert_eq!(explanation.values.len(), 1);
}

#[test]
fn the_condition_that_takes_too_long_is_named() {
    let event = json!({"yes": true, "list": vec![1; 1_000]});
    let expr = Expr::compile(
        "event.yes && event.list.all(x, event.list.all(y, x == y)) && event.list == []",
    )
    .unwrap();
    let explanation = expr.explain(&Bindings::of_event(&event), 0).unwrap();
    assert_eq!(
        explanation.part,
        "event.list.all(x, event.list.all(y, x == y))"
    );
    assert_eq!(explanation.values[0].0, "event.list");
}
