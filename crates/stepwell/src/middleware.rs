//! Middleware: code around every call, step and send.

mod flush;
mod logging;
mod reporting;
mod silence;

pub use logging::Logging;
pub use reporting::{ErrorReport, ErrorReporting, Reporter};
pub(crate) use silence::silently;

use crate::event::OutgoingEvent;
use crate::moment::Clock;
use crate::{BoxFuture, Error};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use stepwell_protocol::{RunId, SharedJson};

/// The run that a call belongs to.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// The run.
    pub run_id: RunId,
    /// The public id of the function, `<app>-<function>`.
    pub function_id: Arc<str>,
    /// The name of the event that it runs for.
    pub event_name: Arc<str>,
    /// Which attempt of this call it is, from 0.
    pub attempt: u32,
    /// How many attempts there are.
    pub max_attempts: u32,
    /// The request, as the server numbers it; empty when it does not.
    pub request_id: Arc<str>,
}

impl RunInfo {
    /// Whether no attempt comes after this one.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.attempt + 1 >= self.max_attempts
    }
}

/// A step of a run.
#[derive(Debug, Clone)]
pub struct StepInfo {
    /// Its id, as the function wrote it.
    pub id: String,
    /// Which use of the id it is, from 0.
    pub index: usize,
    /// Its name for people.
    pub display_name: String,
}

/// What a function is about to get; middleware may change it.
#[derive(Debug)]
pub struct FunctionInput {
    raw: Vec<SharedJson>,
    parsed: Option<Vec<Value>>,
}

impl FunctionInput {
    pub(crate) fn new(raw: Vec<SharedJson>) -> Self {
        Self { raw, parsed: None }
    }

    /// The events, each with `id`, `name`, `data` and `ts`. They are parsed when this is first called.
    ///
    /// # Errors
    /// An event is not JSON.
    pub fn events(&mut self) -> Result<&mut Vec<Value>, Error> {
        if self.parsed.is_none() {
            let events: Result<Vec<Value>, _> = self
                .raw
                .iter()
                .map(|raw| serde_json::from_str(raw.get()))
                .collect();
            self.parsed = Some(events?);
        }
        Ok(self.parsed.as_mut().expect("it was just filled"))
    }

    pub(crate) fn into_events(self) -> Vec<SharedJson> {
        let Some(parsed) = self.parsed else {
            return self.raw;
        };
        let texts = parsed.iter().map(Value::to_string);
        texts
            .map(|text| stepwell_protocol::shared_json(text).expect("a JSON value's text is JSON"))
            .collect()
    }
}

/// Code around every call, step and send. Every hook does nothing unless it is written.
///
/// Hooks of one call come in this order: `transform_function_input`, `on_run_start` (in a run's first call),
/// `on_memoization_end`, the step's hooks, `on_run_complete` or `on_run_error`, `flush`. With several middlewares each hook runs in the
/// order they were added; those of the app come before a function's own.
///
/// An error of a transform fails the attempt (or the send). An `on_…` hook cannot fail; its panic is logged and
/// changes nothing.
pub trait Middleware: Send + Sync + 'static {
    /// Before a function is called; may change its events.
    ///
    /// # Errors
    /// Fails the attempt.
    fn transform_function_input(
        &self,
        run: &RunInfo,
        input: &mut FunctionInput,
    ) -> Result<(), Error> {
        let _ = (run, input);
        Ok(())
    }

    /// The recorded steps are replayed: what runs now runs for the first time. Once a call.
    fn on_memoization_end(&self, run: &RunInfo) {
        let _ = run;
    }

    /// The run's first call, before anything of the function runs. Calls for single steps are never the first.
    fn on_run_start(&self, run: &RunInfo) {
        let _ = run;
    }

    /// A step is about to execute.
    fn on_step_start(&self, run: &RunInfo, step: &StepInfo) {
        let _ = (run, step);
    }

    /// What runs in the place of the step's code, if anything does; tests mock steps with it. The first middleware that
    /// has something decides.
    #[doc(hidden)]
    fn stand_in(&self, run: &RunInfo, step: &StepInfo, input: &Value) -> Option<StandIn> {
        let _ = (run, step, input);
        None
    }

    /// A step has executed.
    fn on_step_complete(&self, run: &RunInfo, step: &StepInfo, output: &RawValue) {
        let _ = (run, step, output);
    }

    /// A step has failed; `is_final` when no other attempt comes.
    fn on_step_error(&self, run: &RunInfo, step: &StepInfo, error: &Error, is_final: bool) {
        let _ = (run, step, error, is_final);
    }

    /// The function has returned.
    fn on_run_complete(&self, run: &RunInfo, output: &RawValue) {
        let _ = (run, output);
    }

    /// The function has failed; `is_final` when no other attempt comes.
    fn on_run_error(&self, run: &RunInfo, error: &Error, is_final: bool) {
        let _ = (run, error, is_final);
    }

    /// Before events are sent, by the client or by a step; may change them.
    ///
    /// # Errors
    /// Fails the send.
    fn transform_send_event(&self, events: &mut Vec<OutgoingEvent>) -> Result<(), Error> {
        let _ = events;
        Ok(())
    }

    /// Before the call is answered: send what was collected. After five seconds the future is dropped and the
    /// call answered; that is logged, as is a panic. It must not block its thread.
    fn flush(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Runs in the place of a step's code, and gives what that would.
#[doc(hidden)]
pub type StandIn = BoxFuture<'static, Result<SharedJson, Error>>;

/// Several middlewares, in order.
#[derive(Clone, Default)]
pub(crate) struct Stack(Arc<[Arc<dyn Middleware>]>);

impl fmt::Debug for Stack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} middlewares", self.0.len())
    }
}

impl Stack {
    /// These, then `middleware`.
    pub(crate) fn with(&self, middleware: Arc<dyn Middleware>) -> Self {
        Self(self.0.iter().cloned().chain([middleware]).collect())
    }

    /// These, then `others`.
    pub(crate) fn then(&self, others: &Self) -> Self {
        if others.0.is_empty() {
            return self.clone();
        }
        Self(self.0.iter().chain(others.0.iter()).cloned().collect())
    }

    /// Calls an `on_…` hook of each.
    pub(crate) fn notify(&self, hook: impl Fn(&dyn Middleware)) {
        for middleware in self.0.iter() {
            if catch_unwind(AssertUnwindSafe(|| hook(&**middleware))).is_err() {
                tracing::error!("a middleware hook panicked; the call goes on");
            }
        }
    }

    pub(crate) fn stand_in(
        &self,
        run: &RunInfo,
        step: &StepInfo,
        input: &Value,
    ) -> Option<StandIn> {
        self.0
            .iter()
            .find_map(|middleware| middleware.stand_in(run, step, input))
    }

    pub(crate) fn transform_input(
        &self,
        run: &RunInfo,
        events: Vec<SharedJson>,
    ) -> Result<Vec<SharedJson>, Error> {
        let mut input = FunctionInput::new(events);
        for middleware in self.0.iter() {
            middleware.transform_function_input(run, &mut input)?;
        }
        Ok(input.into_events())
    }

    pub(crate) fn transform_send(&self, events: &mut Vec<OutgoingEvent>) -> Result<(), Error> {
        for middleware in self.0.iter() {
            middleware.transform_send_event(events)?;
        }
        Ok(())
    }

    pub(crate) async fn flush(&self, clock: &dyn Clock) {
        for middleware in self.0.iter() {
            flush::flush(&**middleware, clock).await;
        }
    }
}

#[cfg(test)]
mod tests;
