//! Everything that functions work with, made of the settings.

use crate::settings::{BlobPlace, GeminiProvider, Providers, Reporting, Settings};
use crate::{Failure, chain};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use stepwell::{App, Client};
use studio233_ai::ApiKey;
use studio233_ai::background::ByImageModel;
use studio233_ai::fal::Fal;
use studio233_ai::gemini::{Gemini, GeminiSettings};
use studio233_ai::llama_parse::{LlamaParse, LlamaParseBrandReader};
use studio233_ai::local::{
    LocalBackgroundRemover, LocalBrandReader, LocalEmbedder, LocalImageModel, LocalLanguageModel,
    LocalVerifier, LocalVision,
};
use studio233_ai::vision::{Analyzer, Vision};
use studio233_ai::{
    BackgroundRemover, BrandExtraction, BrandReader, Embedder, ImageModel, LanguageModel,
    ModelBrandReader, ModelVerifier, Verifier,
};
use studio233_blob::BlobStore;
use studio233_db::{Database, DatabaseUrl};
use studio233_inngest::ArchivedAnalyses;
use studio233_inngest::functions::studio::{FetchedFiles, RemovedBy};
use studio233_inngest::functions::{self, Deps};
use studio233_inngest::middleware::{LogReporter, Reporters, SentryReporter, WebhookReporter};
use studio233_plugins::{Provider, Registry, Services};
use studio233_rag::pdf::PdfReader;
use studio233_rag::{FetchLimits, Fetcher};

/// Reports that wait get this long when a program ends.
const REPORTS_GRACE: Duration = Duration::from_secs(5);

/// What a program of the studio is made of.
#[derive(Debug)]
pub struct Parts {
    /// What functions work with.
    pub deps: Deps,
    /// Who does what, for people: `language`, and the provider's name.
    pub providers: Vec<(&'static str, String)>,
    reports: Reports,
}

/// Who is told of failures besides the log.
#[derive(Debug, Default)]
struct Reports {
    sentry: Option<SentryReporter>,
    webhook: Option<WebhookReporter>,
}

impl Parts {
    /// Opens the stores, in the data folder where the settings name no other place, and sets up the providers. The data
    /// folder has to be there.
    ///
    /// # Errors
    /// A [`Failure`] of code `start` or `configuration`.
    pub async fn open(settings: &Settings) -> Result<Self, Failure> {
        let data = &settings.data;
        let database = open_database(settings.database.as_ref(), data).await?;
        let blobs = open_blobs(settings.blobs.as_ref(), data).await?;
        let temp_folder = settings.temp.clone().unwrap_or_else(|| data.join("temp"));
        std::fs::create_dir_all(&temp_folder).map_err(|error| {
            let folder = temp_folder.display();
            Failure::new("start", format!("cannot make the folder {folder}: {error}"))
                .hint("name a folder that you may write to with --temp")
        })?;

        let origins = &settings.allow_origins;
        let fetcher = Fetcher::new(blobs.clone(), FetchLimits::default());
        let images = Fetcher::new(blobs.clone(), FetchLimits::images());
        let images = images.allowing(origins.clone());
        let photos = Fetcher::new(blobs.clone(), FetchLimits::photos());
        let photos = photos.allowing(origins.clone());
        let cast = Cast::of(&settings.providers, &images)?;
        let mut services = Services::new(FetchedFiles::new(photos), blobs.clone());
        for remover in removers(&cast, &settings.providers, &images) {
            services = services.background_remover(remover);
        }
        let providers = cast.shown();
        let mut pdfs = PdfReader::default();
        if let Some(program) = &settings.pdf_program {
            pdfs = pdfs.in_processes_of(program.clone());
        }
        let archived = ArchivedAnalyses::new(blobs.clone());
        let deps = Deps {
            fetcher: fetcher.allowing(origins.clone()),
            vision: Analyzer::new(cast.vision, Arc::new(images.clone()))
                .with_cache(Arc::new(archived)),
            images,
            extraction: cast.extraction,
            language_model: cast.language,
            embedder: cast.embedder,
            image_model: cast.images,
            verifier: cast.verifier,
            plugins: Registry::standard(&services),
            prices: settings.money.prices.clone(),
            pdfs,
            ..Deps::local(database, blobs, temp_folder)
        };
        Ok(Self {
            deps,
            providers,
            reports: Reports::start(&settings.reporting)?,
        })
    }

    /// The functions, as one app. Runs that fail are told to the log, and to whom the settings name.
    #[must_use]
    pub fn app(&self, client: Client) -> App {
        let mut reporters = Reporters::default().and(LogReporter);
        if let Some(sentry) = &self.reports.sentry {
            reporters = reporters.and(sentry.clone());
        }
        if let Some(webhook) = &self.reports.webhook {
            reporters = reporters.and(webhook.clone());
        }
        functions::app(client, &self.deps, reporters)
    }

    /// Whether nothing leaves this machine.
    #[must_use]
    pub fn are_local(&self) -> bool {
        let local = studio233_ai::local::PROVIDER;
        self.providers.iter().all(|(_, provider)| provider == local)
    }

    /// Counts what is left to be counted and delivers the reports that wait, within limits, and closes the database.
    pub async fn close(self) {
        self.deps.charges.settled().await;
        self.deps.vision.archived().await;
        if let Some(sentry) = &self.reports.sentry {
            sentry.close(REPORTS_GRACE).await;
        }
        if let Some(webhook) = &self.reports.webhook {
            webhook.close(REPORTS_GRACE).await;
        }
        self.deps.database.close().await;
    }
}

impl Reports {
    fn start(settings: &Reporting) -> Result<Self, Failure> {
        let sentry = settings.sentry.clone().map(SentryReporter::start);
        let webhook = settings.webhook.clone().map(WebhookReporter::start);
        Ok(Self {
            sentry: sentry
                .transpose()
                .map_err(|error| Failure::of("start", &error))?,
            webhook: webhook
                .transpose()
                .map_err(|error| Failure::of("start", &error))?,
        })
    }
}

/// Who plays which part.
struct Cast {
    language: Arc<dyn LanguageModel>,
    vision: Arc<dyn Vision>,
    images: Arc<dyn ImageModel>,
    embedder: Arc<dyn Embedder>,
    verifier: Arc<dyn Verifier>,
    extraction: BrandExtraction,
    /// Who reads documents, in the order in which they are tried.
    readers: Vec<String>,
    removers: Vec<(Provider, Arc<dyn BackgroundRemover>)>,
}

impl Cast {
    fn of(providers: &Providers, images: &Fetcher) -> Result<Self, Failure> {
        let mut cast = Self::local();
        if let Some(GeminiProvider {
            key,
            settings,
            embeds,
        }) = &providers.gemini
        {
            let gemini =
                Gemini::new(key.clone(), settings.clone()).map_err(|error| unusable(&error))?;
            cast.play_gemini(Arc::new(gemini), *embeds);
        }
        if let Some((key, settings)) = &providers.llama_parse {
            let parser = LlamaParse::new(key.clone(), settings.clone());
            let parser = parser.map_err(|error| unusable(&error))?;
            let model = providers.gemini.is_some().then(|| cast.language.clone());
            let reader = LlamaParseBrandReader::new(parser, model);
            cast.readers.insert(0, reader.provider().to_owned());
            cast.extraction = cast.extraction.with_parser(Arc::new(reader));
        }
        if let Some((key, settings)) = &providers.fal {
            let fal = Fal::new(key.clone(), settings.clone(), Arc::new(images.clone()));
            let fal = fal.map_err(|error| unusable(&error))?;
            cast.removers.insert(0, (Provider::Fal, Arc::new(fal)));
        }
        Ok(cast)
    }

    fn local() -> Self {
        Self {
            language: Arc::new(LocalLanguageModel),
            vision: Arc::new(LocalVision),
            images: Arc::new(LocalImageModel),
            embedder: Arc::new(LocalEmbedder),
            verifier: Arc::new(LocalVerifier),
            extraction: BrandExtraction::new(Arc::new(LocalBrandReader)),
            readers: vec![LocalBrandReader.provider().to_owned()],
            removers: vec![(Provider::Local, Arc::new(LocalBackgroundRemover))],
        }
    }

    fn play_gemini(&mut self, gemini: Arc<Gemini>, embeds: bool) {
        self.language = gemini.clone();
        self.vision = gemini.clone();
        self.images = gemini.clone();
        if embeds {
            self.embedder = gemini.clone();
        }
        self.verifier = Arc::new(ModelVerifier::new(gemini.clone()));
        let reader = ModelBrandReader::new(gemini.clone());
        self.readers = vec![reader.provider().to_owned()];
        self.extraction = BrandExtraction::new(Arc::new(reader));
        let remover = ByImageModel::new(gemini);
        self.removers
            .insert(0, (Provider::Gemini, Arc::new(remover)));
    }

    fn shown(&self) -> Vec<(&'static str, String)> {
        let removers = self.removers.iter();
        let removers: Vec<&str> = removers.map(|(_, remover)| remover.provider()).collect();
        vec![
            ("language", self.language.provider().to_owned()),
            ("vision", self.vision.provider().to_owned()),
            ("images", self.images.provider().to_owned()),
            ("embeddings", self.embedder.provider().to_owned()),
            ("documents", self.readers.join(", then ")),
            ("backgrounds", removers.join(", then ")),
        ]
    }
}

/// Who removes backgrounds for nodes, with the studio's keys where it has them, and with those that nodes bring.
fn removers(cast: &Cast, providers: &Providers, images: &Fetcher) -> Vec<RemovedBy> {
    let (_, fal) = providers.fal.clone().unzip();
    let (fal, results) = (fal.unwrap_or_default(), Arc::new(images.clone()));
    let fal = RemovedBy::with_keys_of_nodes(Provider::Fal, move |key| {
        let fal = Fal::new(ApiKey::new(key)?, fal.clone(), results.clone())?;
        Ok(Arc::new(fal))
    });
    let gemini = providers.gemini.as_ref();
    let gemini = gemini.map_or_else(GeminiSettings::default, |gemini| gemini.settings.clone());
    let gemini = RemovedBy::with_keys_of_nodes(Provider::Gemini, move |key| {
        let gemini = Gemini::new(ApiKey::new(key)?, gemini.clone())?;
        Ok(Arc::new(ByImageModel::new(Arc::new(gemini))))
    });
    let with_studios_key = |remover: RemovedBy, provider: Provider| {
        let mut known = cast.removers.iter();
        match known.find(|(known, _)| *known == provider) {
            Some((_, known)) => remover.or_else(known.clone()),
            None => remover,
        }
    };
    let local = cast.removers.iter();
    let local = local.filter(|(provider, _)| *provider == Provider::Local);
    local
        .map(|(provider, remover)| RemovedBy::new(*provider, remover.clone()))
        .chain([
            with_studios_key(fal, Provider::Fal),
            with_studios_key(gemini, Provider::Gemini),
        ])
        .collect()
}

fn unusable(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::of("configuration", error).hint("check the addresses and models of [ai]")
}

async fn open_database(url: Option<&DatabaseUrl>, data: &Path) -> Result<Database, Failure> {
    let Some(url) = url else {
        let opened = Database::open_sqlite(data.join("studio.db")).await;
        return opened.map_err(|error| opening(&error));
    };
    let opened = Database::open(url).await;
    opened.map_err(|error| Failure::of("start", &error).hint("--database-url says which it is"))
}

async fn open_blobs(place: Option<&BlobPlace>, data: &Path) -> Result<BlobStore, Failure> {
    let opened = match place {
        None => BlobStore::in_folder(data.join("blobs")).await,
        Some(BlobPlace::Folder(folder)) => BlobStore::in_folder(folder).await,
        Some(BlobPlace::Bucket(bucket)) => BlobStore::in_bucket(bucket).await,
    };
    match place {
        None => opened.map_err(|error| opening(&error)),
        Some(_) => opened
            .map_err(|error| Failure::of("start", &error).hint("--blobs says where they are kept")),
    }
}

fn opening(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new("start", chain(error))
        .hint("check that the data folder is readable and writable, and that its disk has room")
}

#[cfg(test)]
mod tests {
    use super::*;
    use studio233_ai::ApiKey;
    use studio233_ai::fal::FalSettings;
    use studio233_ai::gemini::GeminiSettings;
    use studio233_ai::llama_parse::LlamaParseSettings;

    fn key() -> ApiKey {
        ApiKey::new("the-secret").unwrap()
    }

    async fn cast(providers: Providers) -> Parts {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            providers,
            ..Settings::in_folder(folder.path())
        };
        let parts = Parts::open(&settings).await.unwrap();
        assert!(settings.data.join("temp").is_dir());
        // The settings hold the key, and say so without saying it.
        let shown = format!("{settings:?} {parts:?}");
        assert_eq!(shown.contains("ApiKey("), !settings.providers.are_local());
        assert!(!shown.contains("secret"), "{shown}");
        parts
    }

    fn player(parts: &Parts, part: &str) -> String {
        let mut players = parts.providers.iter();
        players.find(|(name, _)| *name == part).unwrap().1.clone()
    }

    #[tokio::test]
    async fn without_a_key_nothing_leaves_the_machine() {
        let parts = cast(Providers::default()).await;
        assert!(parts.are_local());
        parts.close().await;
    }

    #[tokio::test]
    async fn a_key_has_its_service_play_its_parts_and_others_stay() {
        let gemini = GeminiProvider {
            key: key(),
            settings: GeminiSettings::default(),
            embeds: false,
        };
        let parts = cast(Providers {
            gemini: Some(gemini),
            fal: Some((key(), FalSettings::default())),
            llama_parse: Some((key(), LlamaParseSettings::default())),
        })
        .await;
        assert!(!parts.are_local());
        for part in ["language", "vision", "images"] {
            assert!(player(&parts, part).starts_with("gemini ("), "{part}");
        }
        assert_eq!(player(&parts, "embeddings"), "local");
        let documents = player(&parts, "documents");
        assert!(
            documents.starts_with("llama-parse + gemini ("),
            "{documents}"
        );
        assert!(documents.contains(", then gemini ("), "{documents}");
        let removers = player(&parts, "backgrounds");
        assert!(
            removers.starts_with("fal (") && removers.ends_with(", then local"),
            "{removers}"
        );

        let fal = Some((key(), FalSettings::default()));
        let parts = cast(Providers {
            fal,
            ..Providers::default()
        })
        .await;
        assert_eq!(player(&parts, "language"), "local");
        assert!(!parts.are_local());
    }
}
