//! Logs what runs do.

use super::{Middleware, RunInfo, StepInfo};
use crate::Error;
use serde_json::value::RawValue;

/// Logs, with `tracing`, runs and steps as they start, end and fail. Payloads are never logged.
///
/// Levels: a failure for good is an error, a failure that will be tried again a warning, the rest is info and
/// debug.
#[derive(Debug, Clone, Copy, Default)]
pub struct Logging;

impl Middleware for Logging {
    fn on_run_start(&self, run: &RunInfo) {
        tracing::info!(event = %run.event_name, "run started");
    }

    fn on_step_start(&self, run: &RunInfo, step: &StepInfo) {
        tracing::debug!(step = %step.display_name, attempt = run.attempt, "step started");
    }

    fn on_step_complete(&self, _: &RunInfo, step: &StepInfo, output: &RawValue) {
        tracing::info!(step = %step.display_name, output_bytes = output.get().len(), "step completed");
    }

    fn on_step_error(&self, run: &RunInfo, step: &StepInfo, error: &Error, is_final: bool) {
        let attempt = run.attempt;
        if is_final {
            tracing::error!(step = %step.display_name, attempt, error = ?error, "step failed for good");
        } else {
            tracing::warn!(step = %step.display_name, attempt, error = ?error, "step failed, to be retried");
        }
    }

    fn on_run_complete(&self, _: &RunInfo, output: &RawValue) {
        tracing::info!(output_bytes = output.get().len(), "run completed");
    }

    fn on_run_error(&self, run: &RunInfo, error: &Error, is_final: bool) {
        let attempt = run.attempt;
        if is_final {
            tracing::error!(attempt, error = ?error, "run failed for good");
        } else {
            tracing::warn!(attempt, error = ?error, "run failed, to be retried");
        }
    }
}
