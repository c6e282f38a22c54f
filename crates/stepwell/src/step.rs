//! Steps: the parts of a function whose results are recorded.

mod wait_for_event;

pub use wait_for_event::WaitForEvent;

use crate::error::StepError;
use crate::event::OutgoingEvent;
use crate::execution::{Execution, Slot, StepSpec, Turn, panic_error, timing};
use crate::moment::Moment;
use crate::{BoxFuture, Error};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::{EventId, SharedJson, UserError, span};

/// Makes steps. Get it from [`Context::step`](crate::Context::step).
///
/// A step is a future: nothing happens until it is awaited (or polled by `join!`, `select!` and the like), and
/// dropping it before its result is there cancels it, as in any async Rust. Several steps awaited together run
/// in parallel, each in a call of its own.
///
/// An id names a step in the run's record; using one again is another step, told apart by how often it was
/// used. Between steps, a function must do the same on every call: put whatever reads the world into a step.
#[derive(Debug, Clone)]
pub struct Step {
    execution: Arc<Execution>,
}

/// What sending gave: the ids of the events, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The server's ids.
    pub ids: Vec<EventId>,
}

impl Step {
    pub(crate) fn new(execution: Arc<Execution>) -> Self {
        Self { execution }
    }

    pub(crate) fn execution(&self) -> &Execution {
        &self.execution
    }

    fn slot(&self, spec: StepSpec) -> Slot {
        Slot::new(Arc::clone(&self.execution), spec)
    }

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
        RunStep {
            slot: self.slot(StepSpec::new(id, Opcode::StepPlanned)),
            code: Some(Box::new(move |_| Box::pin(code()))),
            running: None,
        }
    }

    /// Waits, without keeping anything alive: up to 366 days.
    ///
    /// Durations are whole milliseconds, rounded up.
    pub fn sleep(&self, id: impl Into<String>, duration: Duration) -> Sleep {
        let ms = duration.as_nanos().div_ceil(1_000_000);
        self.sleep_named(id, span::format_ms(u64::try_from(ms).unwrap_or(u64::MAX)))
    }

    /// Waits until a moment; one in the past does not wait.
    pub fn sleep_until(&self, id: impl Into<String>, moment: impl Into<Moment>) -> Sleep {
        self.sleep_named(id, moment.into().to_string())
    }

    fn sleep_named(&self, id: impl Into<String>, name: String) -> Sleep {
        let mut spec = StepSpec::new(id, Opcode::Sleep);
        spec.name = Some(name);
        Sleep {
            slot: self.slot(spec),
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
        RunStep {
            slot: self.slot(spec),
            code: Some(Box::new(|slot| {
                let execution = Arc::clone(slot.execution());
                let step = slot.hash();
                Box::pin(async move {
                    let sent = execution.client.send_from_step(
                        &execution.run,
                        &step,
                        &execution.middleware,
                        events,
                    );
                    Ok(Sent { ids: sent.await? })
                })
            })),
            running: None,
        }
    }
}

/// A step's code. It is boxed, so that a step's type says nothing of it: steps of different code fit into one
/// collection, and the compiler need not look through closures to see that a function is `Send`.
type Code<'a, T> = Box<dyn FnOnce(&Slot) -> BoxFuture<'a, Result<T, Error>> + Send + 'a>;

/// The future of [`Step::run`], [`Step::send_event`] and [`Step::send_events`].
#[must_use = "a step does nothing until it is awaited"]
pub struct RunStep<'a, T> {
    slot: Slot,
    code: Option<Code<'a, T>>,
    running: Option<Running<'a, T>>,
}

impl<T> fmt::Debug for RunStep<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RunStep")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

/// The future of [`Step::sleep`] and [`Step::sleep_until`].
#[derive(Debug)]
#[must_use = "a step does nothing until it is awaited"]
pub struct Sleep {
    slot: Slot,
}

macro_rules! step_options {
    ($(impl[$($generics:tt)*] $name:ty;)*) => {$(
        impl<$($generics)*> $name {
            /// A name for people; the id when none is given.
            pub fn named(mut self, name: impl Into<String>) -> Self {
                if let Some(spec) = self.slot.spec_mut() {
                    spec.display_name = Some(name.into());
                }
                self
            }

            /// The step takes part in a race (`select!`): the function goes on as soon as this step ends,
            /// rather than when all steps that were found with it have.
            pub fn in_race(mut self) -> Self {
                if let Some(spec) = self.slot.spec_mut() {
                    spec.opts.insert("parallelMode".to_owned(), Value::from("race"));
                }
                self
            }
        }
    )*};
}

use step_options;

step_options! {
    impl['a, T] RunStep<'a, T>;
    impl[] Sleep;
}

/// A step's code at work.
struct Running<'a, T> {
    future: BoxFuture<'a, Result<T, Error>>,
    started_ms: i64,
    started: Instant,
}

impl<T: Serialize> Running<'_, T> {
    /// Polls the code. Its result goes into the record, not to the function: that gets it on its next call.
    fn poll(&mut self, slot: &Slot, cx: &mut Context<'_>) {
        let future = self.future.as_mut();
        let polled = slot.enter(|| catch_unwind(AssertUnwindSafe(|| future.poll(cx))));
        let result = match polled {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(result)) => result.and_then(|output| to_json(&output)),
            Err(payload) => Err(panic_error(&*payload)),
        };
        slot.complete(result, timing(self.started_ms, self.started.elapsed()));
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

impl<T: Serialize + DeserializeOwned> Future for RunStep<'_, T> {
    type Output = Result<T, StepError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.slot.poll(cx) {
            Turn::Wait => Poll::Pending,
            Turn::Resolve(memo) => Poll::Ready(resolve(&this.slot, memo)),
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
                                future,
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
                if let Some(running) = &mut this.running {
                    running.poll(&this.slot, cx);
                }
                Poll::Pending
            }
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.slot.poll(cx) {
            Turn::Wait | Turn::Execute => Poll::Pending,
            Turn::Resolve(memo) => match memo.into_result() {
                Ok(_) => Poll::Ready(()),
                Err(error) => {
                    let error = StepError::new(this.slot.info().id, *error);
                    this.slot.fail(error.into());
                    Poll::Pending
                }
            },
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

fn announce(slot: &Slot) {
    let execution = slot.execution();
    let info = slot.info();
    execution
        .middleware
        .notify(|hooks| hooks.on_step_start(&execution.run, &info));
}

/// What a recorded value means to the function.
fn resolve<T: DeserializeOwned>(slot: &Slot, memo: crate::execution::Memo) -> Result<T, StepError> {
    let step = slot.info().id;
    match memo.into_result() {
        Err(error) => Err(StepError::new(step, *error)),
        Ok(data) => stepwell_protocol::decode::from_slice(data.get().as_bytes()).map_err(|error| {
            let type_name = std::any::type_name::<T>();
            let message = format!(
                "the recorded result of step \"{step}\" is not a {type_name}: {error}; has the step's type changed while the run was under way?"
            );
            StepError::new(step, UserError::new("StepResultMismatch", message))
        }),
    }
}
