//! Where the events, signals and messages of a test go: to the engine at hand, or the next one.

use super::disk::Disk;
use super::error::TestError;
use super::lives::Lives;
use crate::BoxFuture;
use crate::client::{
    ApiError, Checkpoint, CheckpointError, EventBatch, EventSink, LocalApi, SendError,
};
use crate::embedded::{Message, hand_over, report_steps};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stepwell_protocol::op::Op;
use stepwell_protocol::{EventId, RunId, SharedJson};
use tokio::sync::SetOnce;

/// The events that the test itself has sent.
#[derive(Debug, Default)]
pub(super) struct OwnEvents(Mutex<HashSet<EventId>>);

impl OwnEvents {
    pub(super) fn note(&self, ids: &[EventId]) {
        self.ids().extend(ids);
    }

    pub(super) fn contains(&self, id: EventId) -> bool {
        self.ids().contains(&id)
    }

    fn ids(&self) -> MutexGuard<'_, HashSet<EventId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands events to the engine of a test. A batch whose answer was lost in a crash is handed over again: its ids are its
/// own, so each event is received once.
pub(super) struct TestSink {
    pub(super) lives: Arc<SetOnce<Lives>>,
    /// Where to note what is sent, when that is the test's own.
    pub(super) own: Option<Arc<OwnEvents>>,
}

impl TestSink {
    async fn deliver(&self, batch: EventBatch) -> Result<Vec<EventId>, SendError> {
        let stopped = |error: TestError| SendError::Unreachable {
            url: "the engine of this test".to_owned(),
            attempts: 1,
            reason: error.to_string(),
        };
        let lives = self.lives.wait().await;
        let mut life = lives.alive().await.map_err(stopped)?;
        loop {
            match hand_over(&life.handle, &batch).await {
                Err(SendError::Unreachable { .. }) => {
                    life = lives.after(&life).await.map_err(stopped)?;
                }
                taken => {
                    if let (Ok(ids), Some(own)) = (&taken, &self.own) {
                        own.note(ids);
                    }
                    return taken;
                }
            }
        }
    }
}

impl EventSink for TestSink {
    fn send(&self, batch: EventBatch) -> BoxFuture<'_, Result<Vec<EventId>, SendError>> {
        Box::pin(self.deliver(batch))
    }
}

/// Brings a signal to the engine of a test, once: also when its answer is lost in a crash.
pub(super) async fn signal(
    lives: &Lives,
    disk: &Disk,
    signal: &str,
    data: SharedJson,
) -> Result<Option<RunId>, TestError> {
    let mut life = lives.alive().await?;
    loop {
        match life.handle.signal(signal.to_owned(), data.clone()).await {
            Ok(resumed) => return Ok(resumed),
            Err(_) if disk.crash_took_in_signal(signal) => return Ok(None),
            Err(_) => life = lives.after(&life).await?,
        }
    }
}

/// What steps ask of a server's API, answered by the engine of a test.
pub(super) struct TestApi {
    pub(super) lives: Arc<SetOnce<Lives>>,
    pub(super) disk: Arc<Disk>,
    pub(super) messages: Arc<Mutex<Vec<Message>>>,
}

impl LocalApi for TestApi {
    fn signal(
        &self,
        name: String,
        data: SharedJson,
    ) -> BoxFuture<'_, Result<Option<RunId>, ApiError>> {
        Box::pin(async move {
            let lives = self.lives.wait().await;
            let resumed = signal(lives, &self.disk, &name, data).await;
            resumed.map_err(|error| ApiError::Unreachable {
                url: "the engine of this test".to_owned(),
                reason: error.to_string(),
            })
        })
    }

    fn checkpoint<'a>(
        &'a self,
        call: &'a Checkpoint,
        steps: Vec<Op>,
    ) -> BoxFuture<'a, Result<(), CheckpointError>> {
        Box::pin(async move {
            // A call belongs to one engine: what it cannot report there, no other takes.
            let life = self.lives.wait().await.alive().await;
            let life = life.map_err(|error| CheckpointError::Failed(error.to_string()))?;
            report_steps(&life.handle, call, steps).await
        })
    }

    fn publish(&self, channel: &str, topic: &str, run: Option<RunId>, data: SharedJson) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push(Message::new(channel, topic, run, data));
    }
}
