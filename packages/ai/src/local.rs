//! The provider that needs no key and no network.
//!
//! It reads what a document says (colour notations, font names, headings, rules) and measures what
//! it shows (fills, pixels). It understands English guidelines best, since it goes by vocabulary,
//! and it never makes anything up: what the document does not say stays empty. Everything it
//! writes for people says that it is the local provider.

mod brand_reader;
mod colors;
mod embedder;
mod fonts;
mod language;
mod palette;
mod rules;
mod sections;
mod summary;
mod topic;

pub use brand_reader::LocalBrandReader;
pub use embedder::LocalEmbedder;
pub use palette::{Swatch, measure};
pub use summary::summarize;

/// How the provider calls itself in everything it writes.
pub const PROVIDER: &str = "local";
