//! How an app's functions become known to a server.

use super::*;

#[tokio::test]
async fn a_sync_registers_the_functions_with_the_server() {
    let (api, handler) = dev();
    let sync = request(
        "PUT",
        "/api/inngest?deployId=d-1",
        r#"{"url":"ignored"}"#,
        &[],
    );
    let (status, body, headers) = ask(&handler, sync).await;
    assert_eq!(
        (status, body),
        (
            200,
            json!({"message": "Successfully registered", "modified": true})
        )
    );
    assert_eq!(headers["x-inngest-sync-kind"], "out_of_band");
    let requests = api.requests.lock().unwrap();
    let (line, headers, body) = &requests[0];
    assert_eq!(line, "POST http://localhost:8288/fn/register?deployId=d-1");
    assert_eq!(headers["x-inngest-expected-server-kind"], "dev");
    let mut body = body.clone();
    let functions = body.as_object_mut().unwrap().remove("functions").unwrap();
    insta::assert_snapshot!(body, @r#"{"url":"http://localhost:3000/api/inngest","deployType":"ping","framework":"http","appName":"app","appVersion":"7","sdk":"rust:v0.1.0","v":"0.1","capabilities":{"trust_probe":"v1","in_band_sync":"v1"}}"#);
    let lines: Vec<String> = functions
        .as_array()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"id":"app-add","name":"Add one","triggers":[{"event":"app/add","expression":"event.data.number > 0"}],"steps":{"step":{"id":"step","name":"step","runtime":{"type":"http","url":"http://localhost:3000/api/inngest?fnId=app-add&stepId=step"},"retries":{"attempts":2}}},"concurrency":[{"limit":5}]}
    {"id":"app-add-failure","name":"Add one (failure)","triggers":[{"event":"inngest/function.failed","expression":"event.data.function_id == 'app-add'"}],"steps":{"step":{"id":"step","name":"step","runtime":{"type":"http","url":"http://localhost:3000/api/inngest?fnId=app-add-failure&stepId=step"},"retries":{"attempts":1}}}}
    {"id":"app-nightly","name":"nightly","triggers":[{"cron":"0 4 * * 0"}],"steps":{"step":{"id":"step","name":"step","runtime":{"type":"http","url":"http://localhost:3000/api/inngest?fnId=app-nightly&stepId=step"}}}}
    "#);
}

#[tokio::test]
async fn a_failed_sync_says_why() {
    let api = Api::answering(400, json!({"error": "At least one function is invalid"}));
    let handler = handler(&api, Config::dev());
    let (status, body, _) = ask(&handler, request("PUT", "/api/inngest", "", &[])).await;
    assert_eq!(status, 500);
    assert_eq!(
        body["message"],
        "http://localhost:8288/fn/register answered 400: {\"error\":\"At least one function is invalid\"}"
    );
}

#[tokio::test]
async fn the_url_of_a_sync_is_where_servers_reach_the_app() {
    async fn url_of(config: Config, uri: &str, headers: &[(&str, &str)]) -> Value {
        let api = Api::answering(200, json!({"ok": true, "modified": true}));
        let handler = handler(&api, config);
        ask(&handler, request("PUT", uri, "", headers)).await;
        let requests = api.requests.lock().unwrap();
        requests[0].2["url"].clone()
    }
    let forwarded = [
        ("x-forwarded-proto", "https, http"),
        ("x-forwarded-host", "app.example"),
    ];
    assert_eq!(
        url_of(Config::dev(), "/api/inngest", &forwarded).await,
        "https://app.example/api/inngest"
    );
    let config = Config {
        serve_origin: Some("https://jobs.example".into()),
        serve_path: Some("/hooks/jobs".into()),
        ..Config::dev()
    };
    assert_eq!(
        url_of(config, "/api/inngest", &forwarded).await,
        "https://jobs.example/hooks/jobs"
    );
}

#[tokio::test]
async fn an_in_band_sync_has_the_functions_in_its_answer() {
    let handler = signed_by(OTHER_KEY);
    let body = r#"{"url":"https://app.example/api/inngest"}"#;
    let kind = (headers::SYNC_KIND, "in_band");
    let signature = SigningKey::new(KEY).sign(body.as_bytes(), 1_700_000_000);
    let signed = request("PUT", "/", body, &[kind, (headers::SIGNATURE, &signature)]);
    let (status, answer, answered) = ask(&handler, signed).await;
    assert_eq!(
        (status, &answered["x-inngest-sync-kind"]),
        (200, &HeaderValue::from_static("in_band"))
    );
    assert_eq!(
        (&answer["app_id"], &answer["url"]),
        (&json!("app"), &json!("https://app.example/api/inngest"))
    );
    assert_eq!(answer["functions"].as_array().unwrap().len(), 3);

    let (status, ..) = ask(&handler, request("PUT", "/", body, &[kind])).await;
    assert_eq!(status, 401);
    let signature = SigningKey::new(KEY).sign(b"{}", 1_700_000_000);
    let no_url = request("PUT", "/", "{}", &[kind, (headers::SIGNATURE, &signature)]);
    let (status, answer, _) = ask(&handler, no_url).await;
    assert_eq!((status, &answer["code"]), (400, &json!("invalid_request")));
}
