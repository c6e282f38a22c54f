//! The studio's background jobs: what can be asked for, and what is done about it.
//!
//! - [`events`]: the eight event contracts. Every app and package that wants background work sends one.
//! - [`client`]: the client that sends them and that the functions belong to.
//! - `functions` (cargo feature `functions`, on by default): the jobs, as one list, and what they are given.
//! - `EventArchive` and `ArchivedAnalyses` (the same feature): what `studio233_ai::vision` asks for archives by, for functions and
//!   for agents' tools.
//! - [`middleware`]: logging and error reporting around all of them.
//!
//! A producer depends on this crate without default features, and needs nothing else:
//!
//! ```toml
//! studio233-inngest = { version = "0.1", default-features = false }
//! ```
//!
//! ```no_run
//! use studio233_inngest::events::brand::{Classification, KnowledgeIngested};
//! use studio233_inngest::{Config, client};
//!
//! # async fn produce() -> Result<(), Box<dyn std::error::Error>> {
//! let client = client(Config::from_env()?);
//! let event = KnowledgeIngested {
//!     workspace_id: "w-1".to_owned(),
//!     asset_id: "a-1".to_owned(),
//!     url: "https://example.com/guidelines.pdf".to_owned(),
//!     filename: "guidelines.pdf".to_owned(),
//!     classification: Classification::CoreBrandMark,
//! };
//! // Checked before it leaves: a bad URL is an error here, naming `data.url`.
//! let id = client.send(event).await?;
//! println!("sent as {id}");
//! # Ok(())
//! # }
//! ```
//!
//! An id of the producer's choice makes sending idempotent: `OutgoingEvent::new(&event).id("a-1/3")`.
//!
//! This crate knows the capabilities (`studio233-ai`, `-db`, `-rag`); none of them knows it. Nothing in a
//! function reads the environment: what it works with comes in as `functions::Deps`.

#[cfg(feature = "functions")]
mod archive;
mod client;
pub mod events;
#[cfg(feature = "functions")]
pub mod functions;
pub mod middleware;

#[cfg(feature = "functions")]
pub use archive::{ArchivedAnalyses, EventArchive};
pub use client::{APP_ID, client};
#[cfg(feature = "functions")]
pub use functions::app;
pub use stepwell::{Client, Config, ConfigError, OutgoingEvent, SendError};
