use super::*;
use serde_json::{Value, json};

/// A function of an app `app` that is fine, with these fields on top.
fn config(fields: Value) -> Value {
    let mut config = json!({
        "id": "app-f",
        "name": "F",
        "triggers": [{"event": "x/y"}],
        "steps": {"step": {
            "id": "step", "name": "step",
            "runtime": {"type": "http", "url": "http://app.test/api/inngest?fnId=app-f&stepId=step"},
        }},
    });
    let Value::Object(fields) = fields else {
        panic!("fields are an object")
    };
    config
        .as_object_mut()
        .expect("it is an object")
        .extend(fields);
    config
}

fn compile(functions: Vec<Value>) -> Result<Vec<Function>, Vec<String>> {
    let body = json!({"appName": "app", "url": "http://app.test", "functions": functions});
    let registration = Registration::parse(body.to_string().as_bytes()).expect("it decodes");
    compile_all(&registration)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn one(fields: Value) -> Function {
    compile(vec![config(fields)])
        .expect("the function compiles")
        .remove(0)
}

fn steps(url: &str) -> Value {
    json!({"step": {"id": "step", "name": "step", "runtime": {"type": "http", "url": url}}})
}

/// What is wrong with a function with these fields, one problem a line.
fn check(fields: Value, expected: &[&str]) {
    let found = compile(vec![config(fields.clone())])
        .err()
        .unwrap_or_default();
    assert_eq!(found, expected, "{fields}");
}

#[test]
fn what_a_function_needs() {
    check(
        json!({"id": "", "name": ""}),
        &["function '#0': name: A function name is required"],
    );
    check(
        json!({"steps": {}}),
        &["function 'app-f': steps: Functions must contain one step"],
    );
    let mut two = steps("http://app.test");
    two["other"] = two["step"].clone();
    check(
        json!({"steps": two}),
        &["function 'app-f': steps: Functions must contain one step"],
    );
    check(
        json!({"steps": steps("nowhere")}),
        &["function 'app-f': steps.step.runtime.url: 'nowhere' is not a URL"],
    );
    check(
        json!({"steps": steps("ftp://app.test")}),
        &["function 'app-f': steps.step.runtime.url: Non-supported step schema: ftp"],
    );
    for url in [
        "http://a.test",
        "https://a.test",
        "ws://a.test",
        "wss://a.test",
    ] {
        check(json!({"steps": steps(url)}), &[]);
    }
}

#[test]
fn triggers() {
    let eleven: Vec<Value> = (0..11)
        .map(|index| json!({"event": format!("x/{index}")}))
        .collect();
    check(
        json!({"triggers": eleven}),
        &["function 'app-f': triggers: This function exceeds the max number of triggers: 10"],
    );
    check(json!({"triggers": eleven[..10]}), &[]);
    check(json!({"triggers": []}), &[]);
    check(json!({"triggers": null}), &[]);
    check(
        json!({"triggers": [{"event": "x/y"}, {"event": "x/y"}]}),
        &["function 'app-f': triggers[1].event: duplicate trigger event: x/y"],
    );
    check(
        json!({"triggers": [{"event": "x/y"}, {"event": "x/y", "expression": "event.data.n == 1"}]}),
        &[],
    );
    check(
        json!({"triggers": [{"event": "x".repeat(256)}]}),
        &["function 'app-f': triggers[0].event: an event name has at most 255 characters"],
    );
    check(json!({"triggers": [{"event": "x".repeat(255)}]}), &[]);
    check(
        json!({"triggers": [{}]}),
        &["function 'app-f': triggers[0]: a trigger needs an event or a cron expression"],
    );
    check(
        json!({"triggers": [{"event": "x/y", "expression": "event.data.n =="}]}),
        &[
            "function 'app-f': invalid trigger expression on 'x/y': a value is missing at the end (line 1, column 16)",
        ],
    );
}

#[test]
fn concurrency() {
    check(
        json!({"concurrency": [{"limit": 1}, {"limit": 2}, {"limit": 3}]}),
        &["function 'app-f': concurrency: at most 2 limits on steps are possible"],
    );
    for scope in ["env", "account"] {
        check(
            json!({"concurrency": {"limit": 1, "scope": scope}}),
            &[
                "function 'app-f': concurrency[0]: A concurrency key must be specified for Env scoped limits",
            ],
        );
    }
    check(
        json!({"concurrency": {"limit": 1, "scope": "planet", "key": "event.data.u"}}),
        &["function 'app-f': concurrency[0]: unknown scope 'planet'; use fn, env or account"],
    );
    check(
        json!({"concurrency": {"limit": 1, "key": "event.data["}}),
        &[
            "function 'app-f': Invalid concurrency key 'event.data[': `[` is not closed (line 1, column 11)",
        ],
    );
    check(json!({"concurrency": {"fn": [{"limit": 1}]}}), &[]);
    check(
        json!({"concurrency": {"fn": [{"limit": 1}, {"limit": 2}]}}),
        &["function 'app-f': concurrency.fn: at most 1 limit on runs is possible"],
    );
    check(
        json!({"concurrency": {"fn": [{"limit": 1, "scope": "env", "key": "event.data.u"}]}}),
        &["function 'app-f': concurrency.fn: a limit on runs has the scope fn"],
    );
    let limits = one(json!({"concurrency": [{"limit": 3}, {"limit": 0, "key": "event.data.u"}]}));
    assert_eq!(limits.concurrency.len(), 1, "a limit of 0 is none");
    assert_eq!(limits.concurrency[0].limit, 3);
    assert_eq!(one(json!({"concurrency": 7})).concurrency[0].limit, 7);
}

#[test]
fn throttle() {
    check(
        json!({"throttle": {"limit": 1, "period": "soon"}}),
        &[
            "function 'app-f': throttle.period: 'soon' is not a duration; write a number and a unit (ns, us, ms, s, m, \
           h, d, w), e.g. 90s or 1d12h",
        ],
    );
    check(
        json!({"throttle": {"limit": 1, "period": "999ms"}}),
        &["function 'app-f': throttle.period: '999ms' is less than a second"],
    );
    check(
        json!({"throttle": {"limit": 1, "period": "1s", "key": "("}}),
        &["function 'app-f': throttle.key: `(` is not closed (line 1, column 1)"],
    );
    let throttle = one(json!({"throttle": {"limit": 0, "period": "1s500ms", "burst": 2}}));
    let throttle = throttle.throttle.expect("it has one");
    assert_eq!(
        throttle.emission_us, 1_000_000,
        "whole seconds, at least one start"
    );
    assert_eq!(throttle.burst, 2);
}

#[test]
fn rate_limit() {
    for (rate_limit, message) in [
        (
            json!({"limit": 0, "period": "1s"}),
            "rateLimit.limit: limit must be greater than 0",
        ),
        (
            json!({"limit": 1}),
            "rateLimit.period: period must be specified",
        ),
        (
            json!({"limit": 1, "period": "25h"}),
            "rateLimit.period: period must be less than 24h0m0s",
        ),
    ] {
        check(
            json!({"rateLimit": rate_limit}),
            &[&format!("function 'app-f': {message}")],
        );
    }
    check(
        json!({"rateLimit": {"limit": 1, "period": "1s", "key": "("}}),
        &["function 'app-f': rateLimit: key is invalid: `(` is not closed (line 1, column 1)"],
    );
    check(
        json!({"idempotency": "("}),
        &["function 'app-f': idempotency: key is invalid: `(` is not closed (line 1, column 1)"],
    );
    let limit = one(json!({"rateLimit": {"limit": 20, "period": "24h"}}))
        .rate_limit
        .expect("it has one");
    assert_eq!(
        (limit.emission_us, limit.burst),
        (24 * 3_600_000_000 / 20, 2)
    );
}

#[test]
fn priority() {
    check(
        json!({"priority": {"run": "("}}),
        &["function 'app-f': priority.run: `(` is not closed (line 1, column 1)"],
    );
}

#[test]
fn batches() {
    let batch = |fields: Value| {
        let mut batch = json!({"maxSize": 2, "timeout": "1s"});
        for (key, value) in fields.as_object().expect("fields are an object") {
            batch[key] = value.clone();
        }
        json!({"batchEvents": batch})
    };
    check(batch(json!({})), &[]);
    check(
        batch(json!({"maxSize": 1})),
        &["function 'app-f': batchEvents.maxSize: a batch has at least 2 events"],
    );
    check(
        batch(json!({"timeout": "999ms"})),
        &["function 'app-f': batchEvents.timeout: '999ms' is less than the min of: 1s"],
    );
    for (fields, problem) in [
        (
            json!({"cancel": [{"event": "x/z"}]}),
            "cancel: Batching and cancellation are mutually exclusive",
        ),
        (
            json!({"debounce": {"period": "1s"}}),
            "debounce: Batching and debouncing are mutually exclusive",
        ),
        (
            json!({"singleton": {"mode": "skip"}}),
            "singleton: Batching and singletons are mutually exclusive",
        ),
        (
            json!({"priority": {"run": "1"}}),
            "priority.run: A function cannot specify Priority.Run and Batch together",
        ),
    ] {
        let mut config = batch(json!({}));
        for (key, value) in fields.as_object().expect("fields are an object") {
            config[key] = value.clone();
        }
        check(config, &[&format!("function 'app-f': {problem}")]);
    }
}

#[test]
fn debounces() {
    for (period, problem) in [
        (
            "999ms",
            "The debounce period of '999ms' is less than the min of: 1s",
        ),
        (
            "169h",
            "The debounce period of '169h' is greater than the max of: 168h0m0s",
        ),
    ] {
        check(
            json!({"debounce": {"period": period}}),
            &[&format!("function 'app-f': debounce.period: {problem}")],
        );
    }
    check(json!({"debounce": {"period": "7d", "key": ""}}), &[]);
}

#[test]
fn cancellations() {
    let cancel = |condition: &str| json!({"cancel": [{"event": "x/z", "if": condition}]});
    check(cancel("event.data.id == async.data.id"), &[]);
    check(
        json!({"cancel": vec![json!({"event": "x/z"}); 6]}),
        &[
            "function 'app-f': cancel: This function exceeds the max number of cancellation events: 5",
        ],
    );
    check(
        json!({"cancel": [{"event": "x/*"}, {"event": "x/z", "timeout": "soon"}]}),
        &[
            "function 'app-f': cancel[0].event: 'x/*' is a pattern; cancellations listen to exact names",
            "function 'app-f': cancel[1].timeout: 'soon' is neither a duration like 1h nor an RFC 3339 date",
        ],
    );
    let errors = compile(vec![config(cancel("now() > 1"))]).expect_err("functions are refused");
    assert!(
        errors[0]
            .starts_with("function 'app-f': cancel[0].if: Cancellation expression is invalid: "),
        "{errors:?}"
    );
}

#[test]
fn schedules_singletons_and_timeouts() {
    check(
        json!({"triggers": [{"cron": "TZ=Europe/Paris 0 5 * * 1-5", "jitter": "30s"}]}),
        &[],
    );
    check(
        json!({"triggers": [{"cron": "0 5 * * *"}, {"cron": "0 5 * * *", "jitter": "30s"}]}),
        &["function 'app-f': triggers[1].cron: duplicate cron expression: 0 5 * * *"],
    );
    check(
        json!({"triggers": [{"cron": "0 5 * * *", "jitter": "6m"}]}),
        &["function 'app-f': triggers[0].cron: cron jitter must be less than or equal to 5m0s"],
    );
    check(
        json!({"singleton": {"mode": "queue"}}),
        &["function 'app-f': singleton.mode: unknown mode 'queue'; use skip or cancel"],
    );
    check(json!({"timeouts": {"start": "1s", "finish": "1h30m"}}), &[]);
    check(
        json!({"idempotency": "", "cancel": [], "timeouts": {}, "priority": {}}),
        &[],
    );
}

#[test]
fn all_problems_of_all_functions_come_at_once() {
    let errors = compile(vec![
        config(json!({"id": "app-a", "steps": {}, "throttle": {"limit": 1, "period": "x"}})),
        config(json!({"id": "app-b"})),
        config(json!({"id": "app-b"})),
    ]);
    assert_eq!(
        errors.expect_err("they do not compile"),
        [
            "function 'app-a': steps: Functions must contain one step",
            "function 'app-a': throttle.period: 'x' is not a duration; write a number and a unit (ns, us, ms, s, m, h, \
             d, w), e.g. 90s or 1d12h",
            "function 'app-b': id: the app has two functions of this id",
        ]
    );
}

#[test]
fn retries_come_from_the_step_then_from_the_function_then_from_the_protocol() {
    let mut step = steps("http://app.test");
    step["step"]["retries"] = json!({"attempts": 1});
    for (fields, attempts_max) in [
        (json!({}), 5),
        (json!({"retries": 2}), 3),
        (json!({"retries": 2, "steps": step}), 2),
        (json!({"retries": 0}), 1),
        (json!({"retries": 1_000}), 21),
    ] {
        assert_eq!(one(fields.clone()).attempts_max, attempts_max, "{fields}");
    }
}

#[test]
fn a_function_without_an_id_gets_one_from_its_name() {
    for (name, slug) in [
        ("Send  Welcome E-mail!", "send-welcome-e-mail"),
        ("--a--", "a"),
        ("Ä b", "b"),
    ] {
        assert_eq!(&*one(json!({"id": "", "name": name})).slug, slug);
    }
    assert_eq!(
        one(json!({"name": ""})).name,
        "app-f",
        "and a name from its id"
    );
}

#[test]
fn a_stored_function_compiles_to_the_same() {
    let function = Function {
        version: 7,
        archived: true,
        ..one(json!({
            "id": "",
            "retries": 2,
            "triggers": [{"event": "x/y", "expression": "event.data.n > 1"}, {"event": "z/*"}],
            "concurrency": [{"limit": 2, "key": "event.data.u"}, {"limit": 9, "key": "'all'", "scope": "env"}],
            "throttle": {"limit": 3, "period": "1m", "burst": 1, "key": "event.data.u"},
        }))
    };
    let row = function.row();
    let read = Function::from_row(&row).expect("what was stored compiles");
    assert_eq!(read.row(), row);
    assert_eq!(format!("{read:?}"), format!("{function:?}"));
}

#[test]
fn a_stored_function_that_does_not_compile_says_why() {
    let mut row = one(json!({})).row();
    row.config = row.config.replace("http://", "gopher://");
    assert_eq!(
        Function::from_row(&row).unwrap_err(),
        "function 'app-f': steps.step.runtime.url: Non-supported step schema: gopher"
    );
}
