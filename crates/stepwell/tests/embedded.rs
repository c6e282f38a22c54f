//! The engine in the process of its functions.

use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use stepwell::embedded::{
    Backoff, Embedded, EngineClock, EngineConfig, ManualClock, OutputError, Progress, RunStatus,
    StartError, Stopped, Timestamp,
};
use stepwell::{
    App, Client, Context, Error, Function, NonRetriable, OutgoingEvent, State, Throttle, Topic,
};
use tokio::sync::Notify;

const PATIENCE: Duration = Duration::from_secs(10);

fn event(name: &str) -> OutgoingEvent {
    OutgoingEvent::untyped(name, json!({}))
}

fn app(function: Function) -> App {
    App::new(Client::dev("app")).function(function)
}

fn function<Args, H: stepwell::Handler<serde_json::Value, (), Args>>(handler: H) -> Function {
    Function::new("f")
        .on_event("app/go")
        .retries(1)
        .handler(handler)
}

/// What a test and its function share.
#[derive(Clone, Default)]
struct Shared {
    firsts: Arc<AtomicUsize>,
    seconds: Arc<AtomicUsize>,
    reached: Arc<Notify>,
    go_on: Arc<Notify>,
}

async fn two_steps(ctx: Context, shared: State<Shared>) -> Result<String, Error> {
    let first: usize = ctx
        .step()
        .run("first", || async {
            Ok(shared.firsts.fetch_add(1, Ordering::SeqCst))
        })
        .await?;
    let second = ctx.step().run("second", || async {
        let attempt = shared.seconds.fetch_add(1, Ordering::SeqCst);
        shared.reached.notify_one();
        shared.go_on.notified().await;
        Ok(attempt)
    });
    Ok(format!("{first} {}", second.await?))
}

#[tokio::test]
async fn a_run_goes_on_after_a_restart_and_repeats_no_recorded_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.db");
    let shared = Shared::default();
    let start = || {
        let function = Function::new("f")
            .on_event("app/go")
            .state(shared.clone())
            .handler(two_steps);
        Embedded::builder().app(app(function)).sqlite(&path).start()
    };
    let embedded = start().await.unwrap();
    let sent = embedded.send(event("app/go")).await.unwrap();
    shared.reached.notified().await;
    let busy = start().await.unwrap_err();
    assert!(matches!(busy, StartError::Store(_)), "{busy}");
    // The second step is at work, and is given up.
    assert_eq!(embedded.shutdown(Duration::ZERO).await, Stopped::GaveUp);

    let embedded = start().await.unwrap();
    shared.reached.notified().await;
    shared.go_on.notify_waiters();
    shared.go_on.notify_one();
    let runs = embedded.finished_runs(sent).await.unwrap();
    assert_eq!(runs[0].output::<String>().unwrap(), "0 1");
    let steps = embedded.steps(runs[0].id).await.unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(
        (names, steps[0].value_json()),
        (vec!["first", "second"], r#"{"data":0}"#)
    );
    assert_eq!(embedded.shutdown(PATIENCE).await, Stopped::Clean);
}

#[tokio::test]
async fn what_happens_to_a_run_can_be_watched() {
    async fn handler(ctx: Context) -> Result<(), Error> {
        let attempt = ctx.attempt();
        let work = || async move {
            match attempt {
                0 => Err("not yet".into()),
                _ => Ok(()),
            }
        };
        ctx.step().run("work", work).await?;
        Err(NonRetriable::new("but then").into())
    }
    let config = EngineConfig {
        backoff: Backoff::Constant(1),
        ..EngineConfig::default()
    };
    let embedded = Embedded::builder()
        .app(app(function(handler)))
        .memory()
        .engine(config)
        .start()
        .await
        .unwrap();
    let mut watch = embedded.watch();
    let sent = embedded.send(event("app/go")).await.unwrap();
    let run = embedded.runs_of_event(sent).await.unwrap()[0].id;
    let mut seen = Vec::new();
    while let Some(progress) = watch.next().await {
        seen.push(match progress {
            Progress::Queued {
                run: of,
                function_id,
            } => {
                assert_eq!(of, run);
                format!("queued {function_id}")
            }
            Progress::Started { .. } => "started".to_owned(),
            Progress::AttemptFailed {
                step,
                attempt,
                error,
                retry_at,
                ..
            } => {
                format!(
                    "failed '{step}' {attempt} {} {}",
                    error.message,
                    retry_at.is_some()
                )
            }
            Progress::StepEnded { step, failed, .. } => format!("ended {step} {failed}"),
            Progress::Ended { status, .. } => {
                assert_eq!(status, RunStatus::Failed);
                break;
            }
            other => panic!("unexpected {other:?}"),
        });
    }
    assert_eq!(
        seen,
        [
            "queued app-f",
            "started",
            "failed 'work' 0 not yet true",
            "ended work false",
            "failed '' 0 but then false",
        ]
    );
    let run = embedded.finished(run).await.unwrap().unwrap();
    assert_eq!(run.error().unwrap().message, "but then");
    assert!(matches!(run.output::<()>(), Err(OutputError::Failed(_))));
    let unknown = "01KDW000000000000000000002".parse().unwrap();
    assert!(embedded.finished(unknown).await.unwrap().is_none());
}

#[tokio::test]
async fn steps_send_to_the_same_engine_and_ids_are_taken_once() {
    async fn handler(ctx: Context) -> Result<usize, Error> {
        let echo = |id: &str| event("app/echo").id(id);
        let sent = ctx
            .step()
            .send_events("tell", [echo("a"), echo("b"), echo("a")])
            .await?;
        Ok(sent.ids.len())
    }
    let echoed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&echoed);
    let echo = Function::new("echo")
        .on_event("app/echo")
        .handler(move |ctx: Context| {
            let count = Arc::clone(&count);
            async move {
                ctx.step()
                    .run("count", || async move {
                        Ok(count.fetch_add(1, Ordering::SeqCst))
                    })
                    .await
            }
        });
    let app = app(function(handler)).function(echo);
    let embedded = Embedded::builder().app(app).memory().start().await.unwrap();
    let mut watch = embedded.watch();
    embedded.send(event("app/go")).await.unwrap();
    let mut ended = 0;
    while ended < 3 {
        ended += usize::from(matches!(watch.next().await, Some(Progress::Ended { .. })));
    }
    assert_eq!(echoed.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_clock_moved_by_hand_makes_long_sleeps_short() {
    async fn handler(ctx: Context) -> Result<(), Error> {
        ctx.step()
            .sleep("a month", Duration::from_secs(30 * 86_400))
            .await;
        Ok(())
    }
    let clock = ManualClock::new(Timestamp::from_ms(1_767_225_600_000));
    let embedded = Embedded::builder()
        .app(app(function(handler)))
        .memory()
        .clock(EngineClock::Manual(Arc::clone(&clock)))
        .start()
        .await
        .unwrap();
    let mut watch = embedded.watch();
    let sent = embedded.send(event("app/go")).await.unwrap();
    while !matches!(watch.next().await, Some(Progress::Started { .. })) {}
    // The call has come back once none is in flight: the run sleeps.
    while embedded.handle().calls_in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    clock.advance_ms(30 * 86_400 * 1_000);
    let runs = embedded.finished_runs(sent).await.unwrap();
    assert_eq!(runs[0].status, RunStatus::Completed);
}

#[tokio::test]
async fn two_apps_share_an_engine() {
    let answer = |text: &'static str| {
        Function::new("f")
            .on_event("any/go")
            .handler(move |_: Context| async move { Ok::<_, Error>(text) })
    };
    let first = App::new(Client::dev("first")).function(answer("1"));
    let second = App::new(Client::dev("second")).function(answer("2"));
    let embedded = Embedded::builder()
        .app(first)
        .app(second)
        .memory()
        .start()
        .await
        .unwrap();
    let sent = embedded
        .client_of("second")
        .unwrap()
        .send(event("any/go"))
        .await
        .unwrap();
    let mut outputs: Vec<(String, String)> = Vec::new();
    for run in embedded.finished_runs(sent).await.unwrap() {
        outputs.push((run.function_id.clone(), run.output().unwrap()));
    }
    outputs.sort();
    let expected = [("first-f", "1"), ("second-f", "2")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(outputs, expected);
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let done = |_: Context| async { Ok::<_, Error>(()) };
    let good = || app(function(done));
    let bad_throttle = Function::new("f")
        .on_event_if("app/go", "event.data.x ==")
        .throttle(Throttle::new(1, Duration::from_secs(1)).key("event.data."))
        .handler(done);
    let bad_schedule = Function::new("f")
        .cron("0 25 * * *")
        .handler(async |_: Context<stepwell::CronTick>| Ok::<_, Error>(()));
    let cases = [
        (
            Embedded::builder().app(good()),
            "nothing says where state is kept: call sqlite(path), or memory() to lose it with the process",
        ),
        (
            Embedded::builder().memory(),
            "there is no app: add one with app(..)",
        ),
        (
            Embedded::builder().memory().app(good()).app(good()),
            "two apps have the id 'app'",
        ),
        (
            Embedded::builder()
                .memory()
                .app(good().function(function(done))),
            "app 'app' cannot be used",
        ),
        (
            Embedded::builder().memory().app(app(bad_throttle)),
            "app 'app' cannot be used: function 'f': the condition on 'app/go': a value is missing at the end",
        ),
        (
            // Only the engine knows the calendar.
            Embedded::builder().memory().app(app(bad_schedule)),
            "app 'app' cannot be used: function 'app-f': triggers[0].cron: ",
        ),
    ];
    for (builder, expected) in cases {
        let error = format!(
            "{:#}",
            anyhow::Error::from(builder.start().await.unwrap_err())
        );
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn a_finished_run_is_kept_as_long_as_was_said() {
    async fn handler(_: Context) -> Result<(), Error> {
        Ok(())
    }
    const DAY: u64 = 86_400;
    let clock = ManualClock::new(Timestamp::from_ms(1_767_225_600_000));
    let embedded = Embedded::builder()
        .app(app(function(handler)))
        .memory()
        .retain(Duration::from_secs(2 * DAY))
        .clock(EngineClock::Manual(Arc::clone(&clock)))
        .start()
        .await
        .unwrap();
    let first = embedded.send(event("app/go")).await.unwrap();
    let first = embedded.finished_runs(first).await.unwrap()[0].id;
    clock.advance_ms(DAY * 1_000);
    let second = embedded.send(event("app/go")).await.unwrap();
    let second = embedded.finished_runs(second).await.unwrap()[0].id;
    clock.advance_ms((DAY + 1) * 1_000);
    let gone = async {
        while embedded.run(first).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(60), gone).await;
    gone.expect("the first one goes");
    assert!(embedded.run(second).await.unwrap().is_some());
}

#[tokio::test]
async fn all_messages_are_heard_until_the_engine_stops() {
    let function = function(async |_: Context| Ok::<_, Error>(()));
    let builder = Embedded::builder().app(app(function)).memory();
    let embedded = builder.start().await.unwrap();
    let client = embedded.client().clone();
    let mut messages = embedded.messages();
    for (channel, number) in [("a", 1), ("b", 2)] {
        let topic = Topic::<u8>::new(channel, "t");
        client.publish(&topic, &number).await.unwrap();
    }
    embedded.shutdown(PATIENCE).await;
    let mut heard = Vec::new();
    while let Some(message) = messages.next().await {
        heard.push((message.channel.to_string(), message.data::<u8>().unwrap()));
    }
    assert_eq!(heard, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
}
