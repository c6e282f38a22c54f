//! Where failures are told.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use stepwell::BoxFuture;
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

/// Several reporters, each of which is told everything.
///
/// ```
/// use studio233_inngest::middleware::{ErrorReport, LogReporter, Reporters};
/// let reporters = Reporters::default().and(LogReporter).and(|report: ErrorReport| drop(report));
/// # let _ = reporters;
/// ```
#[derive(Default)]
pub struct Reporters(Vec<Box<dyn Reporter>>);

impl Reporters {
    /// Tells this one as well.
    #[must_use]
    pub fn and(mut self, reporter: impl Reporter) -> Self {
        self.0.push(Box::new(reporter));
        self
    }
}

impl fmt::Debug for Reporters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Reporters")
            .field(&self.0.len())
            .finish()
    }
}

impl Reporter for Reporters {
    fn report(&self, report: ErrorReport) {
        for reporter in &self.0 {
            // One that panics keeps nothing from the others.
            let told = catch_unwind(AssertUnwindSafe(|| reporter.report(report.clone())));
            if told.is_err() {
                tracing::error!(run = %report.run_id, "a reporter panicked");
            }
        }
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            for reporter in &self.0 {
                reporter.flush().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use stepwell::{RunId, UserError};

    #[test]
    fn one_reporter_that_panics_keeps_nothing_from_the_others() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let keep = |name: &'static str| {
            let told = Arc::clone(&told);
            move |report: ErrorReport| told.lock().unwrap().push((name, report.error.message))
        };
        let reporters = Reporters::default()
            .and(keep("first"))
            .and(|_: ErrorReport| panic!("out of order"))
            .and(keep("last"));
        reporters.report(ErrorReport {
            run_id: "01KDVDNA009M3RPEWH1YYRCM1V".parse::<RunId>().unwrap(),
            function_id: "studio-233-f".to_owned(),
            event_name: "e".to_owned(),
            step: None,
            attempt: 0,
            is_final: true,
            error: UserError::new("Error", "no network"),
        });
        let expected = ["first", "last"].map(|name| (name, "no network".to_owned()));
        assert_eq!(*told.lock().unwrap(), expected);
    }
}
