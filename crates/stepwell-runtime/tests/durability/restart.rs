//! Stops and restarts on one file.

use crate::engine::{App, ended, ran, register, returned, runs, send, sleeps, soon, start, value};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use stepwell_engine::{RunStatus, Timestamp};
use stepwell_runtime::{Clock, ManualClock, Stopped, Unavailable};
use stepwell_store::{Store, sqlite};
use tokio::sync::Semaphore;

const LONG: Duration = Duration::from_secs(3_600);

fn open(folder: &Path) -> Store {
    sqlite::open(&sqlite::Options::new(folder.join("stepwell.db"))).expect("the file is free")
}

/// An app whose only call waits until it is let go.
fn gated() -> (App, Arc<Semaphore>) {
    let go = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&go);
    let app = App::new(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("it is never closed").forget();
            returned(&json!("done"))
        }
    });
    (app, go)
}

#[tokio::test]
async fn a_call_in_flight_finishes_and_is_recorded_while_nothing_new_is_taken_in() {
    let folder = tempfile::tempdir().unwrap();
    let (app, go) = gated();
    let runtime = start(open(folder.path()), &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    send(&handle, "event").await.unwrap();
    app.called(1).await;
    let mut stopping = Box::pin(runtime.shutdown(LONG));
    assert!(futures::poll!(&mut stopping).is_pending());
    assert_eq!(send(&handle, "late").await, Err(Unavailable::Stopping));
    go.add_permits(1);
    assert_eq!(soon("it stops", stopping).await, Stopped::Clean);
    assert_eq!(send(&handle, "later").await, Err(Unavailable::Stopping));
    drop(handle);

    // Nothing is left to do.
    let runtime = start(open(folder.path()), &app, Clock::System);
    let runs = runs(&runtime.handle()).await;
    assert_eq!(runs.keys().collect::<Vec<_>>(), ["event"]);
    assert_eq!(runs["event"][0].status, RunStatus::Completed);
    assert_eq!(runtime.handle().runs_unfinished(), 0);
    assert_eq!(app.calls().len(), 1);
}

#[tokio::test]
async fn a_stop_makes_no_new_calls() {
    let folder = tempfile::tempdir().unwrap();
    let go = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&go);
    let app = App::new(move |call| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("it is never closed").forget();
            match value(&call, "a") {
                None => ran("a", &json!(1)),
                Some(_) => returned(&json!("done")),
            }
        }
    });
    let runtime = start(open(folder.path()), &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    send(&handle, "event").await.unwrap();
    app.called(1).await;
    let mut stopping = Box::pin(runtime.shutdown(LONG));
    assert!(futures::poll!(&mut stopping).is_pending());
    go.add_permits(100);
    // The step is recorded; the call that would go on from there is the next start's.
    assert_eq!(soon("it stops", stopping).await, Stopped::Clean);
    assert_eq!(app.calls().len(), 1);
    drop(handle);

    let runtime = start(open(folder.path()), &app, Clock::System);
    assert_eq!(
        ended(&runtime.handle()).await["event"][0].status,
        RunStatus::Completed
    );
    let calls = app.calls();
    assert_eq!(calls.len(), 2);
    assert!(
        value(&calls[1], "a").is_some(),
        "the recorded step came along"
    );
}

#[tokio::test]
async fn a_call_that_does_not_finish_in_time_is_made_again_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (app, go) = gated();
    let runtime = start(open(folder.path()), &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    send(&handle, "event").await.unwrap();
    app.called(1).await;
    assert_eq!(
        soon("it stops", runtime.shutdown(Duration::ZERO)).await,
        Stopped::GaveUp
    );
    drop(handle);

    let runtime = start(open(folder.path()), &app, Clock::System);
    app.called(2).await;
    let calls = app.calls();
    assert_eq!(calls[0].run, calls[1].run);
    assert_eq!(
        (calls[0].request.ctx.attempt, calls[1].request.ctx.attempt),
        (0, 0),
        "being stopped is no failed attempt"
    );
    assert_ne!(
        calls[0].request.ctx.generation_id,
        calls[1].request.ctx.generation_id
    );
    go.add_permits(2);
    let runs = ended(&runtime.handle()).await;
    assert_eq!(runs["event"].len(), 1);
    assert_eq!(runs["event"][0].status, RunStatus::Completed);
}

#[tokio::test]
async fn timers_and_duplicates_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let now = Timestamp::from_ms(1_800_000_000_000);
    let app = App::new(|call| async move {
        match value(&call, "nap") {
            None => sleeps("nap", "1d"),
            Some(_) => returned(&json!("awake")),
        }
    });
    let runtime = start(
        open(folder.path()),
        &app,
        Clock::Manual(ManualClock::new(now)),
    );
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    for id in ["one", "two", "three"] {
        send(&handle, id).await.unwrap();
    }
    app.called(3).await;
    assert_eq!(
        soon("it stops", runtime.shutdown(LONG)).await,
        Stopped::Clean
    );
    drop(handle);

    // An hour before they end: all sleep on, and a known event starts nothing.
    let clock = ManualClock::new(now.after_ms(23 * 60 * 60 * 1_000));
    let runtime = start(open(folder.path()), &app, Clock::Manual(Arc::clone(&clock)));
    let handle = runtime.handle();
    send(&handle, "two").await.unwrap();
    assert_eq!((handle.runs_unfinished(), app.calls().len()), (3, 3));
    clock.advance_ms(60 * 60 * 1_000);
    let runs = ended(&handle).await;
    for id in ["one", "two", "three"] {
        assert_eq!(runs[id].len(), 1, "runs of {id}");
        assert_eq!(runs[id][0].output.as_ref().unwrap().get(), "\"awake\"");
    }
}

#[tokio::test]
async fn a_sleep_that_ended_while_nothing_ran_ends_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let now = Timestamp::from_ms(1_800_000_000_000);
    let app = App::new(|call| async move {
        match value(&call, "nap") {
            None => sleeps("nap", "1d"),
            Some(_) => returned(&json!("awake")),
        }
    });
    let runtime = start(
        open(folder.path()),
        &app,
        Clock::Manual(ManualClock::new(now)),
    );
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    send(&handle, "event").await.unwrap();
    app.called(1).await;
    assert_eq!(
        soon("it stops", runtime.shutdown(LONG)).await,
        Stopped::Clean
    );
    drop(handle);
    let later = ManualClock::new(now.after_ms(7 * 24 * 60 * 60 * 1_000));
    let runtime = start(open(folder.path()), &app, Clock::Manual(later));
    assert_eq!(
        ended(&runtime.handle()).await["event"][0].status,
        RunStatus::Completed
    );
}
