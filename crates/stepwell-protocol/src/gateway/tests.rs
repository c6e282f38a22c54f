use super::*;
use crate::StepId;
use serde_json::json;

fn op(kind: Opcode, opts: Value) -> Op {
    let Value::Object(opts) = opts else {
        panic!("options are an object");
    };
    Op {
        opts: Some(opts),
        ..Op::new(kind, StepId::parse("a"), "a")
    }
}

fn fetch(opts: Value) -> Result<Request, String> {
    Request::from_op(&op(Opcode::Gateway, opts))
}

fn infer(opts: Value) -> Result<Request, String> {
    Request::from_op(&op(Opcode::AiGateway, opts))
}

fn headers(request: &Request) -> Vec<(&str, &str)> {
    request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect()
}

#[test]
fn a_fetch_is_read() {
    let request = fetch(json!({
        "url": "https://example.com/a?b=c#d", "method": "put", "headers": {"X-One": "1", "x-two": ["2", "3"], "x-none": null},
        "body": "text", "publish": {"channel": "c", "topic": "t"},
    }))
    .unwrap();
    assert_eq!(request.kind, Kind::Fetch);
    assert_eq!(request.url.as_str(), "https://example.com/a?b=c");
    assert_eq!(request.method, "PUT");
    assert_eq!(
        headers(&request),
        [("x-one", "1"), ("x-two", "2"), ("x-two", "3")]
    );
    assert_eq!(&*request.body, b"text");
    assert!(request.auth.is_none());
    let publish = Publish {
        channel: "c".to_owned(),
        topic: "t".to_owned(),
    };
    assert_eq!(request.publish, Some(publish));
}

#[test]
fn a_fetch_needs_nothing_but_a_url() {
    let request = fetch(json!({"url": "http://example.com"})).unwrap();
    assert_eq!(request.method, "POST");
    assert!(request.body.is_empty() && request.headers.is_empty() && request.publish.is_none());
    let nulls = json!({"url": "http://example.com", "method": "", "headers": null, "body": null, "publish": null});
    assert_eq!(fetch(nulls).unwrap().method, "POST");
    let own = json!({"url": "http://example.com", "method": "Purge"});
    assert_eq!(fetch(own).unwrap().method, "Purge");
}

#[test]
fn headers_of_one_connection_stay_behind() {
    let request = fetch(json!({"url": "http://example.com", "headers": {
        "Host": "other.example", "Content-Length": "7", "Connection": "keep-alive, X-Hop", "Keep-Alive": "1", "x-hop": "1",
        "Transfer-Encoding": "chunked", "TE": "trailers", "Trailer": "x", "Upgrade": "h2c", "Proxy-Authorization": "Basic eA==",
        "Proxy-Connection": "close", "Accept-Encoding": "zstd", "Accept": "text/plain",
    }}))
    .unwrap();
    assert_eq!(headers(&request), [("accept", "text/plain")]);
}

#[test]
fn a_user_in_the_url_becomes_a_header() {
    let request = fetch(json!({"url": "https://a%2Bb:p+s%26&@example.com/x"})).unwrap();
    assert_eq!(request.url.as_str(), "https://example.com/x");
    let expected = base64::engine::general_purpose::STANDARD.encode("a+b:p+s&&");
    let sent = request.headers[header::AUTHORIZATION].to_str().unwrap();
    assert_eq!(sent, format!("Basic {expected}"));
    let said = json!({"url": "https://a:b@example.com", "headers": {"authorization": "Bearer x"}});
    assert_eq!(
        fetch(said).unwrap().headers[header::AUTHORIZATION],
        "Bearer x"
    );
}

#[test]
fn each_provider_gets_its_key_where_it_looks_for_it() {
    let ask = |format: &str, url: &str| {
        infer(json!({"url": url, "auth_key": "k-1", "format": format, "body": {"model": "m"}}))
            .unwrap()
    };
    let header_of = |request: &Request| match &request.auth {
        Some(Auth::Header(name, value)) => {
            assert!(value.is_sensitive());
            format!("{name}: {}", value.to_str().unwrap())
        }
        other => panic!("{other:?}"),
    };
    for (format, expected) in [
        ("openai-chat", "authorization: Bearer k-1"),
        ("openai-responses", "authorization: Bearer k-1"),
        ("azure-openai", "authorization: Bearer k-1"),
        ("", "authorization: Bearer k-1"),
        ("bedrock", "authorization: k-1"),
        ("anthropic", "x-api-key: k-1"),
    ] {
        let request = ask(format, "https://ai.example/v1");
        assert_eq!(header_of(&request), expected, "{format}");
        assert_eq!(request.method, "POST");
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(&*request.body, br#"{"model":"m"}"#);
        let version = request.headers.get("anthropic-version");
        assert_eq!(version.is_some(), format == "anthropic");
    }
    for url in [
        "https://ai.example/v1?alt=json",
        "https://ai.example/v1?key=old&alt=json&key=",
    ] {
        let request = ask("gemini", url);
        assert_eq!(request.url.as_str(), "https://ai.example/v1?alt=json");
        let Some(Auth::QueryKey(key)) = &request.auth else {
            panic!("{request:?}");
        };
        assert_eq!(key, "k-1");
    }
}

#[test]
fn what_the_user_wrote_is_kept() {
    let request = infer(json!({
        "url": "https://ai.example/v1", "auth_key": "k-1", "format": "anthropic", "body": [1],
        "headers": {"anthropic-version": "2099-01-01", "X-API-Key": "own", "content-type": "application/x"},
    }))
    .unwrap();
    assert_eq!(
        headers(&request),
        [
            ("anthropic-version", "2099-01-01"),
            ("x-api-key", "own"),
            ("content-type", "application/x")
        ]
    );
    assert!(request.auth.is_none());
    let keyless = infer(json!({"url": "http://localhost:11434/v1", "auth_key": "", "body": {}}));
    assert!(keyless.unwrap().auth.is_none());
    let in_url =
        infer(json!({"url": "https://ai.example/?key=k-2", "format": "gemini", "body": {}}));
    assert!(matches!(in_url.unwrap().auth, Some(Auth::QueryKey(key)) if key == "k-2"));
}

#[test]
fn an_option_that_is_wrong_is_named() {
    let long = "x".repeat(BODY_BYTES_MAX + 1);
    let many: Map<String, Value> = (0..=HEADERS_MAX)
        .map(|index| (format!("x-{index}"), "1".into()))
        .collect();
    let url = "https://example.com";
    for (opts, expected) in [
        (json!({}), "opts.url is missing"),
        (json!({"url": 7}), "opts.url is a number, not text"),
        (
            json!({"url": "/a"}),
            "opts.url is not a URL: relative URL without a base",
        ),
        (
            json!({"url": "ftp://example.com"}),
            "opts.url has the scheme 'ftp'; requests go over http and https only",
        ),
        (
            json!({"url": format!("{url}/{}", &long[..URL_BYTES_MAX])}),
            "opts.url has 8212 bytes; at most 8192 are sent",
        ),
        (
            json!({"url": format!("{url}/{}", "é".repeat(2_000))}),
            "opts.url has 12020 bytes; at most 8192 are sent",
        ),
        (
            json!({"url": url, "method": "GET /"}),
            "opts.method is not the name of an HTTP method",
        ),
        (
            json!({"url": url, "method": "connect"}),
            "opts.method is CONNECT, which is not sent for functions",
        ),
        (
            json!({"url": url, "headers": "x: 1"}),
            "opts.headers is text, not an object",
        ),
        (
            json!({"url": url, "headers": {"x y": "1"}}),
            "opts.headers has 'x y', which cannot be a header's name",
        ),
        (
            json!({"url": url, "headers": {"x": "s\r\ny: 1"}}),
            "opts.headers.x has a character that a header cannot carry",
        ),
        (
            json!({"url": url, "headers": {"x": {}}}),
            "opts.headers.x is an object, not text",
        ),
        (
            json!({"url": url, "headers": many}),
            "opts.headers is too large: at most 64 headers of 65536 bytes are sent",
        ),
        (
            json!({"url": url, "headers": {"x": &long[..HEADER_BYTES_MAX]}}),
            "opts.headers is too large: at most 64 headers of 65536 bytes are sent",
        ),
        (
            json!({"url": url, "body": {"a": 1}}),
            "opts.body is an object, not text",
        ),
        (
            json!({"url": url, "body": long}),
            "opts.body has 4194305 bytes; at most 4194304 are sent",
        ),
        (
            json!({"url": url, "publish": "t"}),
            "opts.publish is text, not an object",
        ),
        (
            json!({"url": url, "publish": {"channel": "c"}}),
            "opts.publish.topic is missing",
        ),
        (
            json!({"url": url, "publish": {"topic": 1}}),
            "opts.publish.topic is a number, not text",
        ),
        (
            json!({"url": url, "publish": {"topic": &long[..2_000]}}),
            "opts.publish.topic has more than 1024 bytes",
        ),
    ] {
        assert_eq!(fetch(opts).unwrap_err(), expected);
    }
    for (opts, expected) in [
        (
            json!({"url": url}),
            "opts.body is missing: it is the provider's request, as JSON",
        ),
        (
            json!({"url": url, "body": {}, "auth_key": ["k"]}),
            "opts.auth_key is an array, not text",
        ),
        (
            json!({"url": url, "body": {}, "auth_key": "k\n"}),
            "opts.auth_key has a character that a header cannot carry",
        ),
        (
            json!({"url": url, "body": {}, "auth_key": &long[..70_000]}),
            "opts.auth_key has more than 65536 bytes",
        ),
        (
            json!({"url": url, "body": {}, "format": 1}),
            "opts.format is a number, not text",
        ),
    ] {
        assert_eq!(infer(opts).unwrap_err(), expected);
    }
    let other = Request::from_op(&op(Opcode::Sleep, json!({"url": url})));
    assert_eq!(other.unwrap_err(), "the op Sleep asks for no request");
}

#[test]
fn nothing_secret_is_shown() {
    for format in ["gemini", "anthropic", "bedrock", "openai-chat"] {
        let request = infer(json!({
            "url": "https://hush-user:hush-pass@ai.example/hush-path?key=hush-query&x=hush-x", "auth_key": "hush-key",
            "format": format, "headers": {"X-Custom": "hush-custom", "Cookie": "hush-cookie"}, "body": {"a": "hush-body"},
        }))
        .unwrap();
        let shown = format!("{request:?} {request:#?}");
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("https://ai.example"), "{shown}");
    }
    let secrets = fetch(json!({"url": "https://example.com", "headers": {
        "Authorization": "1", "Cookie": "1", "x-api-key": "1", "X-Auth-Token": "1", "X-Hub-Signature": "1", "accept": "1",
        "Idempotency-Key": "1", "content-type": "1",
    }}));
    let request = secrets.unwrap();
    let marked: Vec<&str> = request
        .headers
        .iter()
        .filter(|(_, value)| value.is_sensitive())
        .map(|(name, _)| name.as_str())
        .collect();
    let expected = [
        "authorization",
        "cookie",
        "x-api-key",
        "x-auth-token",
        "x-hub-signature",
    ];
    assert_eq!(marked, expected);
}

#[test]
fn a_request_knows_its_size_and_travels() {
    fn travels<T: Send + Sync + fmt::Debug>(_: &T) {}
    let body = "x".repeat(100_000);
    let request = fetch(json!({"url": "https://example.com", "body": body})).unwrap();
    travels(&request);
    assert!((100_000..102_000).contains(&request.bytes()));
}
