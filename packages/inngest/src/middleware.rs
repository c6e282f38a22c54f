//! What is around every function: logging and error reporting.
//!
//! They share the work, so that a failure is told once: [`Logging`] follows what runs do, a function logs its
//! failed attempts with what it knows, and [`ErrorReporting`] tells the [`Reporter`] of runs that failed for good.

mod error_reporting;
mod logging;

pub use error_reporting::LogReporter;
pub use logging::Logging;
pub use stepwell::middleware::{ErrorReport, ErrorReporting, Reporter};
