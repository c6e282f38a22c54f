//! The dialect, line by line: an expression over one event, and the value it has.

use serde_json::{Value as Json, json};
use stepwell_expr::{Bindings, Expr, KeyValue, Value};

/// 2024-05-06T07:08:09.250Z, a Monday.
const NOW_MS: i64 = 1_714_979_289_250;

fn event() -> Json {
    json!({
        "name": "order/paid",
        "ts": 1_714_979_289_250_i64,
        "data": {
            "nil": null, "yes": true, "no": false, "zero": 0, "one": 1, "five": 5, "half": 0.5, "five_point": 5.0,
            "big": u64::MAX, "empty": "", "text": "Brand", "number_text": "42", "word": "naïve",
            "list": [1, 2, 3], "items": [{"sku": "a", "qty": 1}, {"sku": "b", "qty": 0}],
            "package": "reserved", "object": {"b": 1, "a": [true, null]}, "some-name": "dashed", "nothing": [],
            "encoded": "aGVsbG8=", "json": "{\"x\": [1, 2]}", "created": "2024-05-06T09:08:09.250+02:00",
        },
    })
}

/// What the whole expression is: its value as JSON text, `missing`, or `error: …`.
fn outcome(source: &str) -> String {
    let event = event();
    let expr = match Expr::compile(source) {
        Ok(expr) => expr,
        Err(error) => return format!("does not compile: {error}"),
    };
    match expr.eval(&Bindings::of_event(&event), NOW_MS) {
        Ok(Value::Missing) => "missing".to_owned(),
        Ok(Value::String(text)) => format!("'{}'", text.as_str()),
        Ok(Value::Double(value)) => format!("{value:?}"),
        Ok(Value::Uint(value)) => format!("{value}u"),
        Ok(_) => expr
            .eval_key(&Bindings::of_event(&event), NOW_MS)
            .map(KeyValue::into_string)
            .unwrap_or_else(|error| format!("error: {error}")),
        Err(error) => format!("error: {error}"),
    }
}

fn check(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .map(|(source, expected)| (source, expected, outcome(source)))
        .filter(|(_, expected, actual)| actual != *expected)
        .map(|(source, expected, actual)| format!("{source}: expected {expected}, is {actual}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn numbers_compare_and_add_across_types() {
    check(&[
        ("1 == 1.0", "true"),
        ("1u == 1", "true"),
        ("event.data.five == event.data.five_point", "true"),
        ("event.data.half < 1", "true"),
        ("1 < 1.5 && 2u > 1.5", "true"),
        ("9007199254740993 == 9007199254740992.0", "false"),
        ("event.data.big > 9223372036854775807", "true"),
        ("event.data.big == 18446744073709551615u", "true"),
        ("1 + 0.5", "1.5"),
        ("1 + 1u", "2"),
        ("event.data.five * 2 - 1", "9"),
        ("7 / 2", "3"),
        ("7 / 2.0", "3.5"),
        ("7 % 4", "3"),
        ("-event.data.five", "-5"),
        ("-9223372036854775808", "-9223372036854775808"),
    ]);
}

#[test]
fn other_types_are_different_and_have_no_order() {
    check(&[
        ("1 == '1'", "false"),
        ("1 != '1'", "true"),
        ("true == 1", "false"),
        ("[1, 2.0] == [1.0, 2]", "true"),
        ("event.data.object == {'a': [true, null], 'b': 1.0}", "true"),
        ("event.data.object == {'a': [true, null]}", "false"),
        ("'a' < 'b' && 'B' < 'a'", "true"),
        ("false < true", "true"),
        (
            "1 < 'a'",
            "error: `<` is not defined between an integer and a string",
        ),
    ]);
}

#[test]
fn a_string_plus_anything_concatenates() {
    check(&[
        ("'a' + 'b'", "'ab'"),
        ("'n' + 1", "'n1'"),
        ("1 + 'n'", "'1n'"),
        ("'n' + 1.0", "'n1'"),
        ("'n' + 1.5", "'n1.5'"),
        ("'n' + true", "'ntrue'"),
        ("'n' + event.data.object", "'n{\"a\":[true,null],\"b\":1}'"),
        ("event.name + '-' + event.data.five", "'order/paid-5'"),
        ("[1] + [2]", "[1,2]"),
        (
            "true + 1",
            "error: `+` is not defined between a boolean and an integer",
        ),
    ]);
}

#[test]
fn missing_attributes_have_the_documented_results() {
    check(&[
        ("event.data.missing", "missing"),
        ("event.data.missing.deeper[3].still", "missing"),
        ("event.data.text.x", "missing"),
        ("event.data.list[7]", "missing"),
        ("event.data.list[-1]", "missing"),
        ("async.data.id", "missing"),
        ("event.data.missing == null", "true"),
        ("null == event.data.missing", "true"),
        ("event.data.missing == 1", "false"),
        ("event.data.missing == ''", "false"),
        ("event.data.missing != null", "false"),
        ("event.data.missing != 1", "true"),
        ("event.data.missing == event.data.absent", "true"),
        ("event.data.missing < 1", "true"),
        ("event.data.missing <= 1", "true"),
        ("event.data.missing < -1", "true"),
        ("event.data.missing < ''", "true"),
        ("event.data.missing > 1", "false"),
        ("event.data.missing >= 1", "false"),
        ("event.data.missing > -1", "false"),
        ("1 < event.data.missing", "false"),
        ("1 <= event.data.missing", "false"),
        ("1 > event.data.missing", "true"),
        ("1 >= event.data.missing", "true"),
        ("event.data.missing < null", "false"),
        ("event.data.missing <= null", "true"),
        ("size(event.data.missing)", "0"),
        ("event.data.missing.size()", "0"),
        ("event.data.missing + 1", "1"),
        ("event.data.missing + 'x'", "'x'"),
        ("'x' + event.data.missing", "'x'"),
        ("event.data.missing + event.data.absent", "missing"),
        ("event.data.missing - 1", "false"),
        ("-event.data.missing", "false"),
        ("!event.data.missing", "false"),
        ("event.data.missing in [1]", "false"),
        ("1 in event.data.missing", "false"),
        ("lowercase(event.data.missing)", "false"),
        ("int(event.data.missing)", "false"),
        ("event.data.missing.startsWith('x')", "false"),
        ("event.data.text.startsWith(event.data.missing)", "false"),
        ("event.data.missing.matches('x')", "false"),
        ("date(event.data.missing)", "false"),
    ]);
}

#[test]
fn failing_arguments_count_as_missing() {
    check(&[
        ("int('x') == null", "true"),
        ("size(int('x'))", "0"),
        ("(1 / 0) + 2", "2"),
        ("(1 / 0) == 1", "false"),
        ("int('x').foo", "missing"),
        ("lowercase(5) == 'x'", "false"),
        ("event.data.one.startsWith('x') == null", "true"),
        ("b64decode(json_parse('{').x)", "false"),
        // The outermost operation has nobody to make it missing.
        ("1 / 0", "error: `/` divides by zero"),
        (
            "int('x')",
            "error: `int` cannot make sense of what is in a string",
        ),
        (
            "9223372036854775807 * 3",
            "error: the result of `*` is out of range",
        ),
    ]);
}

#[test]
fn null_equals_null_and_orders_as_a_zero() {
    check(&[
        ("event.data.nil == null", "true"),
        ("event.data.nil == 0", "false"),
        ("event.data.nil != 0", "true"),
        ("null < 1", "true"),
        ("null > -1", "true"),
        ("null <= 0", "true"),
        ("null >= 0.0", "true"),
        ("1 > null", "true"),
        ("null < 'a'", "true"),
        ("null < ''", "false"),
        ("null <= ''", "true"),
        ("null < true", "true"),
        ("null <= null", "true"),
        ("null < null", "false"),
        ("null < now()", "true"),
        ("null < duration('1s')", "true"),
        ("event.data.nil.x", "missing"),
        ("null + 'x'", "'x'"),
        ("size(null)", "0"),
    ]);
}

#[test]
fn logic_follows_truthiness_and_returns_the_operand() {
    check(&[
        ("event.data.text && 5", "5"),
        ("event.data.text || 5", "'Brand'"),
        ("event.data.missing || 'fallback'", "'fallback'"),
        ("event.data.nil || 'fallback'", "'fallback'"),
        ("event.data.no || 'fallback'", "'fallback'"),
        ("event.data.empty || 'fallback'", "'fallback'"),
        ("event.data.zero || 'fallback'", "'fallback'"),
        ("0.0 || 0u || 'fallback'", "'fallback'"),
        ("int('x') || 'fallback'", "'fallback'"),
        ("event.data.zero && 5", "0"),
        ("event.data.empty && 5", "''"),
        ("event.data.nil && 5", "null"),
        ("event.data.missing && 5", "missing"),
        ("int('x') && 5", "missing"),
        ("true && int('x')", "missing"),
        ("event.data.nothing && 5", "5"),
        ("1 && 2 && 3", "3"),
        ("1 && 0 && 3 || 4", "4"),
        ("event.data.text ? 1 : 2", "1"),
        ("event.data.missing ? 1 : 2", "2"),
        ("event.data.empty ? 1 : event.data.zero ? 2 : 3", "3"),
        ("int('x') ? 1 : 2", "2"),
        ("!event.data.no", "true"),
        ("!event.data.text", "error: `!` does not take a string"),
    ]);
}

#[test]
fn macros_work() {
    check(&[
        ("has(event.data.nil)", "true"),
        ("has(event.data.missing)", "false"),
        ("has(event.data.missing.deeper)", "false"),
        ("event.data.list.all(n, n > 0)", "true"),
        ("event.data.list.all(n, n > 1)", "false"),
        ("event.data.nothing.all(n, false)", "true"),
        ("event.data.list.exists(n, n == 2)", "true"),
        ("event.data.list.exists(n, n == 9)", "false"),
        ("event.data.items.exists(i, i.sku)", "true"),
        ("event.data.items.exists(i, i.price)", "false"),
        ("event.data.items.exists(i, int(i.sku) > 0)", "false"),
        ("event.data.list.exists_one(n, n > 2)", "true"),
        ("event.data.list.exists_one(n, n > 1)", "false"),
        ("event.data.list.map(n, n * 2)", "[2,4,6]"),
        ("event.data.list.map(n, n > 1, n * 2)", "[4,6]"),
        ("event.data.list.filter(n, n != 2)", "[1,3]"),
        (
            "event.data.items.filter(i, i.qty > 0).map(i, i.sku)",
            "[\"a\"]",
        ),
        ("event.data.object.map(key, key)", "[\"b\",\"a\"]"),
        ("[1, 2].map(x, [10, 20].map(y, x + y))", "[[11,21],[12,22]]"),
        ("[1].map(x, [2].map(x, x))", "[[2]]"),
        ("event.data.missing.exists(n, true)", "missing"),
        ("event.data.missing.filter(n, true).size()", "0"),
        (
            "event.data.text.exists(n, true)",
            "error: `exists` does not take a string",
        ),
    ]);
}

#[test]
fn functions_work() {
    check(&[
        ("size('naïve')", "5"),
        ("event.data.word.size()", "5"),
        ("size(event.data.list) + size(event.data.object)", "5"),
        ("event.data.text.startsWith('Br')", "true"),
        ("event.data.text.endsWith('nd')", "true"),
        ("event.data.text.contains('x')", "false"),
        ("event.data.text.matches('^B[a-z]+$')", "true"),
        ("event.data.text.matches('^' + event.data.text)", "true"),
        ("matches(event.data.text, 'z')", "false"),
        ("lowercase(event.data.text)", "'brand'"),
        ("uppercase(event.data.text)", "'BRAND'"),
        ("b64decode(event.data.encoded)", "'hello'"),
        ("b64decode('aGVsbG8')", "'hello'"),
        ("json_parse(event.data.json).x[1]", "2"),
        ("json_parse(event.data.json) == {'x': [1, 2]}", "true"),
        ("int('42') + int(4.9) + int(2u)", "48"),
        ("int(event.data.number_text) == 42", "true"),
        ("uint(3)", "3u"),
        ("uint(-1)", "error: the result of `uint` is out of range"),
        ("double('1.5')", "1.5"),
        ("string(1.0)", "'1'"),
        ("string(42) + string(true)", "'42true'"),
        ("bool('true')", "true"),
        ("bytes('ab') == b'ab'", "true"),
        ("dyn(1) == 1.0", "true"),
        ("2 in event.data.list", "true"),
        ("2.0 in event.data.list", "true"),
        ("'a' in ['a', 'b']", "true"),
        ("'a' in event.data.object", "true"),
        ("'c' in event.data.object", "false"),
        ("event.data['some-name']", "'dashed'"),
        ("event.data.package", "'reserved'"),
        ("event.data.list[1]", "2"),
        ("event.data.object.a[0]", "true"),
        ("{'k': event.data.five}.k", "5"),
        ("{1: 'one'}[1]", "'one'"),
    ]);
}

#[test]
fn times_are_relative_to_the_given_now() {
    check(&[
        ("now()", "2024-05-06T07:08:09.25Z"),
        ("now() == date(event.ts)", "true"),
        ("date(event.data.created) == now()", "true"),
        ("now_plus('1h') - now()", "3600s"),
        ("now_minus('1h30m') < now()", "true"),
        ("now_plus('2d') == now() + duration('48h')", "true"),
        ("date('2024-05-06')", "2024-05-06T00:00:00Z"),
        ("date('2024-05-06T07:08:09')", "2024-05-06T07:08:09Z"),
        (
            "date('Mon, 06 May 2024 07:08:09 GMT')",
            "2024-05-06T07:08:09Z",
        ),
        (
            "date('tomorrow')",
            "error: `date` cannot make sense of what is in a string",
        ),
        ("date(0)", "1970-01-01T00:00:00Z"),
        (
            "timestamp('2024-05-06T07:08:09Z') > date('2024-05-05')",
            "true",
        ),
        ("int(timestamp('1970-01-01T00:01:00Z'))", "60"),
        ("duration('1.5s') + duration('-500ms')", "1s"),
        ("string(duration('1m'))", "'60s'"),
        ("now().getFullYear()", "2024"),
        ("now().getMonth() == 4 && now().getDate() == 6", "true"),
        ("now().getDayOfWeek()", "1"),
        ("now().getHours()", "7"),
        ("now().getHours('+02:00')", "9"),
        ("duration('90m').getHours()", "1"),
        (
            "now_plus('1 hour')",
            "error: `now_plus` cannot make sense of what is in a string",
        ),
    ]);
}

#[test]
fn conditions_need_a_boolean_and_missing_is_false() {
    let event = event();
    let condition = |source: &str| {
        Expr::compile(source)
            .expect("compiles")
            .eval_bool(&Bindings::of_event(&event), NOW_MS)
            .map_err(|error| error.to_string())
    };
    assert_eq!(condition("event.data.five > 4"), Ok(true));
    assert_eq!(condition("event.data.missing"), Ok(false));
    assert_eq!(condition("event.data.missing && true"), Ok(false));
    let not_boolean = |kind: &str| {
        Err(format!(
            "the expression must be true or false, and is {kind}"
        ))
    };
    assert_eq!(condition("event.data.text"), not_boolean("a string"));
    assert_eq!(condition("event.data.nil"), not_boolean("null"));
    assert_eq!(condition("event.data.one"), not_boolean("an integer"));
}
