//! The store refuses writes for a while.

use crate::engine::{
    App, Mood, ended, moody, ran, recovered, register, returned, runs, send, send_much, sleeps,
    soon, start, start_with, value,
};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use stepwell_engine::{RunStatus, Timestamp};
use stepwell_runtime::{Clock, ManualClock, Stopped, Unavailable};
use stepwell_store::{memory, sqlite};
use tokio::sync::Semaphore;

const FULL: &str = "the disk that holds the database is full; make room and work goes on by itself";

/// An app whose functions have one step.
fn one_step() -> App {
    App::new(|call| async move {
        match value(&call, "a") {
            None => ran("a", &json!(1)),
            Some(value) => returned(&value["data"]),
        }
    })
}

/// The same, whose step waits until it is let go.
fn one_gated_step() -> (App, Arc<Semaphore>) {
    let go = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&go);
    let app = App::new(move |call| {
        let gate = Arc::clone(&gate);
        async move {
            if let Some(value) = value(&call, "a") {
                return returned(&value["data"]);
            }
            gate.acquire().await.expect("it is never closed").forget();
            ran("a", &json!(1))
        }
    });
    (app, go)
}

#[tokio::test]
async fn a_full_disk_refuses_events_and_loses_nothing() {
    let (store, switch) = moody(memory::open());
    let (app, go) = one_gated_step();
    let runtime = start(store, &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f", "app-g"]).await;
    send(&handle, "before").await.unwrap();
    app.called(2).await;

    switch.set(Mood::Full);
    let full = Unavailable::Store(FULL.to_owned());
    assert_eq!(send(&handle, "refused").await, Err(full.clone()));
    // From now on everyone is told at once.
    assert_eq!(handle.failure().as_deref(), Some(FULL));
    for _ in 0..3 {
        assert_eq!(send(&handle, "refused too").await, Err(full.clone()));
    }
    // What comes back meanwhile cannot be recorded.
    go.add_permits(2);
    assert_eq!(
        runs(&handle).await.len(),
        1,
        "what was refused is not there"
    );

    switch.set(Mood::Well);
    recovered(&handle).await;
    go.add_permits(100);
    send(&handle, "refused").await.unwrap();
    let runs = ended(&handle).await;
    assert_eq!(runs.keys().collect::<Vec<_>>(), ["before", "refused"]);
    for run in runs.values().flatten() {
        assert_eq!(run.status, RunStatus::Completed);
        assert_eq!(run.output.as_ref().unwrap().get(), "1");
    }
    assert!(
        runs.values().all(|runs| runs.len() == 2),
        "one run of each function"
    );
}

#[tokio::test]
async fn a_disk_that_fills_up_under_work_loses_and_doubles_nothing() {
    let (store, switch) = moody(memory::open());
    let app = one_step();
    let runtime = start_with(store, &app, Clock::System, 3);
    let handle = runtime.handle();
    register(&handle, &["app-f", "app-g"]).await;
    let mut acknowledged = Vec::new();
    for round in 0..2 {
        let mut refused = false;
        for n in 0..40 {
            if n == 20 {
                // Whatever is under way now fails: events, answers, retries.
                switch.set(Mood::Full);
            }
            let id = format!("event-{round}-{n}");
            match send(&handle, &id).await {
                Ok(_) => acknowledged.push(id),
                Err(_) => refused = true,
            }
        }
        assert!(refused);
        switch.set(Mood::Well);
        recovered(&handle).await;
    }
    assert!(acknowledged.len() >= 40);
    let runs = ended(&handle).await;
    for id in &acknowledged {
        assert_eq!(runs[id].len(), 2, "runs of {id}");
    }
    assert_eq!(
        runs.len(),
        acknowledged.len(),
        "what was refused is not there"
    );
    assert!(
        runs.values()
            .flatten()
            .all(|run| run.status == RunStatus::Completed)
    );
    for run in runs.values().flatten() {
        let id = run.id;
        let steps = handle.read(move |reader| reader.steps(id)).await.unwrap();
        assert_eq!(steps.len(), 1, "steps of {id}");
    }
}

#[tokio::test]
async fn an_event_whose_fate_was_unknown_runs_once_when_it_is_sent_again() {
    let (store, switch) = moody(memory::open());
    let app = one_step();
    let runtime = start(store, &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    switch.set(Mood::Doubtful);
    let refusal = send(&handle, "once").await.unwrap_err();
    assert!(
        refusal.to_string().contains("the last sync failed"),
        "{refusal}"
    );
    switch.set(Mood::Well);
    recovered(&handle).await;
    send(&handle, "once").await.unwrap();
    let runs = ended(&handle).await;
    assert_eq!(runs["once"].len(), 1, "{runs:?}");
    let calls = app.calls();
    assert_eq!(
        calls
            .iter()
            .filter(|call| value(call, "a").is_none())
            .count(),
        1
    );
}

#[tokio::test]
async fn a_recorded_step_is_not_run_again_after_an_outage() {
    let (store, switch) = moody(memory::open());
    let go = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&go);
    let app = App::new(move |call| {
        let gate = Arc::clone(&gate);
        async move {
            match value(&call, "a") {
                None => ran("a", &json!(1)),
                Some(value) => {
                    gate.acquire().await.expect("it is never closed").forget();
                    returned(&value["data"])
                }
            }
        }
    });
    let runtime = start(store, &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    send(&handle, "event").await.unwrap();
    app.called(2).await;
    switch.set(Mood::Full);
    send(&handle, "refused").await.unwrap_err();
    switch.set(Mood::Well);
    recovered(&handle).await;
    // The call that was in flight is made again; the answer of either will do, and only once.
    app.called(3).await;
    go.add_permits(2);
    let runs = ended(&handle).await;
    assert_eq!(runs["event"][0].status, RunStatus::Completed);
    let first = app
        .calls()
        .into_iter()
        .filter(|call| value(call, "a").is_none());
    assert_eq!(first.count(), 1, "step a ran once");
}

#[tokio::test]
async fn a_sleep_that_ends_during_an_outage_ends_after_it() {
    let (store, switch) = moody(memory::open());
    let clock = ManualClock::new(Timestamp::from_ms(1_800_000_000_000));
    let app = App::new(|call| async move {
        match value(&call, "nap") {
            None => sleeps("nap", "1h"),
            Some(_) => returned(&json!("awake")),
        }
    });
    let runtime = start(store, &app, Clock::Manual(Arc::clone(&clock)));
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    send(&handle, "event").await.unwrap();
    app.called(1).await;
    soon("the sleep begins", async {
        while handle.calls_in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // What is answered now was decided after the sleep, and written after it.
    register(&handle, &["app-f"]).await;
    switch.set(Mood::Full);
    clock.advance_ms(60 * 60 * 1_000);
    soon("the sleep's end cannot be written", async {
        while handle.failure().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    switch.set(Mood::Well);
    recovered(&handle).await;

    assert_eq!(
        ended(&handle).await["event"][0]
            .output
            .as_ref()
            .unwrap()
            .get(),
        "\"awake\""
    );
}

#[tokio::test]
async fn a_full_disk_keeps_nobody_from_stopping() {
    let (store, switch) = moody(memory::open());
    let (app, _never) = one_gated_step();
    let runtime = start(store, &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    send(&handle, "event").await.unwrap();
    app.called(1).await;
    switch.set(Mood::Full);
    send(&handle, "refused").await.unwrap_err();
    // The call in flight can neither be waited for nor recorded.
    let stopped = soon("it stops", runtime.shutdown(Duration::from_secs(3_600))).await;
    assert_eq!(stopped, Stopped::GaveUp);
}

#[tokio::test]
async fn a_file_at_its_limit_says_so_and_goes_on_with_more_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = sqlite::Options::new(folder.path().join("stepwell.db"));
    options.bytes_max = Some(1024 * 1024);
    let app = one_step();
    let runtime = start(sqlite::open(&options).unwrap(), &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    let mut acknowledged = Vec::new();
    let refusal = loop {
        let id = format!("event-{}", acknowledged.len());
        match send_much(&handle, &id, 50_000).await {
            Ok(_) => acknowledged.push(id),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal, Unavailable::Store(FULL.to_owned()));
    assert!(acknowledged.len() > 5, "{}", acknowledged.len());
    soon("it stops", runtime.shutdown(Duration::ZERO)).await;
    drop(handle);

    options.bytes_max = None;
    let runtime = start(sqlite::open(&options).unwrap(), &app, Clock::System);
    let handle = runtime.handle();
    let refused = format!("event-{}", acknowledged.len());
    send_much(&handle, &refused, 50_000).await.unwrap();
    acknowledged.push(refused);
    let runs = ended(&handle).await;
    assert_eq!(runs.len(), acknowledged.len());
    for id in &acknowledged {
        assert_eq!(runs[id].len(), 1, "runs of {id}");
        assert_eq!(runs[id][0].status, RunStatus::Completed);
    }
}
