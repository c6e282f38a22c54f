//! Durable, event-driven functions for Rust.
//!
//! You write an ordinary async function made of *steps*; the result of each is recorded, so that a crash, a
//! deploy or a failing API resumes where it stopped.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//! use stepwell::{App, Client, Context, Error, Event, function, schemars::JsonSchema, serve};
//!
//! #[derive(Serialize, Deserialize, JsonSchema, Event)]
//! #[event(name = "user/signed.up")]
//! struct SignedUp {
//!     email: String,
//! }
//!
//! #[function(on = SignedUp, retries = 3)]
//! async fn welcome(ctx: Context<SignedUp>) -> Result<(), Error> {
//!     let email = &ctx.data().email;
//!     ctx.step().run("send-welcome", || async { send_mail(email, "Welcome").await }).await?;
//!     ctx.step().sleep("a-week-later", Duration::from_secs(7 * 86_400)).await;
//!     ctx.step().run("send-tips", || async { send_mail(email, "Tips").await }).await?;
//!     Ok(())
//! }
//! # async fn send_mail(_: &str, _: &str) -> Result<(), Error> { Ok(()) }
//!
//! let app = App::new(Client::dev("mailer")).function(welcome());
//! let handler = serve::Handler::new(app).expect("ids are unique");
//! ```
//!
//! - [`Client`] sends events, of types that derive [`Event`](trait@Event); [`EventFamily`] is several that go together.
//! - [`Function`] is a handler with what starts it and how it runs, made by [`function`](macro@function) or a builder;
//!   [`Context`] is what the handler gets, [`Step`] what makes steps, with [`ai`] and [`experiment`].
//! - [`NonRetriable`], [`RetryAfter`] and [`StepError`] say what an error means for retries.
//! - [`schemas`] are the events' types for programs in other languages.
//! - [`middleware`] is code around calls, steps and sends.
//! - [`serve`] answers a server over HTTP; `connect` (a feature) gets its calls over a WebSocket that it opens itself;
//!   `embedded` (a feature) runs the engine in this process. [`Runner`] is what any transport calls.
//! - [`endpoint`] makes durable HTTP handlers: [`Endpoint`](endpoint::Endpoint) runs at once what a request asks for, and the
//!   server moves on what takes its time.
//! - `realtime` (a feature) subscribes to what functions publish.
//! - `testing` (a feature) runs functions to their end in memory, with a virtual clock, mocks and crashes.
//!
//! The crate speaks Inngest's SDK protocol: the same functions run on a Stepwell server and on Inngest's.
//! It keeps no state of its own; that is the server's, or the embedded engine's.

mod app;
mod client;
mod config;
#[cfg(feature = "connect")]
pub mod connect;
mod context;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod endpoint;
mod error;
mod event;
mod execution;
mod function;
mod http_client;
pub mod middleware;
mod moment;
mod random;
#[cfg(feature = "realtime")]
pub mod realtime;
pub mod schemas;
pub mod serve;
mod step;
#[cfg(feature = "testing")]
pub mod testing;

pub use app::{App, AppError, Runner};
pub use client::{ApiError, Client, ClientBuilder, EventBatch, EventSink, SendError};
pub use config::{Config, ConfigError, Mode};
pub use context::{Context, FromRef, State};
pub use error::{
    BoxError, Error, NonRetriable, ResultExt, Retry, RetryAfter, RetryTime, StepError,
};
pub use event::{
    CronTick, Event, EventError, EventFamily, FunctionFailed, InvalidEvent, Json, Member,
    OutgoingEvent, Parent, Payload, Received, ValidationIssue,
};
pub use function::{
    Batch, CancelOn, Checkpointing, Concurrency, Cron, Debounce, Function, FunctionBuilder,
    FunctionRef, Handler, NoTrigger, RateLimit, Singleton, Throttle, Timeouts,
};
#[cfg(feature = "client")]
pub use http_client::Reqwest;
pub use http_client::{HttpClient, HttpError, NoHttp};
pub use moment::{Clock, Delay, Moment, ParseMomentError, SystemClock};
pub use schemars;
pub use step::{
    Deferral, Fetch, FetchRequest, Fetched, Invoke, RunStep, Score, ScoreValue, Sent, Sleep, Step,
    Topic, WaitForEvent, WaitForSignal, ai, experiment,
};
pub use stepwell_macros::{Event, FromRef, function};
pub use stepwell_protocol::{EventId, RunId, UserError};

/// A boxed future.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// This crate's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How this SDK names itself in headers.
const SDK: &str = concat!("stepwell-rust:v", env!("CARGO_PKG_VERSION"));
/// How it names itself in a registration.
const SDK_VERSION: &str = concat!("rust:v", env!("CARGO_PKG_VERSION"));

#[doc(hidden)]
pub mod __private {
    #[cfg(feature = "validation")]
    pub use crate::event::validate_with_garde;
    pub use crate::event::{Variant, read_family, schema_of};
    pub use crate::function::HandlerOutput;
    pub use serde_json::Value;
}

/// The example that people see first compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// So does the guide's.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/rust-sdk.md")]
struct Guide;
