//! Calls in, answers out. A small server stands at the other end: it records what is reported, and calls again.

use crate::moment::Delay;
use crate::{
    App, BoxFuture, Client, Clock, Config, Context, Error, EventBatch, EventSink, Function, Moment,
    NonRetriable, ResultExt, RetryAfter, Runner, SendError, StepError,
};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stepwell_protocol::call::CallRequest;
use stepwell_protocol::{EventId, StepId};

/// A clock on which time stands still; delays are over at once, or never.
struct StillClock {
    delays_end: bool,
}

impl Clock for StillClock {
    fn now(&self) -> Moment {
        Moment::from_unix_ms(1_767_225_600_000)
    }

    fn delay(&self, _: Duration) -> Delay {
        match self.delays_end {
            true => Box::pin(std::future::ready(())),
            false => Box::pin(std::future::pending()),
        }
    }
}

#[derive(Clone, Default)]
struct Outbox(Arc<Mutex<Vec<EventBatch>>>);

impl EventSink for Outbox {
    fn send(&self, batch: EventBatch) -> BoxFuture<'_, Result<Vec<EventId>, SendError>> {
        let ids = (0..batch.events.len())
            .map(|index| batch.seed.event_id(index))
            .collect();
        self.0.lock().unwrap().push(batch);
        Box::pin(std::future::ready(Ok(ids)))
    }
}

/// A function and a record of one run of it.
struct Run {
    runner: Runner,
    data: Value,
    stack: Vec<String>,
    steps: serde_json::Map<String, Value>,
    attempt: u32,
    /// What was answered, a line each.
    answers: Vec<String>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    no_retry: Option<bool>,
    retry_after: Option<String>,
    body: Value,
}

fn run(function: Function) -> Run {
    run_with(function, true, Outbox::default())
}

fn run_with(function: Function, delays_end: bool, outbox: Outbox) -> Run {
    let client = Client::builder("app", Config::dev())
        .clock(StillClock { delays_end })
        .event_sink(outbox)
        .build();
    Run {
        runner: App::new(client).function(function).runner().unwrap(),
        data: json!({}),
        stack: Vec::new(),
        steps: serde_json::Map::new(),
        attempt: 0,
        answers: Vec::new(),
    }
}

fn hash(id: &str) -> String {
    StepId::of(id, 0).to_string()
}

impl Run {
    fn recorded(mut self, id: &str, value: Value) -> Self {
        self.stack.push(hash(id));
        self.steps.insert(hash(id), value);
        self
    }

    fn data(mut self, data: Value) -> Self {
        self.data = data;
        self
    }

    fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    async fn call(&self, target: &str, plan_only: bool) -> Answer {
        let event = json!({"id": "e", "name": "app/test", "data": self.data, "ts": 1});
        let body = json!({
            "ctx": {
                "fn_id": "6b48a4f5-033b-57e4-accc-a328f4cbcf92", "run_id": "01KDW000000000000000000002",
                "step_id": target, "attempt": self.attempt, "max_attempts": 3,
                "stack": {"stack": self.stack, "current": self.stack.len()},
                "disable_immediate_execution": plan_only,
            },
            "event": event, "events": [event], "steps": self.steps, "version": 2,
        });
        let request = CallRequest::parse(body.to_string().as_bytes()).unwrap();
        let raw = self.runner.call("app-f", request).await;
        assert_eq!(raw.headers.request_version, Some(2));
        Answer {
            status: raw.status,
            no_retry: raw.headers.no_retry,
            retry_after: raw.headers.retry_after,
            body: serde_json::from_slice(&raw.body).unwrap(),
        }
    }

    async fn discover(&self) -> Answer {
        self.call("step", false).await
    }

    /// Calls until the run ends, as a server does: planned steps one after the other in `order`, one discovery
    /// after all of them.
    async fn finish(mut self) -> (Value, Vec<String>) {
        for _ in 0..100 {
            let answer = self.discover().await;
            self.answers.push(answer.line());
            let Some(ops) = answer.body.as_array().filter(|_| answer.status == 206) else {
                if answer.status == 500 {
                    self.attempt += 1;
                    continue;
                }
                return (answer.body, self.answers);
            };
            self.attempt = 0;
            for op in ops {
                self.take(op).await;
            }
        }
        panic!("the run did not end: {:#?}", self.answers);
    }

    async fn take(&mut self, op: &Value) {
        let mut op = op.clone();
        let id = op["id"].as_str().unwrap().to_owned();
        let mut attempt = 0;
        loop {
            let value = match op["op"].as_str().unwrap() {
                "StepRun" => json!({"data": op["data"]}),
                "StepFailed" => json!({"error": op["error"]}),
                "Sleep" => Value::Null,
                "StepPlanned" | "StepError" => {
                    if op["op"] == "StepError" {
                        attempt += 1;
                    }
                    self.attempt = attempt;
                    let answer = self.call(&id, true).await;
                    self.attempt = 0;
                    self.answers.push(answer.line());
                    op = answer.body[0].clone();
                    assert_eq!(op["id"], json!(id), "only the target is reported");
                    continue;
                }
                other => panic!("unexpected {other}"),
            };
            self.stack.push(id.clone());
            self.steps.insert(id, value);
            return;
        }
    }
}

impl Answer {
    fn line(&self) -> String {
        let Some(ops) = self.body.as_array().filter(|_| self.status == 206) else {
            return format!("{} {}", self.status, self.body);
        };
        let ops = ops.iter().map(|op| {
            let detail = match op["op"].as_str().unwrap() {
                "StepRun" => op["data"].to_string(),
                "StepError" | "StepFailed" => op["error"]["message"].to_string(),
                "Sleep" => op["name"].to_string(),
                _ => String::new(),
            };
            let userland = &op["userland"];
            format!(
                "{} {}#{} {detail}",
                op["op"], userland["id"], userland["index"]
            )
            .replace('"', "")
            .trim()
            .to_owned()
        });
        format!("206 {}", ops.collect::<Vec<_>>().join(", "))
    }
}

/// A function of one handler that takes any data.
fn function<Args, H: crate::Handler<Value, (), Args>>(handler: H) -> Function {
    Function::new("f").on_event("app/test").handler(handler)
}

#[tokio::test]
async fn a_function_without_steps_answers_with_its_result() {
    let answer = run(function(|_: Context| async {
        Ok::<_, Error>(json!({"done": true}))
    }))
    .discover()
    .await;
    assert_eq!((answer.status, answer.body), (200, json!({"done": true})));
    let answer = run(function(|_: Context| async { Ok::<_, Error>(()) }))
        .discover()
        .await;
    assert_eq!((answer.status, answer.body), (200, Value::Null));
}

async fn two_steps(ctx: Context) -> Result<String, Error> {
    let name = ctx.data()["name"].as_str().unwrap_or("nobody");
    // The closure borrows what the function owns.
    let greeting: String = ctx
        .step()
        .run("greet", || async { Ok(format!("hello {name}")) })
        .await?;
    let length: usize = ctx
        .step()
        .run("measure", || async { Ok(greeting.len()) })
        .await?;
    Ok(format!("{greeting}: {length}"))
}

#[tokio::test]
async fn one_new_step_runs_at_once_and_recorded_ones_do_not_run_again() {
    let first = run(function(two_steps)).data(json!({"name": "Ada"}));
    let answer = first.discover().await;
    let mut op = answer.body[0].clone();
    let timing = op.as_object_mut().unwrap().remove("timing").unwrap();
    assert_eq!(timing["a"], json!(1_767_225_600_000_000_000_f64));
    assert_eq!(
        op,
        json!({
            "id": hash("greet"), "op": "StepRun", "name": "greet", "displayName": "greet",
            "data": "hello Ada", "userland": {"id": "greet", "index": 0},
        })
    );
    let second = first.recorded("greet", json!({"data": "recorded"}));
    assert_eq!(second.discover().await.line(), "206 StepRun measure#0 8");
    let last = second.recorded("measure", json!({"data": 8}));
    assert_eq!(last.discover().await.line(), r#"200 "recorded: 8""#);
}

#[tokio::test]
async fn a_step_is_planned_when_it_must_not_run_at_once() {
    let answer = run(function(two_steps)).call("step", true).await;
    assert_eq!(
        answer.body,
        json!([{
            "id": hash("greet"), "op": "StepPlanned", "name": "greet", "displayName": "greet",
            "userland": {"id": "greet", "index": 0},
        }])
    );
}

#[tokio::test]
async fn steps_awaited_together_run_in_calls_of_their_own() {
    async fn handler(ctx: Context) -> Result<Vec<u32>, Error> {
        let step = ctx.step();
        let (a, b, ()) = futures::join!(
            step.run("a", || async { Ok(1) }),
            step.run("b", || async { Ok(2) }),
            step.sleep("nap", Duration::from_secs(90)),
        );
        let c = step.run("c", || async { Ok(3) }).await?;
        let more = futures::future::try_join_all(
            (4..6).map(|n| step.run("many", move || async move { Ok(n) })),
        )
        .await?;
        Ok([vec![a?, b?, c], more].concat())
    }
    let (output, answers) = run(function(handler)).finish().await;
    assert_eq!(output, json!([1, 2, 3, 4, 5]));
    assert_eq!(
        answers,
        [
            "206 StepPlanned a#0, StepPlanned b#0, Sleep nap#0 1m30s",
            "206 StepRun a#0 1",
            "206 StepRun b#0 2",
            "206 StepRun c#0 3",
            "206 StepPlanned many#0, StepPlanned many#1",
            "206 StepRun many#0 4",
            "206 StepRun many#1 5",
            "200 [1,2,3,4,5]",
        ]
    );
}

#[tokio::test]
async fn unordered_futures_give_their_results_in_the_order_in_which_the_steps_completed() {
    async fn handler(ctx: Context) -> Result<Vec<String>, Error> {
        use futures::stream::{FuturesUnordered, StreamExt};
        let mut steps: FuturesUnordered<_> = (0..40)
            .map(|n| {
                let step = ctx.step();
                async move {
                    step.run(format!("s{n}"), || async move { Ok(format!("r{n}")) })
                        .await
                }
            })
            .collect();
        let mut results = Vec::new();
        while let Some(result) = steps.next().await {
            results.push(result?);
        }
        Ok(results)
    }
    let mut recorded = run(function(handler));
    assert_eq!(recorded.discover().await.body.as_array().unwrap().len(), 40);
    let order: Vec<usize> = (0..40).map(|n| n * 7 % 40).collect();
    for n in &order {
        recorded = recorded.recorded(&format!("s{n}"), json!({"data": format!("r{n}")}));
    }
    let expected: Vec<String> = order.iter().map(|n| format!("r{n}")).collect();
    assert_eq!(recorded.discover().await.body, json!(expected));
}

async fn race(ctx: Context) -> Result<&'static str, Error> {
    let step = ctx.step();
    let work = async {
        step.run("download", || async { Ok(()) }).await?;
        step.run("convert", || async { Ok(()) }).await
    };
    tokio::select! {
        biased;
        done = work => done.map(|()| "done").map_err(Into::into),
        () = step.sleep("too-long", Duration::from_secs(60)).in_race() => Ok("timed out"),
    }
}

#[tokio::test]
async fn a_race_ends_on_every_call_as_it_once_ended() {
    let start = run(function(race));
    let answer = start.discover().await;
    assert_eq!(
        answer.line(),
        "206 StepPlanned download#0, Sleep too-long#0 1m"
    );
    assert_eq!(answer.body[1]["opts"], json!({"parallelMode": "race"}));
    let work_first = start.recorded("download", Value::Null);
    let work_won = work_first
        .recorded("convert", Value::Null)
        .recorded("too-long", Value::Null);
    assert_eq!(work_won.discover().await.line(), r#"200 "done""#);

    let sleep_won = run(function(race))
        .recorded("too-long", Value::Null)
        .recorded("download", Value::Null);
    assert_eq!(sleep_won.discover().await.line(), r#"200 "timed out""#);
    // The loser was dropped before it was ever asked for: nothing is left to do for it.
    let cut_short = run(function(race))
        .recorded("download", Value::Null)
        .recorded("too-long", Value::Null);
    assert_eq!(cut_short.discover().await.line(), r#"200 "timed out""#);
}

#[tokio::test]
async fn the_target_of_a_call_runs_even_if_a_race_is_about_to_drop_it() {
    let cut_short = run(function(race))
        .recorded("download", Value::Null)
        .recorded("too-long", Value::Null);
    let answer = cut_short.call(&hash("convert"), true).await;
    assert_eq!(answer.line(), "206 StepRun convert#0 null");
}

#[tokio::test]
async fn an_id_used_again_is_another_step_counted_alike_on_every_call() {
    async fn handler(ctx: Context) -> Result<Vec<u32>, Error> {
        let step = ctx.step();
        let chain = async {
            let first = step.run("first", || async { Ok(1) }).await?;
            let again = step.run("same", || async { Ok(10) }).await?;
            Ok::<_, StepError>(vec![first, again])
        };
        let other = async { step.run("same", || async { Ok(20) }).await };
        let (mut results, other) = futures::try_join!(chain, other)?;
        results.push(other);
        results.push(step.run("same", || async { Ok(30) }).await?);
        Ok(results)
    }
    let (output, answers) = run(function(handler)).finish().await;
    assert_eq!(output, json!([1, 10, 20, 30]));
    assert_eq!(
        answers[..6],
        [
            "206 StepPlanned first#0, StepPlanned same#0",
            "206 StepRun first#0 1",
            "206 StepRun same#0 20",
            "206 StepRun same#1 10",
            "206 StepRun same#2 30",
            "200 [1,10,20,30]",
        ]
    );
}

#[tokio::test]
async fn a_call_for_a_step_runs_that_step_only() {
    async fn handler(ctx: Context) -> Result<(), Error> {
        let step = ctx.step();
        futures::try_join!(
            step.run("a", || async { Ok(1) }),
            step.run("b", || async { Ok(2) }),
            step.run("c", || async { Ok(3) }),
        )?;
        Ok(())
    }
    let answer = run(function(handler)).call(&hash("b"), true).await;
    assert_eq!(answer.line(), "206 StepRun b#0 2");
}

#[tokio::test]
async fn a_call_for_a_step_that_is_not_there_says_what_is() {
    let answer = run(function(two_steps))
        .call("0000000000000000000000000000000000000000", true)
        .await;
    assert_eq!((answer.status, answer.no_retry), (500, Some(false)));
    let fixture =
        fixture("typescript/missing-step.json")["exchanges"][0]["response"]["body"].clone();
    let expected = fixture
        .to_string()
        .replace("only step", "greet")
        .replace(&hash("only step"), &hash("greet"));
    assert_eq!(answer.body.to_string(), expected);
    // A function that returns without it is no different.
    let answer = run(function(|_: Context| async { Ok::<_, Error>(1) }))
        .call(&hash("gone"), true)
        .await;
    assert_eq!(
        (answer.status, &answer.body["totalFoundSteps"]),
        (500, &json!(0))
    );
}

#[tokio::test]
async fn sleeps_are_asked_for_and_replayed() {
    async fn handler(ctx: Context) -> Result<&'static str, Error> {
        ctx.step().sleep("nap", Duration::from_micros(1_500)).await;
        let moment: jiff::Timestamp = "2030-01-02T03:04:05Z".parse()?;
        ctx.step()
            .sleep_until("until then", moment)
            .named("Until then")
            .await;
        Ok("rested")
    }
    let answer = run(function(handler)).discover().await;
    assert_eq!(
        answer.body,
        json!([{
            "id": hash("nap"), "op": "Sleep", "name": "2ms", "displayName": "nap",
            "userland": {"id": "nap", "index": 0},
        }])
    );
    let run = run(function(handler)).recorded("nap", Value::Null);
    let answer = run.discover().await;
    assert_eq!(
        answer.line(),
        "206 Sleep until then#0 2030-01-02T03:04:05.000Z"
    );
    assert_eq!(answer.body[0]["displayName"], "Until then");
    let run = run.recorded("until then", json!({"data": null}));
    assert_eq!(run.discover().await.line(), r#"200 "rested""#);
}

#[tokio::test]
async fn a_sent_event_keeps_its_id_on_every_attempt() {
    async fn handler(ctx: Context) -> Result<Vec<String>, Error> {
        let event = |n| crate::OutgoingEvent::untyped("app/told", json!({"n": n}));
        let sent = ctx.step().send_events("tell", [event(1), event(2)]).await?;
        ctx.step().send_event("tell more", event(3)).await?;
        Ok(sent.ids.iter().map(ToString::to_string).collect())
    }
    let outbox = Outbox::default();
    let run = run_with(function(handler), true, outbox.clone());
    let answer = run.discover().await;
    let ids = answer.body[0]["data"]["ids"].clone();
    assert_eq!(
        (
            &answer.body[0]["op"],
            &answer.body[0]["name"],
            &answer.body[0]["opts"]
        ),
        (
            &json!("StepRun"),
            &json!("sendEvent"),
            &json!({"type": "step.sendEvent"})
        )
    );
    assert_eq!(run.discover().await.body[0]["data"]["ids"], ids);
    let run = run.recorded("tell", json!({"data": {"ids": ids}}));
    assert_ne!(run.discover().await.body[0]["data"]["ids"][0], ids[0]);
    let run = run.recorded("tell more", answer.body[0]["data"].clone());
    assert_eq!(run.discover().await.body, ids);
    assert_eq!(
        outbox.0.lock().unwrap()[0].events,
        [
            r#"{"name":"app/told","data":{"n":1},"ts":1767225600000}"#,
            r#"{"name":"app/told","data":{"n":2},"ts":1767225600000}"#,
        ]
    );
}

#[tokio::test]
async fn an_event_that_is_not_valid_fails_its_step_for_good() {
    async fn handler(ctx: Context) -> Result<(), Error> {
        ctx.step()
            .send_event("tell", crate::OutgoingEvent::untyped("", json!({})))
            .await?;
        Ok(())
    }
    let answer = run(function(handler)).discover().await;
    assert_eq!(answer.no_retry, Some(true));
    assert_eq!(
        answer.line(),
        "206 StepFailed tell#0 event name '' is empty: give the event a name"
    );
}

/// A step that fails with what `error` makes, and is not caught.
fn failing<F: Fn() -> Error + Clone + Send + Sync + 'static>(error: F) -> Function {
    function(move |ctx: Context| {
        let error = error.clone();
        async move {
            ctx.step()
                .run("flaky", || async { Err::<(), _>(error()) })
                .await?;
            Ok::<_, Error>(())
        }
    })
}

#[tokio::test]
async fn a_failing_step_reports_whether_and_when_to_try_again() {
    let plain = || failing(|| "boom".into());
    let later = || failing(|| RetryAfter::new("busy", Duration::from_millis(29_500)).into());
    let dated =
        || failing(|| RetryAfter::at("busy", Moment::from_unix_ms(1_893_553_445_000)).into());
    let never = || {
        failing(|| {
            anyhow::Error::new(NonRetriable::new("gone"))
                .context("reading")
                .into()
        })
    };
    let panics = || failing(|| panic!("ouch"));
    type Case = (
        Function,
        u32,
        &'static str,
        Option<bool>,
        Option<&'static str>,
    );
    let cases: [Case; 8] = [
        (plain(), 0, "206 StepError flaky#0 boom", Some(false), None),
        (plain(), 1, "206 StepError flaky#0 boom", Some(false), None),
        (plain(), 2, "206 StepFailed flaky#0 boom", Some(true), None),
        (
            later(),
            0,
            "206 StepError flaky#0 busy",
            Some(false),
            Some("30"),
        ),
        (later(), 2, "206 StepFailed flaky#0 busy", Some(true), None),
        (
            dated(),
            0,
            "206 StepError flaky#0 busy",
            Some(false),
            Some("2030-01-02T03:04:05.000Z"),
        ),
        (
            never(),
            0,
            "206 StepFailed flaky#0 reading",
            Some(true),
            None,
        ),
        (panics(), 0, "206 StepError flaky#0 ouch", Some(false), None),
    ];
    for (function, attempt, line, no_retry, retry_after) in cases {
        let answer = run(function).attempt(attempt).discover().await;
        assert_eq!(
            (
                answer.line().as_str(),
                answer.no_retry,
                answer.retry_after.as_deref()
            ),
            (line, no_retry, retry_after)
        );
    }
    let answer = run(plain()).attempt(2).discover().await;
    assert_eq!(
        answer.body[0]["data"],
        json!({"name": "Error", "message": "boom", "__serialized": true})
    );
}

#[tokio::test]
async fn a_step_error_that_escapes_fails_the_function_for_good() {
    let error = json!({"error": {"name": "TypeError", "message": "always", "stack": "TypeError: always\n  at x"}});
    let answer = run(failing(|| "unused".into()))
        .recorded("flaky", error.clone())
        .discover()
        .await;
    assert_eq!((answer.status, answer.no_retry), (400, Some(true)));
    assert_eq!(
        answer.body,
        json!({"name": "TypeError", "message": "always", "stack": "TypeError: always\n  at x", "__serialized": true})
    );
}

#[tokio::test]
async fn a_step_error_may_be_handled() {
    async fn handler(ctx: Context) -> Result<String, Error> {
        match ctx
            .step()
            .run("flaky", || async { Err::<u32, _>("boom".into()) })
            .await
        {
            Ok(number) => Ok(number.to_string()),
            Err(error) => {
                let because = format!("{} of {}: {error}", error.name(), error.step_id());
                let text = ctx
                    .step()
                    .run("recover", || async { Ok(because.clone()) })
                    .await?;
                Ok(text)
            }
        }
    }
    let (output, answers) = run(function(handler)).finish().await;
    assert_eq!(output, json!("Error of flaky: boom"));
    assert_eq!(
        answers[..3]
            .iter()
            .filter(|line| line.contains("boom"))
            .count(),
        3
    );
}

#[tokio::test]
async fn a_failing_function_reports_whether_and_when_to_try_again() {
    fn fails<F: Fn() -> Error + Clone + Send + Sync + 'static>(error: F) -> Function {
        function(move |_: Context| std::future::ready(Err::<(), _>(error())))
    }
    type Case = (Function, u32, u16, Option<&'static str>, &'static str);
    let cases: [Case; 6] = [
        (fails(|| "boom".into()), 0, 500, None, "boom"),
        (fails(|| "boom".into()), 2, 400, None, "boom"),
        (
            fails(|| RetryAfter::new("busy", Duration::from_secs(5)).into()),
            0,
            500,
            Some("5"),
            "busy",
        ),
        (
            fails(|| NonRetriable::new("gone").into()),
            0,
            400,
            None,
            "gone",
        ),
        (
            fails(|| "x".parse::<u8>().non_retriable().unwrap_err()),
            0,
            400,
            None,
            "invalid digit found in string",
        ),
        (
            function(|_: Context| async { panic!("{}", "ouch") as Result<(), Error> }),
            0,
            500,
            None,
            "ouch",
        ),
    ];
    for (function, attempt, status, retry_after, message) in cases {
        let answer = run(function).attempt(attempt).discover().await;
        assert_eq!(
            (
                answer.status,
                answer.no_retry,
                answer.retry_after.as_deref()
            ),
            (status, Some(status == 400), retry_after)
        );
        assert_eq!(
            (&answer.body["message"], &answer.body["__serialized"]),
            (&json!(message), &json!(true))
        );
    }
}

#[tokio::test]
async fn a_recorded_result_of_another_type_is_an_error_that_says_where() {
    let answer = run(function(two_steps))
        .recorded("greet", json!({"data": {"text": 1}}))
        .discover()
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body["message"],
        "the recorded result of step \"greet\" is not a alloc::string::String: invalid type: map, expected a string at line 1 column 0; has the step's type changed while the run was under way?"
    );
}

#[tokio::test]
async fn a_bad_payload_fails_before_the_handler_with_all_its_places() {
    #[derive(
        serde::Serialize, serde::Deserialize, schemars::JsonSchema, stepwell_macros::Event,
    )]
    #[event(name = "app/test", crate = "crate")]
    struct Order {
        id: String,
        lines: Vec<Line>,
    }
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    struct Line {
        count: u32,
    }
    let called = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&called);
    let function = Function::new("f")
        .on::<Order>()
        .handler(move |ctx: Context<Order>| {
            count.fetch_add(1, Ordering::Relaxed);
            async move { Ok::<_, Error>(ctx.data().lines.len()) }
        });
    let good = run(function.clone()).data(json!({"id": "o", "lines": [{"count": 1}]}));
    assert_eq!(good.discover().await.line(), "200 1");
    let bad = run(function).data(json!({"id": 1, "lines": [{"count": 1}, {"count": "two"}, {}]}));
    let answer = bad.discover().await;
    assert_eq!((answer.status, answer.no_retry), (400, Some(true)));
    assert_eq!(answer.body["name"], "InvalidEvent");
    assert_eq!(
        answer.body["message"],
        "event 'app/test' is not valid: data.id: expected a string, found a number; data.lines[1].count: expected an integer, found a string; data.lines[2].count: expected an integer, but it is missing"
    );
    assert_eq!(called.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_step_inside_a_step_is_refused() {
    async fn handler(ctx: Context) -> Result<(), Error> {
        let step = ctx.step();
        step.run("outer", || async {
            step.run("inner", || async { Ok(1) }).await?;
            Ok(())
        })
        .await?;
        Ok(())
    }
    let answer = run(function(handler)).discover().await;
    assert_eq!(answer.no_retry, Some(true));
    let op = &answer.body[0];
    assert_eq!(
        (&op["op"], &op["userland"]["id"]),
        (&json!("StepFailed"), &json!("outer"))
    );
    assert_eq!(
        op["error"]["message"],
        "step \"inner\" is awaited inside step \"outer\": a step cannot contain steps; await it before or after \"outer\""
    );
}

#[tokio::test]
async fn awaiting_something_else_for_too_long_is_explained() {
    async fn handler(ctx: Context) -> Result<(), Error> {
        ctx.step().run("first", || async { Ok(()) }).await?;
        std::future::pending::<()>().await;
        Ok(())
    }
    let answer = run(function(handler))
        .recorded("first", Value::Null)
        .discover()
        .await;
    assert_eq!((answer.status, answer.no_retry), (500, Some(false)));
    assert_eq!(answer.body["name"], "AwaitOutsideStepError");
    assert_eq!(
        answer.body["message"],
        "the function after step \"first\" has awaited something that is not a step for 10s: do it inside ctx.step().run(..), so that it is done once and recorded, or allow more time with Function::outside_steps_max"
    );
}

#[tokio::test]
async fn awaiting_something_else_for_a_while_is_fine() {
    async fn handler(ctx: Context) -> Result<u32, Error> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        tokio::spawn(async move { sender.send(20) });
        let outside = receiver.await?;
        let inside = ctx.step().run("inside", || async { Ok(22) }).await?;
        tokio::task::yield_now().await;
        Ok(outside + inside)
    }
    let (output, _) = run_with(function(handler), false, Outbox::default())
        .finish()
        .await;
    assert_eq!(output, json!(42));
}

#[tokio::test]
async fn a_step_that_outlives_its_function_is_still_asked_for() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let function = function(move |ctx: Context| {
        let keep = Arc::clone(&keep);
        async move {
            let mut nap = Box::pin(ctx.step().sleep("nap", Duration::from_secs(1)));
            let _ = futures::poll!(nap.as_mut());
            // Never awaited, and never asked for either: a future does nothing until it is polled.
            drop(ctx.step().sleep("unpolled", Duration::from_secs(1)));
            keep.lock().unwrap().push(nap);
            Ok::<_, Error>("returned")
        }
    });
    let first = run(function);
    assert_eq!(first.discover().await.line(), "206 Sleep nap#0 1s");
    let second = first.recorded("nap", Value::Null);
    assert_eq!(second.discover().await.line(), r#"200 "returned""#);
}

#[tokio::test]
async fn a_step_may_await_what_takes_time() {
    async fn handler(ctx: Context) -> Result<Vec<u64>, Error> {
        let step = ctx.step();
        let slow = |n: u64| {
            move || async move {
                tokio::time::sleep(Duration::from_millis(n)).await;
                Ok(n)
            }
        };
        Ok(futures::future::try_join_all((1..4).map(|n| step.run("slow", slow(n)))).await?)
    }
    let (output, _) = run_with(function(handler), false, Outbox::default())
        .finish()
        .await;
    assert_eq!(output, json!([1, 2, 3]));
}

#[tokio::test]
async fn more_steps_than_a_reply_takes_are_asked_for_in_turn() {
    async fn handler(ctx: Context) -> Result<usize, Error> {
        let steps = (0..1_001).map(|n| ctx.step().run(format!("s{n}"), || async { Ok(()) }));
        Ok(futures::future::try_join_all(steps).await?.len())
    }
    let mut run = run(function(handler));
    assert_eq!(run.discover().await.body.as_array().unwrap().len(), 1_000);
    for n in 0..1_000 {
        run = run.recorded(&format!("s{n}"), Value::Null);
    }
    assert_eq!(run.discover().await.line(), "206 StepRun s1000#0 null");
    assert_eq!(
        run.recorded("s1000", Value::Null).discover().await.line(),
        "200 1001"
    );
}

#[tokio::test]
async fn a_result_that_is_too_large_is_refused_with_advice() {
    async fn handler(ctx: Context) -> Result<String, Error> {
        let large = ctx
            .step()
            .run("large", || async { Ok("x".repeat(5 * 1024 * 1024)) })
            .await?;
        Ok(large)
    }
    let answer = run(function(handler)).discover().await;
    assert_eq!(answer.no_retry, Some(true));
    assert!(
        answer
            .line()
            .contains("store the data elsewhere and return a reference"),
        "{}",
        answer.line()
    );
}

#[tokio::test]
async fn a_destructor_that_panics_changes_nothing() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    async fn handler(ctx: Context) -> Result<(), Error> {
        let _bomb = Bomb;
        ctx.step().sleep("nap", Duration::from_secs(1)).await;
        Ok(())
    }
    assert_eq!(
        run(function(handler)).discover().await.line(),
        "206 Sleep nap#0 1s"
    );
}

fn fixture(path: &str) -> Value {
    let path = format!(
        "{}/../stepwell-protocol/tests/fixtures/{path}",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
