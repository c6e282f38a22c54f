//! Steps are found, executed, recorded and replayed.

use super::*;
use crate::OutgoingEvent;

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
        let event = |n| OutgoingEvent::untyped("app/told", json!({"n": n}));
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
            .send_event("tell", OutgoingEvent::untyped("", json!({})))
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

#[tokio::test]
async fn a_run_that_begins_with_steps_at_once_starts_once() {
    #[derive(Clone, Default)]
    struct Starts(Arc<AtomicUsize>);
    impl crate::middleware::Middleware for Starts {
        fn on_run_start(&self, _: &crate::middleware::RunInfo) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    async fn handler(ctx: Context) -> Result<u32, Error> {
        let step = ctx.step();
        let (a, b) = futures::join!(
            step.run("a", || async { Ok(1) }),
            step.run("b", || async { Ok(2) }),
        );
        Ok(a? + b?)
    }
    let starts = Starts::default();
    let function = Function::new("f")
        .on_event("app/test")
        .middleware(starts.clone())
        .handler(handler);
    let run = run(function);
    assert_eq!(
        run.discover().await.line(),
        "206 StepPlanned a#0, StepPlanned b#0"
    );
    // A server calls for both before either is recorded.
    for (step, line) in [("a", "206 StepRun a#0 1"), ("b", "206 StepRun b#0 2")] {
        assert_eq!(run.call(&hash(step), false).await.line(), line);
    }
    let last = run.recorded("a", json!({"data": 1}));
    let last = last.recorded("b", json!({"data": 2}));
    assert_eq!(last.discover().await.line(), "200 3");
    assert_eq!(starts.0.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn events_of_a_run_belong_to_its_sessions_unless_they_say_otherwise() {
    let outbox = Outbox::default();
    let sends = function(async |ctx: Context| {
        let sessions = ctx.sessions().clone();
        let events = [
            OutgoingEvent::untyped("app/plain", json!({})),
            OutgoingEvent::untyped("app/own", json!({})).session("chat", "c-2"),
            OutgoingEvent::untyped("app/apart", json!({})).without_sessions(),
        ];
        ctx.step().send_events("tell", events).await?;
        Ok::<_, Error>(sessions)
    });
    let mut run = run_with(sends, true, outbox.clone());
    run.meta = json!({"sessions": {"chat": "c-1", "user": "u-1"}});
    let answer = run.discover().await;
    assert_eq!(answer.body[0]["op"], "StepRun");
    // From the code of a step, too.
    let by_itself = function(async |ctx: Context| {
        let plain = OutgoingEvent::untyped("app/plain", json!({}));
        let tell = || async { Ok(ctx.client().send(plain).await.map(drop)?) };
        ctx.step().run("tell", tell).await?;
        Ok::<_, Error>(())
    });
    let own = Outbox::default();
    let mut running = run_with(by_itself, true, own.clone());
    running.meta = run.meta.clone();
    assert_eq!(running.discover().await.body[0]["op"], "StepRun");
    let told: Value = serde_json::from_str(&own.0.lock().unwrap()[0].events[0]).unwrap();
    assert_eq!(told["meta"]["propagated_sessions"]["chat"], "c-1");
    let sent = outbox.0.lock().unwrap().remove(0).events;
    let metas = sent
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap()["meta"].clone());
    let inherited = json!({"chat": "c-1", "user": "u-1"});
    let expected = [
        json!({"propagated_sessions": inherited}),
        json!({"propagated_sessions": inherited, "sessions": {"chat": "c-2"}}),
        json!({"propagated_sessions": inherited, "sessions": null}),
    ];
    assert_eq!(metas.collect::<Vec<_>>(), expected);
    let ended = run
        .recorded("tell", json!({"data": {"ids": []}}))
        .discover()
        .await;
    assert_eq!(ended.body, inherited);
}
