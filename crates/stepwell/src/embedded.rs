//! The engine in this process: functions are called directly, state is in one SQLite file.
//!
//! ```
//! use stepwell::embedded::Embedded;
//! use stepwell::{App, Client, Context, Error, Function, OutgoingEvent};
//! use std::time::Duration;
//!
//! async fn greet(ctx: Context) -> Result<String, Error> {
//!     let name = ctx.data()["name"].as_str().unwrap_or("nobody").to_owned();
//!     Ok(ctx.step().run("greet", || async { Ok(format!("hello {name}")) }).await?)
//! }
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let function = Function::new("greet").on_event("app/greet").handler(greet);
//! let app = App::new(Client::dev("app")).function(function);
//! let embedded = Embedded::builder().app(app).memory().start().await?;
//!
//! let event = OutgoingEvent::untyped("app/greet", serde_json::json!({"name": "Ada"}));
//! let sent = embedded.send(event).await?;
//! let runs = embedded.finished_runs(sent).await?;
//! assert_eq!(runs[0].output::<String>()?, "hello Ada");
//! embedded.shutdown(Duration::from_secs(10)).await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! What was started goes on after a restart on the same file: recorded steps are not executed again.

mod assembly;
mod invoker;
mod local;
mod record;
mod sink;
mod watch;

pub use local::{Message, Messages};
pub use record::{OutputError, Run, Step};
pub use stepwell_engine::{Backoff, Config as EngineConfig, RunStatus, Timestamp};
pub use stepwell_runtime::{
    Clock as EngineClock, Handle, Invokers, ManualClock, Stopped, Unavailable,
};
pub use stepwell_store::StoreError;
pub use stepwell_store::sqlite::Durability;
pub use watch::{Progress, Watch};

use crate::app::{App, AppError};
use crate::client::{Client, SendError};
use crate::event::OutgoingEvent;
pub(crate) use assembly::{Assembly, SCHEME, Wiring, assemble};
pub(crate) use invoker::Direct;
use local::{Listening, Local};
use record::Names;
use sink::EngineSink;
pub(crate) use sink::SdkClock;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stepwell_engine::function::ConfigError;
use stepwell_protocol::{EventId, RunId};
use stepwell_runtime::gateway::PrivateAddresses;
use stepwell_runtime::{Options, RegisterError, Runtime};
use stepwell_store::{Store, memory, sqlite};
use tokio::sync::SetOnce;
#[cfg(feature = "testing")]
pub(crate) use {local::report_steps, record::Names as FunctionNames, sink::hand_over};

/// A running engine with its apps. [`Embedded::shutdown`] lets calls in flight finish; dropping it gives them up,
/// and they are made again at the next start.
pub struct Embedded {
    runtime: Runtime,
    handle: Handle,
    clients: Vec<Client>,
    names: Arc<Names>,
    listening: Listening,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Embedded")
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// Makes an [`Embedded`].
#[derive(Debug, Default)]
pub struct Builder {
    apps: Vec<App>,
    place: Option<Place>,
    options: Options,
    invokers: Invokers,
}

#[derive(Debug)]
enum Place {
    Memory,
    File(sqlite::Options),
    Opened(Store),
}

/// The engine was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Nothing says where state is kept.
    #[error(
        "nothing says where state is kept: call sqlite(path), or memory() to lose it with the process"
    )]
    NoStore,
    /// There is no app.
    #[error("there is no app: add one with app(..)")]
    NoApp,
    /// Two apps have one id.
    #[error("two apps have the id '{0}'")]
    DuplicateApp(String),
    /// An app cannot be used.
    #[error("app '{app}' cannot be used")]
    App {
        /// The app's id.
        app: String,
        /// Why.
        #[source]
        source: AppError,
    },
    /// Functions' options cannot be used.
    #[error("app '{app}' cannot be used: {}", list(errors))]
    Functions {
        /// The app's id.
        app: String,
        /// All that is wrong.
        errors: Vec<ConfigError>,
    },
    /// An app cannot be registered.
    #[error("app '{app}' cannot be registered")]
    Register {
        /// The app's id.
        app: String,
        /// Why.
        #[source]
        source: RegisterError,
    },
    /// The store cannot be opened.
    #[error("the store cannot be opened")]
    Store(#[from] StoreError),
    /// The engine cannot be started from the store.
    #[error("the engine cannot be started")]
    Engine(#[from] stepwell_runtime::StartError),
    /// The apps cannot be registered.
    #[error("the apps cannot be registered")]
    Unavailable(#[from] Unavailable),
}

fn list(errors: &[ConfigError]) -> String {
    let texts = errors.iter().map(|error| {
        format!(
            "function '{}': {}: {}",
            error.function, error.place, error.message
        )
    });
    texts.collect::<Vec<_>>().join("; ")
}

impl Builder {
    /// Adds an app. Its client, and its steps, send events to this engine from now on.
    #[must_use]
    pub fn app(mut self, app: App) -> Self {
        self.apps.push(app);
        self
    }

    /// Keeps state in this SQLite file; it is made if it is not there. Every commit is synced to disk.
    #[must_use]
    pub fn sqlite(self, path: impl Into<PathBuf>) -> Self {
        self.sqlite_with(path, Durability::Full)
    }

    /// Keeps state in this SQLite file, and says what a commit survives.
    #[must_use]
    pub fn sqlite_with(mut self, path: impl Into<PathBuf>, durability: Durability) -> Self {
        let mut options = sqlite::Options::new(path);
        options.durability = durability;
        self.place = Some(Place::File(options));
        self
    }

    /// Keeps state in memory: it is lost with the process.
    #[must_use]
    pub fn memory(mut self) -> Self {
        self.place = Some(Place::Memory);
        self
    }

    /// Keeps state in a store that is open already.
    #[must_use]
    pub fn store(mut self, store: Store) -> Self {
        self.place = Some(Place::Opened(store));
        self
    }

    /// How the engine behaves: calls at once, waits between attempts.
    #[must_use]
    pub fn engine(mut self, config: EngineConfig) -> Self {
        self.options.engine = config;
        self
    }

    /// How long finished runs are kept, with their steps and events; seven days if nothing is said. Less than 24 hours
    /// counts as 24 hours: as long as duplicates are found. Unfinished runs are kept in any case.
    #[must_use]
    pub fn retain(mut self, age: Duration) -> Self {
        self.options.retention.age = Some(age);
        self
    }

    /// Keeps finished runs for ever.
    #[must_use]
    pub fn retain_forever(mut self) -> Self {
        self.options.retention.age = None;
        self
    }

    /// How much the SQLite file may hold: above, the oldest finished runs go, whatever their age. No limit if nothing
    /// is said.
    #[must_use]
    pub fn retain_bytes(mut self, bytes_max: u64) -> Self {
        self.options.retention.bytes_max = Some(bytes_max);
        self
    }

    /// Lets [`fetch`](crate::Step::fetch) and [`infer`](crate::ai::Ai::infer) make requests to private addresses, this
    /// machine's included; they are refused otherwise, as URLs may come from outside.
    #[must_use]
    pub fn allow_private_addresses(mut self) -> Self {
        self.options.private_addresses = PrivateAddresses::Allow;
        self
    }

    /// Where the engine's time comes from; a [`ManualClock`] makes long sleeps short in tests.
    #[must_use]
    pub fn clock(mut self, clock: EngineClock) -> Self {
        self.options.clock = clock;
        self
    }

    /// Also calls functions of other programs, that registered by other means.
    #[must_use]
    pub fn invokers(mut self, invokers: Invokers) -> Self {
        self.invokers = invokers;
        self
    }

    /// Starts the engine, inside a tokio runtime. Unfinished work of the store goes on at once.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(self) -> Result<Embedded, StartError> {
        let place = self.place.ok_or(StartError::NoStore)?;
        if self.apps.is_empty() {
            return Err(StartError::NoApp);
        }
        let engine = Arc::new(SetOnce::new());
        let listening = Listening(Arc::new(Local::new(Arc::clone(&engine))));
        let wiring = Wiring {
            sink: Arc::new(EngineSink(Arc::clone(&engine))),
            local: Arc::<Local>::clone(&listening.0),
            clock: Arc::new(SdkClock(self.options.clock.clone())),
        };
        let Assembly {
            runners,
            syncs,
            clients,
            names,
        } = assemble(self.apps, &wiring)?;
        let store = open(place).await?;
        let direct = Direct::new(runners, Arc::clone(&engine));
        let invokers = self.invokers.with(SCHEME, Arc::new(direct));
        let runtime = Runtime::start(store, invokers, self.options)?;
        let handle = runtime.handle();
        engine.set(handle.clone()).expect("it is set once, here");
        for sync in syncs {
            handle.sync_app(sync).await?;
        }
        Ok(Embedded {
            runtime,
            handle,
            clients,
            names,
            listening,
        })
    }
}

async fn open(place: Place) -> Result<Store, StoreError> {
    match place {
        Place::Memory => Ok(memory::open()),
        Place::Opened(store) => Ok(store),
        Place::File(options) => tokio::task::spawn_blocking(move || sqlite::open(&options))
            .await
            .unwrap_or_else(|error| Err(StoreError::Damaged(format!("opening it broke: {error}")))),
    }
}

impl Embedded {
    /// Begins one.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The client of the first app; it sends to this engine.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.clients[0]
    }

    /// The client of an app.
    #[must_use]
    pub fn client_of(&self, app_id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.app_id() == app_id)
    }

    /// The engine's own handle, e.g. to serve its API over HTTP.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Sends an event; when this returns, it is recorded.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, event: impl Into<OutgoingEvent>) -> Result<EventId, SendError> {
        self.client().send(event).await
    }

    /// Sends events; when this returns, they are recorded.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send_all<I>(&self, events: I) -> Result<Vec<EventId>, SendError>
    where
        I: IntoIterator<Item: Into<OutgoingEvent>>,
    {
        self.client().send_all(events).await
    }

    /// A run.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        let record = self.handle.read(move |reader| reader.run(id)).await?;
        Ok(record.map(|record| Run::new(record, &self.names)))
    }

    /// The runs that an event has started so far, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub async fn runs_of_event(&self, id: EventId) -> Result<Vec<Run>, StoreError> {
        let records = self
            .handle
            .read(move |reader| reader.runs_of_event(id))
            .await?;
        Ok(records
            .into_iter()
            .map(|record| Run::new(record, &self.names))
            .collect())
    }

    /// The recorded steps of a run, in the order in which they ended.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub async fn steps(&self, run: RunId) -> Result<Vec<Step>, StoreError> {
        let records = self.handle.read(move |reader| reader.steps(run)).await?;
        Ok(records.into_iter().map(Step::new).collect())
    }

    /// What happens to all runs from now on.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::new(self.handle.watch(), None, Arc::clone(&self.names))
    }

    /// What happens to one run from now on, to its end.
    #[must_use]
    pub fn watch_run(&self, run: RunId) -> Watch {
        Watch::new(self.handle.watch(), Some(run), Arc::clone(&self.names))
    }

    /// All messages that are published from now on.
    #[must_use]
    pub fn messages(&self) -> Messages {
        self.listening.0.subscribe()
    }

    /// Waits for a run's end. Gives `None` when there is no run of this id, and a run as it stands when the
    /// engine stops before its end.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub async fn finished(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        // Waiting begins first: an end between the two is then seen by one of them.
        let end = self.handle.end_of(id);
        match self.run(id).await? {
            Some(run) if !run.status.has_ended() => {}
            ended_or_none => return Ok(ended_or_none),
        }
        // The engine may also stop before.
        end.wait().await;
        self.run(id).await
    }

    /// Waits for the end of all runs that an event has started so far.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub async fn finished_runs(&self, event: EventId) -> Result<Vec<Run>, StoreError> {
        let mut finished = Vec::new();
        for run in self.runs_of_event(event).await? {
            finished.extend(self.finished(run.id).await?);
        }
        Ok(finished)
    }

    /// Stops: starts nothing new, waits up to `patience` for calls in flight, closes the store, ends subscriptions. What was
    /// given up goes on at the next start.
    pub async fn shutdown(self, patience: Duration) -> Stopped {
        self.runtime.shutdown(patience).await
    }
}
