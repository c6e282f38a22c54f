//! Subscriptions: what functions and programs publish, as a stream of messages.
//!
//! ```no_run
//! use stepwell::{Client, Topic, realtime::Content};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Progress { percent: u8 }
//!
//! # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
//! let progress: Topic<Progress> = Topic::new("upload:7", "progress");
//! let mut messages = client.subscribe_to(&progress).await?;
//! while let Some(message) = messages.next().await {
//!     if let Content::Data(Progress { percent }) = message?.content {
//!         println!("{percent} %");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Nothing is kept: who subscribes later has missed what came before. A connection that is lost is opened again, with
//! growing pauses, and the stream then tells that messages may be missing ([`SubscribeError::Interrupted`]).

mod link;
mod message;
mod subscription;

pub use message::{Content, Message, RunUpdate, StepUpdate};
pub use stepwell_protocol::realtime::{RUN_TOPIC, STEP_TOPIC, STREAM_TOPIC};
pub(crate) use subscription::Arrivals;
pub use subscription::Subscription;

use crate::client::{ApiError, Client};
use crate::step::Topic;
use link::Link;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stepwell_protocol::RunId;

/// A subscription cannot be, or something is wrong with what it brings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The server cannot be reached, or does not take it. A stream that tells this has ended.
    #[error("no subscription to {channel}")]
    NotSubscribed {
        /// The channel.
        channel: String,
        /// Why.
        source: ApiError,
    },
    /// No topic was named.
    #[error("no topic of {channel} to subscribe to")]
    NoTopic {
        /// The channel.
        channel: String,
    },
    /// The connection was lost and is there again: what was published in between is missing. The stream goes on.
    #[error("the subscription to {channel} was interrupted, messages may be missing: {reason}")]
    Interrupted {
        /// The channel.
        channel: String,
        /// What happened.
        reason: String,
    },
    /// A message is not what its topic's type says. The stream goes on.
    #[error("a message to {topic} of {channel} is not what was expected: {reason}")]
    Unreadable {
        /// The channel.
        channel: String,
        /// The topic.
        topic: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An engine in this process does not speak on the topic.
    #[error("nothing is told on {topic} by an engine in this process: use `Embedded::watch_run`")]
    NotEmbedded {
        /// The topic.
        topic: String,
    },
}

impl Client {
    /// Subscribes to topics of a channel, and returns once that is so: what is published from then on comes.
    ///
    /// Messages are read with [`Message::of`] if each topic has a type of its own. The topics [`RUN_TOPIC`],
    /// [`STEP_TOPIC`] and [`STREAM_TOPIC`] of the channel that is a run's id are the server's own.
    ///
    /// # Errors
    /// [`SubscribeError`], without trying again.
    pub async fn subscribe<I>(
        &self,
        channel: impl Into<String>,
        topics: I,
    ) -> Result<Subscription, SubscribeError>
    where
        I: IntoIterator<Item: Into<String>>,
    {
        let topics = topics.into_iter().map(Into::into).collect();
        self.arrivals(channel.into(), topics)
            .await
            .map(Subscription::new)
    }

    /// Subscribes to one topic, and reads its messages.
    ///
    /// # Errors
    /// [`SubscribeError`], without trying again.
    pub async fn subscribe_to<T: DeserializeOwned>(
        &self,
        topic: &Topic<T>,
    ) -> Result<Subscription<T>, SubscribeError> {
        let topics = vec![topic.name().to_owned()];
        self.arrivals(topic.channel().to_owned(), topics)
            .await
            .map(Subscription::new)
    }

    /// Follows a run: [`Content::Run`] and [`Content::Step`], from now on. Read the run after this returns to know
    /// what came before.
    ///
    /// # Errors
    /// [`SubscribeError`], without trying again.
    pub async fn follow(&self, run: RunId) -> Result<Subscription<Value>, SubscribeError> {
        self.subscribe(run.to_string(), [RUN_TOPIC, STEP_TOPIC])
            .await
    }

    async fn arrivals(
        &self,
        channel: String,
        topics: Vec<String>,
    ) -> Result<Arrivals, SubscribeError> {
        if topics.is_empty() {
            return Err(SubscribeError::NoTopic { channel });
        }
        if let Some(local) = self.local() {
            let told = [RUN_TOPIC, STEP_TOPIC, STREAM_TOPIC];
            return match topics.iter().find(|topic| told.contains(&&***topic)) {
                Some(topic) => Err(SubscribeError::NotEmbedded {
                    topic: topic.clone(),
                }),
                None => Ok(local.subscribe(channel, topics)),
            };
        }
        Link::new(self.clone(), channel, topics).start().await
    }
}
