//! The disk is full: the server says so, to senders and to whoever watches it.

use crate::app::{App, returned};
use crate::server::{Server, Setup, function, soon};
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stepwell_engine::{Change, Snapshot, Timestamp};
use stepwell_store::{Pruned, Slice, Store, StoreError, Writer, memory};

const FULL: &str = "the disk that holds the database is full; make room and work goes on by itself";

/// A store on a disk that can be full.
#[derive(Debug)]
struct Disk {
    writer: Box<dyn Writer>,
    full: Arc<AtomicBool>,
}

impl Disk {
    fn room(&self) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        Ok(())
    }
}

impl Writer for Disk {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.room()?;
        self.writer.commit(changes)
    }

    fn probe(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.room()?;
        self.writer.probe(bytes)
    }

    fn load(&mut self, now: Timestamp) -> Result<Snapshot, StoreError> {
        self.writer.load(now)
    }

    fn prune(&mut self, slice: &Slice) -> Result<Pruned, StoreError> {
        self.writer.prune(slice)
    }

    fn bytes_used(&mut self) -> Result<u64, StoreError> {
        self.writer.bytes_used()
    }

    fn give_back(&mut self) -> Result<bool, StoreError> {
        self.writer.give_back()
    }
}

async fn server() -> (Server, Arc<AtomicBool>) {
    let (Store { writer, reader }, full) = (memory::open(), Arc::new(AtomicBool::new(false)));
    let disk = Disk {
        writer,
        full: Arc::clone(&full),
    };
    let store = Store {
        writer: Box::new(disk),
        reader,
    };
    (
        Setup {
            store,
            ..Setup::default()
        }
        .start()
        .await,
        full,
    )
}

#[tokio::test]
async fn a_full_disk_is_named_to_everyone_who_wants_something_written() {
    let app = App::start(|_| returned(&json!("done"))).await;
    let (server, full) = server().await;
    server
        .register("app", &app, &[function("app-f", "go", &app.url, 0)])
        .await;
    let kept = server.send(json!({"name": "go"})).await;
    server.ended(&kept).await;

    full.store(true, Ordering::SeqCst);
    let go = json!({"name": "go", "id": "order-1"}).to_string();
    let refusal = server.post("/e/test", go.clone()).await.refusal(503);
    assert_eq!(refusal, format!("the store cannot be written: {FULL}"));
    assert_eq!(server.get("/health").await.refusal(503), FULL);
    assert_eq!(
        server.get("/ready").await.expect(503),
        json!({"ready": false, "reason": "store", "message": refusal})
    );
    // Even a batch with a bad event in it: what came before that is not taken in.
    let mixed = json!([{"name": "go"}, {"data": {}}]).to_string();
    assert_eq!(server.post("/e/test", mixed).await.refusal(503), refusal);
    let registration = crate::server::registration("other", &app.url, &[]).to_string();
    assert_eq!(
        server.post("/fn/register", registration).await.refusal(503),
        refusal
    );
    let run = "/v1/runs/01JZXQ2M5N1V8Q7T7Q0000000A";
    let cancel = server.request(Method::DELETE, run, &[], "").await;
    assert_eq!(cancel.refusal(503), refusal);
    // What needs nothing written goes on.
    assert_eq!(server.runs(&kept).await[0]["status"], "Completed");
    let events = server.get("/v1/events").await.expect(200);
    assert_eq!(events["data"].as_array().unwrap().len(), 1);

    full.store(false, Ordering::SeqCst);
    soon("the server is well again", async {
        while server.get("/health").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(
        server.get("/ready").await.expect(200),
        json!({"ready": true})
    );
    let answer = server.post("/e/test", go).await.expect(200);
    let event = answer["ids"][0].as_str().unwrap();
    assert_eq!(server.ended(event).await["status"], "Completed");
    assert_eq!(app.count(), 2);
}
