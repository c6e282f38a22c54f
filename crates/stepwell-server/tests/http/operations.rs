//! What whoever looks after a server asks it: its metrics, and whether it is ready.

use crate::app::{App, failed, ops, returned, sleep};
use crate::server::{Server, Setup, function, soon};
use serde_json::json;
use std::sync::Arc;
use stepwell_engine::Timestamp;
use stepwell_protocol::signing::SigningKey;
use stepwell_runtime::{Clock, ManualClock};
use stepwell_server::{MetricsToken, ServerOptions};

const KEY: &str = "signkey-test-00112233445566778899aabbccddeeff";

/// What a series of the server's metrics says; nothing if it does not have it.
async fn told(server: &Server, series: &str) -> Option<f64> {
    let text = server.get("/metrics").await.text;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().expect("a value is a number"))
}

/// Waits until a series says this.
async fn tells(server: &Server, series: &str, value: f64) {
    soon(series, async {
        while told(server, series).await != Some(value) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn metrics_tell_what_runs_do() {
    let app = App::start(|call| match call.body["event"]["data"]["then"].as_str() {
        Some("fail") => failed("no"),
        Some("sleep") if !call.has("nap") => ops(&[sleep("nap", "1h")]),
        _ => returned(&json!("done")),
    })
    .await;
    let server = Server::start().await;
    server
        .register("app", &app, &[function("app-f", "go", &app.url, 0)])
        .await;
    for (then, count) in [("return", 2), ("fail", 1)] {
        for _ in 0..count {
            let event = server
                .send(json!({"name": "go", "data": {"then": then}}))
                .await;
            server.ended(&event).await;
        }
    }
    server
        .send(json!({"name": "go", "data": {"then": "sleep"}}))
        .await;
    tells(
        &server,
        r#"stepwell_calls_total{function="app-f",outcome="progressed"}"#,
        1.0,
    )
    .await;
    tells(&server, "stepwell_timers", 1.0).await;
    for (series, value) in [
        (
            r#"stepwell_calls_total{function="app-f",outcome="returned"}"#,
            2.0,
        ),
        (
            r#"stepwell_calls_total{function="app-f",outcome="failed"}"#,
            1.0,
        ),
        (r#"stepwell_runs_ended_total{status="completed"}"#, 2.0),
        (r#"stepwell_runs_ended_total{status="failed"}"#, 1.0),
        (r#"stepwell_runs{status="running"}"#, 1.0),
        (r#"stepwell_runs{status="scheduled"}"#, 0.0),
        ("stepwell_start_latency_seconds_count", 4.0),
        (r#"stepwell_queue_items{function="app-f"}"#, 0.0),
        ("stepwell_ready", 1.0),
        ("stepwell_audit_violations_total", 0.0),
        ("stepwell_commits_failed_total", 0.0),
    ] {
        assert_eq!(told(&server, series).await, Some(value), "{series}");
    }
    for series in [
        "stepwell_commit_time_seconds_count",
        "stepwell_commit_rows_sum",
        "stepwell_call_time_seconds_sum",
    ] {
        assert!(told(&server, series).await > Some(0.0), "{series}");
    }
    tells(&server, "stepwell_audits_total", 1.0).await;
    let answer = server.get("/metrics").await;
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    assert!(answer.text.ends_with("# EOF\n"), "{}", answer.text);
}

#[tokio::test]
async fn metrics_tell_how_long_the_queue_is_and_for_how_long_the_first_has_waited() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let open = Arc::clone(&gate);
    let app = App::start_async(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("it is never closed").forget();
            returned(&json!("done"))
        }
    })
    .await;
    let clock = ManualClock::new(Timestamp::from_ms(1_800_000_000_000));
    let server = Setup {
        clock: Clock::Manual(clock.clone()),
        ..Setup::default()
    }
    .start()
    .await;
    let mut config = function("app-f", "go", &app.url, 0);
    config["concurrency"] = json!([{"limit": 1}]);
    server.register("app", &app, &[config]).await;
    for _ in 0..3 {
        server.send(json!({"name": "go"})).await;
    }
    app.called(1).await;
    let (items, age) = (
        r#"stepwell_queue_items{function="app-f"}"#,
        r#"stepwell_queue_oldest_age_seconds{function="app-f"}"#,
    );
    assert_eq!(told(&server, items).await, Some(2.0));
    assert_eq!(told(&server, age).await, Some(0.0));
    clock.advance_ms(90_000);
    assert_eq!(told(&server, age).await, Some(90.0));
    assert_eq!(told(&server, "stepwell_calls_in_flight").await, Some(1.0));
    open.add_permits(3);
    tells(
        &server,
        r#"stepwell_runs_ended_total{status="completed"}"#,
        3.0,
    )
    .await;
    assert_eq!(told(&server, items).await, Some(0.0));
    assert_eq!(told(&server, age).await, Some(0.0));
    // The first one began at once, the others when they could.
    let at_once = r#"stepwell_start_latency_seconds_bucket{le="1.024"}"#;
    let in_time = r#"stepwell_start_latency_seconds_bucket{le="262.144"}"#;
    assert_eq!(told(&server, at_once).await, Some(1.0));
    assert_eq!(told(&server, in_time).await, Some(3.0));
}

#[tokio::test]
async fn metrics_open_to_their_token_and_to_the_signing_key() {
    let none = ServerOptions::dev;
    let token = || MetricsToken::new("scrape-me");
    let with_key = || ServerOptions {
        signing_key: Some(SigningKey::new(KEY)),
        ..none()
    };
    let with_token = |options| ServerOptions {
        metrics_token: token(),
        ..options
    };
    assert!(!format!("{:?}", token()).contains("scrape-me"));
    assert!(MetricsToken::new(" ").is_none(), "an empty token is none");
    for (options, opened_by) in [
        (none(), [true, true, true]),
        (with_token(none()), [false, true, false]),
        (with_key(), [false, false, true]),
        (with_token(with_key()), [false, true, true]),
    ] {
        let server = Setup {
            server: options.clone(),
            ..Setup::default()
        }
        .start()
        .await;
        for (shown, opens) in ["", "scrape-me", KEY].into_iter().zip(opened_by) {
            let headers = [("authorization", &*format!("Bearer {shown}"))];
            let answer = server
                .request(reqwest::Method::GET, "/metrics", &headers, "")
                .await;
            let status = if opens { 200 } else { 401 };
            assert_eq!(answer.status, status, "{options:?} {shown}");
        }
        // The token opens nothing else.
        let headers = [("authorization", "Bearer scrape-me")];
        let answer = server.request(reqwest::Method::GET, "/v1/events", &headers, "");
        let status = if options.signing_key.is_some() {
            401
        } else {
            200
        };
        assert_eq!(answer.await.status, status);
    }
}

#[tokio::test]
async fn a_server_that_is_about_to_stop_is_not_ready_and_still_works() {
    let server = Server::start().await;
    assert_eq!(
        server.get("/ready").await.expect(200),
        json!({"ready": true})
    );
    server.handle.withdraw();
    assert_eq!(
        server.get("/ready").await.expect(503),
        json!({"ready": false, "reason": "stopping", "message": "the server is shutting down"})
    );
    assert_eq!(told(&server, "stepwell_ready").await, Some(0.0));
    server.send(json!({"name": "still/here"})).await;
    server.get("/health").await.expect(200);
}
