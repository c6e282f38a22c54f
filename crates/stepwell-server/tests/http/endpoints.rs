//! Durable endpoints, with the test in the place of the app's SDK: it reports runs, and answers re-entries.

use crate::app::{App, Call, id, ops, page, sdk, sleep, step_run};
use crate::server::{Answer, Server, Setup, function, soon};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use stepwell_engine::Timestamp;
use stepwell_protocol::signing::{self, SigningKey};
use stepwell_runtime::gateway::PrivateAddresses;
use stepwell_runtime::{Clock, HttpOptions, ManualClock};
use stepwell_server::ServerOptions;

/// A server that may re-enter endpoints on this machine.
fn setup() -> Setup {
    Setup {
        http: HttpOptions {
            private_addresses: PrivateAddresses::Allow,
            ..HttpOptions::default()
        },
        ..Setup::default()
    }
}

/// A request to an endpoint of an app, as its SDK sees it.
struct Endpoint {
    run: String,
    data: Value,
}

impl Endpoint {
    fn requested(server: &Server, app: &App) -> Self {
        let domain = app.url.trim_end_matches("/api/inngest");
        Self {
            run: server.handle.new_event_id().to_string(),
            data: json!({
                "domain": domain, "method": "GET", "path": "/orders/7", "query_params": "a=1&b=%20c",
                "ip": "203.0.113.7", "content_type": "", "body": "", "fn": "",
            }),
        }
    }

    fn with(mut self, field: &str, value: &str) -> Self {
        self.data[field] = value.into();
        self
    }

    fn report(&self, steps: Value) -> Value {
        json!({
            "run_id": self.run, "event": {"name": "inngest/http.request", "data": self.data}, "steps": steps,
            "ts": 1_800_000_000_000_u64, "request_version": 2, "retries": 1,
        })
    }

    /// The first report; returns what the server answers.
    async fn start(&self, server: &Server, steps: Value) -> Value {
        let headers = [("x-inngest-sdk", "inngest-js:v4.24.0")];
        let body = self.report(steps).to_string();
        let answer = server
            .request(Method::POST, "/v1/checkpoint", &headers, body)
            .await;
        answer.expect(200)["data"].clone()
    }

    async fn report_more(&self, server: &Server, steps: Value) {
        let path = format!("/v1/checkpoint/{}/steps", self.run);
        let body = json!({"run_id": self.run, "steps": steps}).to_string();
        let answer = server.post(&path, body).await;
        assert_eq!((answer.status, &*answer.text), (200, ""));
    }

    async fn output(&self, server: &Server, started: &Value) -> Answer {
        let token = started["token"].as_str().expect("there is a token");
        let path = format!("/v1/http/runs/{}/output?token={token}", self.run);
        soon("the run ends", server.get(&path)).await
    }

    async fn shown(&self, server: &Server) -> Value {
        let shown = server.get(&format!("/v1/runs/{}", self.run)).await;
        shown.expect(200)["data"].clone()
    }
}

fn ended(response: Value) -> Value {
    json!({"op": "RunComplete", "id": id("complete"), "data": response})
}

/// An app that is never re-entered.
async fn bystander() -> App {
    App::start(|_| page(500, "nobody calls this app")).await
}

#[tokio::test]
async fn a_run_that_its_app_executes_in_one_go() {
    let (server, app) = (setup().start().await, bystander().await);
    let endpoint = Endpoint::requested(&server, &app);
    let started = endpoint
        .start(&server, json!([step_run("a", json!(1))]))
        .await;
    assert_eq!(started["run_id"], endpoint.run);
    for field in ["fn_id", "app_id", "token", "realtime_token"] {
        assert!(started[field].is_string(), "{field}: {started}");
    }
    assert_eq!(endpoint.shown(&server).await["status"], "Running");
    let headers = json!({"content-type": "text/plain", "x-mine": "1", "connection": "close", "content-length": "99"});
    let response = json!({"status": 201, "headers": headers, "body": "héllo", "version": 2});
    endpoint
        .report_more(&server, json!([step_run("b", json!(2))]))
        .await;
    endpoint
        .report_more(&server, json!([ended(response.clone())]))
        .await;

    let output = endpoint.output(&server, &started).await;
    assert_eq!((output.status, &*output.text), (201, "héllo"));
    assert_eq!(
        (output.header("x-mine"), output.header("content-type")),
        ("1", "text/plain")
    );
    assert_eq!(
        (output.header("connection"), output.header("content-length")),
        ("", "6")
    );
    let shown = endpoint.shown(&server).await;
    assert_eq!(
        (&shown["status"], &shown["output"]),
        (&json!("Completed"), &response)
    );
    let event = server
        .get(&format!(
            "/v1/events/{}",
            shown["event_id"].as_str().unwrap()
        ))
        .await
        .expect(200);
    assert_eq!(event["data"]["name"], "inngest/http.request");
    assert_eq!(event["data"]["data"]["path"], "/orders/7");
    assert_eq!(app.count(), 0);

    let again = Endpoint::requested(&server, &app);
    let started_again = again.start(&server, json!([])).await;
    assert_eq!(
        (&started_again["fn_id"], &started_again["app_id"]),
        (&started["fn_id"], &started["app_id"]),
        "the same endpoint is the same function"
    );
    assert!(
        started_again.get("token").is_none(),
        "nothing was reported that anyone waits for"
    );
}

#[tokio::test]
async fn what_the_app_cannot_wait_for_is_re_entered_with_the_same_request() {
    let app = App::start(|call| match call.method {
        Method::POST => sdk(
            206,
            ended(json!({"status": 200, "headers": {}, "body": call.path})).to_string(),
        ),
        _ => page(500, "another method"),
    })
    .await;
    let server = setup().start().await;
    let endpoint = Endpoint::requested(&server, &app)
        .with("method", "POST")
        .with("content_type", "application/json; charset=utf-8")
        .with("body", "{ \"b\": 1, \"a\": \"ü\" }");
    let steps = json!([step_run("a", json!(1)), sleep("nap", "1ms")]);
    let started = endpoint.start(&server, steps).await;
    let output = endpoint.output(&server, &started).await;
    assert_eq!((output.status, &*output.text), (200, "/orders/7"));

    let call = app.calls().remove(0);
    assert_eq!(&call.raw[..], "{ \"b\": 1, \"a\": \"ü\" }".as_bytes());
    assert_eq!((&*call.query["a"], &*call.query["b"]), ("1", " c"));
    let header = |name: &str| call.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(
        header("content-type"),
        Some("application/json; charset=utf-8")
    );
    assert_eq!(header("x-run-id"), Some(&*endpoint.run));
    assert_eq!(header("x-inngest-req-version"), Some("2"));
    for present in [
        "x-request-id",
        "x-inngest-generation-id",
        "x-inngest-job-id",
        "x-inngest-signature",
    ] {
        assert!(header(present).is_some(), "{present}");
    }
    for absent in [
        "x-inngest-step-id",
        "x-inngest-force-step-plan",
        "authorization",
    ] {
        assert_eq!(header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn a_re_entered_app_finds_the_steps_and_reports_more() {
    let app = App::start(|call| match header(&call, "x-inngest-step-id") {
        "" if call.headers.contains_key("x-inngest-force-step-plan") => page(500, "planned twice"),
        "" => sdk(200, "\"plain text is the end, too\""),
        step => {
            let step = if step == id("a") { "a" } else { "b" };
            assert_eq!(header(&call, "x-inngest-force-step-plan"), "true");
            ops(&[step_run(step, json!(step))])
        }
    })
    .await;
    let server = setup().start().await;
    let endpoint = Endpoint::requested(&server, &app);
    let planned = |name: &str| json!({"op": "StepPlanned", "id": id(name), "name": name, "displayName": name});
    let steps = json!([planned("a"), planned("b"), sleep("later", "300d")]);
    let started = endpoint.start(&server, steps).await;
    app.called(2).await;
    let mut news = server.handle.watch();
    let actions = format!("/v0/runs/{}/actions", endpoint.run);
    soon("both steps are recorded", async {
        while server
            .get(&actions)
            .await
            .expect(200)
            .as_object()
            .unwrap()
            .len()
            < 2
        {
            drop(news.recv().await);
        }
    })
    .await;
    let recorded = server.get(&actions).await.expect(200);
    assert_eq!(
        recorded,
        json!({id("a"): {"data": "a"}, id("b"): {"data": "b"}})
    );
    let batch = server
        .get(&format!("/v0/runs/{}/batch", endpoint.run))
        .await
        .expect(200);
    assert_eq!(batch[0]["data"]["path"], "/orders/7");

    // The app itself reports the end: whoever was redirected gets it.
    endpoint
        .report_more(
            &server,
            json!([ended(json!({"status": 204, "headers": {}}))]),
        )
        .await;
    assert_eq!(endpoint.output(&server, &started).await.status, 204);
}

fn header<'c>(call: &'c Call, name: &str) -> &'c str {
    call.headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_failed_step_is_tried_again_until_the_attempts_are_over() {
    let boom = || json!({"op": "StepError", "id": id("a"), "name": "a", "error": {"name": "E", "message": "boom"}});
    let calls = AtomicUsize::new(0);
    let app = App::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => ops(&[boom()]),
        // The attempts are over: the handler is told of the failure and makes something of it.
        _ => sdk(
            206,
            ended(json!({"status": 503, "body": "sorry"})).to_string(),
        ),
    })
    .await;
    let server = setup().start().await;
    let endpoint = Endpoint::requested(&server, &app);
    let started = endpoint.start(&server, json!([boom()])).await;
    let output = endpoint.output(&server, &started).await;
    assert_eq!((output.status, &*output.text), (503, "sorry"));
    assert_eq!(app.count(), 2);
}

#[tokio::test]
async fn how_a_run_ends_is_how_the_request_is_answered() {
    let app = App::start(|call| match &*call.path {
        "/text" => sdk(200, "just text"),
        "/list" => sdk(200, "[1,2]"),
        "/broken" => sdk(500, r#"{"name":"E","message":"boom"}"#),
        _ => page(200, "an endpoint that is gone"),
    })
    .await;
    let server = setup().start().await;
    for (path, status, text) in [
        ("/text", 200, "\"just text\""),
        ("/list", 200, "[1,2]"),
        ("/broken", 500, r#"{"name":"E","message":"boom"}"#),
        ("/gone", 500, "\"an endpoint that is gone\""),
    ] {
        let endpoint = Endpoint::requested(&server, &app).with("path", path);
        let started = endpoint.start(&server, json!([sleep("nap", "1ms")])).await;
        let output = endpoint.output(&server, &started).await;
        assert_eq!((output.status, &*output.text), (status, text), "{path}");
        assert_eq!(output.header("content-type"), "application/json");
    }
    let endpoint = Endpoint::requested(&server, &app);
    let started = endpoint.start(&server, json!([sleep("nap", "300d")])).await;
    let waiting = endpoint.output(&server, &started);
    let cancel = async {
        let path = format!("/v1/runs/{}", endpoint.run);
        server.request(Method::DELETE, &path, &[], "").await
    };
    let (output, _) = tokio::join!(waiting, cancel);
    assert_eq!(
        output.refusal(410),
        "the run ended without a response: Cancelled"
    );
}

#[tokio::test]
async fn a_run_whose_app_died_is_taken_over() {
    let app = App::start(|_| {
        sdk(
            206,
            ended(json!({"status": 200, "body": "taken over"})).to_string(),
        )
    })
    .await;
    let clock = ManualClock::new(Timestamp::from_ms(1_800_000_000_000));
    let server = Setup {
        clock: Clock::Manual(Arc::clone(&clock)),
        ..setup()
    }
    .start()
    .await;
    let endpoint = Endpoint::requested(&server, &app);
    let started = endpoint
        .start(&server, json!([step_run("a", json!(1))]))
        .await;
    clock.advance_ms(10 * 60 * 1_000);
    let output = endpoint.output(&server, &started).await;
    assert_eq!(&*output.text, "taken over");
}

#[tokio::test]
async fn re_entries_are_signed_as_calls_are() {
    let key = SigningKey::new("signkey-test-00112233445566778899aabbccddeeff");
    let app = App::start(|_| sdk(206, ended(json!({"status": 200, "body": ""})).to_string())).await;
    let server = Setup {
        server: ServerOptions {
            signing_key: Some(key.clone()),
            ..ServerOptions::dev()
        },
        http: HttpOptions {
            signing_key: Some(key.clone()),
            ..setup().http
        },
        ..Setup::default()
    }
    .start()
    .await;
    let bearer = format!("Bearer {}", key.hashed());
    let headers = [
        ("authorization", &*bearer),
        ("x-inngest-sdk", "inngest-js:v4.24.0"),
    ];
    for (method, body, signed) in [
        ("POST", "{ \"b\": 1, \"a\": 2 }", &b"{\"a\":2,\"b\":1}"[..]),
        ("POST", "not json", b"not json"),
        ("GET", "", b""),
        ("PATCH", "{\"a\": 1}", b""),
    ] {
        let endpoint = Endpoint::requested(&server, &app)
            .with("method", method)
            .with("body", body);
        let report = endpoint.report(json!([sleep("nap", "1ms")])).to_string();
        let path = "/v1/checkpoint";
        let locked = server.post(path, report.clone()).await;
        assert_eq!(
            (locked.status, &*locked.text),
            (401, "Authentication failed")
        );
        let started = server
            .request(Method::POST, path, &headers, report)
            .await
            .expect(200);
        // Whoever has the token needs no key.
        let output = endpoint.output(&server, &started["data"]).await;
        assert_eq!(output.status, 200);
        let call = app.calls().pop().unwrap();
        assert_eq!(&call.raw[..], body.as_bytes());
        let now_s = server.handle.now().ms() / 1_000;
        let signature = Some(header(&call, "x-inngest-signature"));
        signing::verify([&key], signature, signed, now_s).expect(method);
    }
    let dev = stepwell_protocol::token::TokenKey::of(None);
    let run = server.handle.new_event_id().to_string();
    let forged = dev.for_run(
        run.parse().unwrap(),
        String::new(),
        server.handle.now().ms() / 1_000,
    );
    let answer = server
        .get(&format!("/v1/checkpoint/{run}/output?token={forged}"))
        .await;
    assert_eq!(answer.refusal(401), "Unable to find run with auth token");
}

#[tokio::test]
async fn endpoints_at_private_addresses_are_left_alone_unless_allowed() {
    let app = bystander().await;
    let server = Server::start().await;
    let port = app
        .url
        .split(':')
        .nth(2)
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "169.254.169.254",
        "0.0.0.0",
    ] {
        let endpoint =
            Endpoint::requested(&server, &app).with("domain", &format!("http://{host}:{port}"));
        let started = endpoint.start(&server, json!([sleep("nap", "1ms")])).await;
        let output = endpoint.output(&server, &started).await;
        assert_eq!(output.status, 500, "{host}");
        let reason = output.json()["stack"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(
            reason.contains("requests to private addresses are refused"),
            "{host}: {}",
            output.text
        );
    }
    assert_eq!(app.count(), 0);
}

#[tokio::test]
async fn a_redirect_is_followed_with_all_of_the_request() {
    let target = App::start(|_| {
        sdk(
            206,
            ended(json!({"status": 200, "body": "moved"})).to_string(),
        )
    })
    .await;
    let location = format!("{}/elsewhere", target.url);
    let app = App::start(move |_| {
        axum::response::Response::builder()
            .status(308)
            .header("location", &location)
            .body(axum::body::Body::empty())
            .unwrap()
    })
    .await;
    let server = setup().start().await;
    let endpoint = Endpoint::requested(&server, &app)
        .with("method", "POST")
        .with("body", "x");
    let started = endpoint.start(&server, json!([sleep("nap", "1ms")])).await;
    assert_eq!(&*endpoint.output(&server, &started).await.text, "moved");
    let call = target.calls().remove(0);
    assert_eq!((call.method, &call.raw[..]), (Method::POST, &b"x"[..]));
    assert_eq!(call.query["a"], "1", "the query goes along");
}

#[tokio::test]
async fn a_body_that_is_not_text_comes_in_base64() {
    let app = App::start(|_| sdk(206, ended(json!({"status": 200, "body": ""})).to_string())).await;
    let server = setup().start().await;
    let endpoint = Endpoint::requested(&server, &app)
        .with("method", "PUT")
        .with("body", "AP8=");
    let report = endpoint.report(json!([sleep("nap", "1ms")])).to_string();
    let headers = [("x-inngest-sdk", "inngest-go:v0.14.0")];
    let started = server
        .request(Method::POST, "/v1/http/runs", &headers, report)
        .await
        .expect(200);
    endpoint.output(&server, &started["data"]).await;
    assert_eq!(app.calls()[0].raw[..], [0, 255]);
}

#[tokio::test]
async fn a_run_is_reported_once() {
    let (server, app) = (setup().start().await, bystander().await);
    let endpoint = Endpoint::requested(&server, &app);
    let end = json!([ended(json!({"status": 200, "body": ""}))]);
    endpoint.start(&server, json!([])).await;
    let again = || server.post("/v1/checkpoint", endpoint.report(json!([])).to_string());
    assert_eq!(again().await.refusal(409), "Run already exists");
    endpoint.report_more(&server, end).await;
    assert_eq!(again().await.refusal(409), "Run already exists");
    assert_eq!(endpoint.shown(&server).await["status"], "Completed");

    // Nor can it be a run that something else has started.
    let event = {
        let functions = [function("app-f", "go", &app.url, 0)];
        server.register("app", &app, &functions).await;
        server.send(json!({"name": "go"})).await
    };
    let taken = Endpoint {
        run: server.runs(&event).await[0]["run_id"]
            .as_str()
            .unwrap()
            .to_owned(),
        data: endpoint.data.clone(),
    };
    let report = taken.report(json!([ended(json!(1))])).to_string();
    assert_eq!(
        server.post("/v1/checkpoint", report).await.refusal(409),
        "Run already exists"
    );
    taken
        .report_more(&server, json!([step_run("a", json!(1))]))
        .await;
    let actions = server.get(&format!("/v0/runs/{}/actions", taken.run)).await;
    assert!(!actions.text.contains(&id("a")), "{}", actions.text);
}

#[tokio::test]
async fn reports_that_cannot_be_read_name_what_is_wrong() {
    let (server, app) = (setup().start().await, bystander().await);
    let endpoint = Endpoint::requested(&server, &app);
    let report = endpoint.report(json!([]));
    let change = |pointer: &str, value: Value| {
        let mut changed = report.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        changed.to_string()
    };
    for (body, expected) in [
        ("{".to_owned(), "Invalid request: "),
        ("{}".to_owned(), "Invalid request: missing field `run_id`"),
        (change("/run_id", json!("x")), "Invalid request: run_id: "),
        (change("/run_id", json!(7)), "Invalid request: run_id: "),
        (change("/event", json!(null)), "Invalid request: event: "),
        (
            change("/event/data", json!({})),
            "Invalid request: event.data: missing field `domain`",
        ),
        (
            change("/event/data/domain", json!("nowhere")),
            "Invalid request: event.data.domain: 'nowhere' is not a URL",
        ),
        (
            change("/event/data/domain", json!("file:///etc")),
            "Invalid request: event.data.domain: ",
        ),
        (
            change("/event/data/method", json!("")),
            "Invalid request: event.data.method: ",
        ),
        (
            change("/event/data/path", json!("orders")),
            "Invalid request: event.data.path: ",
        ),
        (
            change("/event/data/fn", json!("x".repeat(513))),
            "Invalid request: event.data.fn: ",
        ),
        (
            change("/event/data/body", json!("x".repeat(3_200_000))),
            "Invalid request: event.data: it makes an event of",
        ),
        (change("/retries", json!(-1)), "Invalid request: retries: "),
        (
            change("/steps", json!([{"op": "Dance", "id": "x"}])),
            "Invalid request: steps[0].op: unknown op 'Dance'",
        ),
    ] {
        let refusal = server.post("/v1/checkpoint", body).await.refusal(400);
        assert!(refusal.starts_with(expected), "{expected}: {refusal}");
    }
    let large = change("/event/data/body", json!("x".repeat(5_000_000)));
    let refusal = server.post("/v1/checkpoint", large).await.refusal(413);
    assert!(refusal.contains("larger than"), "{refusal}");
    let shown = server.get(&format!("/v1/runs/{}", endpoint.run)).await;
    assert_eq!(shown.status, 404, "nothing of it was taken");

    let steps = async |run: &str, body: &str| {
        let path = format!("/v1/checkpoint/{run}/steps");
        server.post(&path, body.to_owned()).await
    };
    assert_eq!(
        steps("x", "{}").await.refusal(400),
        "The run ID specified is invalid"
    );
    let refusal = steps(&endpoint.run, r#"{"steps": 1}"#).await.refusal(400);
    assert!(refusal.starts_with("Invalid request: steps: "), "{refusal}");
    // A run that is not there is for the log.
    endpoint
        .report_more(&server, json!([step_run("a", json!(1))]))
        .await;

    let output = async |query: &str| {
        let path = format!("/v1/checkpoint/{}/output{query}", endpoint.run);
        server.get(&path).await
    };
    for query in ["", "?token=", "?token=a.b.c"] {
        assert_eq!(
            output(query).await.refusal(401),
            "Unable to find run with auth token"
        );
    }
    let other = Endpoint::requested(&server, &app);
    let started = other.start(&server, json!([step_run("a", json!(1))])).await;
    let token = started["token"].as_str().unwrap();
    let refusal = output(&format!("?token={token}")).await;
    assert_eq!(refusal.refusal(401), "Unable to find run with auth token");
}
