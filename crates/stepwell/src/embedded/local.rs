//! What steps ask of a server's API, answered by the engine of this process.

use crate::BoxFuture;
use crate::client::{ApiError, Checkpoint, CheckpointError, LocalApi};
#[cfg(feature = "realtime")]
use crate::realtime::{self, Arrivals, SubscribeError};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use stepwell_engine::{CheckpointError as EngineRefusal, ItemId};
use stepwell_protocol::op::Op;
use stepwell_protocol::{DecodeError, RunId, SharedJson};
use stepwell_runtime::Handle;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{SetOnce, broadcast};

/// Messages that a slow subscriber may fall behind.
const MESSAGES_MAX: usize = 1_024;

/// The engine, once it has started, and whoever listens to messages.
pub(crate) struct Local {
    engine: Arc<SetOnce<Handle>>,
    messages: broadcast::Sender<Message>,
}

impl Local {
    pub(crate) fn new(engine: Arc<SetOnce<Handle>>) -> Self {
        Self {
            engine,
            messages: broadcast::Sender::new(MESSAGES_MAX),
        }
    }

    pub(crate) fn subscribe(&self) -> Messages {
        Messages(self.messages.subscribe())
    }
}

impl LocalApi for Local {
    fn signal(
        &self,
        signal: String,
        data: SharedJson,
    ) -> BoxFuture<'_, Result<Option<RunId>, ApiError>> {
        Box::pin(async move {
            let engine = self.engine.wait().await;
            let resumed = engine.signal(signal, data).await;
            resumed.map_err(|unavailable| ApiError::Unreachable {
                url: "the engine of this process".to_owned(),
                reason: unavailable.to_string(),
            })
        })
    }

    fn checkpoint<'a>(
        &'a self,
        call: &'a Checkpoint,
        steps: Vec<Op>,
    ) -> BoxFuture<'a, Result<(), CheckpointError>> {
        Box::pin(async move { report_steps(self.engine.wait().await, call, steps).await })
    }

    fn publish(&self, channel: &str, topic: &str, run: Option<RunId>, data: SharedJson) {
        // That nobody listens is nobody's fault.
        let message = Message::new(channel, topic, run, data);
        let _ = self.messages.send(message);
    }

    #[cfg(feature = "realtime")]
    fn subscribe(&self, channel: String, topics: Vec<String>) -> Arrivals {
        let from = (self.messages.subscribe(), channel, topics);
        Box::pin(futures::stream::unfold(
            from,
            async |(mut messages, channel, topics)| {
                let told = next_of(&mut messages, &channel, &topics).await?;
                Some((told, (messages, channel, topics)))
            },
        ))
    }
}

/// The next message to one of the topics.
#[cfg(feature = "realtime")]
async fn next_of(
    messages: &mut broadcast::Receiver<Message>,
    channel: &str,
    topics: &[String],
) -> Option<Result<realtime::Message<SharedJson>, SubscribeError>> {
    loop {
        match messages.recv().await {
            Ok(Message {
                channel: its,
                topic,
                run,
                data,
            }) if *its == *channel && topics.iter().any(|asked| **asked == *topic) => {
                return Some(Ok(realtime::Message::published(channel, &topic, run, data)));
            }
            Ok(_) => {}
            Err(RecvError::Lagged(count)) => {
                return Some(Err(SubscribeError::Interrupted {
                    channel: channel.to_owned(),
                    reason: format!("it was too slow and fell {count} messages behind"),
                }));
            }
            Err(RecvError::Closed) => return None,
        }
    }
}

/// Reports steps of a call to an engine.
pub(crate) async fn report_steps(
    engine: &Handle,
    call: &Checkpoint,
    steps: Vec<Op>,
) -> Result<(), CheckpointError> {
    let item =
        call.item.parse().map(ItemId).map_err(|_| {
            CheckpointError::Failed("the call names no item of this engine".to_owned())
        })?;
    let steps = stepwell_runtime::report_steps(steps);
    let generation = Some(call.generation).filter(|generation| *generation > 0);
    match engine.checkpoint(call.run, item, generation, steps).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(EngineRefusal::Stale)) => Err(CheckpointError::Stale),
        Ok(Err(refusal)) => Err(CheckpointError::Failed(refusal.to_string())),
        Err(unavailable) => Err(CheckpointError::Failed(unavailable.to_string())),
    }
}

/// A message that was published in this process.
#[derive(Debug, Clone)]
pub struct Message {
    /// The channel.
    pub channel: Arc<str>,
    /// The topic within it.
    pub topic: Arc<str>,
    /// The run whose step published it.
    pub run: Option<RunId>,
    data: SharedJson,
}

impl Message {
    pub(crate) fn new(channel: &str, topic: &str, run: Option<RunId>, data: SharedJson) -> Self {
        Self {
            channel: channel.into(),
            topic: topic.into(),
            run,
            data,
        }
    }

    /// What it says, as JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        self.data.get()
    }

    /// What it says.
    ///
    /// # Errors
    /// It says something else than a `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        stepwell_protocol::decode::from_slice(self.data.get().as_bytes())
    }
}

/// A stream of all messages that functions and clients of an engine publish.
#[derive(Debug)]
pub struct Messages(broadcast::Receiver<Message>);

impl Messages {
    /// Waits for the next; `None` once the engine has stopped. Whoever falls more than 1,024 behind misses the oldest.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            match self.0.recv().await {
                Ok(message) => return Some(message),
                Err(RecvError::Lagged(count)) => {
                    tracing::warn!(count, "a subscriber was too slow and has missed messages");
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
