//! The studio's database: workspaces, assets and the brand knowledge that is searched by meaning.
//!
//! [`Database`] is the one repository surface. Each operation is a method on it, grouped by table
//! in `workspace`, `asset` and `knowledge`; each matches on the backend, so a second one is added
//! arm by arm, checked by the compiler. SQLite with the `sqlite-vec` extension is the backend there is.
//!
//! Profiles, summaries and metadata are JSON values here: this crate stores them and does not
//! interpret them. It knows nothing of jobs.

mod asset;
mod database;
mod ids;
mod knowledge;
mod vector;
mod workspace;

pub use asset::{Asset, AssetEvent, AssetType, NewAsset};
pub use database::{Database, DbError};
pub use ids::{AssetId, WorkspaceId};
pub use knowledge::{Fragment, KnowledgeSource, NewChunk, SEARCH_LIMIT_MAX};
pub use vector::{EMBEDDING_DIMENSIONS, Embedding, WrongDimensions};
pub use workspace::{IndexingStatus, NewWorkspace, Workspace};
