//! An audience hears what is recorded, and nothing else.

use crate::engine::{
    App, Mood, ended, moody, ran, recovered, register, returned, runs, send, soon, start, value,
};
use futures::future::BoxFuture;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use stepwell_protocol::RunId;
use stepwell_runtime::{Audience, Clock, Report};
use stepwell_store::memory;
use tokio::sync::{Notify, Semaphore};

/// Follows every run, or none.
#[derive(Debug, Default)]
struct Listener {
    follows: AtomicBool,
    heard: Mutex<Vec<String>>,
    left: AtomicBool,
}

impl Listener {
    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Audience for Listener {
    fn is_present(&self) -> bool {
        true
    }

    fn follows(&self, _: RunId) -> bool {
        self.follows.load(Ordering::SeqCst)
    }

    fn hear(&self, report: Report) {
        let told = match report {
            Report::Run { status, output, .. } => {
                let output = output.map_or_else(String::new, |output| output.get().to_owned());
                format!("{status} {output}")
            }
            Report::Step { name, value, .. } => format!("{name} {}", value.get()),
            Report::Answer { value, .. } => value.get().to_owned(),
        };
        self.heard.lock().unwrap().push(told);
    }

    fn leave(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.left.store(true, Ordering::SeqCst) })
    }
}

#[tokio::test]
async fn what_could_not_be_written_is_not_heard() {
    let (store, switch) = moody(memory::open());
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
    let runtime = start(store, &app, Clock::System);
    let handle = runtime.handle();
    let (follower, bystander) = (Arc::<Listener>::default(), Arc::<Listener>::default());
    follower.follows.store(true, Ordering::SeqCst);
    for listener in [&follower, &bystander] {
        handle.admit(&(Arc::clone(listener) as _));
    }
    register(&handle, &["app-f"]).await;
    send(&handle, "one").await.unwrap();
    app.called(1).await;

    switch.set(Mood::Full);
    go.add_permits(1);
    soon("the step's result is refused", async {
        while handle.failure().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(follower.heard(), ["Running "]);
    switch.set(Mood::Well);
    recovered(&handle).await;
    go.add_permits(1);
    ended(&handle).await;
    runtime.shutdown(Duration::from_secs(60)).await;

    assert_eq!(
        follower.heard(),
        ["Running ", r#"a {"data":1}"#, "Completed 1"]
    );
    assert!(bystander.heard().is_empty());
    assert!(
        follower.left.load(Ordering::SeqCst),
        "it is told of the end"
    );
}

/// Does not return, the first time, before it may.
#[derive(Debug)]
struct Slow {
    hears: Notify,
    may_return: Mutex<mpsc::Receiver<()>>,
}

impl Audience for Slow {
    fn is_present(&self) -> bool {
        true
    }

    fn follows(&self, _: RunId) -> bool {
        true
    }

    fn hear(&self, _: Report) {
        self.hears.notify_one();
        // An error is leave, too: whoever gives it is gone.
        let _ = self.may_return.lock().unwrap().recv();
    }

    fn leave(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_keeps_nothing_from_being_written() {
    let app = App::new(|_| async { returned(&json!(1)) });
    let runtime = start(memory::open(), &app, Clock::System);
    let handle = runtime.handle();
    register(&handle, &["app-f"]).await;
    let (lets_return, may_return) = mpsc::channel();
    let slow = Arc::new(Slow {
        hears: Notify::new(),
        may_return: Mutex::new(may_return),
    });
    handle.admit(&(Arc::clone(&slow) as _));
    let meanwhile = async {
        soon("it hears of the first", slow.hears.notified()).await;
        let written = async {
            soon("the second is written", async {
                while !runs(&handle).await.contains_key("second") {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            drop(lets_return);
        };
        tokio::join!(send(&handle, "second"), written).0
    };
    let (first, second) = tokio::join!(send(&handle, "first"), meanwhile);
    first.unwrap();
    second.unwrap();
    assert_eq!(ended(&handle).await.len(), 2);
}
