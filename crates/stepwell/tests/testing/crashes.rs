//! What survives crashes, and how what does not is told.

use super::*;
use futures::FutureExt;
use stepwell::testing::{Builder, assert_survives_crashes};

#[tokio::test]
async fn a_crashed_engine_goes_on_from_what_was_recorded() {
    let reserved = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reserved);
    let app = TestApp::builder()
        .app(shop())
        .mock_step("reserve", move |_| {
            Ok(counted.fetch_add(1, Ordering::SeqCst))
        })
        .start()
        .await
        .unwrap();
    let order = app.send(placed("o-1")).await.unwrap();
    app.run_due().await.unwrap();
    app.crash().await.unwrap();
    app.send(paid("o-1")).await.unwrap();
    app.crash().await.unwrap();
    app.settle().await.unwrap();
    app.runs_of_event(order).unwrap()[0].assert_output("shipped".to_owned());
    assert_eq!(reserved.load(Ordering::SeqCst), 1);
}

/// An order is paid after an hour; whatever crashes.
async fn pay(app: &TestApp) -> Result<(), TestError> {
    app.send_in(HOUR, paid("o-1"));
    let run = app.run(placed("o-1")).await?;
    run.assert_output("shipped".to_owned());
    Ok(())
}

#[tokio::test]
async fn a_function_of_steps_survives_all_crashes() {
    let app = || {
        TestApp::builder()
            .app(shop())
            .fail_step("charge", 1, "declined")
    };
    let crashes = assert_survives_crashes(app, pay).await;
    assert!(crashes > 8, "{crashes}");
}

#[tokio::test]
async fn parallel_steps_signals_and_other_runs_survive_all_crashes() {
    async fn handler(ctx: Context) -> Result<(u32, u32), Error> {
        let step = ctx.step();
        let (first, second) = tokio::try_join!(
            step.run("first", || async { Ok(1) }),
            step.run("second", || async { Err::<u32, Error>("not yet".into()) }),
        )
        .or_else(|_| Ok::<_, Error>((7, 8)))?;
        step.sleep("a-while", HOUR).await;
        step.send_events("announce", [event("app/went"), event("app/went")])
            .await?;
        Ok((first, second))
    }
    let app = || {
        let go = Function::new("go")
            .on_event("app/go")
            .retries(1)
            .handler(handler);
        let went = Function::new("went")
            .on_event("app/went")
            .debounce(Debounce::new(60 * SECOND))
            .handler(async |ctx: Context| {
                ctx.step().run("note", || async { Ok(()) }).await?;
                Err::<(), Error>("broken".into())
            });
        TestApp::builder().function(go).function(went)
    };
    let scenario = async |app: &TestApp| {
        app.run(event("app/go")).await?.assert_output((7, 8));
        app.settle().await
    };
    let crashes = assert_survives_crashes(app, scenario).await;
    assert!(crashes > 8, "{crashes}");
}

async fn failure_of<E: std::fmt::Debug>(
    app: impl Fn() -> Builder,
    scenario: impl AsyncFn(&TestApp) -> Result<(), E>,
) -> String {
    let survives = assert_survives_crashes(app, scenario);
    let panic = std::panic::AssertUnwindSafe(survives).catch_unwind().await;
    *panic.unwrap_err().downcast::<String>().unwrap()
}

#[tokio::test]
async fn a_step_that_is_not_idempotent_is_found_with_its_commit() {
    let app = || {
        let charged = Arc::new(AtomicUsize::new(0));
        let handler = move |ctx: Context| {
            let charged = Arc::clone(&charged);
            async move {
                ctx.step().run("reserve", || async { Ok(()) }).await?;
                // It charges again when it is executed again.
                let charge = || async { Ok(charged.fetch_add(1, Ordering::SeqCst) + 1) };
                ctx.step().run("charge", charge).await?;
                Ok::<_, Error>("done")
            }
        };
        let function = Function::new("pay").on_event("app/go").handler(handler);
        TestApp::builder().function(function)
    };
    let failure = failure_of(app, async |app| app.run(event("app/go")).await.map(drop)).await;
    let first = failure.lines().next().unwrap();
    assert_eq!(
        first,
        "the app does not survive a crash right before commit 3, which was to be: step \"charge\" of test-pay ends: step \"charge\" of test-pay is completed 2, not completed 1"
    );
    assert!(failure.contains("with the crash: run "), "{failure}");
    assert!(
        failure.contains("crates/stepwell/tests/testing/crashes.rs:"),
        "{failure}"
    );
}

#[tokio::test]
async fn what_is_kept_outside_of_steps_is_found() {
    let app = || {
        let sent = Arc::new(AtomicUsize::new(0));
        let handler = move |ctx: Context| {
            let sent = Arc::clone(&sent);
            async move {
                ctx.step().run("prepare", || async { Ok(()) }).await?;
                let nth = sent.fetch_add(1, Ordering::SeqCst);
                // Whatever is counted between steps is counted again in each call.
                if nth > 0 {
                    ctx.step().run("once-more", || async { Ok(()) }).await?;
                }
                Ok::<_, Error>(())
            }
        };
        let function = Function::new("f").on_event("app/go").handler(handler);
        TestApp::builder().function(function)
    };
    let failure = failure_of(app, async |app| app.run(event("app/go")).await.map(drop)).await;
    assert!(
        failure.contains("step \"once-more\" of test-f is one too many"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_scenario_that_fails_with_a_crash_says_where() {
    let app = || {
        let calls = Arc::new(AtomicUsize::new(0));
        let handler = move |ctx: Context| {
            let calls = Arc::clone(&calls);
            async move {
                let count = || async { Ok(calls.fetch_add(1, Ordering::SeqCst)) };
                Ok::<_, Error>(ctx.step().run("count", count).await?)
            }
        };
        let function = Function::new("f").on_event("app/go").handler(handler);
        TestApp::builder().function(function)
    };
    let scenario = async |app: &TestApp| {
        let run = app.run(event("app/go")).await?;
        run.assert_output(0);
        Ok::<_, TestError>(())
    };
    let failure = failure_of(app, scenario).await;
    assert!(
        failure.starts_with("with a crash right before commit 2, which was to be: step \"count\" of test-f ends, the scenario fails, and without one it does not: the function returned 1, not 0"),
        "{failure}"
    );
    let failure = failure_of(
        || TestApp::builder().app(shop()),
        async |_| Err::<(), _>("as it was"),
    )
    .await;
    assert!(
        failure.starts_with("the scenario fails without any crash: \"as it was\""),
        "{failure}"
    );
}

#[tokio::test]
async fn functions_that_invoke_and_signal_each_other_survive_all_crashes() {
    let app = || {
        let asks = Function::new("asks")
            .on_event("app/go")
            .handler(async |ctx: Context| {
                let answer: u32 = ctx
                    .step()
                    .invoke_named("ask", "test-answers", json!({"of": 6}))
                    .await?;
                ctx.step().send_signal("done", "asks-done", &answer).await?;
                Ok::<_, Error>(answer)
            });
        let answers = Function::new("answers")
            .on_invoke()
            .handler(async |ctx: Context| {
                let of = ctx.data()["of"].as_u64().unwrap_or(0);
                ctx.step().sleep("think", 60 * SECOND).await;
                ctx.step()
                    .run("answer", || async { Ok(of * 7) })
                    .await
                    .map_err(Error::from)
            });
        let waits = Function::new("waits")
            .on_event("app/go")
            .handler(async |ctx: Context| {
                let answer = ctx
                    .step()
                    .wait_for_signal::<u32>("wait", "asks-done")
                    .await?;
                Ok::<_, Error>(answer)
            });
        TestApp::builder()
            .function(asks)
            .function(answers)
            .function(waits)
    };
    let scenario = async |app: &TestApp| {
        app.run_all(event("app/go")).await?;
        app.runs_of("asks")?[0].assert_output(42);
        app.runs_of("waits")?[0].assert_output(Some(42));
        Ok::<_, TestError>(())
    };
    let crashes = assert_survives_crashes(app, scenario).await;
    assert!(crashes > 8, "{crashes}");
}

#[tokio::test]
async fn what_ends_otherwise_is_found_though_its_value_is_never_the_same() {
    let app = || {
        let drawn = Arc::new(AtomicUsize::new(0));
        let handler = move |ctx: Context| {
            let drawn = Arc::clone(&drawn);
            async move {
                ctx.step().run("prepare", || async { Ok(()) }).await?;
                // What is drawn differs from one scenario to the next; that it may be drawn once only is the mistake.
                let draw = || async {
                    match drawn.fetch_add(1, Ordering::SeqCst) {
                        0 => Ok(unique()),
                        _ => Err(NonRetriable::new("it was drawn before").into()),
                    }
                };
                let drawn = ctx.step().run("draw", draw).await;
                Ok::<_, Error>(drawn.is_ok())
            }
        };
        let function = Function::new("f").on_event("app/go").handler(handler);
        TestApp::builder().function(function)
    };
    let failure = failure_of(app, async |app| app.run(event("app/go")).await.map(drop)).await;
    let found =
        "step \"draw\" of test-f is failed NonRetriableError: it was drawn before, not completed ";
    assert!(failure.contains(found), "{failure}");
}

#[tokio::test]
async fn values_that_are_never_the_same_are_no_difference() {
    let app = || {
        let handler = async |ctx: Context| {
            let drawn = ctx.step().run("draw", || async { Ok(unique()) }).await?;
            Ok::<_, Error>(drawn)
        };
        let function = Function::new("f").on_event("app/go").handler(handler);
        TestApp::builder().function(function)
    };
    let scenario = async |app: &TestApp| app.run(event("app/go")).await.map(drop);
    assert!(assert_survives_crashes(app, scenario).await > 2);
}

/// Sends from the code of a step; the first attempt then fails.
async fn tells(ctx: Context) -> Result<(), Error> {
    let (client, attempt) = (ctx.client().clone(), ctx.attempt());
    let told = ctx.step().run("tell", || async move {
        client.send(event("app/told")).await?;
        client
            .send_all([event("app/told"), event("app/tells")])
            .await?;
        let attempted = json!({"attempt": attempt});
        client
            .send(OutgoingEvent::untyped("app/told", attempted))
            .await?;
        // The same again, on purpose.
        client.send(event("app/told")).await?;
        match attempt {
            0 => Err(Error::new("Outage", "once")),
            _ => Ok(()),
        }
    });
    Ok(told.await?)
}

fn telling() -> Builder {
    let function = Function::new("tells").on_event("app/go").retries(1);
    TestApp::builder().function(function.handler(tells))
}

#[tokio::test]
async fn what_a_steps_code_sends_again_counts_once() {
    let app = telling().start().await.unwrap();
    app.run(event("app/go")).await.unwrap().assert_completed();
    let sent = app.sent_events().unwrap();
    let of = |name: &str, data: Value| {
        let alike = sent
            .iter()
            .filter(|sent| (&*sent.name, &sent.data) == (name, &data));
        alike.count()
    };
    assert_eq!(of("app/told", json!({})), 3, "{sent:#?}");
    assert_eq!(of("app/tells", json!({})), 1, "{sent:#?}");
    for attempt in 0..2 {
        assert_eq!(of("app/told", json!({"attempt": attempt})), 1, "{sent:#?}");
    }
    assert_eq!(sent.len(), 6);
}

#[tokio::test]
async fn what_a_steps_code_sends_survives_all_crashes() {
    let scenario = async |app: &TestApp| app.run(event("app/go")).await.map(drop);
    assert!(assert_survives_crashes(telling, scenario).await > 4);
}

/// Another number each time.
fn unique() -> u128 {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    LAST.fetch_add(1, Ordering::SeqCst) as u128
}
