//! Calls of functions that workers have.

use super::{patient, timed};
use crate::app::step_run;
use crate::server::soon;
use crate::worker::{Introduction, Worker, app, body, function, response};
use serde_json::json;
use std::time::Duration;
use stepwell_protocol::connect::{FrameKind, ResponseStatus, WorkerStatus};
use tokio_tungstenite::tungstenite::protocol::Message;

#[tokio::test]
async fn a_worker_runs_the_functions_of_its_apps() {
    let server = patient().start().await;
    let apps = [
        app("one", &[function("one-f", "one", 0)]),
        app("two", &[function("two-f", "two", 0)]),
    ];
    let mut worker = Worker::connect(&server, "worker", &apps).await;
    for name in ["two", "one"] {
        let event = server.send(json!({"name": name, "data": {"n": 1}})).await;
        let call = worker.called().await;
        assert_eq!(
            (
                &*call.app_name,
                &*call.function_slug,
                call.step_id.as_deref()
            ),
            (name, &*format!("{name}-f"), Some("step"))
        );
        let asked = body(&call);
        assert_eq!(asked["event"]["data"], json!({"n": 1}));
        assert_eq!(asked["ctx"]["run_id"], call.run_id);
        assert_eq!(asked["ctx"]["request_id"], call.request_id);
        assert_eq!(asked["ctx"]["fn_id"], call.function_id);
        let ran = json!([step_run("a", json!("A"))]).to_string().into_bytes();
        worker
            .reply(response(&call, ResponseStatus::NotCompleted, ran))
            .await;
        let next = worker.called().await;
        assert_ne!(next.request_id, call.request_id);
        assert_eq!(body(&next)["steps"][crate::app::id("a")]["data"], "A");
        worker.returned(&next, &json!({"from": name})).await;
        assert_eq!(server.ended(&event).await["output"], json!({"from": name}));
    }
}

#[tokio::test]
async fn failures_are_retried_unless_the_sdk_says_otherwise() {
    let server = patient().start().await;
    let apps = [app("app", &[function("app-f", "go", 1)])];
    let mut worker = Worker::connect(&server, "worker", &apps).await;
    let error = |message: &str| json!({"name": "TestError", "message": message}).to_string();

    let event = server.send(json!({"name": "go"})).await;
    for attempt in 0..2 {
        let call = worker.called().await;
        assert_eq!(body(&call)["ctx"]["attempt"], attempt);
        let failed = response(&call, ResponseStatus::Error, error("no luck").into());
        worker.reply(failed).await;
    }
    let run = server.ended(&event).await;
    assert_eq!(run["status"], "Failed");
    assert_eq!(run["output"]["message"], "no luck");

    // An SDK has no status for a failure that must not be retried.
    let event = server.send(json!({"name": "go"})).await;
    let call = worker.called().await;
    let mut failed = response(&call, ResponseStatus::Done, error("for good").into());
    failed.no_retry = true;
    worker.reply(failed).await;
    let run = server.ended(&event).await;
    assert_eq!(run["status"], "Failed");
    assert_eq!(run["output"]["message"], "for good");
}

#[tokio::test]
async fn a_worker_gets_no_calls_before_it_is_ready_and_after_it_has_paused() {
    let server = patient().start().await;
    let apps = [app("app", &[function("app-f", "go", 0)])];
    let mut introduction = Introduction::of(&server, "first", &apps).await;
    introduction.connect.worker_manual_readiness_ack = true;
    let mut first = introduction.connect().await;
    let mut second = Worker::connect(&server, "second", &apps).await;
    for _ in 0..10 {
        let event = server.send(json!({"name": "go"})).await;
        let call = second.called().await;
        second.returned(&call, &json!(null)).await;
        server.ended(&event).await;
    }
    first.silent().await;

    first.send_bare(FrameKind::WorkerReady).await;
    first.silent().await;
    second.send_bare(FrameKind::WorkerPause).await;
    second.silent().await;
    let event = server.send(json!({"name": "go"})).await;
    let under_way = first.called().await;
    // It finishes what it has, extends its lease, and gets nothing new.
    first.send_bare(FrameKind::WorkerPause).await;
    assert!(first.extend(&under_way).await.is_some());
    let waits = server.send(json!({"name": "go"})).await;
    first.returned(&under_way, &json!("finished")).await;
    assert_eq!(server.ended(&event).await["output"], "finished");
    first.silent().await;
    first.close().await;
    let mut third = Worker::connect(&server, "third", &apps).await;
    let call = third.called().await;
    assert_eq!(body(&call)["ctx"]["attempt"], 0, "waiting costs no attempt");
    third.returned(&call, &json!("third")).await;
    assert_eq!(server.ended(&waits).await["output"], "third");
}

#[tokio::test]
async fn a_worker_has_no_more_calls_at_once_than_it_wants() {
    let server = patient().start().await;
    let apps = [app("app", &[function("app-f", "go", 0)])];
    let mut introduction = Introduction::of(&server, "worker", &apps).await;
    introduction.connect.max_worker_concurrency = Some(2);
    let mut worker = introduction.connect().await;
    let mut events = Vec::new();
    for n in 0..5 {
        events.push(server.send(json!({"name": "go", "data": {"n": n}})).await);
    }
    let (mut held, mut seen) = (Vec::new(), Vec::new());
    held.push(worker.called().await);
    held.push(worker.called().await);
    for _ in 2..5 {
        worker.silent().await;
        let call = held.remove(0);
        worker.returned(&call, &json!("ok")).await;
        seen.push(call);
        held.push(worker.called().await);
    }
    for call in held {
        worker.returned(&call, &json!("ok")).await;
        seen.push(call);
    }
    for call in &seen {
        assert_eq!(body(call)["ctx"]["attempt"], 0, "waiting costs no attempt");
    }
    for event in events {
        assert_eq!(server.ended(&event).await["output"], "ok");
    }
}

#[tokio::test]
async fn a_call_that_finds_no_room_goes_back_to_the_queue_and_costs_no_attempt() {
    let server = timed(|times| times.room = Duration::ZERO).start().await;
    let apps = [app("app", &[function("app-f", "go", 0)])];
    let mut introduction = Introduction::of(&server, "worker", &apps).await;
    introduction.connect.max_worker_concurrency = Some(1);
    let mut worker = introduction.connect().await;
    let first = server.send(json!({"name": "go"})).await;
    let held = worker.called().await;
    let second = server.send(json!({"name": "go"})).await;
    soon("the second call is put back", async {
        while server.handle.calls_in_flight() > 1 || queued(&server, &second).await != "start" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    worker.silent().await;
    worker.returned(&held, &json!(1)).await;
    let call = worker.called().await;
    assert_eq!(body(&call)["ctx"]["attempt"], 0);
    worker.returned(&call, &json!(2)).await;
    assert_eq!(server.ended(&first).await["output"], 1);
    assert_eq!(server.ended(&second).await["output"], 2);
}

/// What the only run of an event waits for.
async fn standing(server: &crate::server::Server, event: &str) -> serde_json::Value {
    let runs = server.runs(event).await;
    let Some(run) = runs.first() else {
        return json!(null);
    };
    let id = run["run_id"].as_str().expect("it has an id");
    let standing = server.get(&format!("/v1/runs/{id}/standing")).await;
    standing.expect(200)["data"].clone()
}

#[tokio::test]
async fn a_run_that_waits_for_a_worker_with_room_says_so() {
    for (room, comes_again) in [(Duration::from_secs(600), false), (Duration::ZERO, true)] {
        let server = timed(|times| times.room = room).start().await;
        let apps = [app("shop", &[function("shop-f", "go", 0)])];
        let mut introduction = Introduction::of(&server, "worker", &apps).await;
        introduction.connect.max_worker_concurrency = Some(1);
        let mut worker = introduction.connect().await;
        let first = server.send(json!({"name": "go"})).await;
        let held = worker.called().await;
        let second = server.send(json!({"name": "go"})).await;
        let told = soon("it waits for a worker", async {
            loop {
                let told = standing(&server, &second).await;
                if told["for"] == "worker" {
                    return told;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(told["app"], "shop");
        assert_eq!(told["until"].is_string(), comes_again, "{told}");
        assert_eq!(standing(&server, &first).await, json!({"for": "call"}));
        let verdicts = server.get(&format!("/v1/events/{second}/verdicts")).await;
        assert_eq!(verdicts.expect(200)["data"][0]["waits"]["for"], "worker");
        worker.returned(&held, &json!(1)).await;
        let call = worker.called().await;
        assert_eq!(standing(&server, &second).await, json!({"for": "call"}));
        worker.returned(&call, &json!(2)).await;
        server.ended(&second).await;
    }
}

/// The kind of the only item of an event's only run; nothing before there is one.
async fn queued(server: &crate::server::Server, event: &str) -> String {
    let runs = server.runs(event).await;
    let Some(run) = runs.first() else {
        return String::new();
    };
    let id = run["run_id"].as_str().expect("it has an id");
    let jobs = server.get(&format!("/v1/runs/{id}/jobs")).await.expect(200);
    jobs["data"][0]["kind"].as_str().unwrap_or("").to_owned()
}

#[tokio::test]
async fn without_a_worker_a_call_fails_and_is_retried() {
    let server = timed(|times| {
        times.opening = Duration::ZERO;
        times.absence = Duration::ZERO;
    })
    .start()
    .await;
    let apps = [app("app", &[function("app-f", "go", 2)])];
    Worker::connect(&server, "worker", &apps)
        .await
        .close()
        .await;
    let event = server.send(json!({"name": "go"})).await;
    let run = server.ended(&event).await;
    assert_eq!(run["status"], "Failed");
    assert_eq!(run["output"]["name"], "connect_no_healthy_connection");
    assert_eq!(
        run["output"]["message"],
        "Could not find a healthy connection"
    );
}

#[tokio::test]
async fn a_reply_that_is_too_large_fails_its_call_by_name_and_a_huge_frame_the_connection() {
    let server = patient().start().await;
    let apps = [app("app", &[function("app-f", "go", 0)])];
    let mut worker = Worker::connect(&server, "worker", &apps).await;
    let event = server.send(json!({"name": "go"})).await;
    let call = worker.called().await;
    let large = vec![b'1'; stepwell_protocol::limits::REPLY_BYTES_MAX + 1];
    worker
        .reply(response(&call, ResponseStatus::Done, large))
        .await;
    let run = server.ended(&event).await;
    assert_eq!(run["output"]["error"]["name"], "output_too_large");

    let huge = vec![0; 2 * stepwell_protocol::limits::REPLY_BYTES_MAX + 1];
    assert_eq!(
        worker.overwhelm(huge).await,
        (1009, "MESSAGE_TOO_LARGE".to_owned())
    );
}

#[tokio::test]
async fn messages_that_make_no_sense_end_the_connection() {
    let server = patient().start().await;
    let bad = vec![0xff, 0xff];
    let frame = |kind: FrameKind| {
        let mut bytes = vec![8, kind as u8, 18, 2];
        bytes.extend(&bad);
        Message::binary(bytes)
    };
    for (message, reason) in [
        (
            frame(FrameKind::WorkerRequestAck),
            "connect_worker_request_ack_invalid_payload",
        ),
        (
            frame(FrameKind::WorkerRequestExtendLease),
            "connect_worker_request_extend_lease_invalid_payload",
        ),
        (frame(FrameKind::WorkerReply), "connect_run_invalid_message"),
        (
            frame(FrameKind::WorkerConnect),
            "connect_run_invalid_message",
        ),
        (Message::text("?"), "connect_run_invalid_message"),
        (Message::binary(bad.clone()), "connect_run_invalid_message"),
    ] {
        let mut worker = Worker::connect(&server, "worker", &[app("app", &[])]).await;
        worker.send_raw(message).await;
        assert_eq!(worker.closed().await, (1008, reason.to_owned()));
    }
    // What only a newer SDK knows is no reason.
    let mut worker = Worker::connect(&server, "worker", &[app("app", &[])]).await;
    worker.send_raw(Message::binary(vec![8, 99])).await;
    worker.silent().await;
}

#[tokio::test]
async fn a_worker_may_say_how_it_is() {
    let server = patient().start().await;
    let mut worker = Worker::connect(&server, "worker", &[app("app", &[])]).await;
    let status = WorkerStatus {
        in_flight_request_ids: vec!["r1".to_owned()],
        shutdown_requested: true,
    };
    worker.send(FrameKind::WorkerStatus, &status).await;
    worker.silent().await;
    let listed = server.get("/v0/connect/envs/dev/conns").await.expect(200);
    assert_eq!(
        listed["data"][0]["said"],
        json!({"in_flight_request_ids": ["r1"], "shutdown_requested": true})
    );
}
