//! Why a function ran for an event, or did not, and what an unfinished run waits for.

use crate::app::{App, ops, returned, sleep};
use crate::server::{Server, function};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A function with these options on top.
fn with(id: &str, url: &str, options: &Value) -> Value {
    let mut config = function(id, "go", url, 0);
    for (key, value) in options.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

async fn verdicts(server: &Server, event: &str) -> Vec<Value> {
    let path = format!("/v1/events/{event}/verdicts");
    let answer = server.get(&path).await.expect(200);
    answer["data"].as_array().unwrap().clone()
}

/// The verdict about one of the functions.
async fn verdict(server: &Server, event: &str, slug: &str) -> Value {
    let found = verdicts(server, event).await;
    let mut found = found.into_iter().filter(|row| row["function"] == slug);
    found
        .next()
        .unwrap_or_else(|| panic!("no verdict about {slug}"))
}

#[tokio::test]
async fn every_function_that_listens_gets_one_verdict() {
    let app = App::start(|_| returned(&json!("done"))).await;
    let server = Server::start().await;
    let url = &app.url;
    let condition = "event.data.cents > 100 && event.data.vip == true";
    let functions = [
        with("app-runs", url, &json!({})),
        with(
            "app-filters",
            url,
            &json!({"triggers": [{"event": "go", "expression": condition}]}),
        ),
        with("app-waits", url, &json!({"debounce": {"period": "1h"}})),
        with(
            "app-gathers",
            url,
            &json!({"batchEvents": {"maxSize": 9, "timeout": "1h"}}),
        ),
        with(
            "app-limits",
            url,
            &json!({"rateLimit": {"limit": 1, "period": "1h", "key": "event.data.user"}}),
        ),
    ];
    server.register("app", &app, &functions).await;
    let data = json!({"cents": 7, "vip": true, "user": "ada"});
    let first = json!({"name": "go", "id": "one", "data": data});
    let second = json!({"name": "go", "id": "two", "data": data});
    let event = server.send(first.clone()).await;
    server.all_ended(&event).await;

    let started = verdict(&server, &event, "app-runs").await;
    let run = server.runs(&event).await.into_iter();
    let mut run = run.filter(|run| run["run_id"] == started["run"]);
    assert!(run.next().is_some(), "{started}");
    assert_eq!(
        (
            &started["verdict"],
            &started["status"],
            started.get("waits")
        ),
        (&json!("started"), &json!("Completed"), None)
    );
    let filtered = verdict(&server, &event, "app-filters").await;
    assert_eq!(
        (&filtered["verdict"], &filtered["part"], &filtered["values"]),
        (
            &json!("filtered"),
            &json!("event.data.cents > 100"),
            &json!([["event.data.cents", "7"]])
        )
    );
    let debounced = verdict(&server, &event, "app-waits").await;
    assert_eq!(debounced["verdict"], "debounced", "{debounced}");
    assert_eq!(
        verdict(&server, &event, "app-gathers").await["verdict"],
        "batched"
    );

    let event_two = server.send(second).await;
    let limited = verdict(&server, &event_two, "app-limits").await;
    assert_eq!(
        (&limited["verdict"], &limited["key"]),
        (&json!("rate-limited"), &json!("ada"))
    );
    let replaced = verdict(&server, &event, "app-waits").await;
    assert_eq!(replaced["verdict"], "superseded");

    let again = server.send(first).await;
    let duplicate = verdict(&server, &again, "app-runs").await;
    assert_eq!(
        (&duplicate["verdict"], &duplicate["run"]),
        (&json!("duplicate"), &started["run"])
    );
    assert_eq!(verdicts(&server, &again).await.len(), functions.len());
}

#[tokio::test]
async fn an_unknown_event_has_no_verdicts() {
    let server = Server::start().await;
    let path = "/v1/events/01JZXQ2M5N1V8Q7T7Q0000000A/verdicts";
    assert_eq!(server.get(path).await.refusal(404), "Event not found");
}

#[tokio::test]
async fn a_run_tells_what_it_waits_for() {
    let gate = Arc::new(Semaphore::new(0));
    let app = {
        let gate = Arc::clone(&gate);
        App::start_async(move |call| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                match call.has("nap") {
                    true => returned(&json!(1)),
                    false => ops(&[sleep("nap", "300d")]),
                }
            }
        })
        .await
    };
    let server = Server::start().await;
    let limited = json!({"concurrency": [{"limit": 1, "key": "event.data.user"}]});
    let config = with("app-f", &app.url, &limited);
    server.register("app", &app, &[config]).await;
    let go = json!({"name": "go", "data": {"user": 1}});
    let (first, second) = (server.send(go.clone()).await, server.send(go).await);
    app.called(1).await;
    let calling = verdict(&server, &first, "app-f").await;
    assert_eq!(calling["waits"], json!({"for": "call"}));
    let queued = verdict(&server, &second, "app-f").await;
    assert_eq!(
        queued["waits"],
        json!({"for": "turn", "ahead": 0, "throttled_until": null, "paused": false,
            "limit": {"concurrency": {"key": "event.data.user"}}})
    );
    gate.add_permits(1);
    app.called(2).await;
    let run = calling["run"].as_str().unwrap();
    let standing = server.get(&format!("/v1/runs/{run}/standing")).await;
    assert_eq!(standing.expect(200)["data"]["for"], "time");
    let jobs = server
        .get(&format!("/v1/runs/{run}/jobs"))
        .await
        .expect(200);
    assert_eq!(
        (
            jobs["data"].as_array().unwrap().len(),
            &jobs["data"][0]["kind"]
        ),
        (1, &json!("sleep"))
    );
    server
        .request(Method::DELETE, &format!("/v1/runs/{run}"), &[], "")
        .await;
    let standing = server.get(&format!("/v1/runs/{run}/standing")).await;
    assert_eq!(
        standing.expect(200)["data"],
        json!({"for": "nothing", "status": "Cancelled"})
    );
}

#[tokio::test]
async fn a_paused_function_skips_new_runs_until_it_goes_on() {
    let app = App::start(|_| returned(&json!("done"))).await;
    let server = Server::start().await;
    let config = with("app-f", &app.url, &json!({}));
    server.register("app", &app, &[config]).await;
    // Its id within the app is as good as its public one.
    for name in ["f", "app-f"] {
        let path = format!("/v1/apps/app/functions/{name}/pause");
        let paused = server.post(&path, "").await.expect(200);
        assert_eq!(paused, json!({"slug": "app-f", "is_paused": true}));
    }
    let functions = server.get("/v1/apps/app/functions").await.expect(200);
    assert_eq!(
        (&functions[0]["slug"], &functions[0]["is_paused"]),
        (&json!("app-f"), &json!(true))
    );
    let event = server.send(json!({"name": "go"})).await;
    let run = server.ended(&event).await;
    assert_eq!(
        (&run["status"], &run["cause"]),
        (&json!("Skipped"), &json!({"by": "function-paused"}))
    );
    assert_eq!(
        verdict(&server, &event, "app-f").await["verdict"],
        "skipped"
    );
    let path = "/v1/apps/app/functions/f/pause";
    let unpaused = server
        .request(Method::DELETE, path, &[], "")
        .await
        .expect(200);
    assert_eq!(unpaused["is_paused"], false);
    let event = server.send(json!({"name": "go"})).await;
    assert_eq!(server.ended(&event).await["status"], "Completed");
    assert_eq!(app.count(), 1);
    let missing = server.post("/v1/apps/app/functions/g/pause", "").await;
    assert_eq!(missing.refusal(404), "the app 'app' has no function 'g'");
}
