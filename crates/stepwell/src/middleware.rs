//! Middleware: code around every call, step and send.

#[cfg(feature = "encryption")]
mod encryption;
mod flush;
mod input;
mod logging;
mod reporting;
mod silence;
mod stack;
mod tracing_spans;

#[cfg(feature = "encryption")]
pub use encryption::{Encryption, EncryptionError};
pub use input::{FunctionInput, StepInput};
pub use logging::Logging;
pub use reporting::{ErrorReport, ErrorReporting, Reporter};
pub(crate) use silence::silently;
pub(crate) use stack::Stack;
pub use stepwell_protocol::SharedJson;
pub use stepwell_protocol::reply::RawReply;
pub use tracing_spans::Tracing;

use crate::client::SendError;
use crate::event::OutgoingEvent;
use crate::{BoxFuture, Error};
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;
use stepwell_protocol::op::Opcode;
use stepwell_protocol::{EventId, RunId, UserError};

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
    /// The trace that the server has the call in.
    pub trace: TraceContext,
}

/// The trace that a call belongs to, as W3C's Trace Context has it; empty when the transport carries none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// The header `traceparent`.
    pub traceparent: Option<Arc<str>>,
    /// The header `tracestate`.
    pub tracestate: Option<Arc<str>>,
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
    /// What it does.
    pub kind: StepKind,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StepKind {
    /// Runs code of the function: also that of an experiment, a send of a signal, a publication.
    Run,
    /// Sends events.
    SendEvent,
    /// Sleeps.
    Sleep,
    /// Waits for an event.
    WaitForEvent,
    /// Waits for a signal.
    WaitForSignal,
    /// Runs another function.
    Invoke,
    /// Has the server make a request.
    Fetch,
    /// Has the server ask an AI model.
    Infer,
}

impl StepKind {
    pub(crate) fn of(opcode: Opcode, type_option: Option<&str>) -> Self {
        match opcode {
            Opcode::Sleep => Self::Sleep,
            Opcode::WaitForEvent => Self::WaitForEvent,
            Opcode::WaitForSignal => Self::WaitForSignal,
            Opcode::InvokeFunction => Self::Invoke,
            Opcode::Gateway => Self::Fetch,
            Opcode::AiGateway => Self::Infer,
            _ if type_option == Some("step.sendEvent") => Self::SendEvent,
            _ => Self::Run,
        }
    }

    /// The kind as the protocol's SDKs name it: `run`, `waitForEvent`, `ai.infer`, ….
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::SendEvent => "sendEvent",
            Self::Sleep => "sleep",
            Self::WaitForEvent => "waitForEvent",
            Self::WaitForSignal => "waitForSignal",
            Self::Invoke => "invoke",
            Self::Fetch => "fetch",
            Self::Infer => "ai.infer",
        }
    }
}

/// What a function or a step's code is about to give: its output as JSON, or its error.
pub type Outcome<'a> = BoxFuture<'a, Result<SharedJson, Error>>;

/// Code around every call, step and send. Every hook does nothing unless it is written.
///
/// Hooks of one call come in this order:
///
/// | Hook | When |
/// |---|---|
/// | [`wrap_request`](Self::wrap_request) | around all of the call |
/// | [`transform_function_input`](Self::transform_function_input) | once |
/// | [`on_memoization_end`](Self::on_memoization_end) | once: here when nothing is recorded, else when the last recorded step is replayed |
/// | [`on_run_start`](Self::on_run_start) | in a run's first call |
/// | [`wrap_function`](Self::wrap_function) | around the function's code |
/// | [`transform_step_input`](Self::transform_step_input) | for each step that is asked for, on every call |
/// | [`transform_step_result`](Self::transform_step_result) | for each recorded result that the function gets, on every call |
/// | [`on_step_start`](Self::on_step_start), [`wrap_step`](Self::wrap_step), then [`on_step_complete`](Self::on_step_complete) or [`on_step_error`](Self::on_step_error) | when a step's code runs |
/// | [`transform_send_event`](Self::transform_send_event), [`wrap_send`](Self::wrap_send) | when events are sent, also outside of calls |
/// | [`on_run_complete`](Self::on_run_complete) or [`on_run_error`](Self::on_run_error) | when the function has ended |
/// | [`flush`](Self::flush) | before the answer |
///
/// With several middlewares, transforms and `on_…` hooks run in the order in which they were added, and `wrap_…` hooks
/// nest, the first outermost: what the function gets passes the first before the second, what it gives the second
/// before the first. Middleware of the client comes before the app's, and that before a function's own.
///
/// An error of a transform fails the attempt (or the send), and a wrap decides what comes out of what it wraps. An `on_…`
/// hook cannot fail; its panic is logged and changes nothing.
///
/// A function is called again and again, and what is not recorded must come out the same each time: a transform of
/// inputs depends on nothing but what it gets. Per-call state lives in the futures of the wraps.
///
/// ```
/// use stepwell::middleware::{FunctionInput, Middleware, Outcome, RunInfo};
/// use stepwell::{Context, Error};
///
/// #[derive(Clone)]
/// struct Tenant(String);
///
/// /// Gives handlers the tenant, and says how long calls take.
/// struct Tenants;
///
/// impl Middleware for Tenants {
///     fn transform_function_input(&self, _: &RunInfo, input: &mut FunctionInput) -> Result<(), Error> {
///         let tenant = input.events()?[0]["data"]["tenant"].as_str().unwrap_or("none").to_owned();
///         input.provide(Tenant(tenant));
///         Ok(())
///     }
///
///     fn wrap_function<'a>(&'a self, run: &'a RunInfo, next: Outcome<'a>) -> Outcome<'a> {
///         Box::pin(async move {
///             let output = next.await;
///             tracing::debug!(function = %run.function_id, ok = output.is_ok(), "ended");
///             output
///         })
///     }
/// }
///
/// async fn handler(ctx: Context) -> Result<String, Error> {
///     Ok(ctx.provided::<Tenant>().expect("the middleware gives it").0.clone())
/// }
/// ```
pub trait Middleware: Send + Sync + 'static {
    /// Around a call, whatever it is for; gives the answer for the server. Around the hooks of all others, except for
    /// `flush`. When it panics, the attempt fails.
    fn wrap_request<'a>(
        &'a self,
        run: &'a RunInfo,
        next: BoxFuture<'a, RawReply>,
    ) -> BoxFuture<'a, RawReply> {
        let _ = run;
        next
    }

    /// Before a function is called; may change its events, and give its handler values.
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

    /// Around the function's code; may change what it gives. It is dropped, not ended, when the call ends with a step.
    /// What it awaits besides `next` counts as awaited outside of steps.
    fn wrap_function<'a>(&'a self, run: &'a RunInfo, next: Outcome<'a>) -> Outcome<'a> {
        let _ = run;
        next
    }

    /// A step is asked for: on every call, recorded or not. May change its id, name and options.
    ///
    /// # Errors
    /// Fails the attempt.
    fn transform_step_input(&self, run: &RunInfo, step: &mut StepInput) -> Result<(), Error> {
        let _ = (run, step);
        Ok(())
    }

    /// The function is about to get a step's recorded result, on every call; may change what it gets.
    ///
    /// # Errors
    /// Fails the attempt.
    fn transform_step_result(
        &self,
        run: &RunInfo,
        step: &StepInfo,
        result: &mut Result<SharedJson, UserError>,
    ) -> Result<(), Error> {
        let _ = (run, step, result);
        Ok(())
    }

    /// A step is about to execute.
    fn on_step_start(&self, run: &RunInfo, step: &StepInfo) {
        let _ = (run, step);
    }

    /// Around the code of a step that this program executes, on each attempt; may change what is recorded.
    fn wrap_step<'a>(
        &'a self,
        run: &'a RunInfo,
        step: &'a StepInfo,
        next: Outcome<'a>,
    ) -> Outcome<'a> {
        let _ = (run, step);
        next
    }

    /// What runs in the place of the step's code, if anything does; tests mock steps with it. The first middleware that
    /// has something decides.
    #[doc(hidden)]
    fn stand_in(&self, run: &RunInfo, step: &StepInfo, input: &Value) -> Option<StandIn> {
        let _ = (run, step, input);
        None
    }

    /// A step has executed; `output` is what is recorded.
    fn on_step_complete(&self, run: &RunInfo, step: &StepInfo, output: &RawValue) {
        let _ = (run, step, output);
    }

    /// A step has failed; `is_final` when no other attempt comes.
    fn on_step_error(&self, run: &RunInfo, step: &StepInfo, error: &Error, is_final: bool) {
        let _ = (run, step, error, is_final);
    }

    /// The function has returned; `output` is what the server gets.
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

    /// Around a send, after all transforms; gives the ids of the events.
    fn wrap_send<'a>(
        &'a self,
        events: &'a [OutgoingEvent],
        next: BoxFuture<'a, Result<Vec<EventId>, SendError>>,
    ) -> BoxFuture<'a, Result<Vec<EventId>, SendError>> {
        let _ = events;
        next
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

#[cfg(test)]
mod tests;
