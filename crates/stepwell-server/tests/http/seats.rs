//! Who may hold connections for long: so many that there is always room for a quick question.

use crate::app::step_run;
use crate::endpoints::{self, Endpoint, bystander, ended};
use crate::realtime::client::{Events, token};
use crate::server::{Setup, soon};
use serde_json::json;
use stepwell_server::{ConnectionLimits, ServerOptions};
use tokio::task::JoinSet;

const SEATS: usize = 16;

#[tokio::test]
async fn subscribers_and_those_who_wait_for_a_run_leave_seats_to_others() {
    let setup = Setup {
        server: ServerOptions {
            connections_max: SEATS,
            ..ServerOptions::dev()
        },
        connections: Some(ConnectionLimits {
            connections_max: SEATS,
            ..ConnectionLimits::default()
        }),
        ..endpoints::setup()
    };
    let server = setup.start().await;
    let opens = token(&server, "room", &["talk"]).await;
    let mut subscribers = Vec::new();
    for _ in 0..SEATS / 2 {
        let subscriber = Events::open(&server, &opens).await;
        subscribers.push(subscriber.expect("half of the seats are for subscribers"));
    }
    assert_eq!(Events::open(&server, &opens).await.err(), Some(503));

    let app = bystander().await;
    let endpoint = Endpoint::requested(&server, &app);
    let started = endpoint
        .start(&server, json!([step_run("a", json!(1))]))
        .await;
    let url = format!(
        "{}/v1/http/runs/{}/output?token={}",
        server.url,
        endpoint.run,
        started["token"].as_str().expect("there is a token")
    );
    let mut waiting = JoinSet::new();
    for _ in 0..=SEATS / 4 {
        let url = url.clone();
        waiting.spawn(async move { reqwest::get(url).await.map(|answer| answer.status()) });
    }
    let refused = soon("one is too many", waiting.join_next()).await;
    let refused = refused.expect("they were asked").expect("none broke");
    assert_eq!(refused.expect("it is answered"), 503);

    let url = format!("{}/health", server.url);
    for _ in 0..2 * SEATS {
        let answer = soon("there is room", reqwest::get(&url)).await;
        assert_eq!(answer.expect("it is answered").status(), 200);
    }
    let published = server
        .post("/v1/realtime/publish?channel=room&topic=talk", "1")
        .await;
    assert_eq!(published.status, 200, "{}", published.text);
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.next().await["data"], 1, "nobody lost a seat");
    }
    endpoint
        .report_more(&server, json!([ended(json!({"status": 201, "body": ""}))]))
        .await;
    while let Some(answer) = soon("the run has ended", waiting.join_next()).await {
        let status = answer.expect("none broke").expect("nobody lost a seat");
        assert_eq!(status, 201);
    }
}
