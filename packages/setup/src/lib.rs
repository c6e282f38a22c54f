//! What the studio's programs have in common: [`Settings`], logs, and the [`Parts`] that functions work with, made of the
//! settings. A program adds what it alone does: the web app a web API and an engine, the worker a connection.
//!
//! This is the one place that reads the environment and decides which provider does what.

mod budgets;
mod failure;
mod logging;
mod parts;
mod settings;

pub use budgets::{FileSource, set_budgets, set_budgets_of, waiting_budgets};
pub use failure::{Failure, chain};
pub use logging::{LogArguments, set_up as set_up_logs};
pub use parts::Parts;
pub use settings::{
    BlobPlace, BudgetOwner, FileBudget, Flags, GeminiProvider, Hidden, Money, Providers, Reporting,
    Settings, Webhook,
};
/// What the `main` of a program begins with that reads PDFs in processes of its own.
pub use studio233_rag::pdf::ReaderProgram;
