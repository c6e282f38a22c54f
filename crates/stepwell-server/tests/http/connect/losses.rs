//! Workers that die, hang or come back, and what becomes of their calls.

use super::{SHORT, patient, timed};
use crate::server::{Server, soon};
use crate::worker::{Worker, app, body, done, function};
use serde_json::json;
use std::time::Duration;
use stepwell_protocol::connect::{
    AppConfiguration, FlushResponse, FrameKind, Message as _, SdkResponse,
};
use tokio::time::Instant;

fn apps(retries: u32) -> [AppConfiguration; 1] {
    [app("app", &[function("app-f", "go", retries)])]
}

async fn flush(server: &Server, reply: &SdkResponse) -> (u16, Vec<u8>) {
    server
        .post_bytes("/v0/connect/flush", &[], reply.encode_to_vec())
        .await
}

#[tokio::test]
async fn a_call_that_its_worker_has_not_taken_goes_to_another_at_once() {
    let server = patient().start().await;
    let apps = apps(0);
    let mut first = Worker::connect(&server, "first", &apps).await;
    let event = server.send(json!({"name": "go"})).await;
    let offered = first.offered().await;
    let mut second = Worker::connect(&server, "second", &apps).await;
    first.kill();
    let call = second.called().await;
    assert_eq!(call.request_id, offered.request_id, "it is the same call");
    assert_ne!(call.lease_id, offered.lease_id);
    second.returned(&call, &json!("second")).await;
    assert_eq!(server.ended(&event).await["output"], "second");
}

#[tokio::test]
async fn a_call_that_no_worker_takes_in_time_fails_by_name() {
    let server = timed(|times| {
        times.take = SHORT;
        times.absence = Duration::ZERO;
        times.opening = Duration::ZERO;
    })
    .start()
    .await;
    let apps = apps(0);
    let mut first = Worker::connect(&server, "first", &apps).await;
    let event = server.send(json!({"name": "go"})).await;
    let ignored = first.offered().await;
    let run = server.ended(&event).await;
    assert_eq!(
        run["output"]["name"],
        "connect_worker_request_not_acknowledged"
    );
    assert_eq!(first.extend(&ignored).await, None);
}

#[tokio::test]
async fn a_call_that_a_pausing_worker_has_not_taken_goes_elsewhere() {
    let server = timed(|times| times.take_draining = Duration::ZERO)
        .start()
        .await;
    let apps = apps(0);
    let mut first = Worker::connect(&server, "first", &apps).await;
    let event = server.send(json!({"name": "go"})).await;
    first.offered().await;
    let mut second = Worker::connect(&server, "second", &apps).await;
    first.send_bare(FrameKind::WorkerPause).await;
    let call = second.called().await;
    second.returned(&call, &json!("second")).await;
    assert_eq!(server.ended(&event).await["output"], "second");
}

#[tokio::test]
async fn a_worker_that_dies_with_a_call_costs_an_attempt_and_another_takes_it() {
    let server = timed(|times| times.reconnect = SHORT).start().await;
    let apps = apps(1);
    let mut first = Worker::connect(&server, "first", &apps).await;
    let event = server.send(json!({"name": "go"})).await;
    let lost = first.called().await;
    first.silent().await;
    let mut second = Worker::connect(&server, "second", &apps).await;
    first.kill();
    let call = second.called().await;
    assert_eq!(body(&call)["ctx"]["attempt"], 1);
    assert_ne!(call.request_id, lost.request_id, "it is another attempt");
    second.returned(&call, &json!("second")).await;
    assert_eq!(server.ended(&event).await["output"], "second");
}

#[tokio::test]
async fn a_worker_that_hangs_loses_its_lease() {
    let server = timed(|times| times.lease = SHORT).start().await;
    let mut worker = Worker::connect(&server, "worker", &apps(0)).await;
    let event = server.send(json!({"name": "go"})).await;
    let call = worker.called().await;
    let run = server.ended(&event).await;
    assert_eq!(run["output"]["name"], "connect_worker_stopped_responding");
    assert_eq!(worker.extend(&call).await, None, "the lease is lost");
    // What it replies after all is taken off its hands.
    worker.returned(&call, &json!("too late")).await;
    assert_eq!(server.ended(&event).await["status"], "Failed");
}

#[tokio::test]
async fn a_lease_is_good_as_long_as_it_is_extended() {
    let lease = Duration::from_secs(2);
    let server = timed(|times| times.lease = lease).start().await;
    let mut worker = Worker::connect(&server, "worker", &apps(0)).await;
    let event = server.send(json!({"name": "go"})).await;
    let mut call = worker.called().await;
    let begun = Instant::now();
    while begun.elapsed() < 2 * lease {
        let before = call.lease_id.clone();
        call.lease_id = worker.extend(&call).await.expect("it is extended");
        assert_ne!(call.lease_id, before);
        tokio::time::sleep(lease / 20).await;
    }
    worker.returned(&call, &json!("at last")).await;
    assert_eq!(server.ended(&event).await["output"], "at last");
}

#[tokio::test]
async fn only_the_holder_extends_a_lease() {
    let server = patient().start().await;
    let mut worker = Worker::connect(&server, "worker", &apps(0)).await;
    let event = server.send(json!({"name": "go"})).await;
    let mut call = worker.called().await;
    let first = call.clone();
    call.lease_id = worker.extend(&call).await.expect("it is extended");
    // The answer to an extension may be lost: the lease before is as good.
    call.lease_id = worker.extend(&first).await.expect("it is extended");
    call.lease_id = worker.extend(&call).await.expect("it is extended");
    assert_eq!(worker.extend(&first).await, None, "that one is long gone");
    for (request_id, lease_id) in [("other", &*call.lease_id), (&*call.request_id, "x")] {
        let mut wrong = call.clone();
        request_id.clone_into(&mut wrong.request_id);
        lease_id.clone_into(&mut wrong.lease_id);
        assert_eq!(worker.extend(&wrong).await, None);
    }
    worker.returned(&call, &json!(1)).await;
    assert_eq!(worker.extend(&call).await, None, "it has ended");
    assert_eq!(server.ended(&event).await["output"], 1);
}

#[tokio::test]
async fn a_worker_that_reconnects_goes_on_with_its_calls() {
    let server = patient().start().await;
    let apps = apps(0);
    let mut worker = Worker::connect(&server, "worker", &apps).await;
    let event = server.send(json!({"name": "go"})).await;
    let mut call = worker.called().await;
    worker.silent().await;
    worker.kill();
    let mut worker = Worker::connect(&server, "worker", &apps).await;
    call.lease_id = worker.extend(&call).await.expect("it is still its call");
    let listed = server.get("/v0/connect/envs/dev/conns").await.expect(200);
    assert_eq!(listed["data"][0]["calls"], 1);
    worker.returned(&call, &json!("went on")).await;
    assert_eq!(server.ended(&event).await["output"], "went on");
}

#[tokio::test]
async fn a_reply_may_come_over_http_when_the_connection_is_gone() {
    let server = patient().start().await;
    let mut worker = Worker::connect(&server, "worker", &apps(0)).await;
    let event = server.send(json!({"name": "go"})).await;
    let call = worker.called().await;
    worker.kill();
    let reply = done(&call, &json!("flushed"));
    for _ in 0..2 {
        let (status, answer) = flush(&server, &reply).await;
        assert_eq!(status, 200);
        let answer = FlushResponse::decode(&*answer).unwrap();
        assert_eq!(answer.request_id, call.request_id);
    }
    assert_eq!(server.ended(&event).await["output"], "flushed");

    let bad_trace = SdkResponse {
        system_trace_ctx: b"{".to_vec(),
        ..reply.clone()
    };
    let nameless = SdkResponse {
        request_id: String::new(),
        ..reply
    };
    for reply in [bad_trace, nameless] {
        assert_eq!(flush(&server, &reply).await.0, 400);
    }
    let refusal = server.post("/v0/connect/flush", "no").await.refusal(400);
    assert_eq!(refusal, "could not unmarshal request");
}

#[tokio::test]
async fn a_reply_that_came_late_answers_the_call_when_it_is_made_again() {
    let server = patient().start().await;
    let mut worker = Worker::connect(&server, "worker", &apps(0)).await;
    let event = server.send(json!({"name": "go"})).await;
    let call = worker.offered().await;
    worker.kill();
    soon("the call is put back", async {
        while server.handle.calls_in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (status, _) = flush(&server, &done(&call, &json!("late"))).await;
    assert_eq!(status, 200);
    assert_eq!(server.ended(&event).await["output"], "late");
}

#[tokio::test]
async fn a_run_that_is_cancelled_takes_its_call_from_the_worker() {
    let server = patient().start().await;
    let mut worker = Worker::connect(&server, "worker", &apps(0)).await;
    let event = server.send(json!({"name": "go"})).await;
    let call = worker.called().await;
    let path = format!("/v1/runs/{}", call.run_id);
    let answer = server
        .request(reqwest::Method::DELETE, &path, &[], "")
        .await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    server.ended(&event).await;
    soon("the lease is given up", async {
        let mut latest = call;
        while let Some(lease) = worker.extend(&latest).await {
            latest.lease_id = lease;
        }
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_is_not_heard_gets_no_calls_and_loses_its_connection() {
    let server = timed(|times| times.heartbeat = SHORT).start().await;
    let mut worker = Worker::connect(&server, "silent", &apps(0)).await;
    let expected = (1008, "CONSECUTIVE_HEARTBEATS_MISSED".to_owned());
    assert_eq!(worker.closed().await, expected);
}

#[tokio::test]
async fn a_worker_that_does_not_read_holds_up_nobody_else() {
    let server = patient().start().await;
    let mut deaf = Worker::connect(&server, "deaf", &apps(0)).await;
    let others = [app("other", &[function("other-f", "other", 0)])];
    let mut other = Worker::connect(&server, "other", &others).await;
    let text = "x".repeat(2_000_000);
    for _ in 0..20 {
        server
            .send(json!({"name": "go", "data": {"text": text}}))
            .await;
    }
    let event = server.send(json!({"name": "other"})).await;
    let call = other.called().await;
    other.returned(&call, &json!("heard")).await;
    assert_eq!(server.ended(&event).await["output"], "heard");
    // Once it reads, its calls are there: as many as were let wait for it, and then the others.
    for _ in 0..20 {
        let call = deaf.called().await;
        deaf.returned(&call, &json!(1)).await;
    }
}
