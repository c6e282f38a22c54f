//! AI capabilities of the studio behind narrow traits.
//!
//! - [`Embedder`] turns texts into vectors that can be compared.
//! - [`BrandReader`] reads a brand's profile out of a document; [`BrandExtraction`] tries a
//!   high-fidelity parser first, else a vision model, and accepts by quality.
//! - [`local`] is the provider that needs no key and no network: it measures and reads instead of guessing.
//!
//! Documents come in as [`document::Document`]: laid-out text, drawn colours and page images,
//! together with the file itself, so that a provider takes whichever it can use. This crate opens
//! no files, stores nothing and knows nothing of jobs.

mod brand;
pub mod document;
mod embed;
pub mod local;

pub use brand::{
    AcceptedReading, BrandExtraction, BrandReader, BrandReading, ExtractionError,
    PARSER_ACCEPTED_ABOVE, ReadError, ReadingPath, VISION_ACCEPTED_ABOVE, VISION_PAGES_MAX,
};
pub use document::Document;
pub use embed::{EMBEDDING_DIMENSIONS, EmbedError, Embedder, Purpose};
