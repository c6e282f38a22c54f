//! What runs wait for and what ends it: events of the present and the past, signals, other functions; and runs that are
//! run again.

use crate::app::{App, id, ops, returned, step_run};
use crate::server::{Server, function, soon};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

const UNKNOWN: &str = "01JZXQ2M5N1V8Q7T7Q0000000A";

fn wait_for_event(name: &str, opts: Value) -> Value {
    json!({"op": "WaitForEvent", "id": id(name), "name": "x/y", "displayName": name, "opts": opts})
}

/// An app whose function asks for this, and returns what it got.
async fn asking(op: Value) -> App {
    let step = op["id"].as_str().unwrap().to_owned();
    App::start(move |call| match call.body["steps"].get(&step) {
        Some(value) => returned(value),
        None => ops(std::slice::from_ref(&op)),
    })
    .await
}

/// A server with this app's function, which `go` starts; and the run of one event.
async fn started(app: &App, data: Value) -> (Server, String) {
    let server = Server::start().await;
    let config = function("app-f", "go", &app.url, 0);
    server.register("app", app, &[config]).await;
    let event = server.send(json!({"name": "go", "data": data})).await;
    (server, event)
}

#[tokio::test]
async fn a_wait_ends_with_the_event_that_meets_its_condition() {
    let condition = "event.data.order.id == async.data.order && async.data.paid";
    let opts = json!({"event": "shop/paid", "timeout": "1h", "if": condition});
    let app = asking(wait_for_event("payment", opts)).await;
    let (server, event) = started(&app, json!({"order": {"id": "o-1"}})).await;
    app.called(1).await;
    let paid = |order: &str, paid: bool| json!({"name": "shop/paid", "data": {"order": order, "paid": paid}});
    for other in [paid("o-2", true), paid("o-1", false)] {
        server.send(other).await;
    }
    let matching = server.send(paid("o-1", true)).await;
    let output = &server.ended(&event).await["output"];
    assert_eq!(
        (&output["name"], &output["data"], &output["id"]),
        (
            &json!("shop/paid"),
            &json!({"order": "o-1", "paid": true}),
            &json!(matching)
        )
    );
}

#[tokio::test]
async fn a_condition_that_does_not_compile_fails_the_run_and_says_where() {
    let opts = json!({"event": "x/y", "timeout": "1h", "if": "async.data.id ==="});
    let app = asking(wait_for_event("w", opts)).await;
    let (server, event) = started(&app, json!({})).await;
    let run = server.ended(&event).await;
    assert_eq!(run["status"], "Failed");
    assert_eq!(run["output"]["name"], "InvalidExpression");
    let message = run["output"]["message"].as_str().unwrap();
    let start = "Wait for event If expression failed to compile: ";
    assert!(message.starts_with(start), "{message}");
    assert!(message.contains("column 17"), "{message}");
}

#[tokio::test]
async fn a_wait_may_look_back() {
    let opts = |look_back: Value| {
        json!({"event": "shop/paid", "timeout": "1h", "if": "async.data.id == event.data.id",
            "lookback": look_back})
    };
    let app = asking(wait_for_event("w", opts(json!("10m")))).await;
    let server = Server::start().await;
    let config = function("app-f", "go", &app.url, 0);
    server.register("app", &app, &[config]).await;
    // More than one look reads at a time, and others of the same name.
    let others: Vec<Value> = (100..600)
        .map(|id| json!({"name": "shop/paid", "data": {"id": id}}))
        .collect();
    server
        .post("/e/test", json!(others).to_string())
        .await
        .expect(200);
    let early = server
        .send(json!({"name": "shop/paid", "data": {"id": 7}}))
        .await;
    server
        .send(json!({"name": "shop/paid", "data": {"id": 7}}))
        .await;
    let event = server.send(json!({"name": "go", "data": {"id": 7}})).await;
    let run = server.ended(&event).await;
    assert_eq!(
        (&run["output"]["id"], &run["output"]["data"]),
        (&json!(early), &json!({"id": 7}))
    );

    // Unless it asks, what came before does not count.
    let app = asking(wait_for_event("w", opts(Value::Null))).await;
    let config = function("app-f", "go", &app.url, 0);
    server.register("app", &app, &[config]).await;
    let event = server.send(json!({"name": "go", "data": {"id": 7}})).await;
    app.called(1).await;
    let late = server
        .send(json!({"name": "shop/paid", "data": {"id": 7}}))
        .await;
    assert_eq!(server.ended(&event).await["output"]["id"], json!(late));
}

#[tokio::test]
async fn a_signal_ends_the_wait_of_its_name() {
    let op = json!({"op": "WaitForSignal", "id": id("s"), "name": "s", "displayName": "s",
        "opts": {"signal": "go-on", "timeout": "1h"}});
    let app = asking(op).await;
    let (server, event) = started(&app, json!({})).await;
    app.called(1).await;
    let signal = |body: Value| server.post("/v1/signals", body.to_string());
    let unheard = signal(json!({"signal": "other"})).await;
    assert_eq!(unheard.refusal(404), "No signal found");
    let sent = soon("the wait is registered", async {
        loop {
            let sent = signal(json!({"signal": "go-on", "data": {"by": "ada"}})).await;
            if sent.status != 404 {
                return sent;
            }
        }
    })
    .await;
    let run = server.ended(&event).await;
    assert_eq!(sent.expect(200)["data"]["run_id"], run["run_id"]);
    assert_eq!(
        run["output"],
        json!({"data": {"signal": "go-on", "data": {"by": "ada"}}})
    );
    for bad in ["{}", "[]", r#"{"signal": ""}"#, r#"{"signal": 1}"#, "{"] {
        let answer = server.post("/v1/signals", bad.to_owned()).await;
        assert_eq!(answer.refusal(400), "Invalid signal data", "{bad}");
        assert_eq!(answer.json()["details"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_function_is_invoked_by_hand() {
    let app = App::start(|call| returned(&call.body["event"])).await;
    let server = Server::start().await;
    let mut config = function("app-f", "go", &app.url, 0);
    config["triggers"] = json!([]);
    server.register("app", &app, &[config]).await;
    let body = json!({"name": "ignored", "data": {"n": 1, "_inngest": "mine"}, "v": "2"});
    let answer = server
        .post("/invoke/app-f", body.to_string())
        .await
        .expect(200);
    assert_eq!(answer["verdict"]["verdict"], "started", "{answer}");
    let event = answer["id"].as_str().unwrap();
    let output = &server.ended(event).await["output"];
    assert_eq!(
        (&output["name"], &output["data"]["n"], &output["v"]),
        (&json!("inngest/function.invoked"), &json!(1), &json!("2"))
    );
    assert_eq!(output["data"]["_inngest"]["fn_id"], "app-f");
    let missing = server.post("/invoke/app-g", "{}").await;
    assert_eq!(
        missing.refusal(404),
        "could not find function with ID: app-g"
    );
    let deep = format!("{{\"data\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    for bad in ["[]".to_owned(), "{".to_owned(), deep] {
        let text = server.post("/invoke/app-f", bad).await.refusal(400);
        assert!(text.starts_with("Invalid invocation event: "), "{text}");
    }
}

#[tokio::test]
async fn a_run_is_run_again_from_a_step_on_with_other_arguments() {
    let app = App::start(|call| {
        let step = |name: &str| call.body["steps"].get(id(name)).cloned();
        match (step("a"), step("b")) {
            (None, _) => ops(&[step_run("a", json!("first"))]),
            (Some(_), Some(b)) if b.get("input").is_none() => returned(&b["data"]),
            (Some(_), b) => {
                let input = b.map_or(json!("none"), |b| b["input"].clone());
                ops(&[step_run("b", input)])
            }
        }
    })
    .await;
    let (server, event) = started(&app, json!({"n": 1})).await;
    let original = server.ended(&event).await;
    assert_eq!(original["output"], "none");
    let run = original["run_id"].as_str().unwrap();
    let rerun = async |body: Value| {
        let path = format!("/v2/runs/{run}/rerun");
        let answer = server.post(&path, body.to_string()).await.expect(200);
        let id = answer["data"]["runId"].as_str().unwrap().to_owned();
        let runs = server.all_ended(&event).await;
        let mut repeated = runs.into_iter().filter(|run| run["run_id"] == *id);
        repeated.next().unwrap()
    };
    let whole = rerun(json!({})).await;
    assert_eq!(
        (&whole["output"], &whole["original_run_id"]),
        (&json!("none"), &original["run_id"])
    );
    let calls = app.count();
    let body = json!({"fromStep": {"stepId": "b", "input": [{"x": 1}]}});
    let from_b = rerun(body).await;
    assert_eq!(from_b["output"], json!([{"x": 1}]));
    let targeted = &app.calls()[calls];
    assert_eq!(targeted.query["stepId"], id("b"));
    assert!(targeted.has("a"), "what came before is taken over");
    for (run, body, status, code) in [
        (
            run,
            json!({"fromStep": {"stepId": "z"}}),
            400,
            "validation_error",
        ),
        (
            run,
            json!({"fromStep": {"stepId": "b", "input": 1}}),
            400,
            "invalid_field_format",
        ),
        (run, json!({"fromStep": 1}), 400, "invalid_request"),
        (UNKNOWN, json!({}), 404, "not_found"),
        ("x", json!({}), 400, "invalid_field_format"),
    ] {
        let path = format!("/api/v2/runs/{run}/rerun");
        let refused = server.post(&path, body.to_string()).await.expect(status);
        assert_eq!(refused["errors"][0]["code"], code, "{body}");
    }
}

#[tokio::test]
async fn cancelling_a_run_gives_up_its_call() {
    let dropped = Arc::new(Semaphore::new(0));
    /// Tells when the app is no longer asked to answer.
    struct Asked(Arc<Semaphore>);
    impl Drop for Asked {
        fn drop(&mut self) {
            self.0.add_permits(1);
        }
    }
    let app = {
        let dropped = Arc::clone(&dropped);
        App::start_async(move |_| {
            let asked = Asked(Arc::clone(&dropped));
            async move {
                std::future::pending::<()>().await;
                drop(asked);
                returned(&json!(1))
            }
        })
        .await
    };
    let (server, event) = started(&app, json!({})).await;
    app.called(1).await;
    let run = server.runs(&event).await[0]["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/runs/{run}");
    assert_eq!(
        server.request(Method::DELETE, &path, &[], "").await.status,
        200
    );
    soon("the call is given up", dropped.acquire())
        .await
        .unwrap()
        .forget();
    let run = server.ended(&event).await;
    assert_eq!(
        (&run["status"], &run["cause"]),
        (&json!("Cancelled"), &json!({"by": "request"}))
    );
    soon("nothing is in flight", async {
        while server.handle.calls_in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
