//! Workers: apps that open a connection to a server and get their calls over it, instead of being called over HTTP.
//!
//! A worker can be behind a firewall, and there can be any number of them.
//!
//! ```no_run
//! use stepwell::{App, Client, Context, Error, Function, connect::Worker};
//!
//! async fn invoice(ctx: Context) -> Result<(), Error> {
//!     ctx.step().run("charge", || async { Ok(()) }).await?;
//!     Ok(())
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let app = App::new(Client::from_env("shop")?)
//!     .function(Function::new("invoice").on_event("shop/order.placed").handler(invoice));
//! let worker = Worker::builder(app).instance_id("worker-1").max_concurrency(50).build()?;
//! worker.run().await?; // until SIGINT or SIGTERM
//! # Ok(())
//! # }
//! ```
//!
//! A worker connects again by itself, with growing pauses, and goes on with what it has: calls are leased from the server,
//! and the leases are extended over the next connection. A reply that the server has not acknowledged is brought over HTTP.
//! A call whose lease is lost is given up at its next await: the server has given it to another worker, or to nobody.
//!
//! [`Worker::run_until`] ends with a signal, and [`Worker::start`] gives a [`Handle`].

mod api;
mod backoff;
mod calls;
mod conductor;
mod link;
mod replies;
mod worker;

pub use worker::{Handle, Worker, WorkerBuilder, shutdown_signal};

use crate::app::AppError;
use crate::client::ApiError;
use crate::config::ConfigError;

/// How a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum State {
    /// It has not been connected yet.
    #[default]
    Connecting,
    /// It gets calls.
    Active,
    /// Its connection is lost, and it tries to get another. Calls in flight go on.
    Reconnecting,
    /// It takes nothing new, and finishes what it has.
    Closing,
    /// It has ended.
    Closed,
}

/// A worker that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// An app cannot be used.
    #[error("the app '{app}' cannot be used")]
    App {
        /// The app's id.
        app: String,
        /// What is wrong.
        source: AppError,
    },
    /// Two apps have one id.
    #[error("two apps have the id '{0}': a worker's apps are different ones")]
    DuplicateApp(String),
    /// Two apps are not for the same.
    #[error(
        "the app '{app}' has another {what} than the worker's first app: give it a worker of its own"
    )]
    Differs {
        /// The app's id.
        app: String,
        /// What they do not share.
        what: &'static str,
    },
    /// An option is unusable.
    #[error(transparent)]
    Config(ConfigError),
    /// No app.
    #[error("a worker has at least one app")]
    NoApp,
    /// No call at once.
    #[error("a worker runs at least one call at once: max_concurrency is 0")]
    NoConcurrency,
    /// The key of branch environments does not say which.
    #[error("the signing key is for branch environments: name one (INNGEST_ENV)")]
    NoEnvironment,
    /// An empty name.
    #[error("the worker has no name: give it an instance_id")]
    NoInstanceId,
}

/// Why a server does not take a worker. Once a worker has been connected, it tries again whatever the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The server refused: the key is wrong, there are too many workers, or it takes none.
    #[error("the server does not take this worker")]
    Refused(#[source] ApiError),
    /// The apps could not be registered.
    #[error("the server did not register the apps: {message} ({code})")]
    NotRegistered {
        /// A stable name of the problem.
        code: String,
        /// The problem.
        message: String,
        /// More, as JSON.
        details: Option<String>,
    },
    /// The gateway closed the connection for good.
    #[error("the gateway does not take this worker: {reason}")]
    Closed {
        /// The reason that it gave.
        reason: String,
    },
    /// The worker's task or thread is gone without having ended.
    #[error("the worker ended unexpectedly")]
    Ended,
}

#[cfg(test)]
mod tests;
