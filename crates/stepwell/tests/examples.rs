//! Every example does what it says. What each gives back is what its `main` prints.

#![allow(dead_code, reason = "the examples' mains are for people")]

#[path = "../examples/ai.rs"]
mod ai;
#[path = "../examples/approval.rs"]
mod approval;
#[path = "../examples/batch.rs"]
mod batch;
#[path = "../examples/connect.rs"]
mod connect;
#[path = "../examples/cron.rs"]
mod cron;
#[path = "../examples/embedded.rs"]
mod embedded;
#[path = "../examples/encryption.rs"]
mod encryption;
#[path = "../examples/fan_out.rs"]
mod fan_out;
#[path = "../examples/fetch.rs"]
mod fetch;
#[path = "../examples/flow_control.rs"]
mod flow_control;
#[path = "../examples/hello.rs"]
mod hello;
#[path = "../examples/invoke.rs"]
mod invoke;
#[path = "../examples/middleware.rs"]
mod middleware;
#[path = "../examples/realtime.rs"]
mod realtime;
#[path = "../examples/saga.rs"]
mod saga;
#[path = "../examples/serve_axum.rs"]
mod serve_axum;
#[path = "../examples/state.rs"]
mod state;
#[path = "../examples/steps.rs"]
mod steps;
#[path = "../examples/testing.rs"]
mod testing;
#[path = "../examples/wait_for_event.rs"]
mod wait_for_event;

use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use stepwell::connect::{State, Worker};
use stepwell::embedded::{Handle, Invokers};
use stepwell::testing::TestApp;
use stepwell::{Client, Config, OutgoingEvent};
use stepwell_protocol::EventId;
use stepwell_runtime::{HttpInvoker, HttpOptions, News, Options, Runtime};
use stepwell_server::{ConnectOptions, Gateway, ServerOptions};
use stepwell_store::memory;
use tokio::net::TcpListener;

#[tokio::test]
async fn functions_and_their_steps() {
    assert_eq!(hello::run().await.unwrap(), "Hello, Ada!");
    let (output, reserved, charged) = steps::run().await.unwrap();
    assert_eq!(
        (&*output, reserved, charged),
        ("seat 4 for 1999 cents", 1, 3)
    );
    let files = fan_out::run().await.unwrap();
    assert_eq!(files, ["cat-small.png", "dog-small.png", "owl-small.png"]);
    assert_eq!(
        state::run().await.unwrap(),
        ["Eve wrote to ada", "Eve wrote to bob"]
    );
    let (trip, taken) = saga::run().await.unwrap();
    assert_eq!(trip, "no trip before May");
    assert_eq!(taken, ["flight", "hotel", "cancel flight"]);
    let told = invoke::run().await.unwrap();
    assert_eq!(
        told,
        ["a receipt for 1999 cents", "there is nothing to pay"]
    );
}

#[tokio::test]
async fn functions_that_wait() {
    let told = wait_for_event::run().await.unwrap();
    assert_eq!(told, ["ordered for 1999 cents", "a reminder was sent"]);
    assert_eq!(
        approval::run().await.unwrap(),
        [
            "p-1 is out, says Ada",
            "p-2 is not for the public, says Ada",
            "nobody looked at p-3"
        ]
    );
}

#[tokio::test]
async fn schedules_and_flow_control() {
    let reports = cron::run().await.unwrap();
    let days = ["01", "02", "05", "06", "07"]
        .map(|day| format!("the report of 2026-01-{day}T07:00:00.000Z"));
    assert_eq!(reports, days);
    assert_eq!(batch::run().await.unwrap(), ["10 rows", "3 rows"]);
    assert_eq!(
        flow_control::run().await.unwrap(),
        "indexed [Number(3)]; mails: 2 at once, 4 in the end; alarms: 1; shipping: Cancelled"
    );
}

#[tokio::test]
async fn what_the_engine_does_for_functions() {
    assert_eq!(fetch::run().await.unwrap(), "\"Köln\": \"clear\"");
    assert_eq!(
        ai::run().await.unwrap(),
        "patience, as \"It is slow\" (checked: true)"
    );
    let heard = realtime::run().await.unwrap();
    assert_eq!(
        heard,
        ["upload:u-1 progress: 50 %", "upload:u-1 progress: 100 %"]
    );
}

#[tokio::test]
async fn code_around_functions() {
    let (told, steps) = middleware::run().await.unwrap();
    assert_eq!(told["number"], "acme-1");
    assert_eq!((&told["sent_by"], steps), (&json!("the shop"), 1));
    let recorded = encryption::run().await.unwrap();
    assert_eq!(recorded[0]["__ENCRYPTED__"], true);
    assert_eq!(recorded[1]["data"]["__ENCRYPTED__"], true);
    assert!(!format!("{recorded:?}").contains("slept badly"));
}

#[tokio::test]
async fn tests_of_functions() {
    let (history, crashes) = testing::run().await.unwrap();
    assert!(history.contains("✗ attempt 1"), "{history}");
    assert!(crashes > 5, "{crashes}");
}

#[tokio::test]
async fn an_engine_on_a_file() {
    let (told, charged) = embedded::run().await.unwrap();
    assert_eq!((&*told, charged), ("shipped, receipt 1", 1));
}

/// A server, and a client of an app for it.
async fn server() -> (Runtime, String) {
    let gateway = Gateway::new(ConnectOptions::default());
    let http = HttpInvoker::new(HttpOptions::default()).unwrap();
    let invokers = Invokers::none()
        .with("http", Arc::new(http))
        .with("wss", gateway.invoker());
    let runtime = Runtime::start(memory::open(), invokers, Options::default()).unwrap();
    let options = ServerOptions {
        connect: Some(gateway),
        ..ServerOptions::dev()
    };
    let url = listen(stepwell_server::router(runtime.handle(), options)).await;
    (runtime, url)
}

async fn listen(router: axum::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

fn client(server: &str) -> Client {
    Client::builder("shop", Config::dev())
        .base_url(server)
        .build()
}

/// The output of the one run that an event starts.
async fn output(handle: &Handle, event: EventId) -> String {
    let mut news = handle.watch();
    loop {
        let runs = handle.read(move |reader| reader.runs_of_event(event));
        if let [run] = &runs.await.unwrap()[..]
            && let Some(output) = &run.output
        {
            return output.get().to_owned();
        }
        while !matches!(*news.recv().await.unwrap(), News::Ended { .. }) {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_a_server_calls() {
    let (runtime, server) = server().await;
    let origin = listen(serve_axum::router(client(&server)).unwrap()).await;
    let requests = reqwest::Client::new();
    let synced = requests
        .put(format!("{origin}/api/inngest"))
        .send()
        .await
        .unwrap();
    assert_eq!(synced.status(), 200);
    let placed = requests
        .post(format!("{origin}/orders/o-1"))
        .send()
        .await
        .unwrap();
    assert_eq!(placed.status(), 202);
    let event = placed.text().await.unwrap().parse().unwrap();
    assert_eq!(
        output(&runtime.handle(), event).await,
        "\"o-1 is confirmed\""
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_connects() {
    let event = || OutgoingEvent::untyped("shop/order.placed", json!({"order": "o-1", "cents": 1}));
    let app = TestApp::start(connect::app(Client::dev("shop")))
        .await
        .unwrap();
    app.run(event())
        .await
        .unwrap()
        .assert_output("i-o-1".to_owned());

    let (_runtime, server) = server().await;
    let worker = Worker::builder(connect::app(client(&server)))
        .build()
        .unwrap();
    worker.start().reached(State::Active).await.unwrap();
}

#[test]
fn no_example_goes_without_a_test_and_a_line_in_the_guide() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = std::fs::read_to_string(root.join("../../docs/guides/rust-sdk.md")).unwrap();
    let tests = [file!(), "crates/stepwell/tests/typescript.rs"];
    let tests = tests.map(|test| std::fs::read_to_string(root.join("../..").join(test)).unwrap());
    let examples = std::fs::read_dir(root.join("examples")).unwrap();
    let names: BTreeSet<_> = examples.map(|file| file.unwrap().file_name()).collect();
    for name in &names {
        let name = name.to_string_lossy();
        let path = format!("../examples/{name}");
        assert!(
            tests.iter().any(|test| test.contains(&path)),
            "{name} is not tested"
        );
        let link = format!("crates/stepwell/examples/{name}");
        assert!(guide.contains(&link), "{name} has no line in the guide");
    }
    assert!(names.len() > 15, "{names:?}");
}
