//! Documents become searchable knowledge: fetch, read, chunk, embed, store, find.
//!
//! - [`Fetcher`] gets a document by URL, from the studio's blobs or from the public network only.
//! - [`pdf::PdfReader`] opens a PDF: laid-out text with page numbers, drawn colours, page images.
//! - [`Chunker`] cuts it into overlapping pieces that know their page.
//! - [`Indexer`] embeds the pieces and replaces what the database knows of the asset.
//! - [`Retriever`] finds the pieces nearest to a question, and tells a prompt what it is to know of the brand.
//!
//! It knows nothing of jobs: retrying and remembering are its callers' business.

mod chunk;
mod context;
mod fetch;
mod index;
pub mod pdf;
mod retrieve;

pub use chunk::{Chunk, Chunker, InvalidChunking};
pub use context::{BrandContext, CONTEXT_CHARS_MAX, ContextSource};
pub use fetch::{
    ALLOWED_ORIGINS_MAX, FetchError, FetchLimits, Fetched, Fetcher, Origin, Refusal, blob_url,
    shown_url,
};
pub use index::{DocumentSource, IndexError, Indexed, Indexer};
pub use retrieve::{Found, RetrieveError, Retrieved, Retriever};
