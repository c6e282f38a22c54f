use super::*;
use crate::{App, Client, Config, Context, Error, Function, Moment};
use serde_json::json;
use std::sync::{Arc, Mutex};
use stepwell_protocol::call::CallRequest;

/// Delays are over at once, and kept.
#[derive(Clone, Default)]
struct Delays(Arc<Mutex<Vec<Duration>>>);

impl Clock for Delays {
    fn now(&self) -> Moment {
        Moment::from_unix_ms(1_767_225_600_000)
    }

    fn delay(&self, duration: Duration) -> Delay {
        self.0.lock().unwrap().push(duration);
        Box::pin(std::future::ready(()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    Sends,
    PanicsAtOnce,
    PanicsOnTheWay,
    PanicsWhenDropped,
    NeverEnds,
}

struct Flushing {
    kind: Flush,
    flushed: Arc<Mutex<Vec<Flush>>>,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

impl Middleware for Flushing {
    fn flush(&self) -> BoxFuture<'_, ()> {
        self.flushed.lock().unwrap().push(self.kind);
        match self.kind {
            Flush::Sends => Box::pin(std::future::ready(())),
            Flush::PanicsAtOnce => panic!("at once"),
            Flush::PanicsOnTheWay => Box::pin(async { panic!("on the way") }),
            Flush::PanicsWhenDropped => Box::pin(async {
                let _bomb = Bomb;
                std::future::pending().await
            }),
            Flush::NeverEnds => Box::pin(std::future::pending()),
        }
    }
}

/// Calls a function with these middlewares; gives the limits that were waited for.
async fn check_answers(kinds: &[Flush]) -> Vec<Duration> {
    let (delays, flushed) = (Delays::default(), Arc::<Mutex<Vec<Flush>>>::default());
    let client = Client::builder("app", Config::dev())
        .clock(delays.clone())
        .build();
    let mut app = App::new(client).function(
        Function::new("f")
            .on_event("app/test")
            .handler(|_: Context| async { Ok::<_, Error>("done") }),
    );
    for kind in kinds {
        let flushed = Arc::clone(&flushed);
        app = app.middleware(Flushing {
            kind: *kind,
            flushed,
        });
    }
    let body = json!({
        "ctx": {
            "fn_id": "6b48a4f5-033b-57e4-accc-a328f4cbcf92", "run_id": "01KDW000000000000000000002",
            "attempt": 0, "max_attempts": 1, "stack": {"stack": [], "current": 0},
        },
        "event": {"name": "app/test", "data": {}}, "steps": {},
    });
    let request = CallRequest::parse(body.to_string().as_bytes()).unwrap();
    let answer = app.runner().unwrap().call("app-f", request).await;
    assert_eq!(
        (answer.status, &answer.body[..]),
        (200, &br#""done""#[..]),
        "{kinds:?}"
    );
    assert_eq!(*flushed.lock().unwrap(), kinds);
    delays.0.lock().unwrap().clone()
}

#[tokio::test]
async fn flushes_that_are_ready_wait_for_nothing() {
    let waited = check_answers(&[Flush::Sends, Flush::Sends]).await;
    assert!(waited.is_empty(), "{waited:?}");
}

#[tokio::test]
async fn a_flush_that_panics_does_not_cost_the_answer_nor_the_next_flush() {
    let kinds = [Flush::PanicsAtOnce, Flush::PanicsOnTheWay, Flush::Sends];
    let waited = check_answers(&kinds).await;
    assert!(waited.is_empty(), "{waited:?}");
}

#[tokio::test]
async fn a_flush_that_never_ends_is_given_up_after_five_seconds_each() {
    let kinds = [Flush::NeverEnds, Flush::PanicsWhenDropped, Flush::Sends];
    let waited = check_answers(&kinds).await;
    assert_eq!(waited, [Duration::from_secs(5); 2]);
}
