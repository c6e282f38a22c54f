//! Where failures are told.

use stepwell::middleware::{ErrorReport, Reporter};

/// Reports to the log: one line for each run that failed for good.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogReporter;

impl Reporter for LogReporter {
    fn report(&self, report: ErrorReport) {
        tracing::error!(
            function = report.function_id,
            run = %report.run_id,
            event = report.event_name,
            step = report.step,
            attempt = report.attempt,
            error = report.error.name,
            "{}",
            report.error.message
        );
    }
}
