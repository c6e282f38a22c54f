//! Waiting for an event.

use super::{Slot, Step, time_string};
use crate::Error;
use crate::error::StepError;
use crate::event::{Event, Payload, Received};
use crate::execution::StepSpec;
use serde_json::Value;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use stepwell_protocol::UserError;
use stepwell_protocol::op::Opcode;

impl Step {
    /// Waits for an event, without keeping anything alive: up to [`timeout`](WaitForEvent::timeout), which is an hour
    /// when nobody says.
    ///
    /// It ends with the first event that comes after the wait was registered and meets its conditions, or with `None`
    /// at its time. [`look_back`](WaitForEvent::look_back) lets it end with one that came just before.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stepwell::{Context, Error, Event, schemars::JsonSchema};
    /// # #[derive(serde::Serialize, serde::Deserialize, JsonSchema, Event)]
    /// # #[event(name = "shop/order.placed")]
    /// # struct OrderPlaced { order_id: String }
    /// #[derive(serde::Serialize, serde::Deserialize, JsonSchema, Event)]
    /// #[event(name = "shop/order.paid")]
    /// struct OrderPaid { order_id: String, cents: u64 }
    ///
    /// async fn handler(ctx: Context<OrderPlaced>) -> Result<&'static str, Error> {
    ///     let payment = ctx
    ///         .step()
    ///         .wait_for_event::<OrderPaid>("payment")
    ///         .matching("data.order_id")
    ///         .timeout(Duration::from_secs(24 * 3600))
    ///         .look_back(Duration::from_secs(60))
    ///         .await?;
    ///     Ok(if payment.is_some() { "ship" } else { "remind" })
    /// }
    /// ```
    ///
    /// # Errors
    /// [`StepError`] when the event that came is not a valid `E`.
    pub fn wait_for_event<E: Event>(&self, id: impl Into<String>) -> WaitForEvent<E> {
        self.wait_for_event_named(id, E::NAME)
    }

    /// The same for an event of any name and shape.
    ///
    /// # Errors
    /// [`StepError`] when the event that came is not a valid `E`.
    pub fn wait_for_event_named<E: Payload>(
        &self,
        id: impl Into<String>,
        event: &str,
    ) -> WaitForEvent<E> {
        let mut spec = StepSpec::new(id, Opcode::WaitForEvent);
        spec.opts.insert("event".to_owned(), event.into());
        let wait = WaitForEvent {
            slot: self.slot(spec),
            received: PhantomData,
        };
        wait.timeout(TIMEOUT)
    }
}

/// How long a wait takes that does not say.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// The future of [`Step::wait_for_event`].
#[must_use = "a step does nothing until it is awaited"]
pub struct WaitForEvent<E> {
    slot: Slot,
    received: PhantomData<fn() -> E>,
}

impl<E> fmt::Debug for WaitForEvent<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WaitForEvent")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

super::step_options! {
    impl[E] WaitForEvent<E>;
}

impl<E> WaitForEvent<E> {
    fn option(mut self, key: &str, value: impl Into<Value>) -> Self {
        if let Some(spec) = self.slot.spec_mut() {
            spec.opts.insert(key.to_owned(), value.into());
        }
        self
    }

    /// Gives up after this long, up to 366 days.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.option("timeout", time_string(timeout))
    }

    /// Only an event that has the run's own event's value at this path, e.g. `data.order_id`.
    pub fn matching(self, path: &str) -> Self {
        let condition = format!("event.{path} == async.{path}");
        self.when(condition)
    }

    /// Only an event for which this expression over `event` (the run's own) and `async` (the one that comes) is true.
    /// Several conditions must all be.
    pub fn when(mut self, condition: impl Into<String>) -> Self {
        let condition = condition.into();
        let Some(spec) = self.slot.spec_mut() else {
            return self;
        };
        let condition = match spec.opts.get("if").and_then(Value::as_str) {
            Some(before) => format!("({before}) && ({condition})"),
            None => condition,
        };
        spec.opts.insert("if".to_owned(), condition.into());
        self
    }

    /// An event counts, too, that came up to this long before the wait was registered: the earliest that matches. At
    /// most a day. Servers other than Stepwell's do not look back.
    pub fn look_back(self, span: Duration) -> Self {
        self.option("lookback", time_string(span))
    }
}

impl<E: Payload> Future for WaitForEvent<E> {
    type Output = Result<Option<Received<E>>, StepError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let event = match this.slot.poll_recorded(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(event)) => event,
        };
        Poll::Ready(if event.get() == "null" {
            Ok(None)
        } else {
            Received::decode(&event).map(Some).map_err(|invalid| {
                let error = UserError::new("InvalidEvent", Error::from(invalid).to_string());
                StepError::new(this.slot.info().id, error)
            })
        })
    }
}
