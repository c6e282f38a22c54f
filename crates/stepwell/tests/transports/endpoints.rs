//! Durable endpoints against a server: requests are answered, and what takes its time is moved on.

use crate::Tally;
use crate::side::{client, listen, server};
use serde_json::{Value, json};
use std::time::Duration;
use stepwell::endpoint::{self, Endpoint, Request, Response};
use stepwell::{Error, State};
use stepwell_runtime::Runtime;

async fn quick(request: Request, tally: State<Tally>) -> Result<Value, Error> {
    let step = request.step();
    let one = step.run("one", || async { Ok(tally.count("one")) });
    let one = one.await?;
    let two: usize = step.run("two", || async { Ok(one + 1) }).await?;
    Ok(json!({ "two": two }))
}

async fn order(request: Request, tally: State<Tally>) -> Result<Response, Error> {
    let order: Value = request.json()?;
    let step = request.step();
    step.run("before", || async { Ok(tally.count("before")) })
        .await?;
    step.sleep("nap", Duration::from_millis(1)).await;
    step.run("after", || async { Ok(tally.count("after")) })
        .await?;
    let answer =
        json!({"order": order["id"], "path": request.path(), "say": request.query_value("say")});
    Ok(Response::json(&answer)?.status(201).header("x-mine", "yes"))
}

async fn troubled(request: Request, tally: State<Tally>) -> Result<String, Error> {
    let step = request.step();
    let branch = |id: &'static str| step.run(id, || async { Ok(tally.count(id)) });
    let (a, b) = futures::try_join!(branch("a"), branch("b"))?;
    let flaky = step.run("flaky", || async {
        match tally.count("flaky") {
            attempt @ 1..=2 => Err(Error::new("Flaky", format!("attempt {attempt}"))),
            attempt => Ok(attempt),
        }
    });
    let flaky = flaky.await?;
    if tally.count("handler") < 5 {
        return Err(Error::new("Shaky", "the handler fails"));
    }
    Ok(format!("{a} {b} {flaky}"))
}

async fn doomed(_: Request, tally: State<Tally>) -> Result<(), Error> {
    tally.count("doomed");
    Err(Error::new("Doomed", "no way"))
}

const MIB: usize = 1024 * 1024;

async fn large(request: Request, tally: State<Tally>) -> Result<String, Error> {
    let result = "a".repeat(4 * MIB - 100);
    let kept = request.step().run("keep", || async {
        tally.count("keep");
        Ok(result.clone())
    });
    kept.await?;
    Ok("kept".to_owned())
}

struct World {
    runtime: Runtime,
    app: String,
    http: reqwest::Client,
    tally: Tally,
}

async fn world() -> World {
    let (runtime, url) = server().await;
    let tally = Tally::default();
    let endpoint = |name: &str, endpoint: Endpoint| (format!("/{name}"), endpoint.name(name));
    let client = client("shop", &url);
    let of = |tally: &Tally| tally.clone();
    let endpoints = [
        endpoint(
            "quick",
            Endpoint::with_state(client.clone(), of(&tally), quick),
        ),
        endpoint(
            "order",
            Endpoint::with_state(client.clone(), of(&tally), order),
        ),
        endpoint(
            "troubled",
            Endpoint::with_state(client.clone(), of(&tally), troubled),
        ),
        endpoint(
            "large",
            Endpoint::with_state(client.clone(), of(&tally), large).body_limit(2 * MIB),
        ),
        endpoint(
            "doomed",
            Endpoint::with_state(client, of(&tally), doomed).retries(2),
        ),
    ];
    let inner = endpoints
        .into_iter()
        .fold(axum::Router::new(), |router, (path, endpoint)| {
            router.route(&path, endpoint::axum(endpoint))
        });
    World {
        app: listen(axum::Router::new().nest("/api", inner)).await,
        http: reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap(),
        runtime,
        tally,
    }
}

impl World {
    async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        let asked = self.http.post(format!("{}{path}", self.app));
        asked.json(body).send().await.unwrap()
    }

    /// Goes where the answer says that the end will be.
    async fn follow(&self, response: reqwest::Response) -> reqwest::Response {
        assert_eq!(response.status(), 302, "{response:?}");
        let location = response.headers()["location"].to_str().unwrap();
        self.http.get(location).send().await.unwrap()
    }

    /// The status and output of the only run.
    async fn run(&self) -> (String, Value) {
        let handle = self.runtime.handle();
        let run = handle.read(|reader| {
            let events = reader.events(Some("inngest/http.request"), None, 2)?;
            assert_eq!(events.len(), 1);
            Ok(reader.runs_of_event(events[0].id)?.remove(0))
        });
        let run = run.await.unwrap();
        let output = run.output.map_or(Value::Null, |output| {
            serde_json::from_str(output.get()).unwrap()
        });
        (run.status.as_str().to_owned(), output)
    }

    fn counts(&self) -> Vec<(String, usize)> {
        let counts = self.tally.0.lock().unwrap();
        counts
            .iter()
            .map(|(what, count)| (what.clone(), *count))
            .collect()
    }
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> Vec<(String, usize)> {
    let counts = expected.into_iter();
    counts
        .map(|(what, count)| (what.to_owned(), count))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_needs_nobody_answers_by_itself_and_its_run_is_kept() {
    let world = world().await;
    let response = world.post("/api/quick", &json!({})).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.json::<Value>().await.unwrap(), json!({"two": 2}));
    let (status, output) = world.run().await;
    assert_eq!(status, "Completed");
    assert_eq!(
        (&output["status"], &output["body"]),
        (&json!(200), &json!("{\"two\":2}"))
    );
    assert_eq!(world.counts(), counts([("one", 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleep_redirects_to_the_handlers_answer_and_no_step_runs_twice() {
    let world = world().await;
    let asked = world
        .post("/api/order?say=h%C3%A9llo%20you", &json!({"id": 7}))
        .await;
    let response = world.follow(asked).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-mine"]),
        (201, &"yes".parse().unwrap())
    );
    let answer = response.json::<Value>().await.unwrap();
    assert_eq!(
        answer,
        json!({"order": 7, "path": "/api/order", "say": "héllo you"})
    );
    assert_eq!(world.run().await.0, "Completed");
    assert_eq!(world.counts(), counts([("after", 1), ("before", 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_side_by_side_and_what_fails_are_the_servers_to_see_to() {
    let world = world().await;
    let asked = world.post("/api/troubled", &json!({})).await;
    let response = world.follow(asked).await;
    assert_eq!(response.status(), 500, "the handler has used its attempts");
    assert_eq!(world.run().await.0, "Failed");
    // The handler fails four times: each step has run once, the flaky one until it succeeded.
    assert_eq!(
        world.counts(),
        counts([("a", 1), ("b", 1), ("flaky", 3), ("handler", 4)])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_keeps_failing_ends_the_run_after_its_attempts() {
    let world = world().await;
    let asked = world.post("/api/doomed", &json!({})).await;
    let response = world.follow(asked).await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.json::<Value>().await.unwrap()["message"], "no way");
    assert_eq!(world.run().await.0, "Failed");
    assert_eq!(world.counts(), counts([("doomed", 3)]));
}

#[tokio::test]
async fn a_large_request_and_the_large_result_of_its_first_step_are_taken() {
    let world = world().await;
    let body = json!("a".repeat(2 * MIB - 2));
    let response = world.post("/api/large", &body).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "kept");
    assert_eq!(world.run().await.0, "Completed");
}
