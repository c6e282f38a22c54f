//! What is given up ends, and what has ended is noticed.

use crate::engine::{App, Mood, moody, register, returned, send, soon, start};
use futures::future::BoxFuture;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use stepwell_engine::ItemId;
use stepwell_protocol::op::{Op, Opcode};
use stepwell_protocol::{RunId, StepId};
use stepwell_runtime::{Audience, Clock, Report, Stopped, Unavailable, report_steps};
use stepwell_store::memory;
use tokio::sync::{Semaphore, watch};

const LONG: Duration = Duration::from_secs(60);

/// Counts calls that were dropped before they answered.
struct Dropped(watch::Sender<usize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count += 1);
    }
}

/// An app whose calls never answer, and how many of them were dropped.
fn silent() -> (App, watch::Receiver<usize>) {
    let (sender, dropped) = watch::channel(0);
    let app = App::new(move |_| {
        let dropped = Dropped(sender.clone());
        async move {
            std::future::pending::<()>().await;
            drop(dropped);
            returned(&json!(null))
        }
    });
    (app, dropped)
}

#[tokio::test]
async fn an_engine_that_broke_is_noticed() {
    let (store, switch) = moody(memory::open());
    let (app, _) = silent();
    let runtime = start(store, &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    switch.set(Mood::Broken);
    assert!(send(&handle, "lost").await.is_err());
    soon("the engine has ended", runtime.ended()).await;
    let failure = handle.failure().expect("it says so");
    assert!(failure.contains("restart the program"), "{failure}");
    assert_eq!(
        send(&handle, "late").await,
        Err(Unavailable::Store(failure))
    );
}

/// Has a bug.
#[derive(Debug)]
struct Broken;

impl Audience for Broken {
    fn is_present(&self) -> bool {
        true
    }

    fn follows(&self, _: RunId) -> bool {
        true
    }

    fn hear(&self, _: Report) {
        panic!("it cannot bear to hear it");
    }

    fn leave(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn nobody_waits_for_what_is_not_told_any_more() {
    let (app, _) = silent();
    let runtime = start(memory::open(), &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    send(&handle, "event").await.unwrap();
    app.called(1).await;
    let end = handle.end_of(app.calls()[0].run);
    let resting = handle.clone();
    let rest = tokio::spawn(async move { resting.rest().await });
    let broken: Arc<dyn Audience> = Arc::new(Broken);
    handle.admit(&broken);
    let sent = soon("the sender is answered", send(&handle, "untold")).await;
    assert!(sent.is_err(), "{sent:?}");
    assert!(!soon("whoever waits for an end is let go", end.wait()).await);
    soon("the engine has ended", runtime.ended()).await;
    let failure = handle.failure().expect("it says so");
    assert!(failure.contains("restart the program"), "{failure}");
    let late = soon("the sender is answered", send(&handle, "late")).await;
    assert_eq!(late, Err(Unavailable::Store(failure)));
    let rest = soon("who waits for rest is answered", rest).await;
    assert!(rest.unwrap().is_err());
}

#[tokio::test]
async fn calls_of_an_engine_that_was_dropped_end_before_they_are_made_again() {
    let (store, switch) = moody(memory::open());
    let (app, mut dropped) = silent();
    let runtime = start(store, &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    send(&handle, "event").await.unwrap();
    app.called(1).await;
    switch.set(Mood::Full);
    assert!(send(&handle, "refused").await.is_err());
    soon("the call ends", dropped.wait_for(|count| *count == 1))
        .await
        .unwrap();
    assert_eq!(
        app.calls().len(),
        1,
        "it is not made again while the store refuses writes"
    );
    switch.set(Mood::Well);
    app.called(2).await;
}

#[tokio::test]
async fn calls_that_a_stop_gives_up_end() {
    let (app, mut dropped) = silent();
    let runtime = start(memory::open(), &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    send(&handle, "event").await.unwrap();
    app.called(1).await;
    assert_eq!(runtime.shutdown(Duration::ZERO).await, Stopped::GaveUp);
    soon("the call ends", dropped.wait_for(|count| *count == 1))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_call_that_a_stop_waits_for_may_still_checkpoint() {
    let go = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&go);
    let app = App::new(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("it is never closed").forget();
            returned(&json!("done"))
        }
    });
    let runtime = start(memory::open(), &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    send(&handle, "event").await.unwrap();
    app.called(1).await;
    let mut stopping = Box::pin(runtime.shutdown(LONG));
    assert!(futures::poll!(&mut stopping).is_pending());

    let call = app.calls().remove(0);
    let item = ItemId(call.request.ctx.qi_id.parse().expect("it is an item's id"));
    let step = Op::new(Opcode::StepRun, StepId::of("a", 0), "a");
    let steps = report_steps(vec![step]);
    let recorded = handle.checkpoint(call.run, item, None, steps).await;
    assert_eq!(recorded, Ok(Ok(())));
    go.add_permits(1);
    assert_eq!(soon("it stops", stopping).await, Stopped::Clean);
    let run = call.run;
    let steps = handle
        .read(move |reader| reader.steps(run))
        .await
        .expect("it can be read");
    assert_eq!(steps.len(), 1);
}
