//! Drives the engine: the only place where time passes.
//!
//! [`Runtime::start`] loads an engine from a store and runs two threads. The *decider* takes inputs and due
//! timers, lets the engine decide, and gathers the decisions in a batch. The *committer* writes a batch in one
//! transaction and only then releases its effects: answers to whoever asked, calls to functions, news to
//! watchers. While one batch is being written the next one gathers: under load many decisions share one sync.
//!
//! Calls go through an [`Invoker`], chosen by the scheme of the function's URL: [`HttpInvoker`] for apps over
//! HTTP; a program that runs functions itself brings its own.
//!
//! Requests that functions have the server make go through a [`gateway::Gateway`].
//! Between commits the *pruner* removes what is older than the [`Retention`] says, a small slice at a time.
//!
//! Watchers get news of all runs; an [`Audience`] hears of those that it follows, with their results.
//!
//! When a commit fails the engine and everything undecided is dropped, whoever waits is told so, and, once the
//! store accepts writes again, the engine is loaded from what was committed.

mod announcer;
mod audience;
mod auditor;
mod cache;
mod call;
mod clock;
mod committer;
mod decider;
mod dispatcher;
mod endpoint;
mod ends;
pub mod gateway;
mod handle;
mod in_flight;
mod invoke;
mod metrics;
mod news;
mod past;
mod pruner;
mod register;
mod repeat;
mod report;
mod rest;
mod runtime;
mod sweep;
mod teller;

pub use audience::{Audience, Report};
pub use call::memoised;
pub use clock::{Clock, ManualClock};
pub use endpoint::EndpointRefused;
pub use ends::End;
pub use handle::{Handle, Unavailable};
pub use invoke::http::{HttpInvoker, HttpOptions};
pub use invoke::{CallError, Invocation, Invoker, Invokers};
pub use metrics::{FunctionLabels, Metrics};
pub use news::News;
pub use pruner::Retention;
pub use register::{RegisterError, check_registration};
pub use repeat::RepeatError;
pub use report::report_steps;
pub use rest::Rest;
pub use runtime::{Options, Runtime, StartError, Stopped};
