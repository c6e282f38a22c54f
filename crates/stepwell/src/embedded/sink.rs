//! Hands events to the engine of this process.

use crate::BoxFuture;
use crate::client::{EventBatch, EventSink, SendError};
use crate::moment::{Clock, Delay, Moment, SystemClock};
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::EventId;
use stepwell_runtime::{Clock as EngineClock, Handle};
use tokio::sync::SetOnce;

/// The engine, once it has started: functions may be called, and send, a moment earlier.
pub(crate) struct EngineSink(pub(crate) Arc<SetOnce<Handle>>);

/// Hands a batch to an engine; [`SendError::Unreachable`] when that can take nothing now.
pub(crate) async fn hand_over(
    engine: &Handle,
    batch: &EventBatch,
) -> Result<Vec<EventId>, SendError> {
    let mut events = Vec::with_capacity(batch.events.len());
    for (index, text) in batch.events.iter().enumerate() {
        let accepted = engine.accept_event(text, index, Some(&batch.seed));
        events.push(accepted.map_err(|refusal| SendError::Refused {
            status: 400,
            reason: refusal.to_string(),
            accepted: Vec::new(),
        })?);
    }
    let ids = events.iter().map(|event| event.id).collect();
    let taken = engine.receive_events(events).await;
    taken.map_err(|unavailable| SendError::Unreachable {
        url: "the engine of this process".to_owned(),
        attempts: 1,
        reason: unavailable.to_string(),
    })?;
    Ok(ids)
}

impl EventSink for EngineSink {
    fn send(&self, batch: EventBatch) -> BoxFuture<'_, Result<Vec<EventId>, SendError>> {
        Box::pin(async move { hand_over(self.0.wait().await, &batch).await })
    }
}

/// The engine's time, for events and steps. Delays are real ones: they guard against what hangs.
pub(crate) struct SdkClock(pub(crate) EngineClock);

impl Clock for SdkClock {
    fn now(&self) -> Moment {
        Moment::from_unix_ms(i64::try_from(self.0.now().ms()).unwrap_or(i64::MAX))
    }

    fn delay(&self, duration: Duration) -> Delay {
        SystemClock.delay(duration)
    }
}
