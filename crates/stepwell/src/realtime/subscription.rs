//! What a subscriber holds.

use super::SubscribeError;
use super::message::{Json, Message};
use futures::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Messages as they arrive.
pub(crate) type Arrivals =
    Pin<Box<dyn Stream<Item = Result<Message<Json>, SubscribeError>> + Send + 'static>>;

/// A stream of messages. Dropping it ends the subscription.
///
/// Who reads more slowly than others publish is cut off by the server once what waits, here and there, is more than
/// a few megabytes; the stream then subscribes again and says that it was [interrupted](SubscribeError::Interrupted).
pub struct Subscription<T = Value> {
    arrivals: Arrivals,
    message: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Subscription")
            .finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned> Subscription<T> {
    pub(super) fn new(arrivals: Arrivals) -> Self {
        Self {
            arrivals,
            message: PhantomData,
        }
    }

    /// Waits for the next message. `None` once the subscription has ended: after an error that says so or, of an engine
    /// in this process, with the engine.
    ///
    /// # Errors
    /// [`SubscribeError`]; the stream goes on after [`Interrupted`](SubscribeError::Interrupted) and
    /// [`Unreadable`](SubscribeError::Unreadable).
    pub async fn next(&mut self) -> Option<Result<Message<T>, SubscribeError>> {
        StreamExt::next(self).await
    }
}

impl<T: DeserializeOwned> Stream for Subscription<T> {
    type Item = Result<Message<T>, SubscribeError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let arrived = self.arrivals.as_mut().poll_next(cx);
        arrived.map(|next| next.map(|arrived| arrived?.read()))
    }
}
