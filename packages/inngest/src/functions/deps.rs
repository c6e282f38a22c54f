//! What functions work with.

use super::studio::{FetchedFiles, RemovedBy};
use crate::ArchivedAnalyses;
use crate::middleware::{Charges, Meter, Prices};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use stepwell::{Clock, SystemClock};
use studio233_ai::local::{
    LocalBackgroundRemover, LocalBrandReader, LocalEmbedder, LocalImageModel, LocalLanguageModel,
    LocalVerifier, LocalVision,
};
use studio233_ai::vision::Analyzer;
use studio233_ai::{BrandExtraction, Embedder, ImageModel, LanguageModel, Verifier};
use studio233_blob::BlobStore;
use studio233_db::Database;
use studio233_plugins::{Provider, Registry, Services};
use studio233_rag::pdf::PdfReader;
use studio233_rag::{Chunker, FetchLimits, Fetcher};

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
    /// What is charged for steps that were cut off.
    pub charges: Charges,
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
    /// Reads PDFs, on threads of this process unless told otherwise.
    pub pdfs: PdfReader,
    /// Where the time of what is stored comes from.
    pub clock: Arc<dyn Clock>,
}

impl Deps {
    /// With the local provider for everything, which needs no key and no network, and the limits that are usual. What is to be
    /// different is set afterwards.
    #[must_use]
    pub fn local(database: Database, blobs: BlobStore, temp_folder: impl Into<PathBuf>) -> Self {
        let images = Fetcher::new(blobs.clone(), FetchLimits::images());
        let photos = Fetcher::new(blobs.clone(), FetchLimits::photos());
        let archived = Arc::new(ArchivedAnalyses::new(blobs.clone()));
        let vision = Analyzer::new(Arc::new(LocalVision), Arc::new(images.clone()));
        let remover = RemovedBy::new(Provider::Local, Arc::new(LocalBackgroundRemover));
        let services = Services::new(FetchedFiles::new(photos), blobs.clone());
        Self {
            meter: Arc::new(database.clone()),
            database,
            temp_folder: temp_folder.into(),
            charges: Charges::default(),
            prices: Prices::default(),
            fetcher: Fetcher::new(blobs.clone(), FetchLimits::default()),
            images,
            blobs,
            extraction: BrandExtraction::new(Arc::new(LocalBrandReader)),
            vision: vision.with_cache(archived),
            language_model: Arc::new(LocalLanguageModel),
            embedder: Arc::new(LocalEmbedder),
            image_model: Arc::new(LocalImageModel),
            image_model_fallback: None,
            verifier: Arc::new(LocalVerifier),
            plugins: Registry::standard(&services.background_remover(remover)),
            chunker: Chunker::default(),
            pdfs: PdfReader::default(),
            clock: Arc::new(SystemClock),
        }
    }

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
