//! Reading runs, cancelling them, and checkpoints of running functions.

use crate::app::{App, Call, id, ops, returned, sleep, step_run};
use crate::server::{Server, function};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

const UNKNOWN: &str = "01JZXQ2M5N1V8Q7T7Q0000000A";

/// A server with a run that has ended a step and now sleeps for long; and the run's id.
async fn sleeping() -> (Server, App, String) {
    let app = App::start(|call| {
        if call.has("first") {
            ops(&[sleep("long", "300d")])
        } else {
            ops(&[step_run("first", json!({"n": 1}))])
        }
    })
    .await;
    let server = Server::start().await;
    server
        .register("app", &app, &[function("app-f", "go", &app.url, 0)])
        .await;
    let event = server.send(json!({"name": "go", "data": {"n": 1}})).await;
    app.called(2).await;
    let run = server.runs(&event).await[0]["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    (server, app, run)
}

#[tokio::test]
async fn an_unfinished_run_shows_its_events_and_steps() {
    let (server, _app, run) = sleeping().await;
    let batch = server
        .get(&format!("/v0/runs/{run}/batch"))
        .await
        .expect(200);
    assert_eq!(batch.as_array().unwrap().len(), 1);
    assert_eq!(
        (&batch[0]["name"], &batch[0]["data"]),
        (&json!("go"), &json!({"n": 1}))
    );
    let actions = server
        .get(&format!("/v0/runs/{run}/actions"))
        .await
        .expect(200);
    assert_eq!(actions, json!({id("first"): {"data": {"n": 1}}}));
}

#[tokio::test]
async fn the_state_of_a_run_that_has_ended_is_gone() {
    let (server, _app, run) = sleeping().await;
    server
        .request(Method::DELETE, &format!("/v1/runs/{run}"), &[], "")
        .await;
    for what in ["batch", "actions"] {
        for run in [&*run, UNKNOWN] {
            let refusal = server
                .get(&format!("/v0/runs/{run}/{what}"))
                .await
                .refusal(410);
            assert_eq!(
                refusal,
                format!("runtime state is no longer available for runID: {run}")
            );
        }
        let refusal = server
            .get(&format!("/v0/runs/nonsense/{what}"))
            .await
            .refusal(400);
        assert_eq!(refusal, "The run ID specified is invalid");
    }
}

#[tokio::test]
async fn a_run_is_shown_from_start_to_end() {
    let (server, _app, run) = sleeping().await;
    let shown = server.get(&format!("/v1/runs/{run}")).await.expect(200);
    assert!(shown["metadata"]["fetched_at"].is_string());
    let data = &shown["data"];
    assert_eq!(
        (&data["run_id"], &data["status"]),
        (&json!(run), &json!("Running"))
    );
    assert_eq!(
        (&data["ended_at"], &data["output"]),
        (&Value::Null, &Value::Null)
    );
    assert!(data["run_started_at"].is_string() && data["function_id"].is_string());

    let path = format!("/v1/runs/{run}");
    let cancel = || server.request(Method::DELETE, &path, &[], "");
    let cancelled = cancel().await;
    assert_eq!((cancelled.status, &*cancelled.text), (200, ""));
    let shown = server.get(&format!("/v1/runs/{run}")).await.expect(200);
    assert_eq!(shown["data"]["status"], "Cancelled");
    assert!(shown["data"]["ended_at"].is_string());
    assert_eq!(cancel().await.status, 200, "it is as cancelled as it was");
}

#[tokio::test]
async fn older_clients_cancel_a_run_once() {
    let (server, _app, run) = sleeping().await;
    let path = format!("/v0/runs/{run}");
    let cancelled = server.request(Method::DELETE, &path, &[], "").await;
    assert_eq!((cancelled.status, &*cancelled.text), (204, ""));
    let again = server.request(Method::DELETE, &path, &[], "").await;
    assert_eq!(again.refusal(409), "This function has already completed");
    let path = format!("/v0/runs/{UNKNOWN}");
    let unknown = server.request(Method::DELETE, &path, &[], "").await;
    assert_eq!(
        unknown.refusal(404),
        "A function run with the given ID could not be found"
    );
    assert_eq!(server.post("/v0/telemetry", "{}").await.status, 200);
}

#[tokio::test]
async fn what_is_not_known_or_not_an_id_says_so() {
    let server = Server::start().await;
    let get = |path: &'static str| server.get(path);
    assert_eq!(
        get("/v1/runs/x").await.refusal(400),
        "The run ID specified is invalid"
    );
    let unknown = format!("/v1/runs/{UNKNOWN}");
    let refusal = format!("Unable to load function run: {UNKNOWN}");
    assert_eq!(server.get(&unknown).await.refusal(404), refusal);
    let answer = server.request(Method::DELETE, &unknown, &[], "").await;
    assert_eq!(answer.refusal(404), refusal);
    assert_eq!(
        get("/v1/events/x").await.refusal(400),
        "the event's internal id is not a ULID"
    );
    assert_eq!(
        get("/v1/events/x/runs").await.refusal(400),
        "the event's internal id is not a ULID"
    );
    assert_eq!(
        server
            .get(&format!("/v1/events/{UNKNOWN}"))
            .await
            .refusal(404),
        "Event not found"
    );
    assert!(server.runs(UNKNOWN).await.is_empty());
    assert_eq!(
        get("/v1/events?cursor=x").await.refusal(400),
        "the cursor is not an event's internal id"
    );
}

#[tokio::test]
async fn events_are_listed_newest_first_in_pages() {
    let server = Server::start().await;
    for n in 0..25 {
        let name = if n % 5 == 0 { "five" } else { "other" };
        server.send(json!({"name": name, "data": {"n": n}})).await;
    }
    let page = async |query: &str| -> (Vec<i64>, String) {
        let answer = server.get(&format!("/v1/events?{query}")).await.expect(200);
        let events = answer["data"].as_array().unwrap().clone();
        let numbers = events
            .iter()
            .map(|event| event["data"]["n"].as_i64().unwrap())
            .collect();
        let last = events
            .last()
            .map_or(Value::Null, |event| event["internal_id"].clone());
        (numbers, last.as_str().unwrap_or_default().to_owned())
    };
    let (first, cursor) = page("").await;
    assert_eq!(first, (5..25).rev().collect::<Vec<_>>());
    assert_eq!(page(&format!("cursor={cursor}")).await.0, [4, 3, 2, 1, 0]);
    assert_eq!(page("name=five&limit=2").await.0, [20, 15]);
    assert_eq!(page("limit=0").await.0.len(), 1);
    assert_eq!(page("limit=1000").await.0.len(), 25);
}

/// An app whose first call waits until it is let go, and then has the function return.
async fn waiting() -> (Server, App, Arc<Semaphore>) {
    let go = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&go);
    let app = App::start_async(move |call: Call| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("it is never closed").forget();
            returned(&json!({"attempt": call.attempt()}))
        }
    })
    .await;
    let server = Server::start().await;
    server
        .register("app", &app, &[function("app-f", "go", &app.url, 0)])
        .await;
    (server, app, go)
}

/// What an SDK sends to record steps of the function that this call runs.
fn checkpoint(call: &Call, steps: Value) -> Value {
    let ctx = &call.body["ctx"];
    json!({
        "run_id": ctx["run_id"], "fn_id": ctx["fn_id"], "qi_id": ctx["qi_id"], "request_id": ctx["request_id"],
        "generation_id": ctx["generation_id"], "ts": 1_800_000_000_000_u64, "steps": steps,
    })
}

#[tokio::test]
async fn a_running_function_records_steps_ahead_of_its_answer() {
    let (server, app, go) = waiting().await;
    let event = server.send(json!({"name": "go"})).await;
    app.called(1).await;
    let call = app.calls().remove(0);
    let run = call.body["ctx"]["run_id"].as_str().unwrap();
    let path = format!("/v1/checkpoint/{run}/async");
    let post = async |body: Value| server.post(&path, body.to_string()).await;

    let recorded = post(checkpoint(
        &call,
        json!([step_run("a", json!(1)), step_run("b", json!(2))]),
    ))
    .await;
    assert_eq!((recorded.status, &*recorded.text), (200, ""));
    // The first result of a step stays.
    assert_eq!(
        post(checkpoint(&call, json!([step_run("a", json!(3))])))
            .await
            .status,
        200
    );
    let actions = server
        .get(&format!("/v0/runs/{run}/actions"))
        .await
        .expect(200);
    assert_eq!(actions, json!({id("a"): {"data": 1}, id("b"): {"data": 2}}));

    let mut stale = checkpoint(&call, json!([]));
    stale["generation_id"] = json!(call.body["ctx"]["generation_id"].as_u64().unwrap() - 1);
    let mut foreign = checkpoint(&call, json!([]));
    foreign["qi_id"] = json!("17");
    for body in [stale, foreign] {
        let refusal = post(body).await.refusal(409);
        assert_eq!(
            refusal,
            "this call is no longer the one that runs the function"
        );
    }
    for (body, status, error) in [
        (
            checkpoint(&call, json!([step_run("c", json!(1)), sleep("d", "1h")])),
            400,
            "cannot checkpoint opcode: Sleep",
        ),
        (
            checkpoint(&call, json!([{"op": "StepNotFound", "id": "x"}])),
            400,
            "Invalid request: steps[0].op: unknown op 'StepNotFound'",
        ),
        (json!({"qi_id": 7}), 400, "Invalid request: qi_id: "),
        (
            json!({"qi_id": "text"}),
            400,
            "qi_id is not one of this server's",
        ),
        (json!({}), 400, "Invalid request: "),
        (
            checkpoint(
                &call,
                json!([step_run("c", json!("x".repeat(4 * 1024 * 1024)))]),
            ),
            413,
            "step output size is greater than the limit",
        ),
    ] {
        let refusal = post(body).await.refusal(status);
        assert!(refusal.starts_with(error), "{error}: {refusal}");
    }
    let actions = server
        .get(&format!("/v0/runs/{run}/actions"))
        .await
        .expect(200);
    assert_eq!(
        actions.as_object().unwrap().len(),
        2,
        "of what is refused nothing is recorded"
    );

    go.add_permits(1);
    assert_eq!(server.ended(&event).await["status"], "Completed");
    let refusal = post(checkpoint(&call, json!([step_run("c", json!(1))])))
        .await
        .refusal(400);
    assert_eq!(refusal, "run not found in state store");
    let refusal = server
        .post("/v1/checkpoint/x/async", "{}")
        .await
        .refusal(400);
    assert_eq!(refusal, "The run ID specified is invalid");
}

#[tokio::test]
async fn a_cancelled_run_takes_no_answer_any_more() {
    let (server, app, go) = waiting().await;
    let event = server.send(json!({"name": "go"})).await;
    app.called(1).await;
    let run = server.runs(&event).await[0]["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let answer = server
        .request(Method::DELETE, &format!("/v1/runs/{run}"), &[], "")
        .await;
    assert_eq!(answer.status, 200);
    go.add_permits(2);
    // The next event's run comes after the answer of the first.
    let next = server.send(json!({"name": "go"})).await;
    assert_eq!(server.ended(&next).await["status"], "Completed");
    let shown = server.ended(&event).await;
    assert_eq!(
        (&shown["status"], &shown["output"]),
        (&json!("Cancelled"), &Value::Null)
    );
}
