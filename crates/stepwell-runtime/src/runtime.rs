//! Starting and stopping.

use crate::audience::Audiences;
use crate::auditor;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::committer::{Committer, describe};
use crate::decider::{Decider, Message, Wiring};
use crate::dispatcher::Dispatcher;
use crate::ends::Ends;
use crate::gateway::{OnDemand, Preparation, PrivateAddresses};
use crate::handle::{Handle, Vitals};
use crate::invoke::Invokers;
use crate::pruner::{Pruner, Retention};
use crate::teller::{Teller, ToTeller};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use stepwell_engine::{Config, IdSource, LoadError};
use stepwell_store::{Store, StoreError};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tokio::task::JoinHandle as TaskHandle;
use tokio_util::sync::CancellationToken;

/// Announcements that are built and taken in at once.
const ANNOUNCING_MAX: usize = 16;
/// News that a slow watcher may fall behind.
const NEWS_MAX: usize = 4_096;

/// What the operator decides.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What the engine does.
    pub engine: Config,
    /// Where the time comes from.
    pub clock: Clock,
    /// Bytes of payloads kept for runs that are under way; 0 for the default of 32 MiB.
    pub cache_bytes: usize,
    /// Whether functions may have the server make requests to private addresses.
    pub private_addresses: PrivateAddresses,
    /// When what makes these requests is prepared.
    pub gateway: Preparation,
    /// How long finished runs and events are kept.
    pub retention: Retention,
}

/// The runtime did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The live rows cannot be read.
    #[error("cannot load the store: {}", describe(.0))]
    Store(StoreError),
    /// The live rows do not make an engine.
    #[error("cannot load the store: {0}")]
    Load(#[from] LoadError),
    /// The system gives no thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// The client for the requests of functions cannot be made.
    #[error("cannot prepare HTTP requests")]
    Gateway(#[source] reqwest::Error),
}

/// How the runtime stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// All calls in flight returned and were recorded.
    Clean,
    /// Some calls were given up; they are made again at the next start.
    GaveUp,
}

/// A running engine. Dropping it gives up what is in flight; [`Runtime::shutdown`] lets it finish.
#[derive(Debug)]
pub struct Runtime {
    handle: Handle,
    calls: CancellationToken,
    threads: Vec<JoinHandle<()>>,
    teller: Option<TaskHandle<()>>,
}

impl Runtime {
    /// Loads the engine from a store and starts it. Must be called inside a tokio runtime, on which calls are
    /// made. Unfinished work goes on at once.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(store: Store, invokers: Invokers, options: Options) -> Result<Self, StartError> {
        let Store { mut writer, reader } = store;
        let snapshot = writer
            .load(options.clock.now())
            .map_err(StartError::Store)?;
        let (to_decider, messages) = channel();
        let (to_committer, orders) = channel();
        let (to_teller, tellings) = mpsc::unbounded_channel();
        let to_teller = ToTeller(to_teller);
        let written = Arc::<AtomicU64>::default();
        let vitals = Arc::new(Vitals::default());
        let cache_bytes = if options.cache_bytes == 0 {
            32 * 1024 * 1024
        } else {
            options.cache_bytes
        };
        let cache = Arc::new(Cache::new(cache_bytes));
        let all_calls = CancellationToken::new();
        let (news, _) = broadcast::channel(NEWS_MAX);
        let audiences = Arc::<Audiences>::default();
        let ids = Arc::new(Mutex::new(IdSource::from_seed(rand::random())));
        let decider = Decider::new(
            snapshot,
            options.engine,
            options.clock.clone(),
            IdSource::from_seed(rand::random()),
            Wiring {
                messages,
                committer: to_committer,
                teller: to_teller.clone(),
                written: Arc::clone(&written),
                vitals: Arc::clone(&vitals),
            },
        )?;
        let ends = Arc::<Ends>::default();
        let teller = Teller {
            cache: Arc::clone(&cache),
            news: news.clone(),
            audiences: Arc::clone(&audiences),
            ends: Arc::clone(&ends),
            dispatcher: Dispatcher {
                tokio: tokio::runtime::Handle::current(),
                decider: to_decider.clone(),
                invokers: Arc::new(invokers),
                cache,
                reader: Arc::clone(&reader),
                clock: options.clock.clone(),
                ids: Arc::clone(&ids),
                calls: all_calls.child_token(),
                all_calls: all_calls.clone(),
                announcing: Arc::new(Semaphore::new(ANNOUNCING_MAX)),
                gateway: OnDemand::new(options.private_addresses, options.gateway)
                    .map_err(StartError::Gateway)?,
                in_flight: Arc::default(),
                audiences: Arc::clone(&audiences),
                vitals: Arc::clone(&vitals),
            },
        };
        let committer = Committer {
            writer,
            orders,
            decider: to_decider.clone(),
            vitals: Arc::clone(&vitals),
            teller: to_teller,
            written,
            clock: options.clock.clone(),
            pruner: Pruner::new(options.retention, options.clock.clone()),
            refused_bytes: 0,
            recovered_at: None,
            wait: Duration::ZERO,
        };
        let moved = to_decider.clone();
        options
            .clock
            .on_move(move || drop(moved.send(Message::ClockMoved)));
        let threads = vec![
            spawn("stepwell-decider", &vitals, move || decider.run())?,
            spawn("stepwell-committer", &vitals, move || committer.run())?,
        ];
        let farewell = Farewell {
            ends: Arc::clone(&ends),
            decider: to_decider.clone(),
            _epitaph: Epitaph(Arc::clone(&vitals)),
        };
        let teller = tokio::spawn(async move {
            let _farewell = farewell;
            teller.run(tellings).await;
        });
        let handle = Handle {
            decider: to_decider,
            reader,
            news,
            audiences,
            ends: Arc::clone(&ends),
            room: Handle::room(),
            vitals,
            clock: options.clock,
            ids,
        };
        tokio::spawn(auditor::run(handle.clone(), all_calls.clone()));
        Ok(Self {
            handle,
            calls: all_calls,
            threads,
            teller: Some(teller),
        })
    }

    /// How the rest of the program talks to it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until the engine has ended by itself, which it does only after an internal error: the program should
    /// end, too, and be started again.
    pub async fn ended(&self) {
        self.handle.vitals.ended().await;
    }

    /// Stops: takes in nothing new, makes no new calls, waits up to `patience` for those in flight, and closes
    /// the store; then audiences leave. What was given up goes on at the next start.
    pub async fn shutdown(mut self, patience: Duration) -> Stopped {
        self.handle.vitals.stop();
        let (drained, done) = oneshot::channel();
        drop(self.handle.decider.send(Message::Drain(drained)));
        let stopped = match tokio::time::timeout(patience, done).await {
            Ok(Ok(())) => Stopped::Clean,
            Ok(Err(_)) | Err(_) => Stopped::GaveUp,
        };
        self.calls.cancel();
        drop(self.handle.decider.send(Message::Stop));
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().all(|thread| thread.join().is_ok())
        })
        .await;
        // What was written last is still to be told.
        let told = match self.teller.take() {
            Some(teller) => teller.await.is_ok(),
            None => true,
        };
        if !joined.unwrap_or(false) || !told {
            tracing::error!("a part of the engine panicked");
        }
        self.handle.audiences.leave().await;
        stopped
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.calls.cancel();
        drop(self.handle.decider.send(Message::Stop));
    }
}

fn spawn(
    name: &str,
    vitals: &Arc<Vitals>,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let epitaph = Epitaph(Arc::clone(vitals));
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread
        .spawn(move || {
            let _epitaph = epitaph;
            body();
        })
        .map_err(StartError::Thread)
}

/// Lets everyone go when nothing will be told any more, and has nothing decided that nobody would hear of.
struct Farewell {
    ends: Arc<Ends>,
    decider: Sender<Message>,
    /// Speaks when it is dropped.
    _epitaph: Epitaph,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.ends.close();
        // Mostly it is gone already.
        drop(self.decider.send(Message::Stop));
    }
}

/// Tells everyone when a part of the engine has ended.
struct Epitaph(Arc<Vitals>);

impl Drop for Epitaph {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(
                "the engine has stopped after an internal error; restart the program".to_owned(),
            );
        }
        self.0.end();
    }
}
