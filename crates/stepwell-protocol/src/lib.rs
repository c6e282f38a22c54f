//! The wire shapes that a server and an SDK share.
//!
//! Everything here is data: what an event looks like ([`event`]), how an app registers its functions
//! ([`register`], [`config`]), what a call to a function carries ([`call`]), what the SDK answers ([`reply`],
//! [`op`], [`gateway`]), how endpoints report ([`endpoint`]), how workers call out ([`connect`]), what is noted of runs
//! ([`metadata`], [`otlp`]), what subscribers get
//! ([`realtime`]), how both sides sign ([`signing`]) and what tokens a server hands out ([`token`]). Both directions are
//! covered: each type serialises and deserialises, so a server and an SDK built on this crate cannot drift apart.
//!
//! The crate does no I/O, keeps no state and knows nothing of scheduling. It is tolerant of unknown fields and
//! strict about wrong types: a decoding error names the path of the offending value.

pub mod call;
pub mod config;
#[cfg(feature = "connect")]
pub mod connect;
pub mod decode;
#[cfg(feature = "server")]
pub mod endpoint;
pub mod error;
pub mod event;
#[cfg(feature = "server")]
pub mod gateway;
pub mod headers;
pub mod id;
pub mod limits;
pub mod metadata;
pub mod op;
#[cfg(feature = "server")]
pub mod otlp;
pub mod realtime;
pub mod register;
pub mod reply;
pub mod session;
pub mod signing;
pub mod span;
pub mod token;

pub use decode::DecodeError;
pub use error::UserError;
pub use id::{AppId, BulkCancelId, EventId, FunctionId, ParseIdError, RunId, StepId};

/// A JSON text that is carried without being parsed; cloning shares it.
pub type SharedJson = std::sync::Arc<serde_json::value::RawValue>;

/// Makes a [`SharedJson`] from a JSON text.
///
/// # Errors
/// Returns the parser's error if `text` is not exactly one JSON value.
pub fn shared_json(text: String) -> Result<SharedJson, serde_json::Error> {
    serde_json::value::RawValue::from_string(text).map(std::sync::Arc::from)
}
