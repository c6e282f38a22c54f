//! Tells an error tracker of failures.

use super::{Middleware, RunInfo, StepInfo};
use crate::{BoxFuture, Error};
use std::fmt;
use stepwell_protocol::{RunId, UserError};

/// A failure to report.
#[derive(Debug, Clone)]
pub struct ErrorReport {
    /// The run.
    pub run_id: RunId,
    /// The public id of the function.
    pub function_id: String,
    /// The name of the event that it runs for.
    pub event_name: String,
    /// The step that failed; `None` when the function itself did.
    pub step: Option<String>,
    /// Which attempt failed, from 0.
    pub attempt: u32,
    /// Whether no other attempt comes.
    pub is_final: bool,
    /// The error, with its causes.
    pub error: UserError,
}

/// Where failures are reported to: a log, a web hook, an error tracker.
///
/// `report` is called on the path of the call: it collects, and [`Reporter::flush`] sends.
pub trait Reporter: Send + Sync + 'static {
    /// Takes a report.
    fn report(&self, report: ErrorReport);

    /// Sends what was taken; awaited before the call is answered, for five seconds at most.
    fn flush(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl<F: Fn(ErrorReport) + Send + Sync + 'static> Reporter for F {
    fn report(&self, report: ErrorReport) {
        self(report);
    }
}

/// Reports failures of functions and, if asked to, of steps.
///
/// ```
/// use stepwell::middleware::{ErrorReport, ErrorReporting};
/// let reporting = ErrorReporting::new(|report: ErrorReport| {
///     tracing::error!(run = %report.run_id, message = report.error.message);
/// })
/// .every_attempt()
/// .steps();
/// ```
pub struct ErrorReporting<R> {
    reporter: R,
    every_attempt: bool,
    steps: bool,
}

impl<R> fmt::Debug for ErrorReporting<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ErrorReporting")
            .field("every_attempt", &self.every_attempt)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl<R: Reporter> ErrorReporting<R> {
    /// Reports a function's failure when no other attempt comes.
    pub fn new(reporter: R) -> Self {
        Self {
            reporter,
            every_attempt: false,
            steps: false,
        }
    }

    /// Reports failures that will be tried again, too.
    #[must_use]
    pub fn every_attempt(mut self) -> Self {
        self.every_attempt = true;
        self
    }

    /// Reports failures of steps, too.
    #[must_use]
    pub fn steps(mut self) -> Self {
        self.steps = true;
        self
    }

    fn report(&self, run: &RunInfo, step: Option<&StepInfo>, error: &Error, is_final: bool) {
        if !is_final && !self.every_attempt {
            return;
        }
        self.reporter.report(ErrorReport {
            run_id: run.run_id,
            function_id: run.function_id.to_string(),
            event_name: run.event_name.to_string(),
            step: step.map(|step| step.id.clone()),
            attempt: run.attempt,
            is_final,
            error: error.to_wire(),
        });
    }
}

impl<R: Reporter> Middleware for ErrorReporting<R> {
    fn on_step_error(&self, run: &RunInfo, step: &StepInfo, error: &Error, is_final: bool) {
        if self.steps {
            self.report(run, Some(step), error, is_final);
        }
    }

    fn on_run_error(&self, run: &RunInfo, error: &Error, is_final: bool) {
        self.report(run, None, error, is_final);
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        self.reporter.flush()
    }
}
