//! Follows what runs do.

use serde_json::value::RawValue;
use stepwell::Error;
use stepwell::middleware::{Middleware, RunInfo, StepInfo};

/// Logs runs and steps as they start and end; never their payloads. Replays are silent: a step is logged when it
/// executes, not when its recorded result is used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Logging;

impl Middleware for Logging {
    fn on_run_start(&self, run: &RunInfo) {
        tracing::info!(event = %run.event_name, "run started");
    }

    fn on_step_start(&self, run: &RunInfo, step: &StepInfo) {
        tracing::debug!(step = %step.id, attempt = run.attempt, "step started");
    }

    fn on_step_complete(&self, run: &RunInfo, step: &StepInfo, output: &RawValue) {
        let (attempt, output_bytes) = (run.attempt, output.get().len());
        tracing::info!(step = %step.id, attempt, output_bytes, "step completed");
    }

    fn on_step_error(&self, run: &RunInfo, step: &StepInfo, error: &Error, is_final: bool) {
        let attempt = run.attempt;
        tracing::debug!(step = %step.id, attempt, is_final, %error, "step failed");
    }

    fn on_run_complete(&self, _: &RunInfo, output: &RawValue) {
        tracing::info!(output_bytes = output.get().len(), "run completed");
    }
}
