//! Where the events of a test go: to the engine at hand, or the next one.

use super::error::TestError;
use super::lives::Lives;
use crate::BoxFuture;
use crate::client::{EventBatch, EventSink, SendError};
use crate::embedded::hand_over;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stepwell_protocol::EventId;
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
