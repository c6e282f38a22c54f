//! What `stepwell::testing` gives to those who test their functions.

mod crashes;
mod sends;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stepwell::testing::{StepStatus, TestApp, TestError, WaitEnd, WaitKind};
use stepwell::{
    App, Batch, Client, Context, CronTick, Debounce, Error, Event, Function, FunctionFailed,
    NonRetriable, OutgoingEvent, RetryAfter, Score, schemars::JsonSchema,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, Serialize, Deserialize, JsonSchema, Event, PartialEq)]
#[event(name = "shop/order.placed")]
struct OrderPlaced {
    order_id: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Event, PartialEq)]
#[event(name = "shop/order.paid")]
struct OrderPaid {
    order_id: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Event, PartialEq)]
#[event(name = "shop/order.shipped")]
struct OrderShipped {
    order_id: String,
    cents: u64,
}

fn placed(order_id: &str) -> OrderPlaced {
    OrderPlaced {
        order_id: order_id.to_owned(),
    }
}

fn paid(order_id: &str) -> OrderPaid {
    OrderPaid {
        order_id: order_id.to_owned(),
    }
}

fn event(name: &str) -> OutgoingEvent {
    OutgoingEvent::untyped(name, json!({}))
}

/// Reserves, waits a day for the payment, charges, ships.
async fn checkout(ctx: Context<OrderPlaced>) -> Result<String, Error> {
    let order_id = ctx.data().order_id.clone();
    let step = ctx.step();
    step.run("reserve", || async { Ok(3) }).await?;
    let payment = step
        .wait_for_event::<OrderPaid>("payment")
        .matching("data.order_id")
        .timeout(DAY);
    if payment.await?.is_none() {
        return Ok("cancelled".to_owned());
    }
    let cents: u64 = step.run("charge", || async { Ok(1_999) }).await?;
    step.sleep("let-it-dry", HOUR).await;
    step.send_event("announce", OrderShipped { order_id, cents })
        .await?;
    Ok("shipped".to_owned())
}

fn shop() -> App {
    App::new(Client::dev("shop")).function(
        Function::new("checkout")
            .on::<OrderPlaced>()
            .handler(checkout),
    )
}

#[tokio::test]
async fn a_month_passes_at_once() {
    async fn handler(ctx: Context) -> Result<String, Error> {
        let before: String = ctx
            .step()
            .run("before", || async { Ok("then".to_owned()) })
            .await?;
        ctx.step().sleep("a-month", 30 * DAY).await;
        Ok(format!("{before} and now"))
    }
    let function = Function::new("f").on_event("app/go").handler(handler);
    let app = TestApp::builder().function(function).start().await.unwrap();
    let began = app.now();
    let run = app.run(event("app/go")).await.unwrap();
    run.assert_output("then and now".to_owned())
        .assert_steps(["before", "a-month"])
        .assert_took(30 * DAY);
    assert_eq!(began.to_string(), "2026-01-01T00:00:00.000Z");
    assert_eq!(app.now().to_string(), "2026-01-31T00:00:00.000Z");
    let wait = &run.waits()[0];
    assert_eq!((&wait.kind, &wait.end), (&WaitKind::Sleep, &WaitEnd::Time));
    assert_eq!(wait.until, app.now());
}

#[tokio::test]
async fn events_come_at_virtual_times() {
    let app = TestApp::start(shop()).await.unwrap();
    app.send_in(HOUR, paid("o-2"));
    app.send_in(23 * HOUR, paid("o-1"));
    let run = app.run(placed("o-1")).await.unwrap();
    run.assert_output("shipped".to_owned())
        .assert_took(24 * HOUR)
        .assert_step("charge", 1_999)
        .assert_sent(&OrderShipped {
            order_id: "o-1".to_owned(),
            cents: 1_999,
        })
        .assert_not_sent("shop/order.placed");
    let WaitEnd::Came { event: Some(_) } = run.waits()[0].end else {
        panic!("{:?}", run.waits());
    };
    assert_eq!(app.sent_events().unwrap().len(), 1);
    assert_eq!(run.sent::<OrderShipped>()[0].cents, 1_999);

    // Nobody pays for this one.
    let run = app.run(placed("o-3")).await.unwrap();
    run.assert_output("cancelled".to_owned())
        .assert_took(DAY)
        .assert_not_reached("charge");
    assert_eq!(run.waits()[0].end, WaitEnd::Time);
}

#[tokio::test]
async fn steps_are_mocked_failed_and_observed() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let app = TestApp::builder()
        .app(shop())
        .mock_step("payment", |call| {
            assert_eq!(call.input()["event"], "shop/order.paid");
            Ok(json!({"name": "shop/order.paid", "data": {"order_id": "mocked"}}))
        })
        .mock_step(("checkout", "charge"), |call| Ok(u64::from(call.attempt())))
        .fail_step("charge", 2, Error::new("CardError", "declined"))
        .observe_step("charge", move |observed| {
            let result = observed.result().map(Value::to_string);
            let result = result.map_err(|error| error.message.clone());
            noted.lock().unwrap().push((result, observed.is_final()));
        })
        .start()
        .await
        .unwrap();
    let run = app.run(placed("o-1")).await.unwrap();
    run.assert_output("shipped".to_owned())
        .assert_attempts("charge", 3)
        .assert_attempts("payment", 1)
        .assert_step("charge", 2);
    let failed = run.step("charge").failed_attempts();
    assert_eq!(failed[1].error.name, "CardError");
    assert!(failed[1].retry_at.is_some());
    assert_eq!(
        *seen.lock().unwrap(),
        [
            (Err("declined".to_owned()), false),
            (Err("declined".to_owned()), false),
            (Ok("2".to_owned()), true),
        ]
    );
}

#[tokio::test]
async fn a_failed_step_may_not_be_retried_or_only_later() {
    async fn handler(ctx: Context) -> Result<(), Error> {
        ctx.step().run("late", || async { Ok(()) }).await?;
        ctx.step().run("never", || async { Ok(()) }).await?;
        Ok(())
    }
    let app = TestApp::builder()
        .function(Function::new("f").on_event("app/go").handler(handler))
        .fail_step("late", 1, RetryAfter::new("not now", 2 * HOUR))
        .fail_step("never", 1, NonRetriable::new("no"))
        .start()
        .await
        .unwrap();
    let run = app.run(event("app/go")).await.unwrap();
    run.assert_failed_with("no")
        .assert_took(2 * HOUR)
        .assert_attempts("late", 2)
        .assert_attempts("never", 1)
        .assert_step_failed("never");
}

#[tokio::test]
async fn sleeps_and_waits_of_parallel_steps_are_mocked_and_fail() {
    async fn handler(ctx: Context) -> Result<(bool, u32), Error> {
        let step = ctx.step();
        let wait = step.wait_for_event_named::<Value>("reply", "app/reply");
        let work = step.run("work", || async { Ok(7) });
        let (reply, work) = tokio::join!(wait, work);
        Ok((reply.is_err(), work?))
    }
    let function = Function::new("f")
        .on_event("app/go")
        .retries(1)
        .handler(handler);
    let app = TestApp::builder()
        .function(function)
        .fail_step("reply", 2, "lost")
        .start()
        .await
        .unwrap();
    let run = app.run(event("app/go")).await.unwrap();
    run.assert_output((true, 7)).assert_attempts("reply", 2);
}

#[tokio::test]
async fn a_mock_that_no_run_reaches_ends_the_test() {
    let start = |allowed: bool| {
        let builder = TestApp::builder()
            .app(shop())
            .mock_step("chrage", |_| Ok(1));
        match allowed {
            true => builder.allow_unused_mocks().start(),
            false => builder.start(),
        }
    };
    let app = start(false).await.unwrap();
    app.run(placed("o-1")).await.unwrap();
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(app)));
    let message = dropped.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("the mock of step \"chrage\""), "{message}");
    drop(start(true).await.unwrap());
}

#[tokio::test]
async fn a_mock_of_another_type_says_so() {
    let app = TestApp::builder()
        .app(shop())
        .mock_step("reserve", |_| Ok("three"))
        .start()
        .await
        .unwrap();
    let run = app.run(placed("o-1")).await.unwrap();
    run.assert_failed_with("MockMismatch")
        .assert_failed_with("the mock of step \"reserve\" did not give a i32");
}

#[tokio::test]
async fn schedules_windows_and_batches_take_no_time() {
    let ticks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ticks);
    let daily = Function::new("daily")
        .cron("0 8 * * *")
        .handler(move |ctx: Context<CronTick>| {
            let counted = Arc::clone(&counted);
            async move {
                let due = ctx.data().scheduled_at.unwrap();
                assert_eq!(due.unix_ms() % 86_400_000, 8 * 3_600_000);
                counted.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Error>(())
            }
        });
    let index = Function::new("index")
        .on_event("doc/changed")
        .debounce(Debounce::new(10 * 60 * SECOND))
        .handler(async |ctx: Context| Ok::<_, Error>(ctx.data()["version"].clone()));
    let digest = Function::new("digest")
        .on_event("doc/read")
        .batch(Batch::new(3, 60 * SECOND))
        .handler(async |ctx: Context| Ok::<_, Error>(ctx.events().len()));
    let app = App::new(Client::dev("docs")).functions([daily, index, digest]);
    let app = TestApp::start(app).await.unwrap();

    app.run_for(30 * DAY).await.unwrap();
    assert_eq!(ticks.load(Ordering::SeqCst), 30);
    assert_eq!(app.runs_of("daily").unwrap().len(), 30);

    let changed = |version| OutgoingEvent::untyped("doc/changed", json!({"version": version}));
    let first = app.send(changed(1)).await.unwrap();
    app.run_for(60 * SECOND).await.unwrap();
    let run = app.run(changed(2)).await.unwrap();
    run.assert_output(json!(2));
    let (function, verdict) = &app.verdicts(first).unwrap()[0];
    assert_eq!(function, "docs-index");
    assert!(verdict.contains("a later event"), "{verdict}");

    app.send_all([event("doc/read"), event("doc/read")])
        .await
        .unwrap();
    let began = app.now();
    app.settle().await.unwrap();
    let batches = app.runs_of("digest").unwrap();
    batches[0].assert_output(2);
    assert_eq!(app.now().unix_ms() - began.unix_ms(), 60_000);
}

#[tokio::test]
async fn what_never_ends_says_what_it_waits_for() {
    async fn handler(ctx: Context) -> Result<(), Error> {
        loop {
            let wait = ctx
                .step()
                .wait_for_event_named::<Value>("approval", "app/approved")
                .timeout(DAY);
            if wait.await?.is_some() {
                return Ok(());
            }
        }
    }
    let app = TestApp::builder()
        .function(Function::new("f").on_event("app/go").handler(handler))
        .virtual_time_max(10 * DAY)
        .start()
        .await
        .unwrap();
    let error = app.run(event("app/go")).await.unwrap_err();
    assert!(matches!(error, TestError::VirtualTime { days: 10, .. }));
    let text = format!("{error:?}");
    for part in [
        "after 10 days of virtual time (since 2026-01-01",
        "for event 'app/approved', until 2026-01-1",
        "… approval:1",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_step_that_waits_for_virtual_time_is_found_by_the_real_one() {
    async fn handler(ctx: Context) -> Result<(), Error> {
        let forever = || async { std::future::pending().await };
        Ok(ctx.step().run("forever", forever).await?)
    }
    let app = TestApp::builder()
        .function(Function::new("f").on_event("app/go").handler(handler))
        .real_time_max(Duration::from_millis(50))
        .start()
        .await
        .unwrap();
    let error = app.run(event("app/go")).await.unwrap_err();
    assert!(matches!(error, TestError::RealTime { .. }));
    assert!(
        error.to_string().contains("for a call that is at work"),
        "{error}"
    );
}

#[tokio::test]
async fn real_waits_within_steps_hold_virtual_time() {
    async fn handler(ctx: Context) -> Result<Moment2, Error> {
        let step = ctx.step();
        let work = step.run("work", || async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            Ok(())
        });
        let timeout = step.sleep("timeout", DAY).in_race();
        tokio::select! {
            done = work.in_race() => done?,
            () = timeout => return Ok(Moment2("timeout")),
        }
        Ok(Moment2("done"))
    }
    #[derive(Serialize)]
    struct Moment2(&'static str);
    let app = TestApp::builder()
        .function(Function::new("f").on_event("app/go").handler(handler))
        .start()
        .await
        .unwrap();
    let run = app.run(event("app/go")).await.unwrap();
    run.assert_output("done".to_owned())
        .assert_took(Duration::ZERO);
}

#[tokio::test]
async fn events_that_start_nothing_say_why() {
    let adults = Function::new("adults")
        .on_event_if("user/came", "event.data.age >= 18")
        .handler(async |_: Context| Ok::<_, Error>(()));
    let app = TestApp::builder().function(adults).start().await.unwrap();
    let child = OutgoingEvent::untyped("user/came", json!({"age": 7}));
    let error = app.run(child).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "event 'user/came' started no run\n  test-adults: its condition is not met: event.data.age >= 18 (event.data.age is 7)"
    );
    let error = app.run(event("user/left")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "event 'user/left' started no run: no function listens to it"
    );
}

#[tokio::test]
async fn the_queue_is_looked_at_and_drained() {
    let app = TestApp::start(shop()).await.unwrap();
    app.send(placed("o-1")).await.unwrap();
    assert_eq!(app.queue().unwrap()[0].kind, "start");
    app.run_due().await.unwrap();
    let queue = app.queue().unwrap();
    assert_eq!(queue.len(), 1);
    assert_eq!(
        (
            queue[0].kind,
            queue[0].step.as_deref(),
            queue[0].due.to_string().as_str()
        ),
        (
            "wait-for-event",
            Some("payment"),
            "2026-01-02T00:00:00.000Z"
        )
    );
    let run = &app.runs().unwrap()[0];
    run.assert_unfinished();
    assert_eq!(run.step("payment").status(), StepStatus::Waiting);
    assert_eq!(run.waits()[0].end, WaitEnd::Waiting);
    app.settle().await.unwrap();
    assert_eq!(app.queue().unwrap(), []);
    app.finish(run.id())
        .await
        .unwrap()
        .assert_output("cancelled".to_owned());
}

#[tokio::test]
async fn runs_are_cancelled_and_invoked() {
    let app = TestApp::start(shop()).await.unwrap();
    app.send(placed("o-1")).await.unwrap();
    app.run_for(HOUR).await.unwrap();
    let run = app.runs().unwrap()[0].id();
    assert!(app.cancel(run).await.unwrap());
    let run = app.finish(run).await.unwrap();
    run.assert_cancelled();
    assert_eq!(run.step("payment").status(), StepStatus::Cancelled);
    assert!(!app.cancel(run.id()).await.unwrap());

    let run = app.invoke("checkout", placed("o-2")).await.unwrap();
    run.assert_output("cancelled".to_owned());
    let error = app.invoke("chekout", json!({})).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "function 'chekout' was not invoked: there is no such function"
    );
}

#[tokio::test]
async fn failure_handlers_run_too() {
    let failing = Function::new("failing")
        .on_event("app/go")
        .retries(1)
        .on_failure(async |ctx: Context<FunctionFailed>| {
            Ok::<_, Error>(ctx.data().error.message.clone())
        })
        .handler(async |_: Context| Err::<(), Error>("broken".into()));
    let app = TestApp::builder().function(failing).start().await.unwrap();
    app.run(event("app/go"))
        .await
        .unwrap()
        .assert_failed_with("broken");
    app.settle().await.unwrap();
    app.runs_of("failing-failure").unwrap()[0].assert_output("broken".to_owned());
}

#[tokio::test]
async fn a_failed_assertion_shows_the_runs_history() {
    let app = TestApp::builder()
        .app(shop())
        .fail_step("charge", 1, RetryAfter::new("declined", 10 * SECOND))
        .start()
        .await
        .unwrap();
    app.send_in(HOUR, paid("o-1"));
    let run = app.run(placed("o-1")).await.unwrap();
    let asserted = std::panic::catch_unwind(|| {
        run.assert_output("lost".to_owned());
    });
    let message = asserted.unwrap_err().downcast::<String>().unwrap();
    let message = message.replace(&run.id().to_string(), "<run>");
    let message = message.replace(&run.sent_events()[0].id.to_string(), "<event>");
    insta::assert_snapshot!(message, @r#"
    the function returned "shipped", not "lost"

    run <run> of shop-checkout: completed after 2h10s
    │ event shop/order.placed {"order_id":"o-1"} at 2026-01-01T00:00:00.000Z
    ├─ ✓ reserve       +0ms    3
    ├─ ✓ payment       +0ms    waited for event shop/order.paid with "o-1" == async.data.order_id; it came at +1h: {"order_id":"o-1"}
    ├─ ✓ charge        +1h     1999
    │  ├─ ✗ attempt 0  +1h     RetryAfterError: declined; again at +1h10s
    │  └─ ✓ attempt 1  +1h10s
    ├─ ✓ let-it-dry    +1h10s  slept until +2h10s
    ├─ ✓ announce      +2h10s  {"ids":["<event>"]}
    └─ ✓ returned      +2h10s  "shipped"
    "#);
}

#[tokio::test]
async fn repeated_steps_are_told_apart_and_notes_are_shown() {
    async fn handler(ctx: Context) -> Result<u32, Error> {
        let step = ctx.step();
        let mut sum = 0;
        for number in 1..=3 {
            let add = step.run("add", || async {
                step.note("seen", &json!({"number": number}));
                Ok(sum + number)
            });
            sum = add.await?;
        }
        step.score("judge", Score::new("helpful", 0.5)).await?;
        Ok(sum)
    }
    let function = Function::new("f").on_event("app/go").handler(handler);
    let app = TestApp::builder().function(function).start().await.unwrap();
    let run = app.run(event("app/go")).await.unwrap();
    assert_eq!(run.step("add").output::<u32>(), 1);
    assert_eq!(run.step("add:2").output::<u32>(), 6);
    assert_eq!(run.step_again("add", 2).label(), "add:2");
    let [note] = run.step("add:1").notes() else {
        panic!("one thing is noted");
    };
    assert_eq!((&*note.kind, &note.values["number"]), ("seen", &json!(2)));
    assert_eq!(run.scores(), [Score::new("helpful", 0.5)]);
    let history = run.history().to_string();
    let history = history.replace(&run.id().to_string(), "<run>");
    insta::assert_snapshot!(history, @r#"
    run <run> of test-f: completed after 0ms
    │ event app/go {} at 2026-01-01T00:00:00.000Z
    │ score helpful 0.5
    ├─ ✓ add       +0ms  1
    │  └─ · seen         {"number":1}
    ├─ ✓ add:1     +0ms  3
    │  └─ · seen         {"number":2}
    ├─ ✓ add:2     +0ms  6
    │  └─ · seen         {"number":3}
    ├─ ✓ judge     +0ms  {"name":"helpful","value":0.5}
    └─ ✓ returned  +0ms  6
    "#);
}

#[tokio::test]
async fn functions_requests_and_inputs_are_mocked() {
    async fn handler(ctx: Context) -> Result<(String, String, u32), Error> {
        let step = ctx.step();
        let receipt: String = step
            .invoke_named("charge", "billing-charge", json!({"cents": 100}))
            .await?;
        let page = step.fetch("page").get("https://shop.invalid/").await?;
        let doubled = step
            .run_with("double", 4, |number: u32| async move { Ok(number * 2) })
            .await?;
        Ok((receipt, page.text().to_owned(), doubled))
    }
    let app = TestApp::builder()
        .function(Function::new("f").on_event("app/go").handler(handler))
        .mock_function("billing-charge", |call| {
            Ok(format!("paid {}", call.input()["cents"]))
        })
        .mock_step("page", |call| {
            assert_eq!(call.input()["url"], "https://shop.invalid/");
            Ok(json!({"status_code": 200, "body": "hello", "headers": {}}))
        })
        .mock_step("double", |call| Ok(call.input_as::<u32>()? * 10))
        .fail_step("charge", 2, "busy")
        .start()
        .await
        .unwrap();
    let run = app.run(event("app/go")).await.unwrap();
    run.assert_output(("paid 100".to_owned(), "hello".to_owned(), 40))
        .assert_attempts("charge", 3);
}
