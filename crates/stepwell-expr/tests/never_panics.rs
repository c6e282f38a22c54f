//! No source, no event and no time makes the crate panic, and a stored interpolation means what it meant.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::{Value as Json, json};
use stepwell_expr::{Bindings, Expr};

fn exercise(source: &str, event: &Json, incoming: &Json, now_ms: i64) {
    let _ = Expr::compile_restricted(source).map_err(|error| error.render().to_string());
    let expr = match Expr::compile(source) {
        Ok(expr) => expr,
        Err(error) => {
            let _ = error.render().to_string();
            return;
        }
    };
    let both = Bindings {
        event: Some(event),
        incoming: Some(incoming),
        ..Bindings::default()
    };
    for bindings in [
        both,
        Bindings::of_event(event),
        Bindings::of_incoming(incoming),
        Bindings::default(),
    ] {
        let _ = expr.eval(&bindings, now_ms);
        explain(&expr, &bindings, now_ms);
        let _ = expr.eval_key(&bindings, now_ms);
        let _ = expr.eval_int(&bindings, now_ms);
    }
    let _ = expr.equalities();
    if let Ok(bound) = expr.interpolate(event) {
        let stored = Expr::compile_interpolated(bound.source()).expect("its own source compiles");
        let incoming = Bindings::of_incoming(incoming);
        assert_eq!(
            stored.eval_bool(&incoming, now_ms),
            bound.eval_bool(&incoming, now_ms)
        );
        // An equality is a condition: where the expression holds, every one of them does.
        if bound.eval_bool(&incoming, now_ms) == Ok(true) {
            for equality in bound.equalities() {
                let found = equality.path.find(incoming.incoming.expect("bound above"));
                let found = found.and_then(stepwell_expr::IndexKey::of);
                assert_eq!(found.as_ref(), Some(&equality.value), "{bound}");
            }
        }
    }
}

/// Only what is not true is explained, by a part that is not true either.
fn explain(expr: &Expr, bindings: &Bindings<'_>, now_ms: i64) {
    let is_true = expr.eval_bool(bindings, now_ms) == Ok(true);
    let explanation = expr.explain(bindings, now_ms);
    assert_eq!(explanation.is_none(), is_true, "{expr}");
    let Some(explanation) = explanation else {
        return;
    };
    assert!(explanation.values.len() <= 10, "{expr}");
    for text in explanation
        .values
        .iter()
        .flat_map(|(path, value)| [path, value])
    {
        assert!(text.chars().count() <= 200, "{expr}: {text}");
    }
    if !explanation.part.ends_with('…') {
        let part = Expr::compile_interpolated(&explanation.part).expect("a part compiles");
        assert_ne!(part.eval_bool(bindings, now_ms), Ok(true), "{expr}: {part}");
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-3_i64..4).prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[ab]{0,2}".prop_map(Json::from),
        any::<String>().prop_map(Json::from),
        Just(json!("2024-05-06T07:08:09Z")),
        Just(json!("1h")),
    ];
    scalar.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::hash_map("[abx]", inner, 0..4)
                .prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

/// Well-formed expressions of every construct.
fn any_source() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("event".to_owned()),
        "(event|async)\\.[abx]",
        "(event|async)\\.[abx]\\.[abx]",
        "(event|async)\\[('a'|0|1|'x')\\]",
        "(null|true|false|0|1|-1|2u|1\\.5|-0\\.0|1e300|9223372036854775807|-9223372036854775808|18446744073709551615u)",
        "('a'|'b'|''|'1h'|'1'|'\\\\u00e9\\\\n\\\\\\\\'|r'a\\\\d'|b'\\\\xff'|'2024-05-06T07:08:09Z'|'\\+02:00')",
        Just("now()".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let operator = prop_oneof![
            Just("&&"),
            Just("||"),
            Just("=="),
            Just("!="),
            Just("<"),
            Just("<="),
            Just(">"),
            Just(">="),
            Just("in"),
            Just("+"),
            Just("-"),
            Just("*"),
            Just("/"),
            Just("%"),
        ];
        let global = prop_oneof![
            Just("size"),
            Just("lowercase"),
            Just("uppercase"),
            Just("b64decode"),
            Just("json_parse"),
            Just("date"),
            Just("now_plus"),
            Just("now_minus"),
            Just("int"),
            Just("uint"),
            Just("double"),
            Just("string"),
            Just("bytes"),
            Just("bool"),
            Just("dyn"),
            Just("timestamp"),
            Just("duration"),
            Just("!"),
            Just("-"),
        ];
        let method = prop_oneof![
            Just("contains"),
            Just("startsWith"),
            Just("endsWith"),
            Just("matches"),
            Just("getHours"),
            Just("getDayOfYear"),
        ];
        let fold = prop_oneof![
            Just("all"),
            Just("exists"),
            Just("exists_one"),
            Just("filter"),
            Just("map"),
        ];
        prop_oneof![
            (inner.clone(), operator, inner.clone())
                .prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} && {b}")),
            (global, inner.clone()).prop_map(|(name, a)| format!("{name}({a})")),
            (inner.clone(), method, inner.clone())
                .prop_map(|(a, name, b)| format!("({a}).{name}({b})")),
            (inner.clone(), fold, inner.clone())
                .prop_map(|(a, name, b)| format!("({a}).{name}(x, ({b}) == x || x)")),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| format!("({a}).map(x, x > 0, [x, {b}])")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})[{b}]")),
            inner.clone().prop_map(|a| format!("has(({a}).x)")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
            proptest::collection::vec(inner.clone(), 0..3)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            (inner.clone(), inner).prop_map(|(a, b)| format!("{{'a': {a}, {b}: 1}}")),
        ]
    })
}

/// Fragments of the language in any order: near misses that the parser has to survive.
fn any_soup() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        "[-+*/%!?:.,(){}\\[\\]<>=&|'\"`@\\\\ \n]",
        "(event|async|data|has|map|exists|x|in|true|null|if|r|b|rb|u|e)",
        "(0|1|0x|0xf|1\\.|1\\.5e|9u|1e5|''|''''''|\"\"\"|r'|b'|\\\\u12|\\\\x|é|🐱|//)",
    ];
    proptest::collection::vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(source in any::<String>(), event in any_json()) {
        exercise(&source, &event, &Json::Null, 0);
    }

    #[test]
    fn any_fragments(source in any_soup(), event in any_json()) {
        exercise(&source, &event, &event, 0);
    }

    #[test]
    fn any_expression(source in any_source(), event in any_json(), incoming in any_json(), now_ms in any::<i64>()) {
        exercise(&source, &event, &incoming, now_ms);
    }
}

#[test]
fn most_generated_expressions_compile() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let compiled = (0..200)
        .filter(|_| {
            let tree = any_source().new_tree(&mut runner).expect("generates");
            Expr::compile(&tree.current()).is_ok()
        })
        .count();
    assert!(compiled > 150, "{compiled} of 200");
}
