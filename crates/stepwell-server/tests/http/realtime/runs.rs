//! What the server itself tells those who follow a run.

use super::client::{Events, Socket};
use crate::app::{App, failed, id, ops, page, returned, sdk, sleep, step_run};
use crate::server::{Server, Setup, function, soon};
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use stepwell_runtime::gateway::PrivateAddresses;
use tokio::sync::Semaphore;

const RUN_AND_STEPS: [&str; 2] = ["$run", "$step"];

/// An app whose function waits in its first call until someone follows the run.
struct Followed {
    server: Server,
    app: App,
    go: Arc<Semaphore>,
}

impl Followed {
    async fn start(
        setup: Setup,
        behaviour: impl Fn(&crate::app::Call) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let go = Arc::new(Semaphore::new(0));
        let waits = Arc::clone(&go);
        let app = App::start_async(move |call| {
            let (waits, behaviour) = (Arc::clone(&waits), behaviour.clone());
            async move {
                // Open once and for all.
                drop(waits.acquire().await);
                behaviour(&call)
            }
        })
        .await;
        let server = setup.start().await;
        let mut one_at_a_time = function("f", "go", &app.url, 0);
        one_at_a_time["concurrency"] = json!([{"limit": 1}]);
        server.register("app", &app, &[one_at_a_time]).await;
        Self { server, app, go }
    }

    /// Starts a run; returns its id and its event's.
    async fn run(&self) -> (String, String) {
        let event = self.server.send(json!({"name": "go"})).await;
        let run = self.server.runs(&event).await[0]["run_id"].clone();
        (run.as_str().expect("it is an id").to_owned(), event)
    }

    fn go(&self) {
        self.go.close();
    }
}

/// What the next message says, and where.
async fn told(socket: &mut Socket, run: &str) -> Value {
    let next = socket.next().await;
    assert_eq!(
        (&next["channel"], &next["run_id"]),
        (&json!(run), &json!(run)),
        "{next}"
    );
    assert!(next["created_at"].is_string(), "{next}");
    json!([next["kind"], next["topic"], next["data"]])
}

#[tokio::test]
async fn a_run_is_followed_from_its_beginning_to_its_end() {
    let followed = Followed::start(Setup::default(), |call| {
        match (call.has("one"), call.has("nap")) {
            (false, _) => ops(&[step_run("one", json!({"n": 1}))]),
            (true, false) => ops(&[sleep("nap", "1ms")]),
            (true, true) => returned(&json!("done")),
        }
    })
    .await;
    // The first run keeps the second from starting.
    followed.run().await;
    followed.app.called(1).await;
    let (run, _) = followed.run().await;
    let mut socket = Socket::subscribe(&followed.server, &run, &RUN_AND_STEPS).await;
    let mut only_run = Events::subscribe(&followed.server, &run, &["$run", "mine"]).await;
    followed.go();
    let step = |name: &str, op: &str, output: Value| {
        let data = json!({"id": id(name), "name": name, "op": op, "status": "Completed", "output": output});
        json!(["step", "$step", data])
    };
    for expected in [
        json!(["run", "$run", {"status": "Running"}]),
        step("one", "StepRun", json!({"data": {"n": 1}})),
        step("nap", "Sleep", Value::Null),
        json!(["run", "$run", {"status": "Completed", "result": "done"}]),
    ] {
        assert_eq!(told(&mut socket, &run).await, expected);
    }
    for status in ["Running", "Completed"] {
        assert_eq!(only_run.next().await["data"]["status"], status);
    }
}

#[tokio::test]
async fn a_run_that_fails_says_why() {
    let followed = Followed::start(Setup::default(), |call| {
        if call.has("one") {
            return failed("the function fails");
        }
        let error = json!({"name": "Error", "message": "the step fails"});
        ops(&[json!({"op": "StepFailed", "id": id("one"), "displayName": "one", "error": error})])
    })
    .await;
    let (run, _) = followed.run().await;
    let mut socket = Socket::subscribe(&followed.server, &run, &RUN_AND_STEPS).await;
    followed.go();
    let step = told(&mut socket, &run).await;
    assert_eq!(step[2]["status"], "Failed", "{step}");
    assert_eq!(step[2]["output"]["error"]["message"], "the step fails");
    let end = told(&mut socket, &run).await;
    assert_eq!(
        (&end[0], &end[2]["status"]),
        (&json!("run"), &json!("Failed"))
    );
    assert_eq!(end[2]["error"]["message"], "the function fails");
}

#[tokio::test]
async fn a_run_that_is_cancelled_says_so() {
    let followed = Followed::start(Setup::default(), |_| returned(&json!(1))).await;
    let (run, _) = followed.run().await;
    let mut socket = Socket::subscribe(&followed.server, &run, &["$run"]).await;
    let parsed = run.parse().expect("it is an id");
    followed
        .server
        .handle
        .cancel_run(parsed)
        .await
        .unwrap()
        .unwrap();
    let end = told(&mut socket, &run).await;
    assert_eq!(end, json!(["run", "$run", {"status": "Cancelled"}]));
}

#[tokio::test]
async fn what_is_too_large_for_a_message_is_left_out() {
    let large = "x".repeat(600 * 1024);
    let followed = Followed::start(Setup::default(), move |_| returned(&json!(large))).await;
    let (run, _) = followed.run().await;
    let mut socket = Socket::subscribe(&followed.server, &run, &["$run"]).await;
    followed.go();
    let end = socket.next().await;
    assert_eq!(end["data"], json!({"status": "Completed", "result": null}));
    assert_eq!(end["metadata"], json!({"omitted_bytes": 600 * 1024 + 2}));
}

#[tokio::test]
async fn answers_to_requests_of_functions_are_published_once_recorded() {
    let provider = App::start(|call| match &*call.path {
        "/prose" => page(418, "not <JSON>"),
        "/large" => sdk(200, format!("\"{}\"", "x".repeat(600 * 1024))),
        _ => sdk(200, r#"{"answer": 42}"#),
    })
    .await;
    let base = provider.url.trim_end_matches("/api/inngest").to_owned();
    let setup = Setup {
        private_addresses: PrivateAddresses::Allow,
        ..Setup::default()
    };
    let request = move |op: &str, path: &str, channel: &str| {
        let publish = json!({"channel": channel, "topic": "answers"});
        let url = format!("{base}/{path}");
        let opts = json!({"url": url, "method": "GET", "body": if op == "Gateway" { json!("") } else { json!({}) },
            "format": "openai-chat", "auth_key": "k", "publish": publish});
        json!({"op": op, "id": id(path), "displayName": path, "opts": opts})
    };
    let followed = Followed::start(setup, move |call| {
        let steps = [
            request("Gateway", "json", ""),
            request("Gateway", "prose", "user:1"),
            request("AIGateway", "infer", "user:1"),
            request("Gateway", "large", "user:1"),
        ];
        let next = steps.iter().find(|step| {
            let name = step["displayName"].as_str().unwrap();
            !call.has(name)
        });
        next.map_or_else(
            || returned(&json!("done")),
            |step| ops(std::slice::from_ref(step)),
        )
    })
    .await;
    let (run, event) = followed.run().await;
    let mut of_run = Socket::subscribe(&followed.server, &run, &["answers"]).await;
    let mut of_user = Socket::subscribe(&followed.server, "user:1", &["answers"]).await;
    followed.go();
    let first = told(&mut of_run, &run).await;
    assert_eq!(first, json!(["data", "answers", {"answer": 42}]));
    for (data, metadata) in [
        (json!("not <JSON>"), Value::Null),
        (json!({"answer": 42}), Value::Null),
        (Value::Null, json!({"omitted_bytes": 600 * 1024 + 2})),
    ] {
        let next = of_user.next().await;
        assert_eq!((&next["data"], &next["metadata"]), (&data, &metadata));
        assert_eq!(next["run_id"], run);
    }
    let ended = soon("the run ends", followed.server.ended(&event)).await;
    assert_eq!(ended["output"], "done");
}
