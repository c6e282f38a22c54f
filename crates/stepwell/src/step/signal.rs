//! Signals: a name that one run waits for, and whoever knows it can resume.

use super::{RunStep, Slot, Step, decode, json_of, time_string};
use crate::error::StepError;
use crate::execution::StepSpec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use stepwell_protocol::op::Opcode;
use stepwell_protocol::{RunId, SharedJson, shared_json};

/// How long a wait takes that does not say.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);

impl Step {
    /// Waits for a signal, without keeping anything alive: up to [`timeout`](WaitForSignal::timeout), which is an hour
    /// when nobody says. It ends with the signal's data, or with `None` at its time.
    ///
    /// A signal resumes the one run that waits for its name: choose a name that nobody else waits for, or say
    /// [`replacing`](WaitForSignal::replacing).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stepwell::{Context, Error};
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Approval { by: String }
    ///
    /// async fn publish(ctx: Context) -> Result<Option<String>, Error> {
    ///     let post = ctx.data()["post"].as_str().unwrap_or_default();
    ///     let approval = ctx
    ///         .step()
    ///         .wait_for_signal::<Approval>("approval", format!("approve/{post}"))
    ///         .timeout(Duration::from_secs(24 * 3600))
    ///         .await?;
    ///     Ok(approval.map(|approval| approval.by))
    /// }
    /// ```
    ///
    /// # Errors
    /// [`StepError`] when another run waits for the name already, and when the signal's data is not a `T`.
    pub fn wait_for_signal<T: DeserializeOwned>(
        &self,
        id: impl Into<String>,
        signal: impl Into<String>,
    ) -> WaitForSignal<T> {
        let mut spec = StepSpec::new(id, Opcode::WaitForSignal);
        let signal: String = signal.into();
        spec.name = Some(signal.clone());
        spec.opts.insert("signal".to_owned(), signal.into());
        spec.opts.insert("conflict".to_owned(), "fail".into());
        let wait = WaitForSignal {
            slot: self.slot(spec),
            data: PhantomData,
        };
        wait.timeout(TIMEOUT)
    }

    /// Sends a signal, with data for whoever waits for it. It ends with the run that was resumed, or with `None` when
    /// nobody waited.
    ///
    /// # Errors
    /// [`StepError`] when no attempt could send it.
    pub fn send_signal<T: Serialize>(
        &self,
        id: impl Into<String>,
        signal: impl Into<String>,
        data: &T,
    ) -> RunStep<'static, Option<RunId>> {
        let signal: String = signal.into();
        let mut spec = StepSpec::new(id, Opcode::StepPlanned);
        spec.name = Some("sendSignal".to_owned());
        spec.opts
            .insert("type".to_owned(), "step.sendSignal".into());
        spec.opts.insert("signal".to_owned(), signal.clone().into());
        let data = json_of("the signal's data", data);
        self.code_step(spec, move |slot| {
            let execution = Arc::clone(slot.execution());
            Box::pin(async move {
                let data = shared_json(data?.to_string()).expect("a JSON value's text is JSON");
                Ok(execution.client.signal(&signal, data).await?)
            })
        })
    }
}

/// The future of [`Step::wait_for_signal`].
#[must_use = "a step does nothing until it is awaited"]
pub struct WaitForSignal<T> {
    slot: Slot,
    data: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for WaitForSignal<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WaitForSignal")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

super::step_options! {
    impl[T] WaitForSignal<T>;
}

impl<T> WaitForSignal<T> {
    fn option(mut self, key: &str, value: &str) -> Self {
        if let Some(spec) = self.slot.spec_mut() {
            spec.opts.insert(key.to_owned(), value.into());
        }
        self
    }

    /// Gives up after this long.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.option("timeout", &time_string(timeout))
    }

    /// Takes the name over from a run that waits for it already; that one waits on, for its time only.
    pub fn replacing(self) -> Self {
        self.option("conflict", "replace")
    }
}

impl<T: DeserializeOwned> Future for WaitForSignal<T> {
    type Output = Result<Option<T>, StepError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        #[derive(Deserialize)]
        struct Signal {
            #[serde(default = "null")]
            data: SharedJson,
        }
        let this = self.get_mut();
        let recorded = match this.slot.poll_recorded(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(recorded)) => recorded,
        };
        let step = this.slot.info().id;
        let signal = decode::<Option<Signal>>(step.clone(), &recorded);
        Poll::Ready(
            signal.and_then(|signal| signal.map(|signal| decode(step, &signal.data)).transpose()),
        )
    }
}

fn null() -> SharedJson {
    shared_json("null".to_owned()).expect("null is JSON")
}
