//! Wrong and hostile expressions: the errors people read, and the limits.

use serde_json::json;
use stepwell_expr::{Bindings, CompileErrorKind, EvalError, Expr, limits};

#[test]
fn errors_show_the_place_and_what_to_do() {
    let sources = [
        "",
        "event.data.x = 1",
        "event.data.x == ",
        "event.data.x == 'abc",
        "event.data.x == 'a\\d'",
        "event.data.é == 1",
        "'éé' + foo.bar",
        "(event.data.x == 1",
        "event.data.list[0)",
        "event.data.x == 1)",
        "event.data.x 1",
        "event.data.a &\n  event.data.b",
        "event.data.a ==\n  data.b",
        "data.b == 'event'",
        "shout(event.data.x)",
        "event.data.size == event.data.shout()",
        "event.data.x.lowercase()",
        "contains(event.data.x, 'a')",
        "now('x')",
        "event.data.x.contains()",
        "has(event)",
        "event.data.list.exists(x)",
        "event.data.list.exists(1, true)",
        "event.data.x.matches('(')",
        "event.data.`x-y`",
        "Message{a: 1}",
        "if",
        "99999999999999999999",
        "event.?data",
    ];
    let mut rendered = String::new();
    for source in sources {
        let error = Expr::compile(source).expect_err(source);
        rendered += &format!("[{}] {}\n\n", error.kind.code(), error.render());
    }
    insta::assert_snapshot!(rendered);
}

#[test]
fn a_long_line_is_shortened_around_the_place() {
    let source = format!(
        "'{}' == nope && '{}' == 'y'",
        "é".repeat(500),
        "x".repeat(500)
    );
    let error = Expr::compile(&source).expect_err("unknown variable");
    assert_eq!(error.column, 507);
    let rendered = error.render().to_string();
    let lines: Vec<&str> = rendered.lines().collect();
    let caret = lines[2].find('^').expect("a caret");
    let shown: String = lines[1].chars().skip(caret).take(4).collect();
    assert_eq!(shown, "nope");
    assert!(lines[1].chars().count() < 130);
}

#[test]
fn hostile_depth_is_refused_and_depth_at_the_limit_works() {
    let nests: [(&str, &str, &str); 17] = [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{1:", "1", "}"),
        ("size(", "1", ")"),
        ("1 + (", "1", ")"),
        ("true ? 1 : ", "1", ""),
        ("true ? (", "1", ") : 1"),
        ("[1].all(x, ", "true", ")"),
        ("[1].map(x, x > 0, [", "x", "])"),
        ("event[", "0", "]"),
        ("{'a': [1 + (", "1", ")]}"),
        ("'a'.contains('a' + ", "'a'", ")"),
        ("!(", "true", ")"),
        ("-(", "1", ")"),
        ("", "1", " + 1"),
        ("", "event", ".a"),
        ("", "event", "[0]"),
    ];
    let event = json!({});
    for (open, leaf, close) in nests {
        for depth in [
            1,
            20,
            50,
            limits::DEPTH_MAX - 1,
            limits::DEPTH_MAX,
            1000,
            100_000,
        ] {
            let source = open.repeat(depth) + leaf + &close.repeat(depth);
            match Expr::compile(&source) {
                Ok(expr) => {
                    assert!(depth <= limits::DEPTH_MAX, "{open} {depth}");
                    let _ = expr.eval(&Bindings::of_event(&event), 0);
                    let _ = expr.interpolate(&event);
                    let _ = expr.explain(&Bindings::of_event(&event), 0);
                }
                Err(error) => {
                    assert_eq!(
                        error.kind,
                        CompileErrorKind::TooLarge,
                        "{open} {depth}: {error}"
                    );
                    assert!(depth >= 50, "{open} {depth}");
                }
            }
        }
    }
}

#[test]
fn many_conditions_are_not_depth() {
    let conditions = vec!["event.data.kind == 'x'"; 300].join(" || ");
    Expr::compile(&conditions).unwrap_or_else(|error| panic!("{}", error.render()));
    let list = format!("event.data.x in [{}]", vec!["'abc'"; 1000].join(","));
    Expr::compile(&list).unwrap_or_else(|error| panic!("{}", error.render()));
    Expr::compile(&format!("{}event.data.x == 1", "!!".repeat(1000)))
        .unwrap_or_else(|error| panic!("{}", error.render()));
}

#[test]
fn sources_over_the_length_limit_are_refused() {
    let longest = format!("'{}'", "x".repeat(limits::SOURCE_BYTES_MAX - 2));
    assert!(Expr::compile(&longest).is_ok());
    let error = Expr::compile(&format!("{longest} ")).expect_err("too long");
    assert_eq!(error.kind, CompileErrorKind::TooLarge);
}

#[test]
fn patterns_are_bounded_in_length_and_memory() {
    let kind = |pattern: &str| {
        Expr::compile(&format!("event.data.x.matches('{pattern}')")).map_err(|error| error.kind)
    };
    assert!(kind("(a|b)*c").is_ok());
    let huge = [
        "a".repeat(limits::PATTERN_BYTES_MAX + 1),
        "(a{1000}){1000}".to_owned(),
        "\\\\w{1000}".to_owned(),
        format!("{}a{}", "(".repeat(300), ")".repeat(300)),
    ];
    for pattern in huge {
        assert_eq!(kind(&pattern), Err(CompileErrorKind::Pattern), "{pattern}");
    }
    // Exponential for an engine that backtracks.
    let event = json!({"data": {"x": "a".repeat(100_000)}});
    let expr =
        Expr::compile("event.data.x.matches('^(a+)+$') && !event.data.x.matches('^(a|aa)+b$')")
            .expect("compiles");
    assert_eq!(expr.eval_bool(&Bindings::of_event(&event), 0), Ok(true));
}

#[test]
fn one_evaluation_does_bounded_work() {
    let numbers: Vec<u32> = (0..2000).collect();
    let event = json!({"data": {"list": numbers, "text": "x".repeat(100_000)}});
    let outcome = |source: &str| {
        let expr = Expr::compile(source).expect("compiles");
        expr.eval_bool(&Bindings::of_event(&event), 0)
    };
    assert_eq!(
        outcome("event.data.list.all(x, x >= 0 && x < 2000)"),
        Ok(true)
    );
    let hostile = [
        "event.data.list.all(x, event.data.list.all(y, event.data.list.all(z, true)))",
        "event.data.list.map(x, event.data.text + x) == []",
        "event.data.list.all(x, event.data.list == event.data.list)",
        "event.data.list.all(x, 5000 in event.data.list || true)",
        "event.data.list.all(x, event.data.text.matches('y' + x) || true)",
        "event.data.list.all(x, uppercase(event.data.text) != '')",
        "event.data.list.map(x, event.data) == []",
        "event.data.list.all(x, string(event.data.list.map(y, y)) != '' || true)",
    ];
    for source in &hostile[..6] {
        assert_eq!(outcome(source), Err(EvalError::Steps), "{source}");
    }
    // Copies of references are cheap.
    assert_eq!(outcome(hostile[6]), Ok(false));
    // A limit is not a missing value: `||` does not hide it.
    assert_eq!(outcome(hostile[7]), Err(EvalError::Steps));
}

#[test]
fn values_nested_too_deep_stop_the_evaluation() {
    let mut deep = json!(1);
    for _ in 0..1000 {
        deep = json!([deep]);
    }
    let event = json!({"data": {"a": deep.clone(), "b": deep}});
    let expr = Expr::compile("event.data.a == event.data.b").expect("compiles");
    assert_eq!(
        expr.eval_bool(&Bindings::of_event(&event), 0),
        Err(EvalError::Depth)
    );
    let expr = Expr::compile("event.data.a").expect("compiles");
    assert_eq!(
        expr.eval_key(&Bindings::of_event(&event), 0),
        Err(EvalError::Depth)
    );
}
