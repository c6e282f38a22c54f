//! The second API: lists of runs, apps and functions, sending, invoking and cancelling.

use crate::app::{App, failed, ops, returned, sleep};
use crate::server::{Answer, Server, Setup, function};
use reqwest::Method;
use serde_json::{Value, json};
use stepwell_protocol::signing::SigningKey;
use stepwell_server::{EventKeys, ServerOptions};

const UNKNOWN: &str = "01JZXQ2M5N1V8Q7T7Q0000000A";

impl Answer {
    /// A refusal in the envelope of the second API; returns its code.
    #[track_caller]
    fn refused(&self, status: u16) -> String {
        let body = self.expect(status);
        let error = &body["errors"][0];
        assert!(!error["message"].as_str().expect("a text").is_empty());
        error["code"].as_str().expect("a code").to_owned()
    }
}

/// A server with the app `shop`: `good` returns, `bad` fails, `slow` sleeps for long.
async fn shop() -> (Server, App) {
    let app = App::start(|call| match &*call.query["fnId"] {
        "shop-good" => returned(&json!({"n": call.body["event"]["data"]["n"]})),
        "shop-bad" => failed("no luck"),
        _ => ops(&[sleep("long", "300d")]),
    })
    .await;
    let server = Server::start().await;
    let functions =
        ["good", "bad", "slow"].map(|name| function(&format!("shop-{name}"), name, &app.url, 0));
    server.register("shop", &app, &functions).await;
    (server, app)
}

/// The ids of a page's runs, and its cursor.
async fn page(server: &Server, path: &str) -> (Vec<String>, Value) {
    let answer = server.get(path).await.expect(200);
    let runs = answer["data"].as_array().expect("a list").iter();
    let ids = runs.map(|run| run["id"].as_str().expect("an id").to_owned());
    let page = &answer["page"];
    assert_eq!(page["hasMore"], json!(page["cursor"].is_string()));
    (ids.collect(), page["cursor"].clone())
}

async fn run_of(server: &Server, event: &str) -> String {
    let run = &server.runs(event).await[0];
    run["run_id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn runs_are_listed_by_what_they_are_and_when() {
    let (server, app) = shop().await;
    let mut runs = Vec::new();
    for (n, name) in ["good", "bad", "slow", "good", "slow"].iter().enumerate() {
        let event = server.send(json!({"name": name, "data": {"n": n}})).await;
        if *name != "slow" {
            server.ended(&event).await;
        }
        runs.push(run_of(&server, &event).await);
    }
    app.called(5).await;
    let some = |places: &[usize]| -> Vec<String> {
        places.iter().map(|place| runs[*place].clone()).collect()
    };
    let all = async |query: &str| {
        let (ids, cursor) = page(&server, &format!("/v2/runs?{query}")).await;
        assert_eq!(cursor, Value::Null);
        ids
    };
    assert_eq!(all("").await, some(&[4, 3, 2, 1, 0]));
    assert_eq!(all("order=ASC").await, some(&[0, 1, 2, 3, 4]));
    assert_eq!(
        all("status=FAILED&status=COMPLETED").await,
        some(&[3, 1, 0])
    );
    assert_eq!(all("status=RUNNING").await, some(&[4, 2]));
    assert_eq!(
        all("functionId=good&functionId=shop-bad").await,
        some(&[3, 1, 0])
    );
    assert_eq!(all("appId=shop&status=FAILED").await, some(&[1]));
    assert!(all("appId=other").await.is_empty());
    assert_eq!(all("timeField=endedAt&order=asc").await, some(&[0, 1, 3]));
    assert!(all("isDeferred=true").await.is_empty());
    assert_eq!(
        all("isDeferred=false&function_id=slow").await,
        some(&[4, 2])
    );
    assert!(all("until=2001-01-01").await.is_empty());
    assert_eq!(all("from=2001-01-01T00:00:00Z").await.len(), 5);

    let (first, cursor) = page(&server, "/v2/runs?limit=2").await;
    assert_eq!(first, some(&[4, 3]));
    let next = format!("/v2/runs?limit=2&cursor={}", cursor.as_str().unwrap());
    assert_eq!(page(&server, &next).await.0, some(&[2, 1]));

    let path = "/api/v2/apps/shop/functions/good/runs?includeOutput=true";
    let listed = server.get(path).await.expect(200);
    assert_eq!(listed["data"][0]["output"], json!({"n": 3}));
    assert_eq!(listed["data"][1]["output"], json!({"n": 0}));
    for wrong in [
        "status=ODD",
        "order=UP",
        "timeField=x",
        "limit=x",
        "cursor=x",
        "from=x",
    ] {
        let answer = server.get(&format!("/v2/runs?{wrong}")).await;
        assert_eq!(answer.refused(400), "invalid_field_format", "{wrong}");
    }
}

#[tokio::test]
async fn a_run_tells_what_it_is() {
    let (server, _app) = shop().await;
    let event = server.send(json!({"name": "good", "data": {"n": 7}})).await;
    server.ended(&event).await;
    let run = run_of(&server, &event).await;
    let shown = server
        .get(&format!("/v2/runs/{run}?includeOutput=true"))
        .await
        .expect(200);
    let mut data = shown["data"].clone();
    for moment in ["queuedAt", "startedAt", "endedAt", "durationMs"] {
        assert!(data[moment].is_string(), "{moment}");
        data.as_object_mut().unwrap().remove(moment);
    }
    assert_eq!(
        data,
        json!({
            "id": run,
            "function": {"id": "good", "name": "shop-good", "app": {"id": "shop"}},
            "app": {"id": "shop"},
            "status": "COMPLETED",
            "trigger": {"eventIds": [event], "eventName": "good", "isBatch": false},
            "output": {"n": 7},
        })
    );
    let listed = server
        .get(&format!("/v2/events/{event}/runs"))
        .await
        .expect(200);
    assert_eq!(listed["data"][0]["id"], json!(run));
    assert_eq!(listed["data"][0]["output"], Value::Null);
    let unknown = server.get(&format!("/v2/runs/{UNKNOWN}")).await;
    assert_eq!(unknown.refused(404), "not_found");
    assert_eq!(
        server.get("/v2/runs/x").await.refused(400),
        "invalid_field_format"
    );
}

#[tokio::test]
async fn a_run_is_cancelled_once() {
    let (server, app) = shop().await;
    let slow = server.send(json!({"name": "slow"})).await;
    app.called(1).await;
    let run = run_of(&server, &slow).await;
    let path = format!("/v2/runs/{run}/cancel");
    let cancelled = server.post(&path, "").await.expect(200);
    assert_eq!(cancelled["data"], json!({"runId": run}));
    assert_eq!(
        server.post(&path, "").await.refused(409),
        "run_already_cancelled"
    );
    let good = server.send(json!({"name": "good"})).await;
    server.ended(&good).await;
    let path = format!("/v2/runs/{}/cancel", run_of(&server, &good).await);
    assert_eq!(
        server.post(&path, "").await.refused(409),
        "run_already_ended"
    );
    let path = format!("/v2/runs/{UNKNOWN}/cancel");
    assert_eq!(server.post(&path, "").await.refused(404), "not_found");
}

#[tokio::test]
async fn apps_and_functions_are_shown_with_how_they_are_configured() {
    let (server, app) = shop().await;
    let mut careful = function("desk-careful", "go", &app.url, 2);
    careful["concurrency"] = json!([{"limit": 3, "key": "event.data.who", "scope": "env"}]);
    careful["debounce"] = json!({"period": "5s", "key": "event.data.who"});
    careful["cancel"] =
        json!([{"event": "stop", "if": "event.data.n == async.data.n", "timeout": "1h"}]);
    careful["triggers"] =
        json!([{"event": "go", "expression": "event.data.n > 1"}, {"cron": "0 5 * * *"}]);
    server.register("desk", &app, &[careful]).await;

    let listed = server.get("/v2/apps").await.expect(200);
    let ids: Vec<&Value> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|app| &app["id"])
        .collect();
    assert_eq!(ids, ["desk", "shop"]);
    let shown = server.get("/v2/apps/shop").await.expect(200);
    assert_eq!(shown["data"]["functionCount"], 3);
    assert_eq!(shown["data"]["sdkLanguage"], "rust");
    assert_eq!(server.get("/v2/apps/none").await.refused(404), "not_found");

    let shown = server
        .get("/v2/apps/desk/functions/careful")
        .await
        .expect(200);
    assert_eq!(
        shown["data"],
        json!({
            "id": "careful", "name": "desk-careful", "slug": "desk-careful",
            "isPaused": false, "isArchived": false, "app": {"id": "desk"},
            "triggers": [
                {"type": "EVENT", "value": "go", "if": "event.data.n > 1"},
                {"type": "CRON", "value": "0 5 * * *"},
            ],
            "configuration": {
                "cancellations": [
                    {"event": "stop", "timeout": "1h", "condition": "event.data.n == async.data.n"},
                ],
                "retries": {"value": 2, "isDefault": false},
                "concurrency": [
                    {"scope": "ENVIRONMENT", "limit": {"value": 3, "isPlanLimit": false}, "key": "event.data.who"},
                ],
                "debounce": {"period": "5s", "key": "event.data.who"},
            },
        })
    );
    let first = server
        .get("/v2/apps/shop/functions?limit=2")
        .await
        .expect(200);
    assert_eq!(first["data"][0]["slug"], "shop-bad");
    let cursor = first["page"]["cursor"].as_str().expect("there are more");
    let rest = server
        .get(&format!("/v2/apps/shop/functions?cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(rest["data"][0]["slug"], "shop-slow");
    for path in [
        "none/functions",
        "shop/functions/none",
        "shop/functions/none/runs",
    ] {
        let answer = server.get(&format!("/v2/apps/{path}")).await;
        assert_eq!(answer.refused(404), "not_found", "{path}");
    }
}

#[tokio::test]
async fn a_function_is_invoked_once_for_a_key() {
    let (server, app) = shop().await;
    let path = "/api/v2/apps/shop/functions/good/invoke";
    let invoke = async |body: Value| server.post(path, body.to_string()).await;
    let first = invoke(json!({"data": {"n": 1}, "idempotency_key": "k"}))
        .await
        .expect(200);
    let run = first["data"]["runId"].clone();
    assert!(first["metadata"]["fetchedAt"].is_string());
    let again = invoke(json!({"data": {"n": 2}, "idempotencyKey": "k"})).await;
    assert_eq!(again.refused(409), "idempotency_conflict");
    assert_eq!(again.json()["data"]["runId"], run);
    let other = invoke(json!({"data": {"n": 3}})).await.expect(200);
    assert_ne!(other["data"]["runId"], run);
    app.called(2).await;

    assert_eq!(invoke(json!({})).await.refused(400), "missing_field");
    assert_eq!(
        invoke(json!({"data": null})).await.refused(400),
        "missing_field"
    );
    assert_eq!(
        invoke(json!({"data": 3})).await.refused(400),
        "invalid_field_format"
    );
    assert_eq!(
        server.post(path, "nonsense").await.refused(400),
        "invalid_request"
    );
    let unknown = "/v2/apps/shop/functions/none/invoke";
    let unknown = server.post(unknown, r#"{"data":{}}"#).await;
    assert_eq!(unknown.refused(404), "not_found");

    server
        .post("/v1/apps/shop/functions/good/pause", "")
        .await
        .expect(200);
    let paused = invoke(json!({"data": {}})).await;
    assert_eq!(paused.refused(422), "function_skipped");
}

#[tokio::test]
async fn an_event_is_sent() {
    let (server, _app) = shop().await;
    let sent = json!({"name": "good", "data": {"n": 4}, "id": "mine"});
    let sent = server
        .post("/v2/events", sent.to_string())
        .await
        .expect(200);
    let event = sent["data"]["eventId"].as_str().expect("an id");
    assert_eq!(server.ended(event).await["output"], json!({"n": 4}));
    for (body, code) in [
        (json!({"name": "x".repeat(513)}), "validation_error"),
        (json!({"name": ""}), "validation_error"),
        (json!({"data": {}}), "invalid_request"),
        (json!({"name": "inngest/x"}), "validation_error"),
    ] {
        let answer = server.post("/v2/events", body.to_string()).await;
        assert_eq!(answer.refused(400), code, "{body}");
    }
}

#[tokio::test]
async fn keys_are_shown_to_who_holds_one() {
    let start = async |signing_key: Option<SigningKey>| {
        let keys = vec!["event-key-one".to_owned(), "abc".to_owned()];
        let setup = Setup {
            server: ServerOptions {
                event_keys: EventKeys::These(keys),
                signing_key,
                ..ServerOptions::dev()
            },
            ..Setup::default()
        };
        setup.start().await
    };
    let open = start(None).await;
    let shown = open.get("/v2/keys/events").await.expect(200);
    assert_eq!(shown["data"][0]["key"], "…-one");
    assert_eq!(shown["data"][1]["key"], "…", "a short key is not told");
    assert_eq!(
        open.get("/v2/keys/signing").await.expect(200)["data"],
        json!([])
    );

    let locked = start(Some(SigningKey::new("signkey-test-0123456789abcdef"))).await;
    assert_eq!(locked.get("/v2/keys/events").await.status, 401);
    let bearer = [("authorization", "Bearer signkey-test-0123456789abcdef")];
    let shown = locked
        .request(Method::GET, "/v2/keys/events", &bearer, "")
        .await
        .expect(200);
    assert_eq!(shown["data"][0]["key"], "event-key-one");
    let shown = locked
        .request(Method::GET, "/v2/keys/signing", &bearer, "")
        .await
        .expect(200);
    let key = shown["data"][0]["key"].as_str().expect("a key");
    assert!(key.starts_with('…') && key.chars().count() == 5, "{key}");
}

#[tokio::test]
async fn what_only_a_hosted_service_has_says_so() {
    let server = Server::start().await;
    for path in [
        "/v2/account",
        "/v2/envs/x",
        "/v2/insights",
        "/api/v2/sandboxes",
    ] {
        assert_eq!(
            server.get(path).await.refused(501),
            "not_implemented",
            "{path}"
        );
    }
    let health = server.get("/v2/health").await.expect(200);
    assert_eq!(health["data"], json!({"status": "ok"}));
}
