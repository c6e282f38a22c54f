//! The studio's background jobs: what can be asked for, and what is done about it.
//!
//! - [`events`]: the event contracts. Every app and package that wants background work sends one.
//! - [`client`]: the client that sends them and that the functions belong to.
//! - `functions` (cargo feature `functions`, on by default): the jobs, as one list, and what they are given.
//! - `EventArchive` and `ArchivedAnalyses` (the same feature): what `studio233_ai::vision` asks for archives by, for functions and
//!   for agents' tools.
//! - [`middleware`]: logging and error reporting around all of them; with the feature, also reporters to web hooks and
//!   Sentry, metering of what they spend, and budgets.
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
//! # Testing a function
//!
//! A function is tested without the web app, a server or a network, on what it is given: here an archive in a folder.
//!
//! ```
//! # #[cfg(feature = "functions")] mod example {
//! use stepwell::testing::TestApp;
//! use stepwell::{App, Config};
//! use studio233_blob::BlobStore;
//! use studio233_db::Database;
//! use studio233_inngest::events::vision::ArchiveRequested;
//! use studio233_inngest::functions::{Deps, vision::archive};
//!
//! # pub async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let database = Database::open_sqlite(folder.path().join("studio.db")).await?;
//! let blobs = BlobStore::in_folder(folder.path().join("blobs")).await?;
//! let deps = Deps::local(database, blobs, folder.path().join("temp"));
//! let app = App::new(studio233_inngest::client(Config::dev())).function(archive::function(&deps));
//! let app = TestApp::start(app).await?;
//! let run = app
//!     .run(ArchiveRequested {
//!         image_url: "data:image/gif;base64,R0lGODlhAQABAIAAAP8AAP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==".to_owned(),
//!         image_hash: "0a1b2c".to_owned(),
//!         metadata: Default::default(),
//!     })
//!     .await?;
//! run.assert_steps(["archive-metadata", "archive-source-image"]).assert_completed();
//! # Ok(())
//! # }
//! # }
//! # #[cfg(feature = "functions")] #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> { example::test().await }
//! # #[cfg(not(feature = "functions"))] fn main() {}
//! ```
//!
//! This crate knows the capabilities (`studio233-ai`, `-blob`, `-db`, `-rag`); none of them knows it. Nothing in a
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
