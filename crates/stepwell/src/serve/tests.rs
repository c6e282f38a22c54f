mod registration;
mod streaming;

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
