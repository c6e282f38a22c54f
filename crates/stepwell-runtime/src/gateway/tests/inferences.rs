use super::*;

const KEY: &str = "sk-hush/+=1";
/// As a query carries it.
const KEY_IN_QUERY: &str = "sk-hush%2F%2B%3D1";

fn ask(server: &Server, format: &str) -> Request {
    infer(json!({
        "type": "step.ai.infer", "url": format!("{}/v1/chat?v=1", server.url), "auth_key": KEY, "format": format,
        "headers": {"x-own": "1"}, "body": {"model": "m", "n": 1.5},
    }))
}

#[tokio::test]
async fn keys_go_where_providers_look_for_them() {
    let server = Server::start(|_| answer(200, &[], "{}")).await;
    for (format, authorization, api_key, target) in [
        ("openai-chat", "Bearer sk-hush/+=1", "", "/v1/chat?v=1"),
        ("grok", "Bearer sk-hush/+=1", "", "/v1/chat?v=1"),
        ("anthropic", "", KEY, "/v1/chat?v=1"),
        ("bedrock", KEY, "", "/v1/chat?v=1"),
        ("gemini", "", "", "/v1/chat?v=1&key=sk-hush%2F%2B%3D1"),
    ] {
        assert_eq!(value_of(ask(&server, format)).await, json!({"data": {}}));
        let seen = server.last();
        assert_eq!(seen.method, "POST");
        assert_eq!(seen.target, target, "{format}");
        assert_eq!(seen.header("authorization"), authorization, "{format}");
        assert_eq!(seen.header("x-api-key"), api_key, "{format}");
        let version = if format == "anthropic" {
            "2023-06-01"
        } else {
            ""
        };
        assert_eq!(seen.header("anthropic-version"), version);
        assert_eq!(seen.header("content-type"), "application/json");
        assert_eq!(seen.header("x-own"), "1");
        assert_eq!(seen.body, r#"{"model":"m","n":1.5}"#);
    }
}

#[tokio::test]
async fn the_provider_s_json_comes_as_it_is() {
    let server = Server::start(|_| {
        answer(
            201,
            &[],
            " {\"n\": 1.50, \"big\":123456789012345678901234567890}\n",
        )
    })
    .await;
    let value = gateway().perform(&ask(&server, "")).await.unwrap();
    assert_eq!(
        value.get(),
        r#"{"data":{"n": 1.50, "big":123456789012345678901234567890}}"#
    );
}

#[tokio::test]
async fn an_answer_that_is_not_json_is_a_failure() {
    for (content, body, expected, retriable) in [
        (
            "text/html",
            "<h1>Hello</h1>",
            "200 OK with text/html, which is not JSON",
            true,
        ),
        (
            "application/json",
            "1,\"x\":2",
            "200 OK with application/json, which is not JSON",
            true,
        ),
        (
            "application/json",
            "",
            "200 OK with application/json, which is not JSON",
            true,
        ),
        (
            "text/event-stream; charset=utf-8",
            "data: {}\n\n",
            "200 OK with text/event-stream; charset=utf-8",
            false,
        ),
    ] {
        let server = Server::start(move |_| answer(200, &[("content-type", content)], body)).await;
        let failure = failure_of(ask(&server, "")).await;
        assert_eq!(failure.error.name, "AIGatewayError");
        let message = failure.error.message;
        assert!(message.contains(expected), "{message}");
        assert_eq!(failure.retriable, retriable, "{message}");
    }
}

#[tokio::test]
async fn a_provider_s_error_says_what_it_says() {
    for (status, body, expected) in [
        (
            400,
            json!({"error": {"message": "no such model"}}),
            "400 Bad Request: no such model",
        ),
        (
            401,
            json!({"type": "error", "error": {"type": "auth", "message": "bad key"}}),
            "401 Unauthorized: bad key",
        ),
        (403, json!({"message": "expired"}), "403 Forbidden: expired"),
        (
            404,
            json!([{"error": {"message": "nothing here"}}]),
            "404 Not Found: nothing here",
        ),
        (
            422,
            json!({"detail": "n is missing"}),
            "422 Unprocessable Entity: n is missing",
        ),
        (
            500,
            json!({"error": "out of order"}),
            "500 Internal Server Error: out of order",
        ),
        (502, json!({"odd": 1}), "502 Bad Gateway: {\"odd\":1}"),
    ] {
        let text = body.to_string();
        let server = Server::start(move |_| answer(status, &[], text.clone())).await;
        let failure = failure_of(ask(&server, "")).await;
        assert_eq!(failure.error.name, "AIGatewayError");
        assert_eq!(
            failure.error.message,
            format!("{} answered {expected}", server.url)
        );
        assert_eq!(failure.error.data, Some(body));
    }
}

#[tokio::test]
async fn an_error_without_json_is_quoted_in_part() {
    let server = Server::start(|_| answer(500, &[], "é".repeat(100_000))).await;
    let failure = failure_of(ask(&server, "")).await;
    let prefix = format!("{} answered 500 Internal Server Error: ", server.url);
    assert_eq!(failure.error.message, prefix + &"é".repeat(1024));
    assert_eq!(failure.error.data, None);
    let server = Server::start(|_| answer(529, &[], "")).await;
    let failure = failure_of(ask(&server, "")).await;
    assert!(
        failure.error.message.contains("answered 529"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn another_try_comes_where_it_may_help_and_when_the_provider_says() {
    let moment = RetryAfter::At(1_767_225_600_000);
    for (status, retry_after, retriable, expected) in [
        (429, "20", true, Some(RetryAfter::In(20_000))),
        (503, "Thu, 01 Jan 2026 00:00:00 GMT", true, Some(moment)),
        (529, "1", true, Some(RetryAfter::In(1_000))),
        (500, "soon", true, None),
        (408, "", true, None),
        (409, "", true, None),
        (425, "", true, None),
        (400, "20", false, None),
        (401, "", false, None),
        (404, "", false, None),
        (422, "", false, None),
        (304, "", false, None),
    ] {
        let server =
            Server::start(move |_| answer(status, &[("retry-after", retry_after)], "")).await;
        let failure = failure_of(ask(&server, "")).await;
        assert_eq!(
            (failure.retriable, failure.retry_after),
            (retriable, expected),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_provider_that_repeats_a_secret_is_not_believed() {
    let server = Server::start(|seen| {
        let headers: Vec<String> = seen
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        let said = json!({"error": {"message": format!("{} {headers:?}", seen.target), "param": {seen.target.clone(): headers}}});
        match seen.header("x-own") {
            "" => answer(400, &[], format!("<p>{said}</p>")),
            _ => answer(400, &[], said.to_string()),
        }
    })
    .await;
    for format in ["openai-chat", "anthropic", "bedrock", "gemini"] {
        for own in ["", "1"] {
            let failure = failure_of(infer(json!({
                "url": server.url, "auth_key": KEY, "format": format, "body": {},
                "headers": {"x-own": own, "cookie": "hush=hush", "x-token": "hush-token"},
            })))
            .await;
            let shown = format!(
                "{failure:?} {}",
                serde_json::to_string(&failure.error).unwrap()
            );
            assert!(!shown.contains("hush"), "{shown}");
            assert!(shown.contains("[hidden]"), "{shown}");
            let sent = server.last();
            assert!(sent.target.contains(KEY_IN_QUERY) || format != "gemini");
        }
    }
}
