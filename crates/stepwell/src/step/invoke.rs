//! Invoking: another function as a step.

use super::{Slot, Step, decode, json_of, time_string};
use crate::Error;
use crate::error::StepError;
use crate::execution::StepSpec;
use crate::function::FunctionRef;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use stepwell_protocol::op::Opcode;

impl Step {
    /// Runs another function, of this app or another, and waits for its end: with what it returned.
    ///
    /// ```
    /// # use stepwell::{Context, Error, FunctionRef};
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Charge { cents: u64 }
    ///
    /// /// The function `charge` of the app `billing`, as this app sees it.
    /// const CHARGE: FunctionRef<Charge, String> = FunctionRef::new("charge").of_app("billing");
    ///
    /// async fn checkout(ctx: Context) -> Result<String, Error> {
    ///     let receipt = ctx.step().invoke("charge", CHARGE, Charge { cents: 100 }).await?;
    ///     Ok(receipt)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`StepError`] when the function failed, was cancelled or did not start, when it took longer than
    /// [`timeout`](Invoke::timeout), and when it returned something else than an `O`.
    pub fn invoke<I: Serialize, O: DeserializeOwned>(
        &self,
        id: impl Into<String>,
        function: FunctionRef<I, O>,
        data: I,
    ) -> Invoke<O> {
        let public_id = function.public_id(self.execution.client.app_id());
        self.invoke_named(id, public_id, data)
    }

    /// The same for a function of which only the public id, `<app>-<function>`, is known.
    ///
    /// # Errors
    /// See [`Step::invoke`].
    pub fn invoke_named<I: Serialize, O: DeserializeOwned>(
        &self,
        id: impl Into<String>,
        public_id: impl Into<String>,
        data: I,
    ) -> Invoke<O> {
        let public_id: String = public_id.into();
        let mut spec = StepSpec::new(id, Opcode::InvokeFunction);
        match json_of("the data", &data) {
            Ok(data) if data.is_object() || data.is_null() => {
                spec.opts
                    .insert("payload".to_owned(), json!({"data": data}));
            }
            Ok(_) => {
                let message = format!("the data for function '{public_id}' is not a JSON object");
                spec.problem = Some(Error::new("InvalidEvent", message));
            }
            Err(problem) => spec.problem = Some(problem),
        }
        spec.opts.insert("function_id".to_owned(), public_id.into());
        Invoke {
            slot: self.slot(spec),
            output: PhantomData,
        }
    }
}

/// The future of [`Step::invoke`].
#[must_use = "a step does nothing until it is awaited"]
pub struct Invoke<O> {
    slot: Slot,
    output: PhantomData<fn() -> O>,
}

impl<O> fmt::Debug for Invoke<O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Invoke")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

super::step_options! {
    impl[O] Invoke<O>;
}

impl<O> Invoke<O> {
    /// Fails the step after this long; a year when nobody says. The other function goes on.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        if let Some(spec) = self.slot.spec_mut() {
            spec.opts
                .insert("timeout".to_owned(), time_string(timeout).into());
        }
        self
    }
}

impl<O: DeserializeOwned> Future for Invoke<O> {
    type Output = Result<O, StepError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.slot.poll_recorded(cx).map(|recorded| {
            let output = recorded?;
            decode(this.slot.info().id, &output)
        })
    }
}
