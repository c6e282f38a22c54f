//! What an app reports of a run, and how that run answers whoever made the request.

use super::{Endpoint, bystander, ended, setup};
use crate::app::{App, id, page, sdk, sleep, step_run};
use crate::server::function;
use reqwest::Method;
use serde_json::{Value, json};

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
async fn how_a_run_ends_is_how_the_request_is_answered() {
    let app = App::start(|call| match &*call.path {
        "/text" => sdk(200, "just text"),
        "/list" => sdk(200, "[1,2]"),
        // Where it broke, and over what, is for the log.
        "/broken" => sdk(
            500,
            r#"{"name":"E","message":"boom","stack":"at src/pay.rs:7","cause":{"message":"card 4242"},"data":{"card":4242}}"#,
        ),
        _ => page(200, "an endpoint that is gone"),
    })
    .await;
    let server = setup().start().await;
    for (path, status, text) in [
        ("/text", 200, "\"just text\""),
        ("/list", 200, "[1,2]"),
        ("/broken", 500, r#"{"name":"E","message":"boom"}"#),
        (
            "/gone",
            500,
            r#"{"name":"Error","message":"an endpoint that is gone"}"#,
        ),
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
async fn an_endpoint_does_not_take_the_name_of_a_function_that_is_registered() {
    let (server, app) = (setup().start().await, bystander().await);
    let endpoint = Endpoint::requested(&server, &app).with("fn", "orders");
    let domain = endpoint.data["domain"].as_str().unwrap();
    let functions = [function("orders", "go", &app.url, 0)];
    server.register(domain, &app, &functions).await;
    let report = endpoint.report(json!([])).to_string();
    let refused = server.post("/v1/checkpoint", report.clone()).await;
    // Not a conflict: that would say that the run is known.
    assert_eq!(
        refused.refusal(400),
        "the app has registered a function of the endpoint's name"
    );
    let shown = server.get(&format!("/v1/runs/{}", endpoint.run)).await;
    assert_eq!(shown.status, 404);
    let named_otherwise = report.replace(r#""fn":"orders""#, r#""fn":"carts""#);
    let taken = server.post("/v1/checkpoint", named_otherwise).await;
    assert_eq!(taken.status, 200, "{}", taken.text);
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
    let large = change("/event/data/body", json!("x".repeat(11_000_000)));
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
