//! What the nodes of a workflow do: plugins over media files, and the graph that they form.
//!
//! A [`Registry`] is made once, from [`Services`] that the app gives in, and handed to whoever runs workflows; nothing here
//! is global, and nothing reads the environment. A [`Handle`] says what a plugin is, checks a node's config, and runs it:
//!
//! ```
//! # use studio233_plugins::{Registry, Services, BlobSource};
//! # async fn example(blobs: studio233_blob::BlobStore) {
//! let registry = Registry::standard(&Services::new(BlobSource::new(blobs.clone()), blobs));
//! let resize = registry.get("image-resize").unwrap();
//! let config = serde_json::json!({"width": 0, "fitMode": "squeeze"});
//! let error = resize.check_config(config.as_object()).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "the config of image-resize is wrong: \
//!      fitMode: expected \"contain\" or \"cover\" or \"stretch\" or \"scale-down\", found \"squeeze\"; \
//!      width: expected at least 1, found 0"
//! );
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! #     let folder = tempfile::tempdir().unwrap();
//! #     example(studio233_blob::BlobStore::in_folder(folder.path()).await.unwrap()).await;
//! # });
//! ```
//!
//! Whoever runs a graph, and when, is not decided here: this crate knows nothing of jobs.

mod config;
mod each;
mod error;
pub mod graph;
mod infer;
mod media_file;
mod outputs;
mod plugin;
mod pool;
mod receipts;
mod registry;
mod services;
mod spending;
pub mod standard;

pub use config::{ConfigError, ConfigProblem};
pub use error::{FileError, PluginError};
pub use graph::{Graph, GraphError};
pub use infer::{NoPlugin, NodeHints, plugin_of};
pub use media_file::{MediaFile, MediaKind, Object};
pub use plugin::{About, Context, Executor, Output, Plugin};
pub use pool::{Pool, PoolSize};
pub use registry::{Builder, Handle, Registry};
pub use services::{
    BackgroundRemover, BlobSource, Provider, PythonExecutor, PythonJob, Removal, Removed, Secret,
    ServiceError, Services, Source,
};
pub use spending::{Cost, PassedOver, Spending};
