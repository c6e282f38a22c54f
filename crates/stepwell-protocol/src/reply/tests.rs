use super::*;
use proptest::prelude::*;

fn reply(status: u16, sdk: bool, body: &str) -> Reply {
    let headers = ReplyHeaders {
        sdk: sdk.then(|| "inngest-js:v4".to_owned()),
        ..ReplyHeaders::default()
    };
    interpret(RawReply {
        status,
        headers,
        body: body.as_bytes().to_vec(),
    })
}

fn said(reply: &Reply) -> String {
    match &reply.outcome {
        Outcome::Ops(ops) => format!(
            "ops {}",
            ops.iter()
                .map(|op| op.op.as_str())
                .collect::<Vec<_>>()
                .join(",")
        ),
        Outcome::Returned(json) => format!("returned {}", json.get()),
        Outcome::Failed(failure) => {
            format!("failed {}: {}", failure.error.name, failure.error.message)
        }
    }
}

#[test]
fn statuses_and_headers_decide() {
    for (status, sdk, body, expected) in [
        (200, true, r#"{"a":1}"#, r#"returned {"a":1}"#),
        (200, true, "", "returned null"),
        (200, true, "not json", r#"returned "not json""#),
        (
            200,
            false,
            "<html>",
            "failed not_sdk: The response did not come from an Inngest SDK",
        ),
        (206, true, r#"[{"op":"StepRun","id":"a"}]"#, "ops StepRun"),
        (206, true, "[]", "ops "),
        (500, true, r#"{"name":"E","message":"m"}"#, "failed E: m"),
        (400, true, "oops", "failed Error: oops"),
        (
            504,
            false,
            "<html>",
            "failed Server returned a fatal error: Your server returned HTTP 504 before the SDK responded.",
        ),
        (
            201,
            true,
            r#"   {"status":206,"body":"[{\"op\":\"Sleep\",\"id\":\"a\"}]"}"#,
            "ops Sleep",
        ),
        (
            201,
            true,
            r#"{"status":200,"body":{"x":1}}"#,
            r#"returned {"x":1}"#,
        ),
        (
            201,
            true,
            r#"{"error":"stream broke"}"#,
            "failed Error: stream broke",
        ),
    ] {
        assert_eq!(said(&reply(status, sdk, body)), expected, "{status} {body}");
    }
    assert!(said(&reply(206, true, "")).contains("error reading generator opcode response"));
    assert!(said(&reply(206, true, r#"[{"op":"Dance"}]"#)).contains("unknown op 'Dance'"));
    assert!(said(&reply(201, true, "   ")).contains("error reading streamed response"));
}

#[test]
fn a_failed_answer_that_is_no_sdks_keeps_what_the_server_said() {
    let Outcome::Failed(failure) = reply(502, false, "<h1>Bad gateway</h1>").outcome else {
        panic!("502 is a failure")
    };
    assert_eq!(failure.error.stack.as_deref(), Some("<h1>Bad gateway</h1>"));
}

#[test]
fn retry_headers() {
    let headers = ReplyHeaders::read(|name| match name {
        headers::NO_RETRY => Some("TRUE"),
        headers::RETRY_AFTER => Some("30"),
        headers::REQUEST_VERSION => Some("2"),
        _ => None,
    });
    let reply = interpret(RawReply {
        status: 500,
        headers,
        body: Vec::new(),
    });
    assert!(reply.no_retry);
    assert_eq!(reply.retry_after, Some(RetryAfter::In(30_000)));
    assert_eq!(reply.request_version, Some(2));
    assert_eq!(
        RetryAfter::parse("Fri, 02 Jan 2026 03:04:05 GMT"),
        Some(RetryAfter::At(1_767_323_045_000))
    );
    assert_eq!(RetryAfter::parse("12345678"), None);
    assert_eq!(RetryAfter::parse("-3"), None);
}

proptest! {
    #[test]
    fn no_answer_panics(status in 0_u16..1000, sdk: bool, body in "\\PC{0,100}") {
        let _ = reply(status, sdk, &body);
    }
}
