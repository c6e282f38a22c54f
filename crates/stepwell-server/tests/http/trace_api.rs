//! A run as a tree of spans; and what is never seen of one: an end without an output.

use crate::app::{App, Call, failed, id, ops, returned, sleep, step_run};
use crate::server::{Server, Setup, function, soon};
use serde_json::{Value, json};
use std::sync::Arc;
use stepwell_engine::{Backoff, Timestamp};
use stepwell_runtime::{Clock, ManualClock, News};
use tokio::sync::Semaphore;

const NOW_MS: u64 = 1_800_000_000_000;
const UNKNOWN: &str = "01JZXQ2M5N1V8Q7T7Q0000000A";

impl Server {
    /// The run's own span.
    async fn trace(&self, run: &str, query: &str) -> Value {
        let answer = self.get(&format!("/v2/runs/{run}/trace{query}")).await;
        let body = answer.expect(200);
        assert_eq!(body["data"]["runId"], run);
        assert!(body["metadata"]["fetchedAt"].is_string());
        assert_eq!(body["metadata"]["cachedUntil"], Value::Null);
        body["data"]["rootSpan"].clone()
    }

    /// Waits until the run's spans say this.
    async fn told(&self, run: &str, line: &str) {
        soon(line, async {
            while !outline(&self.trace(run, "").await).contains(&line.to_owned()) {}
        })
        .await;
    }

    async fn run_of(&self, event: &str) -> String {
        let run = self.runs(event).await.remove(0);
        run["run_id"].as_str().expect("it has an id").to_owned()
    }
}

/// Each span below the root, a line each: how deep, its name, where it stands.
fn outline(root: &Value) -> Vec<String> {
    fn add(span: &Value, depth: usize, lines: &mut Vec<String>) {
        for child in span["children"].as_array().expect("there is a list") {
            let text = |key: &str| child[key].as_str().unwrap_or("-").to_owned();
            let (name, status, op) = (text("name"), text("status"), text("stepOp"));
            lines.push(format!("{}{name} {status} {op}", "  ".repeat(depth)));
            add(child, depth + 1, lines);
        }
    }
    let mut lines = Vec::new();
    add(root, 0, &mut lines);
    lines
}

fn send_event(name: &str) -> Value {
    let mut op = step_run(name, json!({"ids": []}));
    op["opts"] = json!({"type": "step.sendEvent"});
    op
}

fn wait_for_event(name: &str) -> Value {
    json!({
        "op": "WaitForEvent", "id": id(name), "name": "never", "displayName": name,
        "opts": {"event": "never", "timeout": "1h"},
    })
}

#[tokio::test]
async fn a_run_is_told_from_its_first_call_to_its_end() {
    let go = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&go);
    let app = App::start_async(move |call: Call| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("it is never closed").forget();
            if !call.has("tell") {
                ops(&[send_event("tell")])
            } else if !call.has("nap") && call.attempt() == 0 {
                failed("not today")
            } else if !call.has("nap") {
                ops(&[sleep("nap", "1m")])
            } else if !call.has("wait") {
                ops(&[wait_for_event("wait")])
            } else {
                returned(&json!({"done": true}))
            }
        }
    })
    .await;
    let clock = ManualClock::new(Timestamp::from_ms(NOW_MS));
    let setup = Setup {
        clock: Clock::Manual(Arc::clone(&clock)),
        backoff: Backoff::Constant(10_000),
        ..Setup::default()
    };
    let server = setup.start().await;
    server
        .register("app", &app, &[function("app-f", "go", &app.url, 1)])
        .await;
    let mut news = server.handle.watch();
    let event = server.send(json!({"name": "go"})).await;
    let run = server.run_of(&event).await;

    app.called(1).await;
    let root = server.trace(&run, "").await;
    assert_eq!(root["status"], "RUNNING");
    assert_eq!(outline(&root), ["execute RUNNING -"]);
    assert!(root["startedAt"].is_string() && root.get("endedAt").is_none());

    go.add_permits(2);
    soon("an attempt fails", async {
        while !matches!(
            &*news.recv().await.expect("nothing is missed"),
            News::AttemptFailed { .. }
        ) {}
    })
    .await;
    let root = server.trace(&run, "").await;
    let expected = [
        "tell COMPLETED SEND_EVENT",
        "execute RUNNING -",
        "  Attempt 0 FAILED -",
        "  Attempt 1 WAITING -",
    ];
    assert_eq!(outline(&root), expected);

    clock.advance_ms(10_000);
    app.called(3).await;
    let root = server.trace(&run, "").await;
    assert_eq!(outline(&root)[3], "  Attempt 1 RUNNING -");

    go.add_permits(3);
    server.told(&run, "nap WAITING SLEEP").await;
    clock.advance_ms(60_000);
    server.told(&run, "wait WAITING WAIT_FOR_EVENT").await;
    clock.advance_ms(3_600_000);
    assert_eq!(server.ended(&event).await["status"], "Completed");
    let expected = [
        "tell COMPLETED SEND_EVENT",
        "nap COMPLETED SLEEP",
        "  Attempt 0 FAILED -",
        "  Attempt 1 COMPLETED SLEEP",
        "wait COMPLETED WAIT_FOR_EVENT",
        "function success COMPLETED -",
    ];
    let root = server.trace(&run, "").await;
    assert_eq!(outline(&root), expected);
    assert_eq!(root["status"], "COMPLETED");
    assert!(root.get("output").is_none(), "nobody asked for it");

    let api = format!("/api/v2/runs/{run}/trace?include_output=true");
    let full = server.get(&api).await.expect(200)["data"]["rootSpan"].clone();
    assert_eq!(full["output"], json!({"data": {"done": true}}));
    let children = full["children"].as_array().expect("there is a list");
    let tell = &children[0];
    assert_eq!(tell["stepId"], id("tell"));
    assert_eq!(tell["output"], json!({"data": {"ids": []}}));
    assert_eq!(tell["durationMs"], "0");
    assert_eq!(tell["metadata"], json!([]));
    let nap = &children[1];
    assert!(nap.get("output").is_none(), "a sleep has none");
    let attempt = &nap["children"][0];
    assert_eq!(attempt["output"]["error"]["message"], "not today");
    assert_eq!(attempt["queuedAt"], "2027-01-15T08:00:00.000Z");
    assert_eq!(children[3]["output"], full["output"]);
    let same = server.trace(&run, "?includeOutput=true").await;
    assert_eq!(same, full);
}

#[tokio::test]
async fn what_cannot_be_told_is_refused() {
    let server = Server::start().await;
    for (path, status, code) in [
        (format!("/v2/runs/{UNKNOWN}/trace"), 404, "not_found"),
        (format!("/api/v2/runs/{UNKNOWN}/trace"), 404, "not_found"),
        ("/v2/runs/x/trace".to_owned(), 400, "invalid_field_format"),
        (
            format!("/v2/runs/{UNKNOWN}/trace?includeOutput=perhaps"),
            400,
            "invalid_field_format",
        ),
    ] {
        let body = server.get(&path).await.expect(status);
        let errors = body["errors"].as_array().expect("there is a list");
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0]["code"], code, "{path}");
        assert!(
            errors[0]["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
    }
}

#[tokio::test]
async fn no_run_is_seen_to_have_ended_without_its_output() {
    const RUNS: usize = 30;
    let go = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&go);
    let app = App::start_async(move |call: Call| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("it is never closed").forget();
            match call.body["event"]["data"]["n"].as_u64() {
                Some(n) if n % 2 == 0 => returned(&json!({"n": n})),
                _ => failed("odd ones fail"),
            }
        }
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let options = stepwell_store::sqlite::Options::new(folder.path().join("stepwell.db"));
    let setup = Setup {
        store: stepwell_store::sqlite::open(&options).expect("the store opens"),
        ..Setup::default()
    };
    let server = setup.start().await;
    server
        .register("app", &app, &[function("app-f", "go", &app.url, 0)])
        .await;
    let mut runs = Vec::new();
    for n in 0..RUNS {
        let event = server.send(json!({"name": "go", "data": {"n": n}})).await;
        runs.push((event.clone(), server.run_of(&event).await));
    }
    let (mut seen, mut unfinished) = (0, 0);
    soon("the runs end", async {
        while !runs.is_empty() {
            // One more may end while the others are looked at.
            go.add_permits(1);
            let mut left = Vec::new();
            for (event, run) in runs.drain(..) {
                let listed = server.runs(&event).await.remove(0);
                let root = server.trace(&run, "?includeOutput=true").await;
                let one = server.get(&format!("/v1/runs/{run}")).await.expect(200);
                for record in [&listed, &one["data"]] {
                    let ended = ["Completed", "Failed"]
                        .contains(&record["status"].as_str().expect("it has one"));
                    assert_eq!(ended, !record["output"].is_null(), "{record}");
                    assert_eq!(ended, !record["ended_at"].is_null(), "{record}");
                }
                let ended =
                    ["COMPLETED", "FAILED"].contains(&root["status"].as_str().expect("it has one"));
                assert_eq!(ended, root.get("output").is_some(), "{root}");
                let last = root["children"]
                    .as_array()
                    .and_then(|children| children.last());
                let last = last
                    .and_then(|span| span["name"].as_str())
                    .unwrap_or_default();
                assert_eq!(ended, last.starts_with("function "), "{root}");
                if ended {
                    seen += 1;
                } else {
                    unfinished += 1;
                    left.push((event, run));
                }
            }
            runs = left;
        }
    })
    .await;
    assert_eq!(seen, RUNS);
    assert!(unfinished > 0, "all had ended before they were looked at");
}
