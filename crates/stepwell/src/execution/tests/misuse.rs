//! What does not fit is explained.

use super::*;

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
