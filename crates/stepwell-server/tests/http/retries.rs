//! When failed attempts are made again, by a clock that only moves when told to.

use crate::app::{App, failed, id, ops, page, returned, sleep, step_run};
use crate::server::{Server, Setup, function, soon};
use serde_json::{Value, json};
use std::sync::Arc;
use stepwell_engine::{Backoff, Timestamp};
use stepwell_runtime::{Clock, ManualClock, News};

const NOW_MS: u64 = 1_800_000_000_000;

struct Story {
    server: Server,
    app: App,
    clock: Arc<ManualClock>,
    event: String,
    news: tokio::sync::broadcast::Receiver<Arc<News>>,
}

impl Story {
    /// A run of this app's function has begun.
    async fn begin(app: App) -> Self {
        let clock = ManualClock::new(Timestamp::from_ms(NOW_MS));
        let setup = Setup {
            clock: Clock::Manual(Arc::clone(&clock)),
            backoff: Backoff::Table,
            ..Setup::default()
        };
        let server = setup.start().await;
        server
            .register("app", &app, &[function("app-f", "go", &app.url, 2)])
            .await;
        let news = server.handle.watch();
        let event = server.send(json!({"name": "go"})).await;
        Self {
            server,
            app,
            clock,
            event,
            news,
        }
    }

    /// Waits for a failed attempt; returns in how many milliseconds the next one is due.
    async fn attempt_failed(&mut self) -> Option<u64> {
        let now = self.server.handle.now();
        soon("an attempt fails", async {
            loop {
                if let News::AttemptFailed { retry_at, .. } = &*self.news.recv().await.unwrap() {
                    return retry_at.map(|at| at.ms_since(now));
                }
            }
        })
        .await
    }

    /// Lets time pass until just before a moment, when nothing has happened yet, and then on to it.
    async fn pass(&mut self, ms: u64) {
        let calls = self.app.count();
        self.clock.advance_ms(ms - 1);
        // What was due is decided before this is answered, and its call would be in flight.
        self.server.send(json!({"name": "unrelated"})).await;
        assert_eq!(
            self.server.handle.calls_in_flight(),
            0,
            "{} ms are too early",
            ms - 1
        );
        assert_eq!(self.app.count(), calls);
        self.clock.advance_ms(1);
        self.app.called(calls + 1).await;
    }
}

fn with_retry_after(value: &'static str) -> impl Fn(crate::app::Call) -> axum::response::Response {
    move |call| {
        if call.attempt() > 0 {
            return returned(&json!("done"));
        }
        let mut response = failed("later");
        response
            .headers_mut()
            .insert("retry-after", value.parse().unwrap());
        response
    }
}

#[tokio::test]
async fn retries_wait_longer_and_longer() {
    let mut story = Story::begin(App::start(|_| failed("never")).await).await;
    for from_ms in [15_000, 30_000] {
        let wait_ms = story
            .attempt_failed()
            .await
            .expect("there is a next attempt");
        assert!((from_ms..=from_ms + 30_000).contains(&wait_ms), "{wait_ms}");
        story.pass(wait_ms).await;
    }
    assert_eq!(story.attempt_failed().await, None);
    assert_eq!(story.server.ended(&story.event).await["status"], "Failed");
}

#[tokio::test]
async fn an_app_says_when_it_wants_to_be_tried_again() {
    for (value, wait_ms) in [
        ("90", 90_000),
        ("0", 1_000),
        ("9999999", 24 * 60 * 60 * 1_000),
        // 1_800_000_000_000 is 2027-01-15T08:00:00Z.
        ("2027-01-15T08:05:00.000Z", 300_000),
        ("Fri, 15 Jan 2027 08:05:00 GMT", 300_000),
        ("2020-01-01T00:00:00Z", 1_000),
    ] {
        let mut story = Story::begin(App::start(with_retry_after(value)).await).await;
        assert_eq!(story.attempt_failed().await, Some(wait_ms), "{value}");
        story.pass(wait_ms).await;
        assert_eq!(
            story.server.ended(&story.event).await["output"],
            "done",
            "{value}"
        );
    }
}

#[tokio::test]
async fn each_step_has_attempts_of_its_own() {
    let app = App::start(|call| {
        let ended = call.body["steps"].as_object().unwrap().len();
        let name = format!("step {ended}");
        match (ended, call.attempt()) {
            (2, _) => returned(&Value::from(vec![id("step 0"), id("step 1")])),
            (_, 0 | 1) => ops(&[json!({
                "op": "StepError", "id": id(&name), "name": name,
                "error": {"name": "TestError", "message": "not yet"},
            })]),
            _ => ops(&[step_run(&name, json!(ended))]),
        }
    })
    .await;
    let mut story = Story::begin(app).await;
    for _ in 0..4 {
        let wait_ms = story
            .attempt_failed()
            .await
            .expect("there is a next attempt");
        story.pass(wait_ms).await;
    }
    assert_eq!(
        story.server.ended(&story.event).await["status"],
        "Completed"
    );
}

#[tokio::test]
async fn a_sleep_ends_when_its_time_has_come() {
    let app = App::start(|call| {
        if call.has("month") {
            returned(&json!("awake"))
        } else {
            ops(&[sleep("month", "30d")])
        }
    })
    .await;
    let mut story = Story::begin(app).await;
    story.app.called(1).await;
    soon("the sleep begins", async {
        while story.server.handle.calls_in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    story.pass(30 * 24 * 60 * 60 * 1_000).await;
    assert_eq!(story.server.ended(&story.event).await["output"], "awake");
}

#[tokio::test]
async fn who_hears_of_a_failure_is_told_the_status_that_said_so() {
    let app = App::start(|call| match &*call.query["fnId"] {
        "shop-fails" => failed("no luck"),
        "shop-times-out" => page(504, "<h1>Gateway Timeout</h1>"),
        "shop-waits-for-nothing" => ops(&[sleep("long", "not a time")]),
        _ => returned(&json!(null)),
    })
    .await;
    let server = Server::start().await;
    let fails = ["fails", "times-out", "waits-for-nothing"];
    let mut functions: Vec<Value> = fails
        .iter()
        .map(|name| function(&format!("shop-{name}"), name, &app.url, 0))
        .collect();
    let hears = function("shop-hears", "inngest/function.failed", &app.url, 0);
    functions.push(hears);
    server.register("shop", &app, &functions).await;
    for (name, expected) in [
        ("fails", "invalid status code: 500"),
        ("times-out", "invalid status code: 504"),
        ("waits-for-nothing", "InvalidTimeout: "),
    ] {
        let before = app.count();
        server.send(json!({"name": name, "data": {}})).await;
        app.called(before + 2).await;
        let heard = app.calls().pop().expect("it was called");
        assert_eq!(heard.query["fnId"], "shop-hears");
        let error = &heard.body["event"]["data"]["error"];
        let text = error["error"].as_str().expect("it is a text");
        assert!(text.starts_with(expected), "{name}: {error}");
        assert!(error["message"].is_string() && error["name"].is_string());
    }
}
