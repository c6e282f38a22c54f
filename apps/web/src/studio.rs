//! Everything in one process.

use crate::api::{self, Shared, Turns, Uploads};
use crate::data_folder::DataFolder;
use crate::engine::{Engine, Stopped};
use crate::failure::{Failure, chain};
use crate::progress::Progress;
use crate::server_file::ServerFile;
use crate::settings::{BlobPlace, Settings};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use stepwell::SystemClock;
use stepwell::serve;
use studio233_ai::BrandExtraction;
use studio233_ai::local::{LocalBrandReader, LocalEmbedder, LocalImageModel, LocalVerifier};
use studio233_blob::BlobStore;
use studio233_db::{Database, DatabaseUrl};
use studio233_inngest::functions::studio::FetchedFiles;
use studio233_inngest::functions::{self, Deps};
use studio233_inngest::middleware::{LogReporter, Prices};
use studio233_plugins::{Registry, Services};
use studio233_rag::pdf::PdfLimits;
use studio233_rag::{Chunker, FetchLimits, Fetcher, Retriever};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Requests in flight get this long when the studio stops.
const REQUESTS_GRACE: Duration = Duration::from_secs(5);

/// A running studio. Stop it with [`Studio::stop`]; a process that just ends loses nothing either, its work goes
/// on at the next start.
#[derive(Debug)]
pub struct Studio {
    engine: Engine,
    database: Database,
    data: DataFolder,
    server_file: ServerFile,
    stopping: CancellationToken,
    http: JoinHandle<std::io::Result<()>>,
}

impl Studio {
    /// Opens the data folder, starts the engine (unfinished work goes on at once) and listens on loopback.
    ///
    /// # Errors
    /// A [`Failure`] of code `data_in_use`, `data_folder`, `port_taken` or `start`.
    pub async fn start(settings: Settings) -> Result<Self, Failure> {
        let data = DataFolder::take(&settings.data)?;
        let database = open_database(settings.database.as_ref(), &data).await?;
        let blobs = open_blobs(settings.blobs.as_ref(), &data).await?;

        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port));
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Failure::new("port_taken", format!("cannot listen on {address}: {error}"))
                .hint("another program has the port: choose one with --port, or 0 for a free one")
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| Failure::of("start", &error))?;
        let url = format!("http://{address}");

        let pdf_limits = PdfLimits::default();
        let fetcher = Fetcher::new(blobs.clone(), FetchLimits::default());
        let images = Fetcher::new(blobs.clone(), FetchLimits::images());
        let images = images.allowing(settings.allow_origins.clone());
        let services = Services::new(FetchedFiles::new(images.clone()), blobs.clone());
        let embedder = Arc::new(LocalEmbedder);
        let deps = Deps {
            database: database.clone(),
            blobs: blobs.clone(),
            temp_folder: data.join("temp"),
            meter: Arc::new(database.clone()),
            prices: Prices::default(),
            fetcher: fetcher.allowing(settings.allow_origins),
            images,
            extraction: BrandExtraction::new(Arc::new(LocalBrandReader)),
            embedder: embedder.clone(),
            image_model: Arc::new(LocalImageModel),
            image_model_fallback: None,
            verifier: Arc::new(LocalVerifier),
            plugins: Registry::standard(&services),
            chunker: Chunker::default(),
            pdf_limits: pdf_limits.clone(),
            clock: Arc::new(SystemClock),
        };
        let progress = Progress::default();
        let mode = settings.inngest.mode;
        let outside = studio233_inngest::client(settings.inngest);
        let app = functions::app(outside, &deps, LogReporter);
        // Servers of the protocol may call the same functions, which then send to them.
        let served =
            serve::Handler::new(app.clone()).map_err(|error| Failure::of("start", &error))?;
        let engine = Engine::start(&data.join("engine.db"), app.middleware(progress.clone()))
            .await
            .map_err(|error| opening(&error))?;

        let stopping = CancellationToken::new();
        let shared = Shared {
            engine: engine.reader(),
            client: engine.client(),
            retriever: Retriever::new(embedder, database.clone()),
            database: database.clone(),
            blobs,
            progress,
            turns: Turns::default(),
            uploads: Uploads::default(),
            upload_bytes_max: pdf_limits.bytes_max,
            stopping: stopping.clone(),
        };
        let router = api::router(shared, serve::axum(served), mode);
        let until = stopping.clone().cancelled_owned();
        let http = axum::serve(listener, router).with_graceful_shutdown(until);
        let http = tokio::spawn(http.into_future());

        let server_file = ServerFile {
            url,
            pid: std::process::id(),
        };
        server_file.write(data.path()).map_err(|error| {
            Failure::new(
                "data_folder",
                format!("cannot write into {}: {error}", data.path().display()),
            )
        })?;
        Ok(Self {
            engine,
            database,
            data,
            server_file,
            stopping,
            http,
        })
    }

    /// The web API's origin.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.server_file.url
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &std::path::Path {
        self.data.path()
    }

    /// Stops: requests and calls in flight finish, within limits. True when they all did; the others' work goes
    /// on at the next start.
    pub async fn stop(self) -> bool {
        self.server_file.remove(self.data.path());
        self.stopping.cancel();
        let http = self.http.abort_handle();
        let requests = tokio::time::timeout(REQUESTS_GRACE, self.http);
        let (stopped, requests) = tokio::join!(self.engine.stop(), requests);
        http.abort();
        self.database.close().await;
        stopped == Stopped::Clean && requests.is_ok()
    }
}

async fn open_database(url: Option<&DatabaseUrl>, data: &DataFolder) -> Result<Database, Failure> {
    let Some(url) = url else {
        let opened = Database::open_sqlite(data.join("studio.db")).await;
        return opened.map_err(|error| opening(&error));
    };
    let opened = Database::open(url).await;
    opened.map_err(|error| Failure::of("start", &error).hint("--database-url says which it is"))
}

async fn open_blobs(place: Option<&BlobPlace>, data: &DataFolder) -> Result<BlobStore, Failure> {
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
