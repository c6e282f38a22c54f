//! Bulk cancellations.

use crate::app::{App, ops, returned, sleep};
use crate::server::{Server, function, soon};
use reqwest::Method;
use serde_json::{Value, json};
use stepwell_protocol::span;

/// A server and an app whose runs sleep for long.
async fn asleep() -> (Server, App) {
    let app = App::start(|call| {
        if call.has("long") {
            return returned(&Value::Null);
        }
        ops(&[sleep("long", "300d")])
    })
    .await;
    let server = Server::start().await;
    let functions = ["shop-pack", "shop-send"];
    let functions = functions.map(|name| function(name, "order", &app.url, 0));
    server.register("shop", &app, &functions).await;
    (server, app)
}

fn moment(server: &Server, later_ms: i64) -> String {
    let now = i64::try_from(server.handle.now().ms()).expect("a moment of this era");
    span::format_moment_ms(now + later_ms)
}

async fn create(server: &Server, body: Value) -> Value {
    let made = server.post("/v1/cancellations", body.to_string()).await;
    made.expect(200)["data"].clone()
}

/// All runs of an event, once as many have ended.
async fn once_ended(server: &Server, events: &[String], count: usize) -> Vec<Value> {
    let mut news = server.handle.watch();
    soon("the runs end", async {
        loop {
            let mut runs = Vec::new();
            for event in events {
                runs.extend(server.runs(event).await);
            }
            if runs.iter().filter(|run| !run["ended_at"].is_null()).count() >= count {
                return runs;
            }
            drop(news.recv().await);
        }
    })
    .await
}

#[tokio::test]
async fn the_runs_of_a_function_that_meet_the_condition_end() {
    let (server, app) = asleep().await;
    let mut events = Vec::new();
    for n in 0..3 {
        events.push(
            server
                .send(json!({"name": "order", "data": {"n": n}}))
                .await,
        );
    }
    app.called(6).await;
    let made = create(
        &server,
        json!({"app_id": "shop", "function_id": "pack", "started_before": moment(&server, 4_000),
            "if": "event.data.n > 0"}),
    )
    .await;
    let cancellation = made["id"].as_str().expect("it has an id").to_owned();
    let runs = once_ended(&server, &events, 2).await;
    let pack = &made["function_internal_id"];
    let shown = runs.iter().map(|run| {
        let event = run["event_id"].as_str().expect("it has an event");
        let n = events.iter().position(|id| id == event);
        (n, &run["function_id"] == pack, run["status"].as_str())
    });
    let mut shown: Vec<_> = shown.collect();
    shown.sort_unstable();
    assert_eq!(
        shown,
        [
            (Some(0), false, Some("Running")),
            (Some(0), true, Some("Running")),
            (Some(1), false, Some("Running")),
            (Some(1), true, Some("Cancelled")),
            (Some(2), false, Some("Running")),
            (Some(2), true, Some("Cancelled")),
        ]
    );
    let cancelled = runs.iter().find(|run| run["status"] == "Cancelled");
    let cause = &cancelled.expect("one is")["cause"];
    assert_eq!(cause, &json!({"by": "bulk", "cancellation": cancellation}));
}

#[tokio::test]
async fn many_runs_end_and_the_list_says_when_that_is_done() {
    let app = App::start(|_| ops(&[sleep("long", "300d")])).await;
    let server = Server::start().await;
    let function = function("shop-pack", "order", &app.url, 0);
    server.register("shop", &app, &[function]).await;
    let orders = vec![json!({"name": "order", "data": {}}); 700];
    let sent = server.post("/e/test", json!(orders).to_string()).await;
    let events: Vec<String> =
        serde_json::from_value(sent.expect(200)["ids"].clone()).expect("it lists ids");
    create(
        &server,
        json!({"app_id": "shop", "function_id": "shop-pack", "started_before": moment(&server, 1_000)}),
    )
    .await;
    let runs = once_ended(&server, &events, 700).await;
    assert!(runs.iter().all(|run| run["status"] == "Cancelled"));
    soon("it is done", async {
        loop {
            let listed = server.get("/v1/cancellations").await.expect(200);
            if listed["data"][0]["done"] == true {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_made_is_listed_and_deleted() {
    let (server, _app) = asleep().await;
    let (after, before) = (moment(&server, -60_000), moment(&server, -30_000));
    let body = json!({"app_id": "shop", "function_id": "pack", "started_after": after,
        "started_before": before, "if": "event.data.n == 1"});
    let made = create(&server, body).await;
    let app = server.get("/v1/apps/shop/functions").await.expect(200);
    let function = app.as_array().expect("a list").iter();
    let function = function.clone().find(|one| one["slug"] == "shop-pack");
    let function = function.expect("it is registered");
    let id = made["id"].as_str().expect("it has an id").to_owned();
    assert_eq!(
        made,
        json!({
            "id": id, "created_at": made["created_at"], "name": null, "queue_name": null,
            "account_id": "00000000-0000-4000-a000-000000000000",
            "environment_id": "00000000-0000-4000-b000-000000000000",
            "app_id": function["app_id"], "function_internal_id": function["id"],
            "function_id": "pack", "started_after": after, "started_before": before,
            "if": "event.data.n == 1", "kind": "bulk_run", "cause": "API", "done": false,
        })
    );
    let listed = server.get("/v1/cancellations").await.expect(200);
    assert_eq!(listed["data"][0]["id"], json!(id));
    let path = format!("/v1/cancellations/{id}");
    let delete = || server.request(Method::DELETE, &path, &[], "");
    assert_eq!(delete().await.expect(200)["data"], json!({"ok": true}));
    assert_eq!(delete().await.refusal(404), "Cancellation not found");
    let listed = server.get("/v1/cancellations").await.expect(200);
    assert_eq!(listed["data"], json!([]));
}

#[tokio::test]
async fn what_does_not_read_is_refused_with_every_reason() {
    let (server, _app) = asleep().await;
    let good =
        json!({"app_id": "shop", "function_id": "pack", "started_before": moment(&server, 0)});
    let cases = [
        (
            json!({}),
            400,
            "app_id is required\nfunction_id is required\nstarted_before is required".to_owned(),
        ),
        (
            json!({"started_before": moment(&server, 60_000)}),
            400,
            "started_before must be in the past".to_owned(),
        ),
        (
            json!({"started_after": moment(&server, 0), "started_before": moment(&server, -1)}),
            400,
            "started_after must be before started_before".to_owned(),
        ),
        (
            json!({"started_after": "yesterday"}),
            400,
            "started_after: expected a moment, such as 2026-01-31T12:00:00Z".to_owned(),
        ),
        (
            json!({"function_id": "paint"}),
            404,
            "function not found".to_owned(),
        ),
        (
            json!({"app_id": "shops"}),
            404,
            "function not found".to_owned(),
        ),
    ];
    for (index, (change, status, text)) in cases.into_iter().enumerate() {
        let mut body = if index == 0 { json!({}) } else { good.clone() };
        for (key, value) in change.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let refused = server.post("/v1/cancellations", body.to_string()).await;
        assert_eq!(refused.refusal(status), text);
    }
    let mut body = good.clone();
    body["if"] = json!("event.data.");
    let refused = server.post("/v1/cancellations", body.to_string()).await;
    let text = refused.refusal(400);
    assert!(text.starts_with("invalid expression: "), "{text}");
    body["if"] = json!(format!("event.data.n == '{}'", "x".repeat(20_000)));
    let refused = server.post("/v1/cancellations", body.to_string()).await;
    assert!(refused.refusal(400).contains("16384 bytes"));
}
