//! What a brand is: its profile, how complete that profile is, and its summary.
//!
//! This crate holds the shapes only. It reads no documents (see `studio233-ai`), stores nothing
//! (see `studio233-db`) and knows nothing of jobs.

mod dna;
mod score;
mod summary;

pub use dna::{BrandDna, BrandFont, CoreIdentity, SemanticDna, VisualStyle};
pub use score::QualityScore;
pub use summary::{BrandSummary, PaletteColor, Principle};
