//! Everything in one process.

use crate::api::{self, Shared, Turns, Uploads};
use crate::data_folder::DataFolder;
use crate::engine::{Engine, Stopped};
use crate::progress::Progress;
use crate::server_file::ServerFile;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use stepwell::serve;
use studio233_rag::Retriever;
use studio233_setup::{Failure, FileSource, Parts, Settings, chain, set_budgets};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The port of a studio that is not told which.
const PORT: u16 = 8233;

/// Requests in flight get this long when the studio stops.
const REQUESTS_GRACE: Duration = Duration::from_secs(5);

/// A running studio. Stop it with [`Studio::stop`]; a process that just ends loses nothing either, its work goes
/// on at the next start.
#[derive(Debug)]
pub struct Studio {
    engine: Engine,
    parts: Parts,
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
        let parts = Parts::open(&settings).await?;
        let deps = parts.deps.clone();

        let port = settings.port.unwrap_or(PORT);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Failure::new("port_taken", format!("cannot listen on {address}: {error}"))
                .hint("another program has the port: choose one with --port, or 0 for a free one")
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| Failure::of("start", &error))?;
        let url = format!("http://{address}");

        let progress = Progress::default();
        let mode = settings.inngest.mode;
        let outside = studio233_inngest::client(settings.inngest);
        let app = parts.app(outside);
        // Servers of the protocol may call the same functions, which then send to them.
        let served =
            serve::Handler::new(app.clone()).map_err(|error| Failure::of("start", &error))?;
        let engine = Engine::start(&data.join("engine.db"), app.middleware(progress.clone()))
            .await
            .map_err(|error| opening(&error))?;

        let (budgets, client) = (&settings.money.budgets, engine.client());
        set_budgets(budgets, FileSource::Studio, &client, &deps.database).await?;
        let stopping = CancellationToken::new();
        let shared = Shared {
            engine: engine.reader(),
            client: engine.client(),
            retriever: Retriever::new(deps.embedder, deps.database.clone()),
            meter: deps.meter,
            money: Arc::new(settings.money),
            database: deps.database,
            blobs: deps.blobs,
            progress,
            turns: Turns::default(),
            uploads: Uploads::default(),
            upload_bytes_max: deps.pdfs.limits().bytes_max,
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
            parts,
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

    /// Whether nothing leaves this machine: there is no key to any provider.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.parts.are_local()
    }

    /// Who does what: a part, and its provider.
    #[must_use]
    pub fn providers(&self) -> &[(&'static str, String)] {
        &self.parts.providers
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
        self.parts.close().await;
        stopped == Stopped::Clean && requests.is_ok()
    }
}

fn opening(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new("start", chain(error))
        .hint("check that the data folder is readable and writable, and that its disk has room")
}
