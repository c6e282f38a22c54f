//! Runs that their apps do not end by themselves: the request is made again, as often as it takes.

use super::{Endpoint, ended, header, setup};
use crate::app::{App, id, ops, page, sdk, sleep, step_run};
use crate::server::{Setup, soon};
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use stepwell_engine::Timestamp;
use stepwell_runtime::{Clock, ManualClock};

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
