//! The studio's database: workspaces and assets, the brand knowledge that is searched by meaning, workflows and their
//! runs, batch jobs, and what was used of which budget.
//!
//! [`Database`] is the one repository surface; a [`DatabaseUrl`] says where it is. Each operation is a method on it, one
//! file per table, and works the same on SQLite (with the extension `sqlite-vec`) and PostgreSQL (with `pgvector`).
//!
//! Operations are safe to repeat: whoever calls them may crash before it has noted that it did. States are left by
//! their law only ([`RunState::may_become`], [`BatchJobStatus::may_become`]), and what has ended stays as it ended.
//!
//! Profiles, summaries, graphs and metadata are JSON values here: this crate stores them and does not interpret them.
//! It knows nothing of jobs.

pub mod amount;
mod asset;
mod batch;
mod budget;
mod database;
mod error;
mod file_budget;
mod ids;
mod indexing;
mod json;
mod knowledge;
mod page;
mod run;
mod run_step;
mod slug;
mod state;
mod text;
mod url;
mod usage;
mod vector;
mod workflow;
mod workspace;

pub use asset::{Asset, AssetEvent, AssetType, BrandAssets, NewAsset};
pub use batch::{BatchItem, BatchJob, BatchOutcome, NewBatchJob};
pub use budget::{BUDGETS_MAX, Budget, BudgetScope, Period, Standing};
pub use database::Database;
pub use error::DbError;
pub use file_budget::FileSource;
pub use ids::{AssetId, BatchJobId, WorkflowId, WorkflowRunId, WorkspaceId};
pub use indexing::{Indexed, IndexingRun, STALE_INDEXING_MAX};
pub use knowledge::{
    Fragment, KNOWLEDGE_NEWEST_MAX, Knowledge, KnowledgeOverview, KnowledgeSource,
    KnowledgeSourceCount, NewChunk, SEARCH_LIMIT_MAX,
};
pub use page::{Cursor, InvalidCursor, PAGE_LIMIT_MAX, Page};
pub use run::{NewStep, NewWorkflowRun, RunFilter, WorkflowRun};
pub use run_step::WorkflowStep;
pub use slug::workspace_slug;
pub use state::{BatchJobStatus, RunState, StateChange};
pub use url::{DatabaseUrl, InvalidDatabaseUrl};
pub use usage::{NewUsage, USAGE_TOTALS_MAX, UsageKind, UsageTotal};
pub use vector::{EMBEDDING_DIMENSIONS, Embedding, WrongDimensions};
pub use workflow::{NewWorkflow, Workflow, WorkflowChange};
pub use workspace::{IndexingStatus, NewWorkspace, SummaryRun, Workspace};
