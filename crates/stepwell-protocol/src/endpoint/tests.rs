use super::*;
use serde_json::json;

fn request() -> HttpRequest {
    HttpRequest {
        domain: "http://127.0.0.1:3000".to_owned(),
        method: "GET".to_owned(),
        path: "/a/b".to_owned(),
        ..HttpRequest::default()
    }
}

#[test]
fn what_the_javascript_sdk_reports_is_read() {
    let report = json!({
        "run_id": "01JZXQ2M5N1V8Q7T7Q0000000A",
        "event": {"name": "inngest/http.request", "data": {
            "content_type": "", "domain": "http://127.0.0.1:3000", "ip": "", "method": "GET", "path": "/a",
            "query_params": "x=1&y=%20", "body": "", "fn": "",
        }},
        "steps": [{"op": "Sleep", "id": "s", "name": "1s", "mode": "async", "promise": {}}],
        "ts": 1_800_000_000_000_u64, "request_version": 2, "retries": 3,
    });
    let run: NewRun = crate::decode::from_slice(report.to_string().as_bytes()).unwrap();
    let request = &run.event.data;
    assert_eq!(request.check(), Ok(()));
    assert_eq!(
        request.url().unwrap().as_str(),
        "http://127.0.0.1:3000/a?x=1&y=%20"
    );
    assert_eq!(request.slug(), "GET /a");
    assert_eq!((run.steps.len(), run.retries), (1, Some(3)));
}

#[test]
fn what_cannot_be_requested_again_is_refused_with_its_field() {
    type Change = fn(&mut HttpRequest);
    let long = |request: &mut HttpRequest| request.path = format!("/{}", "x".repeat(20_000));
    let cases: [(Change, &str); 14] = [
        (
            |request| request.domain = "app.example".to_owned(),
            "domain: ",
        ),
        (
            |request| request.domain = "ftp://app.example".to_owned(),
            "domain: ",
        ),
        (
            |request| request.domain = "http://app.example/x".to_owned(),
            "domain: ",
        ),
        (
            |request| request.domain = "http://me@app.example".to_owned(),
            "domain: ",
        ),
        (
            |request| request.domain = "http://app.example?x".to_owned(),
            "domain: ",
        ),
        (
            |request| request.domain = format!("http://{}.example", "x".repeat(300)),
            "domain: ",
        ),
        (|request| request.path = "a".to_owned(), "path: "),
        (|request| request.path.clear(), "path: "),
        (long, "path: it has 20001 bytes, and 16384 are allowed"),
        (|request| request.method.clear(), "method: "),
        (|request| request.method = "G T".to_owned(), "method: "),
        (|request| request.method = "CONNECT".to_owned(), "method: "),
        (|request| request.name = "x".repeat(513), "fn: "),
        (
            |request| request.content_type = "a\nb".to_owned(),
            "content_type: ",
        ),
    ];
    for (change, expected) in cases {
        let mut request = request();
        change(&mut request);
        let error = request.check().expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{expected}: {error}");
    }
}

#[test]
fn a_path_stays_within_its_domain() {
    for (path, expected) in [
        ("//evil.example/x", "http://127.0.0.1:3000//evil.example/x"),
        ("/@evil.example", "http://127.0.0.1:3000/@evil.example"),
        ("/a b?c#d", "http://127.0.0.1:3000/a%20b%3Fc%23d"),
        ("/a%20b", "http://127.0.0.1:3000/a%20b"),
        ("/\\evil.example", "http://127.0.0.1:3000//evil.example"),
    ] {
        let request = HttpRequest {
            path: path.to_owned(),
            ..request()
        };
        assert_eq!(request.url().unwrap().as_str(), expected);
    }
}

#[test]
fn a_body_is_text_or_base64_by_its_sdk() {
    for (sdk, body, expected) in [
        ("inngest-js:v4.24.0", "YWJj", "YWJj"),
        ("inngest-go:v0.13.0", "YWJj", "abc"),
        ("", "YWJj", "abc"),
        ("", "{\"a\":1}", "{\"a\":1}"),
        ("inngest-go:v0.13.0", "", ""),
    ] {
        let mut request = request();
        request.body = body.to_owned();
        request.note_body(sdk);
        let stored = serde_json::to_string(&request).unwrap();
        let read: HttpRequest = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.body_bytes(), expected.as_bytes(), "{sdk} {body}");
    }
}

#[test]
fn endpoints_are_named_by_their_app_or_their_path() {
    let mut named = request();
    assert_eq!(named.slug(), "GET /a/b");
    named.path = format!("/{}", "x".repeat(600));
    assert_eq!(named.slug(), SHARED_SLUG);
    named.name = "checkout".to_owned();
    assert_eq!(named.slug(), "checkout");
}

#[test]
fn a_response_is_replayed_without_what_belongs_to_its_connection() {
    let output = json!({
        "status": 201, "version": 2, "body": "hello",
        "headers": {
            "Content-Type": "text/plain", "content-length": "5", "Transfer-Encoding": "chunked", "x-mine": "1",
            "connection": "close, X-Hop", "x-hop": "1", "set-cookie": ["a=1", "b=2"], "b\nd": "x", "bad": "\n",
        },
    });
    let response = Response::of_output(&output.to_string()).unwrap();
    assert_eq!((response.status.as_u16(), &*response.body), (201, "hello"));
    let headers: Vec<String> = response
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    assert_eq!(
        headers,
        [
            "content-type: text/plain",
            "x-mine: 1",
            "set-cookie: a=1",
            "set-cookie: b=2"
        ]
    );
}

#[test]
fn what_is_no_response_is_not_replayed_as_one() {
    for output in [
        json!("text"),
        json!({"status": "ok", "body": "x"}),
        json!({"status": 200}),
        json!({"status": 101, "body": ""}),
        json!({"status": 0, "body": ""}),
        json!({"status": 70_000, "body": ""}),
        json!({"status": 200, "headers": "x"}),
        json!(null),
    ] {
        assert_eq!(Response::of_output(&output.to_string()), None, "{output}");
    }
    let json = json!({"status": 200, "body": {"a": 1}});
    assert_eq!(
        Response::of_output(&json.to_string()).unwrap().body,
        "{\"a\":1}"
    );
}
