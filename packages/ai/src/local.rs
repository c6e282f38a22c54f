//! The provider that needs no key and no network.
//!
//! It reads what a document says (colour notations, font names, headings, rules) and measures what
//! it shows (fills, pixels). It understands English guidelines best, since it goes by vocabulary,
//! and it never makes anything up: what the document does not say stays empty. Everything it
//! writes for people says that it is the local provider.

mod background;
mod brand_reader;
mod colors;
mod embedder;
mod fonts;
mod image_model;
mod language;
mod language_model;
mod page_layout;
mod palette;
mod rules;
mod sections;
mod summary;
mod tone;
mod topic;
mod verifier;
mod vision;

pub use background::LocalBackgroundRemover;
pub use brand_reader::LocalBrandReader;
pub use embedder::LocalEmbedder;
pub use image_model::LocalImageModel;
pub use language_model::LocalLanguageModel;
pub use summary::summarize;
pub use verifier::LocalVerifier;
pub use vision::LocalVision;

use crate::Usage;
use std::time::Instant;

/// How the provider calls itself in everything it writes.
pub const PROVIDER: &str = "local";

/// What somebody who needs more than this provider can do.
const HINT: &str =
    "the local provider works without a model; set a key for Gemini (GEMINI_API_KEY) to use one";

/// `method` stands where others name a model.
fn usage(method: &str, started: Instant) -> Usage {
    Usage {
        provider: PROVIDER.to_owned(),
        model: method.to_owned(),
        seconds: started.elapsed().as_secs_f64(),
        ..Usage::default()
    }
}
