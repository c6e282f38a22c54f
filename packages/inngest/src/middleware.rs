//! What is around every function: logging, error reporting, usage metering and budgets.
//!
//! They share the work, so that a failure is told once: [`Logging`] follows what runs do, a function logs its
//! failed attempts with what it knows, and [`ErrorReporting`] tells the [`Reporter`] of runs that failed for good.
//!
//! With the feature `functions`: [`WebhookReporter`] and [`SentryReporter`], which tell other services, and [`Reporters`],
//! several at once; [`metered`], a step whose spending is counted; [`budget`], which holds runs whose money is spent.

#[cfg(feature = "functions")]
pub mod budget;
#[cfg(feature = "functions")]
mod charges;
#[cfg(all(test, feature = "functions"))]
mod collector;
#[cfg(feature = "functions")]
mod courier;
mod error_reporting;
mod logging;
#[cfg(feature = "functions")]
mod metering;
#[cfg(feature = "functions")]
mod prices;
#[cfg(feature = "functions")]
mod sentry;
#[cfg(feature = "functions")]
mod webhook;

#[cfg(feature = "functions")]
pub use charges::Charges;
#[cfg(feature = "functions")]
pub use courier::Deliveries;
pub use error_reporting::{LogReporter, Reporters};
pub use logging::Logging;
#[cfg(feature = "functions")]
pub use metering::{Account, Meter, Spent, held_by, metered, metered_in_race};
#[cfg(feature = "functions")]
pub use prices::{Price, Prices};
#[cfg(feature = "functions")]
pub use sentry::{Dsn, InvalidDsn, SentryReporter, SentrySettings, SentryUnavailable};
pub use stepwell::middleware::{ErrorReport, ErrorReporting, Reporter};
#[cfg(feature = "functions")]
pub use webhook::{InvalidWebhook, WebhookReporter, WebhookSettings};
