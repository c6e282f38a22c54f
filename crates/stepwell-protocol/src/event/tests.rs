use super::*;
use proptest::prelude::*;

const NOW: i64 = 1_767_000_000_000;

fn rendered(text: &str) -> String {
    let id = EventId(Ulid::from_parts(1, 1));
    accept(text, NOW)
        .expect("the event is good")
        .render(id)
        .get()
        .to_owned()
}

#[test]
fn what_is_kept_of_an_event() {
    assert_eq!(
        rendered(r#"{"name":"a/b"}"#),
        r#"{"data":{},"id":"00000000010000000000000001","name":"a/b","ts":1767000000000,"user":{}}"#
    );
    assert_eq!(
        rendered(
            r#"{"name":"a","data":{"x": 1,"_inngest":{"y":2}},"id":"mine","ts":1700000000000,"v":"2","other":1}"#
        ),
        r#"{"data":{"x":1},"id":"mine","name":"a","ts":1700000000000,"user":{},"v":"2"}"#
    );
    assert_eq!(
        rendered(
            r#"{"name":"a","data":{"\u005finn\u0067est":{"y":2},"x":"\u00e9"},"id":"mine","ts":1700000000000}"#
        ),
        r#"{"data":{"x":"é"},"id":"mine","name":"a","ts":1700000000000,"user":{}}"#
    );
    assert_eq!(
        rendered(
            r#"{"name":"a","data":null,"user":{"id":7},"meta":{"propagated_sessions":{"s":1}}}"#
        ),
        r#"{"data":{},"id":"00000000010000000000000001","name":"a","ts":1767000000000,"user":{"id":7},"meta":{"sessions":{"s":"1"}}}"#
    );
}

#[test]
fn what_is_refused_and_how_it_is_said() {
    for (text, error) in [
        (r#"{"data":{}}"#, "event name is empty"),
        (r#"{"name":""}"#, "event name is empty"),
        (
            r#"{"name":"Inngest/x"}"#,
            "event name is reserved for internal use: Inngest/x",
        ),
        (
            r#"{"name":1}"#,
            "invalid event: name: invalid type: integer `1`, expected a string at line 1 column 9",
        ),
        (
            r#"{"name":"a","data":[]}"#,
            "invalid event: data: expected an object",
        ),
        (
            r#"{"name":"a","data":"x"}"#,
            "invalid event: data: expected an object",
        ),
        (
            r#"{"name":"a","user":"me"}"#,
            "invalid event: user: expected an object",
        ),
        (
            r#"{"name":"a","ts":"now"}"#,
            "invalid event: ts: expected milliseconds since 1970 as an integer, found \"now\"",
        ),
        (r#"{"name":"a","ts":1}"#, "timestamp is before Jan 1, 1980"),
        (
            r#"{"name":"a","ts":4102444800001}"#,
            "timestamp is after Jan 1, 2100",
        ),
        (
            r#"{"name":"a","meta":{"sessions":{"k":true}}}"#,
            "event session 'k' must be a string or a number of at most 512 bytes",
        ),
    ] {
        assert_eq!(accept(text, NOW).unwrap_err().to_string(), error, "{text}");
    }
    let large = format!(
        r#"{{"name":"a","data":{{"x":"{}"}}}}"#,
        "x".repeat(limits::EVENT_BYTES_MAX)
    );
    assert!(matches!(accept(&large, NOW), Err(EventError::TooLarge(_))));
    assert!(matches!(accept("[]", NOW), Err(EventError::Shape(_))));
    assert!(matches!(
        accept(&format!(r#"{{"name":"{}"}}"#, "n".repeat(513)), NOW),
        Err(EventError::NameTooLong(513))
    ));
}

#[test]
fn numbers_that_no_double_holds_are_refused() {
    let with = |number: &str| {
        format!(r#"{{"name":"a","data":{{"text":"1e999 \" 1e999","n":[{number}]}}}}"#)
    };
    let long = "9".repeat(400);
    for good in [
        "1e308",
        "-1.5E+10",
        "1e-999",
        "0.1",
        "12345678901234567890123",
        &long[..300],
    ] {
        let event = accept(&with(good), NOW).expect(good);
        let body = event.render(EventId::from_bytes([1; 16]));
        serde_json::from_str::<Value>(body.get()).expect(good);
    }
    for bad in ["1e309", "-1e309", "123.4E+999", &long] {
        let Err(EventError::NumberOutOfRange(shown)) = accept(&with(bad), NOW) else {
            panic!("{bad} is taken");
        };
        assert!(bad.trim_start_matches('-').starts_with(&shown), "{shown}");
        assert!(shown.len() <= 40);
    }
    let error = accept(&with("1e309"), NOW).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid event: number out of range: 1e309"
    );
}

#[test]
fn an_event_that_no_parser_could_read_is_refused() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"name":"a","data":{{"text":"[[[\"[[","deep":{open}{close}}}}}"#)
    };
    let deepest = limits::EVENT_DEPTH_MAX - 2;
    assert!(accept(&nested(deepest), NOW).is_ok());
    assert_eq!(
        accept(&nested(deepest + 1), NOW).unwrap_err(),
        EventError::TooDeep
    );
    assert_eq!(
        accept(&nested(100_000), NOW).unwrap_err(),
        EventError::TooDeep
    );
}

#[test]
fn one_seed_makes_the_same_ids_again() {
    let seed = IdSeed::parse("1743130137367,eii2YKXRVTJPuA==").unwrap();
    assert_eq!(seed.render(), "1743130137367,eii2YKXRVTJPuA==");
    assert_eq!(seed.event_id(0).timestamp_ms(), 1_743_130_137_367);
    let entropy = &seed.event_id(0).to_bytes()[6..];
    let mut expected = STANDARD.decode("eii2YKXRVTJPuA==").unwrap();
    *expected.last_mut().unwrap() += 1;
    assert_eq!(entropy, expected);
    assert_eq!(
        seed.event_id(1),
        IdSeed::parse(&seed.render()).unwrap().event_id(1)
    );
    assert_ne!(seed.event_id(0), seed.event_id(1));
    for bad in [
        "",
        "x,eii2YKXRVTJPuA==",
        "1,short",
        "1",
        "999999999999999,eii2YKXRVTJPuA==",
    ] {
        assert_eq!(IdSeed::parse(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = accept(&text, NOW);
        let _ = IdSeed::parse(&text);
    }

    #[test]
    fn what_is_rendered_is_json_with_the_same_data(data in "[a-z\"\\\\é]{0,20}", id in "[a-z\"\\\\]{0,8}") {
        let text = serde_json::json!({"name": "n", "id": id, "data": {"k": data}}).to_string();
        let event: Event = serde_json::from_str(accept(&text, NOW).unwrap().render(EventId(Ulid(1))).get()).unwrap();
        prop_assert_eq!(event.data["k"].as_str(), Some(data.as_str()));
    }
}
