//! What is old is forgotten, and nothing else.

use crate::engine::{App, ended, register, returned, runs, send, send_much, sleeps, soon, value};
use std::sync::Arc;
use std::time::Duration;
use stepwell_engine::{RunStatus, Timestamp};
use stepwell_runtime::{Clock, Handle, Invokers, ManualClock, Options, Retention, Runtime};
use stepwell_store::{Store, memory, sqlite};

const DAY: u64 = 24 * 60 * 60 * 1_000;
const START: Timestamp = Timestamp::from_ms(1_800_000_000_000);

fn start(store: Store, app: &App, clock: &Arc<ManualClock>, retention: Retention) -> Runtime {
    let options = Options {
        clock: Clock::Manual(Arc::clone(clock)),
        retention,
        ..Options::default()
    };
    let invokers = Invokers::none().with("embedded", Arc::new(app.clone()));
    Runtime::start(store, invokers, options).expect("the runtime starts")
}

/// An app whose function returns at once, or sleeps for thirty days first if the event's id says so.
fn brief_or_long() -> App {
    App::new(|call| async move {
        let event: serde_json::Value =
            serde_json::from_str(call.request.event.get()).expect("an event is JSON");
        if event["id"] == "long" && value(&call, "nap").is_none() {
            sleeps("nap", "30d")
        } else {
            returned(&event["id"])
        }
    })
}

/// Waits until only these events are left, with a run each.
async fn left(handle: &Handle, expected: &[&str]) {
    soon("the rest is forgotten", async {
        loop {
            let runs = runs(handle).await;
            if runs.keys().eq(expected) {
                assert!(runs.values().all(|runs| runs.len() == 1), "{runs:?}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Waits until this many calls have been made and recorded.
async fn quiet(handle: &Handle, app: &App, calls: usize) {
    app.called(calls).await;
    soon("the calls return", async {
        while handle.calls_in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // What is answered now was decided afterwards, and written afterwards.
    register(handle, &["app-f"]).await;
}

async fn an_old_run_is_forgotten_while_one_that_sleeps_goes_on(store: Store) {
    let (app, clock) = (brief_or_long(), ManualClock::new(START));
    let runtime = start(store, &app, &clock, Retention::default());
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    send(&handle, "brief").await.unwrap();
    send(&handle, "long").await.unwrap();
    quiet(&handle, &app, 2).await;
    clock.advance_ms(6 * DAY);
    send(&handle, "recent").await.unwrap();
    quiet(&handle, &app, 3).await;
    assert_eq!(runs(&handle).await.len(), 3);

    clock.advance_ms(2 * DAY);
    left(&handle, &["long", "recent"]).await;
    // The sleeping run's event is there to be called with.
    clock.advance_ms(22 * DAY);
    quiet(&handle, &app, 4).await;
    left(&handle, &["long"]).await;
    let runs = ended(&handle).await;
    assert_eq!(runs["long"][0].status, RunStatus::Completed);
    assert_eq!(runs["long"][0].output.as_ref().unwrap().get(), "\"long\"");
    clock.advance_ms(8 * DAY);
    left(&handle, &[]).await;
}

#[tokio::test]
async fn in_a_file_an_old_run_is_forgotten_while_one_that_sleeps_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stepwell.db");
    let store = sqlite::open(&sqlite::Options::new(path)).unwrap();
    an_old_run_is_forgotten_while_one_that_sleeps_goes_on(store).await;
}

#[tokio::test]
async fn in_memory_an_old_run_is_forgotten_while_one_that_sleeps_goes_on() {
    an_old_run_is_forgotten_while_one_that_sleeps_goes_on(memory::open()).await;
}

#[tokio::test]
async fn what_grew_old_while_nothing_ran_is_forgotten_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let open = || sqlite::open(&sqlite::Options::new(folder.path().join("stepwell.db"))).unwrap();
    let app = brief_or_long();
    let runtime = start(open(), &app, &ManualClock::new(START), Retention::default());
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    send(&handle, "brief").await.unwrap();
    quiet(&handle, &app, 1).await;
    drop(handle);
    soon("it stops", runtime.shutdown(Duration::from_secs(60))).await;

    let later = ManualClock::new(START.after_ms(8 * DAY));
    let runtime = start(open(), &app, &later, Retention::default());
    left(&runtime.handle(), &[]).await;
}

#[tokio::test]
async fn a_file_over_its_size_loses_its_oldest_runs_but_no_duplicate_gets_through() {
    let folder = tempfile::tempdir().unwrap();
    let open = || sqlite::open(&sqlite::Options::new(folder.path().join("stepwell.db"))).unwrap();
    let (app, clock) = (brief_or_long(), ManualClock::new(START));
    let unlimited = Retention {
        age: None,
        bytes_max: None,
    };
    let runtime = start(open(), &app, &clock, unlimited);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    let ids: Vec<String> = (0..80).map(|number| format!("event-{number:02}")).collect();
    send(&handle, "long").await.unwrap();
    for id in &ids {
        clock.advance_ms(1);
        send_much(&handle, id, 50_000).await.unwrap();
    }
    quiet(&handle, &app, 81).await;
    drop(handle);
    soon("it stops", runtime.shutdown(Duration::from_secs(60))).await;

    // Nothing begins any more, so that what is seen of the runs in a sweep is the same each time.
    let limited = Retention {
        bytes_max: Some(3 * 1024 * 1024),
        ..unlimited
    };
    let runtime = start(open(), &app, &clock, limited);
    let handle = runtime.handle();
    let kept = soon("there is less", async {
        loop {
            let kept: Vec<String> = runs(&handle).await.into_keys().collect();
            // About three mebibytes of them, and less by a slice, which is one.
            if kept.len() < 64 {
                return kept;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let (long, newest) = kept.split_last().expect("not all went");
    assert_eq!(long, "long", "it is the oldest, but not over");
    assert!(ids.ends_with(newest), "{newest:?}");
    assert!(
        newest.len() > 32,
        "little more goes than is too much: {newest:?}"
    );
    drop(handle);
    soon("it stops", runtime.shutdown(Duration::from_secs(60))).await;

    // Their sender repeats what it sent, after a restart and within the day.
    let runtime = start(open(), &app, &clock, limited);
    let handle = runtime.handle();
    for id in &ids {
        send(&handle, id).await.unwrap();
    }
    register(&handle, &["app-f"]).await;
    assert_eq!(handle.runs_unfinished(), 1);
    assert_eq!(app.calls().len(), 81);
}
