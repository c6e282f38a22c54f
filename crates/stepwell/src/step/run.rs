//! Steps whose code runs in the app.

use super::{Slot, Step};
use crate::error::StepError;
use crate::event::OutgoingEvent;
use crate::execution::{StepSpec, Turn, panic_error, timing};
use crate::middleware::Outcome;
use crate::{BoxFuture, Error};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use stepwell_protocol::op::Opcode;
use stepwell_protocol::{EventId, SharedJson, StepId, UserError};

/// What sending gave: the ids of the events, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The server's ids.
    pub ids: Vec<EventId>,
}

impl Step {
    /// Runs code once, and records what it returns.
    ///
    /// The closure is called only when the step is to execute; on later calls the recorded value is decoded.
    /// It may borrow the function's locals. An error is retried, a call for each attempt, unless it is
    /// [`NonRetriable`](crate::NonRetriable).
    ///
    /// ```
    /// # use stepwell::{Context, Error};
    /// # async fn fetch(url: &str) -> Result<String, std::io::Error> { Ok(url.to_owned()) }
    /// async fn handler(ctx: Context) -> Result<usize, Error> {
    ///     let url = ctx.data()["url"].as_str().unwrap_or_default();
    ///     let page: String = ctx.step().run("fetch", || async { Ok(fetch(url).await?) }).await?;
    ///     Ok(page.len())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`StepError`] once no attempt is left, and when the recorded value is not a `T`.
    pub fn run<'a, F, Fut, T>(&self, id: impl Into<String>, code: F) -> RunStep<'a, T>
    where
        F: FnOnce() -> Fut + Send + 'a,
        Fut: Future<Output = Result<T, Error>> + Send + 'a,
        T: Serialize + DeserializeOwned,
    {
        self.code_step(StepSpec::new(id, Opcode::StepPlanned), move |_| {
            Box::pin(code())
        })
    }

    /// [`Step::run`] for code that has to know which step it is: it is given the hash that servers know the step by, which
    /// also tells it from others of the same id in the run.
    ///
    /// ```
    /// # use stepwell::{Context, Error};
    /// # async fn pay(key: &str) -> Result<u32, Error> { Ok(key.len() as u32) }
    /// # async fn handler(ctx: Context) -> Result<(), Error> {
    /// for _ in 0..2 {
    ///     let run_id = ctx.run_id();
    ///     let paid: u32 = ctx
    ///         .step()
    ///         .run_identified("pay", |step| async move { pay(&format!("{run_id}/{step}")).await })
    ///         .await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StepError`] once no attempt is left, and when the recorded value is not a `T`.
    pub fn run_identified<'a, F, Fut, T>(&self, id: impl Into<String>, code: F) -> RunStep<'a, T>
    where
        F: FnOnce(StepId) -> Fut + Send + 'a,
        Fut: Future<Output = Result<T, Error>> + Send + 'a,
        T: Serialize + DeserializeOwned,
    {
        self.code_step(StepSpec::new(id, Opcode::StepPlanned), move |slot| {
            Box::pin(code(slot.hash()))
        })
    }

    /// Runs code once with an input that is recorded along with the step, so that people see it, and may give another
    /// when they run the run again.
    ///
    /// ```
    /// # use stepwell::{Context, Error};
    /// # async fn handler(ctx: Context) -> Result<String, Error> {
    /// let greeting = ctx
    ///     .step()
    ///     .run_with("greet", "Ada".to_owned(), |name| async move { Ok(format!("hello {name}")) })
    ///     .await?;
    /// # Ok(greeting)
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StepError`] once no attempt is left, and when the recorded value is not a `T`.
    pub fn run_with<'a, I, F, Fut, T>(
        &self,
        id: impl Into<String>,
        input: I,
        code: F,
    ) -> RunStep<'a, T>
    where
        I: Serialize + DeserializeOwned + Send + 'a,
        F: FnOnce(I) -> Fut + Send + 'a,
        Fut: Future<Output = Result<T, Error>> + Send + 'a,
        T: Serialize + DeserializeOwned,
    {
        self.input_step(StepSpec::new(id, Opcode::StepPlanned), input, code)
    }

    /// A step whose code takes an input that goes into the record.
    pub(super) fn input_step<'a, I, F, Fut, T>(
        &self,
        mut spec: StepSpec,
        input: I,
        code: F,
    ) -> RunStep<'a, T>
    where
        I: Serialize + DeserializeOwned + Send + 'a,
        F: FnOnce(I) -> Fut + Send + 'a,
        Fut: Future<Output = Result<T, Error>> + Send + 'a,
    {
        match super::json_of("the step's input", &input) {
            Ok(shown) => {
                spec.opts
                    .insert("input".to_owned(), Value::Array(vec![shown]));
            }
            Err(error) => return self.code_step(spec, |_| Box::pin(async { Err(error) })),
        }
        self.code_step(spec, move |slot| {
            let other = slot.input();
            Box::pin(async move {
                let input = match other {
                    None => input,
                    Some(other) => {
                        let (other,) = stepwell_protocol::decode::from_slice(
                            other.get().as_bytes(),
                        )
                        .map_err(|error| {
                            let message = format!(
                                "the input that was given is not one of the step's: {error}"
                            );
                            Error::new("InputMismatch", message).non_retriable()
                        })?;
                        other
                    }
                };
                code(input).await
            })
        })
    }

    /// A step of this code.
    pub(super) fn code_step<'a, T>(
        &self,
        spec: StepSpec,
        code: impl FnOnce(&Slot) -> BoxFuture<'a, Result<T, Error>> + Send + 'a,
    ) -> RunStep<'a, T> {
        RunStep {
            slot: self.slot(spec),
            code: Some(Box::new(code)),
            running: None,
        }
    }

    /// Sends an event, once: another attempt of the step sends it under the same ids.
    ///
    /// # Errors
    /// [`StepError`] when the event is not valid, or no attempt could send it.
    pub fn send_event(
        &self,
        id: impl Into<String>,
        event: impl Into<OutgoingEvent>,
    ) -> RunStep<'static, Sent> {
        self.send_events(id, [event])
    }

    /// Sends several events; see [`Step::send_event`].
    ///
    /// # Errors
    /// [`StepError`] when an event is not valid, or no attempt could send them.
    pub fn send_events<I>(&self, id: impl Into<String>, events: I) -> RunStep<'static, Sent>
    where
        I: IntoIterator<Item: Into<OutgoingEvent>>,
    {
        let mut spec = StepSpec::new(id, Opcode::StepPlanned);
        spec.name = Some("sendEvent".to_owned());
        spec.opts.insert("type".to_owned(), "step.sendEvent".into());
        let events: Vec<OutgoingEvent> = events.into_iter().map(Into::into).collect();
        self.code_step(spec, |slot| {
            let execution = Arc::clone(slot.execution());
            let step = slot.hash();
            Box::pin(async move {
                let sent = execution.client.send_from_step(
                    &execution.run,
                    &step,
                    &execution.middleware,
                    events,
                    &execution.sessions,
                );
                Ok(Sent { ids: sent.await? })
            })
        })
    }
}

/// A step's code. It is boxed, so that a step's type says nothing of it: steps of different code fit into one
/// collection, and the compiler need not look through closures to see that a function is `Send`.
type Code<'a, T> = Box<dyn FnOnce(&Slot) -> BoxFuture<'a, Result<T, Error>> + Send + 'a>;

/// The future of [`Step::run`], and of the other steps that this program executes itself.
#[must_use = "a step does nothing until it is awaited"]
pub struct RunStep<'a, T> {
    slot: Slot,
    code: Option<Code<'a, T>>,
    running: Option<Running<'a>>,
}

impl<T> fmt::Debug for RunStep<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RunStep")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

super::step_options! {
    impl['a, T] RunStep<'a, T>;
}

impl<T> RunStep<'_, T> {
    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }
}

/// A step's code at work, within what middleware puts around it.
struct Running<'a> {
    future: Outcome<'a>,
    started_ms: i64,
    started: Instant,
}

impl Running<'_> {
    /// Polls the code; says whether it has ended. Its result goes into the record, not to the function: that gets it out
    /// of the record, on this call or the next.
    fn poll(&mut self, slot: &Slot, cx: &mut Context<'_>) -> bool {
        let future = self.future.as_mut();
        let polled = slot.enter(|| catch_unwind(AssertUnwindSafe(|| future.poll(cx))));
        let result = match polled {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(result)) => result,
            Err(payload) => Err(panic_error(&*payload)),
        };
        slot.complete(result, timing(self.started_ms, self.started.elapsed()));
        true
    }
}

pub(crate) fn to_json<T: Serialize>(output: &T) -> Result<SharedJson, Error> {
    serde_json::value::to_raw_value(output)
        .map(SharedJson::from)
        .map_err(|error| {
            let message = format!("the result cannot be written as JSON: {error}");
            Error::new("SerializeError", message).non_retriable()
        })
}

impl<'a, T: Serialize + DeserializeOwned + 'a> Future for RunStep<'a, T> {
    type Output = Result<T, StepError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.slot.poll(cx) {
            Turn::Wait => Poll::Pending,
            Turn::Resolve(memo) => {
                (this.code, this.running) = (None, None);
                let step = this.slot.info().id;
                Poll::Ready(match memo.into_result() {
                    Err(error) => Err(StepError::new(step, *error)),
                    Ok(data) => decode(step, &data),
                })
            }
            Turn::Execute => {
                if let Some(code) = this.code.take() {
                    announce(&this.slot);
                    let code = stand_in(&this.slot).unwrap_or(code);
                    let started_ms = this.slot.execution().clock.now().unix_ms();
                    let started = Instant::now();
                    // Calling the closure is part of the step, too.
                    match this
                        .slot
                        .enter(|| catch_unwind(AssertUnwindSafe(|| code(&this.slot))))
                    {
                        Ok(future) => {
                            this.running = Some(Running {
                                future: wrapped(&this.slot, future),
                                started_ms,
                                started,
                            });
                        }
                        Err(payload) => {
                            let timing = timing(started_ms, started.elapsed());
                            this.slot.complete(Err(panic_error(&*payload)), timing);
                        }
                    }
                }
                let running = this.running.as_mut();
                if running.is_some_and(|running| running.poll(&this.slot, cx)) {
                    this.running = None;
                }
                Poll::Pending
            }
        }
    }
}

/// What runs in the place of a step's code, if anything does.
fn stand_in<'a, T: DeserializeOwned>(slot: &Slot) -> Option<Code<'a, T>> {
    let stand_in = slot.stand_in()?;
    Some(Box::new(move |slot| {
        let step = slot.info().id;
        Box::pin(async move {
            let output = stand_in.await?;
            stepwell_protocol::decode::from_slice(output.get().as_bytes()).map_err(|error| {
                let type_name = std::any::type_name::<T>();
                let message =
                    format!("the mock of step \"{step}\" did not give a {type_name}: {error}");
                Error::new("MockMismatch", message).non_retriable()
            })
        })
    }))
}

/// The code with its output as JSON, within what middleware puts around it.
fn wrapped<'a, T: Serialize + 'a>(
    slot: &Slot,
    code: BoxFuture<'a, Result<T, Error>>,
) -> Outcome<'a> {
    let execution = slot.execution();
    let outcome = Box::pin(async move { to_json(&code.await?) });
    let info = slot.info();
    execution
        .middleware
        .wrap_step(&execution.run, &info, outcome)
}

fn announce(slot: &Slot) {
    let execution = slot.execution();
    let info = slot.info();
    execution
        .middleware
        .notify(|hooks| hooks.on_step_start(&execution.run, &info));
}

/// What a recorded value means to the function.
pub(crate) fn decode<T: DeserializeOwned>(step: String, data: &SharedJson) -> Result<T, StepError> {
    stepwell_protocol::decode::from_slice(data.get().as_bytes()).map_err(|error| {
        let type_name = std::any::type_name::<T>();
        let message = format!(
            "the recorded result of step \"{step}\" is not a {type_name}: {error}; has the step's type changed while the run was under way?"
        );
        StepError::new(step, UserError::new("StepResultMismatch", message))
    })
}
