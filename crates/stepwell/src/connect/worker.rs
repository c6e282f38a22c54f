//! A worker: how it is set up, started and stopped.

use super::conductor::Conductor;
use super::{ConnectError, State, WorkerError};
use crate::app::{App, Runner};
use crate::client::Client;
use crate::config::{Config, parse_gateway_url};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::connect::{APP_URL, AppConfiguration};
use stepwell_protocol::signing::SigningKey;
use tokio::sync::watch;

/// Calls at once, when nobody says how many: as many as servers count for a worker that does not say.
const CONCURRENCY_DEFAULT: usize = 1_000;
/// How long calls in flight get to end when the worker shuts down.
const SHUTDOWN_DEFAULT: Duration = Duration::from_secs(60);
/// The host of the URLs of functions that are called over a connection. Servers tell them by the scheme.
const FUNCTION_URL: &str = "wss://connect";
/// Keys of branch environments begin with this; they do not say which branch.
const BRANCH_KEY: &str = "signkey-branch-";

/// Apps that run their functions over a connection to a server.
#[derive(Debug)]
pub struct Worker {
    setup: Setup,
    isolate: bool,
}

/// What a worker is.
pub(super) struct Setup {
    /// Whose server is asked.
    pub(super) client: Client,
    pub(super) runners: HashMap<String, Runner>,
    pub(super) apps: Vec<AppConfiguration>,
    pub(super) instance_id: String,
    pub(super) concurrency_max: usize,
    pub(super) gateway_url: Option<String>,
    pub(super) shutdown_timeout: Duration,
}

impl fmt::Debug for Setup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Setup")
            .field("instance_id", &self.instance_id)
            .field("runners", &self.runners)
            .field("concurrency_max", &self.concurrency_max)
            .field("gateway_url", &self.gateway_url)
            .finish_non_exhaustive()
    }
}

/// Makes a [`Worker`].
#[derive(Debug, Clone)]
pub struct WorkerBuilder {
    apps: Vec<App>,
    instance_id: Option<String>,
    concurrency_max: Option<usize>,
    gateway_url: Option<String>,
    shutdown_timeout: Duration,
    isolate: Option<bool>,
}

impl WorkerBuilder {
    /// Adds an app. All apps of a worker are for one server, one environment and one signing key.
    #[must_use]
    pub fn app(mut self, app: App) -> Self {
        self.apps.push(app);
        self
    }

    /// The worker's own name, the same after a restart; the host's when none is given.
    #[must_use]
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance_id = Some(id.into());
        self
    }

    /// How many calls run at once; `INNGEST_CONNECT_MAX_WORKER_CONCURRENCY`, or 1000, when nothing is said.
    #[must_use]
    pub fn max_concurrency(mut self, calls: usize) -> Self {
        self.concurrency_max = Some(calls);
        self
    }

    /// Where the WebSocket is opened instead of where the server says: `ws://…` or `wss://…`.
    /// `INNGEST_CONNECT_GATEWAY_URL` when nothing is said.
    #[must_use]
    pub fn gateway_url(mut self, url: impl Into<String>) -> Self {
        self.gateway_url = Some(url.into());
        self
    }

    /// How long calls in flight get to end when the worker shuts down; a minute when nothing is said.
    #[must_use]
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Whether the connection has a thread of its own, so that functions which hold up the runtime's threads do not make
    /// the worker look dead; `INNGEST_CONNECT_ISOLATE_EXECUTION`, or true, when nothing is said. Functions run on the
    /// runtime that the worker was started in.
    #[must_use]
    pub fn isolate_execution(mut self, isolate: bool) -> Self {
        self.isolate = Some(isolate);
        self
    }

    /// Checks all of it.
    ///
    /// # Errors
    /// [`WorkerError`] with the app or the option at fault.
    pub fn build(self) -> Result<Worker, WorkerError> {
        let first = self.apps.first().ok_or(WorkerError::NoApp)?;
        let client = first.client().clone();
        let config = client.config();
        let is_branch_key = |key: &SigningKey| key.hashed().starts_with(BRANCH_KEY);
        if config.signing_keys().any(is_branch_key) && config.environment.is_none() {
            return Err(WorkerError::NoEnvironment);
        }
        let mut runners = HashMap::new();
        let mut apps = Vec::new();
        for app in self.apps {
            let name = app.client().app_id().to_owned();
            if let Some(what) = difference(config, app.client().config()) {
                return Err(WorkerError::Differs { app: name, what });
            }
            let runner = app.runner().map_err(|source| WorkerError::App {
                app: name.clone(),
                source,
            })?;
            apps.push(configuration(&runner));
            if runners.insert(name.clone(), runner).is_some() {
                return Err(WorkerError::DuplicateApp(name));
            }
        }
        let concurrency_max = match (self.concurrency_max, config.connect_concurrency_max) {
            (Some(0), _) => return Err(WorkerError::NoConcurrency),
            (Some(given), _) => given,
            (None, Some(given)) => usize::try_from(given.get()).unwrap_or(usize::MAX),
            (None, None) => CONCURRENCY_DEFAULT,
        };
        let gateway_url = match self.gateway_url {
            Some(url) => Some(parse_gateway_url("gateway_url", &url).map_err(WorkerError::Config)?),
            None => config.connect_gateway_url.clone(),
        };
        let instance_id = self
            .instance_id
            .unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned());
        if instance_id.is_empty() {
            return Err(WorkerError::NoInstanceId);
        }
        let isolate = self.isolate.unwrap_or(config.connect_isolate_execution);
        Ok(Worker {
            setup: Setup {
                runners,
                apps,
                instance_id,
                concurrency_max,
                gateway_url,
                shutdown_timeout: self.shutdown_timeout,
                client,
            },
            isolate,
        })
    }
}

/// What two apps of one worker must have in common and do not.
fn difference(one: &Config, other: &Config) -> Option<&'static str> {
    let keys = |config: &Config| -> Vec<String> {
        config.signing_keys().map(SigningKey::hashed).collect()
    };
    [
        (one.api_url == other.api_url, "server"),
        (one.environment == other.environment, "environment"),
        (keys(one) == keys(other), "signing key"),
    ]
    .into_iter()
    .find_map(|(is_same, what)| (!is_same).then_some(what))
}

fn configuration(runner: &Runner) -> AppConfiguration {
    let mut registration = runner.registration(FUNCTION_URL);
    let steps = registration
        .functions
        .iter_mut()
        .flat_map(|function| function.steps.values_mut());
    for step in steps {
        // The part of the URL before the colons of `ws://connect`, where the app itself is.
        step.runtime.kind = APP_URL.split(':').next().unwrap_or_default().to_owned();
    }
    AppConfiguration {
        app_name: registration.app_name,
        app_version: registration.app_version,
        functions: serde_json::to_vec(&registration.functions).expect("functions serialise"),
    }
}

impl Worker {
    /// A worker with an app; [`WorkerBuilder::app`] adds others.
    #[must_use]
    pub fn builder(app: App) -> WorkerBuilder {
        WorkerBuilder {
            apps: vec![app],
            instance_id: None,
            concurrency_max: None,
            gateway_url: None,
            shutdown_timeout: SHUTDOWN_DEFAULT,
            isolate: None,
        }
    }

    /// Starts to connect, and goes on until the handle is closed or dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use = "dropping the handle stops the worker"]
    pub fn start(self) -> Handle {
        let runtime = tokio::runtime::Handle::current();
        let (status, watched) = watch::channel(Status::default());
        let (orders, ordered) = watch::channel(());
        let conductor = Conductor::new(Arc::new(self.setup), runtime.clone(), status, ordered);
        match self.isolate.then(own_runtime).flatten() {
            None => drop(runtime.spawn(conductor.run())),
            Some(own) => {
                // Should there be no thread, the status ends, and the handle tells.
                let thread = std::thread::Builder::new().name("stepwell-connect".to_owned());
                if let Err(error) = thread.spawn(move || own.block_on(conductor.run())) {
                    tracing::error!(%error, "there is no thread for the worker");
                }
            }
        }
        Handle {
            status: watched,
            orders,
        }
    }

    /// Runs until the signal comes, then shuts down: nothing new is taken, and calls in flight get
    /// [`WorkerBuilder::shutdown_timeout`] to end. Dropping the future stops at once.
    ///
    /// # Errors
    /// [`ConnectError`] when the server does not take the worker.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn run_until(self, signal: impl Future<Output = ()>) -> Result<(), ConnectError> {
        let handle = self.start();
        tokio::select! {
            ended = handle.closed() => return ended,
            () = signal => {}
        }
        handle.close().await
    }

    /// Runs until the process is told to stop: [`Worker::run_until`] the [`shutdown_signal`].
    ///
    /// # Errors
    /// [`ConnectError`] when the server does not take the worker.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn run(self) -> Result<(), ConnectError> {
        self.run_until(shutdown_signal()).await
    }
}

fn own_runtime() -> Option<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    if let Err(error) = &runtime {
        tracing::warn!(%error, "the worker's connection shares the runtime of its functions");
    }
    runtime.ok()
}

/// SIGINT or SIGTERM; elsewhere than on Unix, Ctrl-C.
pub async fn shutdown_signal() {
    let interrupted = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "Ctrl-C will not be heard");
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => tokio::select! {
                () = interrupted => {}
                _ = terminated.recv() => {}
            },
            Err(error) => {
                tracing::warn!(%error, "SIGTERM will not be heard");
                interrupted.await;
            }
        }
    }
    #[cfg(not(unix))]
    interrupted.await;
}

/// How a worker stands, for its handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Status {
    pub(super) state: State,
    pub(super) connection_id: Option<String>,
    /// Why it ended, unless it was told to.
    pub(super) error: Option<ConnectError>,
}

/// A worker that was started. Dropping it stops the worker at once: calls in flight are given up, and the server gives
/// them to others.
#[derive(Debug)]
#[must_use = "dropping it stops the worker"]
pub struct Handle {
    status: watch::Receiver<Status>,
    orders: watch::Sender<()>,
}

impl Handle {
    /// How the worker stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.status.borrow().state
    }

    /// The id that the server gave the connection.
    #[must_use]
    pub fn connection_id(&self) -> Option<String> {
        self.status.borrow().connection_id.clone()
    }

    /// Waits until the worker is in this state; also returns when it has ended.
    ///
    /// # Errors
    /// [`ConnectError`] when the server does not take the worker.
    pub async fn reached(&self, state: State) -> Result<(), ConnectError> {
        let mut status = self.status.clone();
        let reached = status
            .wait_for(|status| status.state == state || status.state == State::Closed)
            .await;
        match reached {
            Ok(status) => status.error.clone().map_or(Ok(()), Err),
            Err(_) => Err(ConnectError::Ended),
        }
    }

    /// Waits until the worker has ended.
    ///
    /// # Errors
    /// [`ConnectError`] when the server does not take the worker.
    pub async fn closed(&self) -> Result<(), ConnectError> {
        self.reached(State::Closed).await
    }

    /// Shuts down: nothing new is taken, and calls in flight get [`WorkerBuilder::shutdown_timeout`] to end. Dropping the
    /// future stops at once.
    ///
    /// # Errors
    /// [`ConnectError`] when the server did not take the worker.
    pub async fn close(self) -> Result<(), ConnectError> {
        // Nobody listens when it has ended already.
        let _ = self.orders.send(());
        self.closed().await
    }
}
