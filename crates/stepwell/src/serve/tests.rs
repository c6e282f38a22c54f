use super::*;
use crate::http_client::{HttpClient, HttpError};
use crate::moment::{Clock, Delay, Moment};
use crate::{App, BoxFuture, Client, Config, Context, Error, Function, FunctionFailed};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KEY: &str = "signkey-test-00112233445566778899aabbccddeeff";
const OTHER_KEY: &str = "signkey-test-ffffffffffffffffffffffffffffffff";

/// A server's API: answers one thing, keeps what was asked.
#[derive(Clone)]
struct Api {
    status: u16,
    body: Value,
    requests: Arc<Mutex<Vec<(String, HeaderMap, Value)>>>,
}

impl Api {
    fn answering(status: u16, body: Value) -> Self {
        Self {
            status,
            body,
            requests: Arc::default(),
        }
    }
}

impl HttpClient for Api {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, HttpError>> {
        let (parts, body) = request.into_parts();
        let line = format!("{} {}", parts.method, parts.uri);
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let answer = match line.contains("/actions") {
            true => json!({crate_hash("add"): {"data": 40}}),
            false => self.body.clone(),
        };
        self.requests
            .lock()
            .unwrap()
            .push((line, parts.headers, body));
        let response = Response::builder()
            .status(self.status)
            .body(answer.to_string().into())
            .unwrap();
        Box::pin(std::future::ready(Ok(response)))
    }
}

struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Moment {
        Moment::from_unix_ms(1_700_000_000_000)
    }

    fn delay(&self, _: Duration) -> Delay {
        Box::pin(std::future::ready(()))
    }
}

fn crate_hash(id: &str) -> String {
    stepwell_protocol::StepId::of(id, 0).to_string()
}

async fn add(ctx: Context) -> Result<u64, Error> {
    let number = ctx.data()["number"].as_u64().unwrap_or_default();
    let sum: u64 = ctx.step().run("add", || async { Ok(number + 1) }).await?;
    Ok(sum)
}

async fn failed(ctx: Context<FunctionFailed>) -> Result<String, Error> {
    Ok(ctx.data().error.message.clone())
}

fn handler(api: &Api, config: Config) -> Handler {
    let client = Client::builder("app", config)
        .http_client(api.clone())
        .clock(StillClock)
        .build();
    let function = Function::new("add")
        .name("Add one")
        .on_event_if("app/add", "event.data.number > 0")
        .retries(2)
        .concurrency(5)
        .on_failure(failed)
        .handler(add);
    let nightly = Function::new("nightly")
        .cron("0 4 * * 0")
        .handler(|_: Context<crate::CronTick>| async { Ok::<_, Error>(()) });
    Handler::new(
        App::new(client)
            .version("7")
            .function(function)
            .function(nightly),
    )
    .unwrap()
}

fn dev() -> (Api, Handler) {
    let api = Api::answering(200, json!({"ok": true, "modified": true}));
    let handler = handler(&api, Config::dev());
    (api, handler)
}

fn signed_by(key: &str) -> Handler {
    let api = Api::answering(200, json!({"ok": true, "modified": false}));
    let config = Config {
        mode: Mode::Cloud,
        signing_key: Some(SigningKey::new(KEY)),
        signing_key_fallback: Some(SigningKey::new(key)),
        ..Config::dev()
    };
    handler(&api, config)
}

fn call_body() -> Value {
    let event = json!({"id": "e", "name": "app/add", "data": {"number": 41}, "ts": 1});
    json!({
        "ctx": {"fn_id": "6b48a4f5-033b-57e4-accc-a328f4cbcf92", "run_id": "01KDW000000000000000000002", "max_attempts": 3},
        "event": event, "events": [event], "steps": {}, "version": -1,
    })
}

fn request(method: &str, uri: &str, body: &str, headers: &[(&str, &str)]) -> Request<Bytes> {
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header("host", "localhost:3000");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Bytes::from(body.to_owned())).unwrap()
}

async fn ask(handler: &Handler, request: Request<Bytes>) -> (u16, Value, HeaderMap) {
    let (parts, body) = handler.handle(request).await.into_parts();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    (parts.status.as_u16(), body, parts.headers)
}

#[tokio::test]
async fn a_call_is_run_and_answered() {
    let (_, handler) = dev();
    let call = request(
        "POST",
        "/api/inngest?fnId=app-add&stepId=step",
        &call_body().to_string(),
        &[],
    );
    let (status, body, headers) = ask(&handler, call).await;
    assert_eq!((status, &body[0]["data"]), (206, &json!(42)));
    assert_eq!(headers["x-inngest-sdk"], "stepwell-rust:v0.1.0");
    assert_eq!(headers["x-inngest-req-version"], "2");
    assert_eq!(headers["content-type"], "application/json");
    assert!(!headers.contains_key("x-inngest-no-retry"));
}

#[tokio::test]
async fn middleware_is_told_of_the_trace_that_a_call_is_in() {
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<TraceContext>>>);
    impl crate::middleware::Middleware for Seen {
        fn on_run_start(&self, run: &crate::middleware::RunInfo) {
            self.0.lock().unwrap().push(run.trace.clone());
        }
    }
    let seen = Seen::default();
    let function = Function::new("add").on_event("app/add").handler(add);
    let app = App::new(Client::dev("app")).function(function);
    let handler = Handler::new(app.middleware(seen.clone())).unwrap();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for headers in [&[("traceparent", parent), ("tracestate", "a=b")][..], &[]] {
        let body = call_body().to_string();
        let call = request(
            "POST",
            "/api/inngest?fnId=app-add&stepId=step",
            &body,
            headers,
        );
        assert_eq!(ask(&handler, call).await.0, 206);
    }
    let expected = TraceContext {
        traceparent: Some(parent.into()),
        tracestate: Some("a=b".into()),
    };
    assert_eq!(*seen.0.lock().unwrap(), [expected, TraceContext::default()]);
}

#[tokio::test]
async fn a_call_that_came_without_its_steps_fetches_them() {
    let api = Api::answering(200, json!([call_body()["event"]]));
    let handler = handler(&api, Config::dev());
    let mut body = call_body();
    body["events"] = json!([]);
    body["ctx"]["stack"] = json!({"stack": [crate_hash("add")], "current": 1});
    body["use_api"] = true.into();
    let call = request(
        "POST",
        "/x?fnId=app-add&stepId=step",
        &body.to_string(),
        &[],
    );
    let (status, body, _) = ask(&handler, call).await;
    assert_eq!((status, body), (200, json!(40)));
    let lines: Vec<String> = api
        .requests
        .lock()
        .unwrap()
        .iter()
        .map(|(line, ..)| line.clone())
        .collect();
    let run = "http://localhost:8288/v0/runs/01KDW000000000000000000002";
    assert_eq!(
        lines,
        [format!("GET {run}/batch"), format!("GET {run}/actions")]
    );
}

#[tokio::test]
async fn bad_calls_are_told_what_is_wrong() {
    let (_, handler) = dev();
    let handler = handler.body_limit(10_000);
    let body = call_body().to_string();
    let cases: [(&str, &str, &str, u16, &str); 7] = [
        (
            "POST",
            "/?fnId=app-gone&stepId=step",
            &body,
            500,
            "Function \"app-gone\" was not found in this app; is the app synced correctly?",
        ),
        (
            "POST",
            "/?stepId=step",
            &body,
            400,
            "the query names no function: a call carries fnId=<app>-<function>",
        ),
        (
            "POST",
            "/?fnId=app-add",
            r#"{"ctx":{"fn_id":"6b48a4f5-033b-57e4-accc-a328f4cbcf92","run_id":7}}"#,
            500,
            "the call's body is not understood: ctx.run_id: ",
        ),
        ("POST", "/?probe=blood", "", 400, "Unknown probe \"blood\""),
        ("PATCH", "/", "", 405, "Method not allowed"),
        (
            "POST",
            "/?fnId=app-add",
            &"x".repeat(10_001),
            413,
            "the body is larger than 10000 bytes",
        ),
        (
            "POST",
            "/?fnId=app-add",
            "{",
            500,
            "the call's body is not understood: ",
        ),
    ];
    for (method, uri, body, status, message) in cases {
        let (answered, body, headers) = ask(&handler, request(method, uri, body, &[])).await;
        assert_eq!(answered, status, "{uri}");
        assert!(
            body["message"].as_str().unwrap().starts_with(message),
            "{body}"
        );
        assert!(headers.contains_key("x-inngest-sdk"));
    }
}

#[tokio::test]
async fn in_cloud_mode_only_signed_calls_are_run() {
    let handler = signed_by(OTHER_KEY);
    let body = call_body().to_string();
    let uri = "/?fnId=app-add&stepId=step";
    let sign = |key: &str, at| SigningKey::new(key).sign(body.as_bytes(), at);
    for key in [KEY, OTHER_KEY] {
        let signature = sign(key, 1_700_000_000);
        let call = request("POST", uri, &body, &[(headers::SIGNATURE, &signature)]);
        let response = handler.handle(call).await;
        assert_eq!(response.status(), 206);
        // The answer is signed with the key that verified the call.
        let expected = SigningKey::new(key).sign(response.body(), 1_700_000_000);
        assert_eq!(response.headers()[headers::SIGNATURE], expected);
    }
    let refused = [
        None,
        Some(sign(KEY, 1_700_000_301)),
        Some(sign("signkey-test-00", 1_700_000_000)),
        Some(SigningKey::new(KEY).sign(b"other", 1_700_000_000)),
        Some("t=now".to_owned()),
    ];
    for signature in refused {
        let headers: Vec<_> = signature
            .iter()
            .map(|text| (headers::SIGNATURE, text.as_str()))
            .collect();
        let (status, body, answered) = ask(&handler, request("POST", uri, &body, &headers)).await;
        assert_eq!((status, body), (401, json!({"message": "Unauthorized"})));
        assert!(!answered.contains_key(headers::SIGNATURE));
    }
}

#[tokio::test]
async fn the_recorded_signed_call_of_the_protocol_is_verified() {
    let path = format!(
        "{}/../stepwell-protocol/tests/fixtures/typescript/signed-call.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let fixture: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let exchange = &fixture["exchanges"][0]["request"];
    let signature = exchange["headers"]["x-inngest-signature"].as_str().unwrap();
    let body = exchange["bodyText"].as_str().unwrap();
    let seconds: u64 = signature[2..].split('&').next().unwrap().parse().unwrap();
    let key = SigningKey::new(KEY);
    assert_eq!(
        verify([&key], Some(signature), body.as_bytes(), seconds),
        Ok(&key)
    );
    stepwell_protocol::call::CallRequest::parse(body.as_bytes()).unwrap();
}

#[tokio::test]
async fn the_trust_probe_is_answered_with_a_signature() {
    let handler = signed_by(OTHER_KEY);
    let signature = SigningKey::new(KEY).sign(b"", 1_700_000_000);
    let response = handler
        .handle(request(
            "POST",
            "/?probe=trust",
            "",
            &[(headers::SIGNATURE, &signature)],
        ))
        .await;
    assert_eq!(
        (response.status().as_u16(), response.body().len()),
        (200, 0)
    );
    assert_eq!(response.headers()[headers::SIGNATURE], signature.as_str());
    assert_eq!(
        ask(&handler, request("POST", "/?probe=trust", "", &[]))
            .await
            .0,
        401
    );
}

#[tokio::test]
async fn introspection_tells_more_to_the_holder_of_the_key() {
    let (_, handler) = dev();
    let (status, body, _) = ask(&handler, request("GET", "/", "", &[])).await;
    assert_eq!(status, 200);
    insta::assert_snapshot!(body, @r#"{"authentication_succeeded":null,"capabilities":{"trust_probe":"v1","in_band_sync":"v1"},"extra":{"native_crypto":true,"is_streaming":false},"function_count":3,"has_event_key":false,"has_signing_key":false,"has_signing_key_fallback":false,"mode":"dev","schema_version":"2024-05-24"}"#);

    let handler = signed_by(OTHER_KEY);
    let (_, body, _) = ask(&handler, request("GET", "/", "", &[])).await;
    assert_eq!(
        (&body["authentication_succeeded"], body.get("app_id")),
        (&json!(false), None)
    );
    let signature = SigningKey::new(KEY).sign(b"", 1_700_000_000);
    let (_, body, _) = ask(
        &handler,
        request("GET", "/", "", &[(headers::SIGNATURE, &signature)]),
    )
    .await;
    assert_eq!(
        (&body["authentication_succeeded"], &body["app_id"]),
        (&json!(true), &json!("app"))
    );
    assert_eq!(body["signing_key_hash"], "a8faed6abbf3");
    assert!(!body.to_string().contains("00112233"), "{body}");
}

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

#[test]
fn an_app_with_two_functions_of_one_id_is_refused() {
    let function = |id: &str| Function::new(id).on_invoke().handler(add);
    let app = |functions: Vec<Function>| {
        Handler::new(App::new(Client::dev("app")).functions(functions))
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        app(vec![function("a"), function("a")]),
        "two functions have the id 'a': an app's ids are unique"
    );
    assert_eq!(
        app(vec![
            Function::new("a").on_invoke().retries(21).handler(add)
        ]),
        "function 'a': retries: 21; at most 20 are made"
    );
    assert_eq!(
        app(vec![function("a b")]),
        "function 'a b': id: an id has letters, digits and -_./ only"
    );
}

#[test]
fn query_parameters_are_decoded() {
    let uri: http::Uri = "/x?a=1&fnId=app%2Dname+x%zz%C3%A9&b".parse().unwrap();
    assert_eq!(query(&uri, "fnId").as_deref(), Some("app-name x%zzé"));
    assert_eq!(query(&uri, "b").as_deref(), Some(""));
    assert_eq!(query(&uri, "c"), None);
}

/// A clock on which no delay ends before it was asked for a few times.
struct Beats(Arc<Mutex<u32>>);

impl Clock for Beats {
    fn now(&self) -> Moment {
        Moment::from_unix_ms(1_700_000_000_000)
    }

    fn delay(&self, _: Duration) -> Delay {
        let mut left = self.0.lock().unwrap();
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                Box::pin(std::future::ready(()))
            }
            None => Box::pin(std::future::pending()),
        }
    }
}

#[tokio::test]
async fn a_streamed_answer_is_kept_alive_and_ends_with_all_of_the_answer() {
    let api = Api::answering(200, json!({}));
    let client = Client::builder(
        "app",
        Config {
            streaming: true,
            ..Config::dev()
        },
    )
    .http_client(api)
    .clock(Beats(Arc::new(Mutex::new(2))))
    .build();
    let (go, wait) = futures::channel::oneshot::channel::<()>();
    let wait = Arc::new(Mutex::new(Some(wait)));
    let slow = move |ctx: Context| {
        let wait = wait.lock().unwrap().take().expect("it is called once");
        async move {
            let failing = ctx.step().run("slow", || async {
                wait.await.expect("the test says when");
                Err::<(), _>(crate::RetryAfter::new("busy", Duration::from_secs(7)).into())
            });
            Ok::<_, Error>(failing.await?)
        }
    };
    let function = Function::new("add").on_event("app/add").handler(slow);
    let handler = Handler::new(App::new(client).function(function)).unwrap();
    let call = |method: &str, query: &str| {
        let request = Request::builder().method(method);
        let request = request.uri(format!("http://localhost:3000/api/inngest{query}"));
        request.body(Bytes::from(call_body().to_string())).unwrap()
    };
    let mut response = handler
        .respond(call("POST", "?fnId=app-add&stepId=step"))
        .await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert!(response.headers().contains_key(headers::SDK));
    let body = response.body_mut();
    for _ in 0..2 {
        assert_eq!(body.chunk().await.as_deref(), Some(&b" "[..]));
    }
    go.send(()).unwrap();
    let end: Value = serde_json::from_slice(&body.chunk().await.unwrap()).unwrap();
    assert_eq!(end["status"], 206);
    assert_eq!(end["headers"][headers::NO_RETRY], "false");
    assert_eq!(end["headers"]["retry-after"], "7");
    let ops: Value = serde_json::from_str(end["body"].as_str().unwrap()).unwrap();
    assert_eq!(ops[0]["op"], "StepError");
    assert_eq!(body.chunk().await, None);

    for (method, query) in [("GET", ""), ("POST", "?probe=trust")] {
        let mut response = handler.respond(call(method, query)).await;
        assert_eq!(response.status(), StatusCode::OK, "{method} {query}");
        if method == "GET" {
            let body = response.body_mut().chunk().await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["extra"]["is_streaming"], true);
        }
    }
}

#[tokio::test]
async fn a_streamed_answer_is_for_callers_that_are_trusted() {
    let handler = signed_by(OTHER_KEY).streaming(true);
    let request = Request::post("http://localhost:3000/api/inngest?fnId=app-add&stepId=step");
    let request = request.body(Bytes::from(call_body().to_string())).unwrap();
    assert_eq!(
        handler.respond(request).await.status(),
        StatusCode::UNAUTHORIZED
    );
}
