//! What functions work with.

use crate::middleware::{Meter, Prices};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use stepwell::Clock;
use studio233_ai::vision::Analyzer;
use studio233_ai::{BrandExtraction, Embedder, ImageModel, LanguageModel, Verifier};
use studio233_blob::BlobStore;
use studio233_db::Database;
use studio233_plugins::Registry;
use studio233_rag::pdf::PdfLimits;
use studio233_rag::{Chunker, Fetcher};

/// Everything that functions work with. Cloning is cheap and shares it.
#[derive(Clone)]
pub struct Deps {
    /// Workspaces, assets and knowledge.
    pub database: Database,
    /// What is kept of images and documents.
    pub blobs: BlobStore,
    /// The folder for temporary files: the only one that files are deleted in.
    pub temp_folder: PathBuf,
    /// Counts what functions spend, and says which budgets are used up.
    pub meter: Arc<dyn Meter>,
    /// What models cost, for budgets in money.
    pub prices: Prices,
    /// Gets documents, from the studio's blobs and the public network.
    pub fetcher: Fetcher,
    /// Gets images from where documents come from, within limits for images.
    pub images: Fetcher,
    /// Reads brands out of documents.
    pub extraction: BrandExtraction,
    /// Says what is in images, with what the archive knows already.
    pub vision: Analyzer,
    /// Sums up what is known of brands.
    pub language_model: Arc<dyn LanguageModel>,
    /// Turns texts into vectors; searching must use the same one.
    pub embedder: Arc<dyn Embedder>,
    /// Makes images.
    pub image_model: Arc<dyn ImageModel>,
    /// Makes an image when the first model did not.
    pub image_model_fallback: Option<Arc<dyn ImageModel>>,
    /// Says whether a made image will do.
    pub verifier: Arc<dyn Verifier>,
    /// What nodes of workflows can do.
    pub plugins: Registry,
    /// Cuts documents into pieces.
    pub chunker: Chunker,
    /// What a PDF may cost.
    pub pdf_limits: PdfLimits,
    /// Where the time of what is stored comes from.
    pub clock: Arc<dyn Clock>,
}

impl Deps {
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().unix_ms()
    }
}

impl fmt::Debug for Deps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Deps")
            .field("database", &self.database)
            .field("extraction", &self.extraction)
            .field("embedder", &self.embedder.provider())
            .finish_non_exhaustive()
    }
}
