//! Senders of events. They send on while servers come and go, and remember what was acknowledged.

use crate::app::EVENT;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, watch};

/// How many send at once.
const SENDERS: usize = 3;

#[derive(Debug)]
pub(crate) struct Workload {
    client: reqwest::Client,
    /// Where the server is, while there is one.
    server: watch::Sender<Option<String>>,
    /// Requests that may be begun.
    budget: Semaphore,
    allowed: AtomicU64,
    event_last: AtomicU64,
    ledger: Mutex<Ledger>,
    /// Requests that were acknowledged.
    pub(crate) acknowledged: watch::Sender<u64>,
    /// Requests that are done with, well or not.
    done: watch::Sender<u64>,
}

/// What became of the events.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ledger {
    /// The server said that it has them.
    pub(crate) acknowledged: BTreeSet<u64>,
    /// The answer was lost, and their sender did not ask again.
    pub(crate) unknown: BTreeSet<u64>,
}

impl Workload {
    pub(crate) fn start(client: reqwest::Client) -> Arc<Self> {
        let workload = Arc::new(Self {
            client,
            server: watch::Sender::new(None),
            budget: Semaphore::new(0),
            allowed: AtomicU64::new(0),
            event_last: AtomicU64::new(0),
            ledger: Mutex::default(),
            acknowledged: watch::Sender::new(0),
            done: watch::Sender::new(0),
        });
        for _ in 0..SENDERS {
            tokio::spawn(Arc::clone(&workload).send_on());
        }
        workload
    }

    pub(crate) fn server_is(&self, url: Option<&str>) {
        self.server.send_replace(url.map(str::to_owned));
    }

    /// Lets this many more requests be sent.
    pub(crate) fn allow(&self, requests: usize) {
        self.allowed.fetch_add(requests as u64, Ordering::SeqCst);
        self.budget.add_permits(requests);
    }

    /// Waits until everything that was allowed is done with.
    pub(crate) async fn settled(&self) -> Ledger {
        let allowed = self.allowed.load(Ordering::SeqCst);
        let mut done = self.done.subscribe();
        done.wait_for(|done| *done == allowed)
            .await
            .expect("the sender is here");
        self.ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn send_on(self: Arc<Self>) {
        loop {
            self.budget
                .acquire()
                .await
                .expect("the budget is never closed")
                .forget();
            // One to three events a request, each with an id of its own.
            let first = self.event_last.fetch_add(3, Ordering::SeqCst);
            self.send(first..=first + first / 3 % 3).await;
            self.done.send_modify(|done| *done += 1);
        }
    }

    async fn send(&self, numbers: std::ops::RangeInclusive<u64>) {
        let events: Vec<Value> = numbers
            .clone()
            .map(|n| json!({"name": EVENT, "id": format!("event-{n}"), "data": {"n": n}}))
            .collect();
        let body = Value::from(events).to_string();
        // Most senders ask again until they know; some do not.
        let gives_up = (*numbers.start()).is_multiple_of(8);
        let mut server = self.server.subscribe();
        loop {
            let url = server
                .wait_for(Option::is_some)
                .await
                .expect("the workload is here")
                .clone()
                .expect("it was waited for");
            let sent = self
                .client
                .post(format!("{url}/e/test"))
                .header("content-type", "application/json")
                .body(body.clone())
                .send()
                .await;
            if sent.is_ok_and(|response| response.status().is_success()) {
                let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                ledger.acknowledged.extend(numbers);
                drop(ledger);
                self.acknowledged.send_modify(|count| *count += 1);
                return;
            }
            if gives_up {
                let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                ledger.unknown.extend(numbers);
                return;
            }
            // That server is dead: the next one.
            server.changed().await.expect("the workload is here");
        }
    }
}
