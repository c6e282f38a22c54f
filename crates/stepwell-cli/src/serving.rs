//! Serving: what the commands that run a server share.

mod app_url;
mod greeting;
mod interrupts;
mod open_files;

use self::app_url::parse_app_url;
use self::interrupts::Interrupts;
use self::open_files::room_for_connections;
use crate::connect::Connect;
use crate::retention::Retention;
use crate::traces::Traces;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stepwell_engine::{Backoff, CatchUp, Config};
use stepwell_protocol::signing::SigningKey;
use stepwell_runtime::gateway::PrivateAddresses;
use stepwell_runtime::{HttpInvoker, HttpOptions, Invokers, Runtime, Stopped};
use stepwell_server::{
    Apps, ConnectionLimits, EventKeys, MetricsToken, Poller, PollerOptions, Polling, ServerKind,
    ServerOptions, Tracer,
};
use stepwell_store::sqlite::Durability;
use stepwell_store::{Store, memory, sqlite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long answers that are under way get to go out when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How long the collector gets for the last traces.
const LAST_TRACES: Duration = Duration::from_secs(2);
/// How long all else may take that stopping does, beside waiting for calls.
const LAST_DITCH: Duration = Duration::from_secs(10);
const ENGINE_ENDED: &str = "the engine has stopped after an internal error; what was recorded is safe, start the server again";
/// Seconds between two questions to an app.
const POLL_INTERVAL_S: u64 = 5;

/// What the commands that run a server have in common.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Address to listen on. Anything but loopback opens the server to the network.
    #[arg(long, env = "STEPWELL_HOST", default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, short, env = "STEPWELL_PORT", default_value_t = 8288)]
    port: u16,
    /// URL of an app to register, e.g. http://localhost:3000/api/inngest. May be given several times.
    #[arg(
        help_heading = "Apps",
        long,
        short = 'u',
        env = "STEPWELL_SDK_URL",
        value_delimiter = ',',
        value_name = "URL",
        value_parser = parse_app_url
    )]
    sdk_url: Vec<String>,
    /// Seconds between two questions to an app; 0 takes the default.
    #[arg(help_heading = "Apps", long, env = "STEPWELL_POLL_INTERVAL", default_value_t = POLL_INTERVAL_S, value_name = "SECONDS")]
    poll_interval: u64,
    /// Wait this long before every retry, rather than longer and longer; 0 takes the default.
    #[arg(
        help_heading = "Work",
        long,
        env = "STEPWELL_RETRY_INTERVAL",
        value_name = "SECONDS"
    )]
    retry_interval: Option<u64>,
    /// Taken for compatibility, and without effect: work is started when it is due, not looked for at intervals.
    #[arg(
        help_heading = "Work",
        long,
        env = "STEPWELL_TICK",
        value_name = "MILLISECONDS"
    )]
    tick: Option<u64>,
    /// Keep everything in this SQLite file.
    #[arg(help_heading = "State", long, env = "STEPWELL_DB", value_name = "FILE")]
    db: Option<PathBuf>,
    /// The folder of the file stepwell.db, when --db names no other.
    #[arg(
        help_heading = "State",
        long,
        env = "STEPWELL_SQLITE_DIR",
        default_value = ".stepwell",
        value_name = "FOLDER"
    )]
    sqlite_dir: PathBuf,
    /// What a commit to the file survives; full by default.
    #[arg(
        help_heading = "State",
        long,
        env = "STEPWELL_SYNC",
        value_name = "LEVEL"
    )]
    sync: Option<Sync>,
    #[command(flatten)]
    retention: Retention,
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    traces: Traces,
    /// An event key that senders may use. May be given several times.
    #[arg(
        help_heading = "Access",
        long,
        env = "STEPWELL_EVENT_KEY",
        value_delimiter = ',',
        value_name = "KEY",
        hide_env_values = true
    )]
    event_key: Vec<String>,
    /// Signs calls to apps, and locks the API for whoever does not have it.
    #[arg(
        help_heading = "Access",
        long,
        env = "STEPWELL_SIGNING_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    signing_key: Option<String>,
    /// The key before, while keys are being changed: opens the API as well, and signs what an app refused.
    #[arg(
        help_heading = "Access",
        long,
        env = "STEPWELL_SIGNING_KEY_FALLBACK",
        value_name = "KEY",
        hide_env_values = true
    )]
    signing_key_fallback: Option<String>,
    /// Opens /metrics beside the signing key, so that whoever scrapes need not have that.
    #[arg(
        help_heading = "Access",
        long,
        env = "STEPWELL_METRICS_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    metrics_token: Option<String>,
    /// Calls in flight at once.
    #[arg(help_heading = "Work", long, alias = "queue-workers", env = "STEPWELL_MAX_CALLS", default_value_t = 1_000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_calls: u32,
    /// Connections at once. Of more, those go first that keep the server waiting.
    #[arg(help_heading = "Access", long, env = "STEPWELL_MAX_CONNECTIONS", default_value_t = 4_096, value_name = "N",
          value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    max_connections: u32,
    /// What becomes of the ticks of a cron schedule that fell into a time when the server was down.
    #[arg(
        help_heading = "Work",
        long,
        env = "STEPWELL_CATCH_UP",
        default_value = "one",
        value_name = "WHICH"
    )]
    catch_up: Missed,
    /// Whether functions may have the server make requests (step.fetch, step.ai.infer) to this machine and its network,
    /// and durable endpoints be there. With dev they may by default, with start they may not.
    #[arg(
        help_heading = "Access",
        long,
        env = "STEPWELL_ALLOW_PRIVATE_ADDRESSES",
        value_name = "BOOL"
    )]
    allow_private_addresses: Option<bool>,
    /// Write the server's URL to this file once it takes requests.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Seconds between the signal to stop and its beginning. /ready says no meanwhile, and everything goes on: time for a load
    /// balancer to send work elsewhere.
    #[arg(
        help_heading = "Work",
        long,
        env = "STEPWELL_SHUTDOWN_DELAY",
        default_value_t = 0,
        value_name = "SECONDS"
    )]
    shutdown_delay: u64,
    /// Seconds that calls in flight get to finish when the server stops.
    #[arg(
        help_heading = "Work",
        long,
        alias = "shutdown-timeout",
        env = "STEPWELL_GRACE",
        default_value_t = 10,
        value_name = "SECONDS"
    )]
    grace: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sync {
    /// The machine: every commit is synced to disk.
    Full,
    /// The process only: faster.
    Process,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Missed {
    /// The last one starts a run.
    One,
    /// None does.
    Skip,
}

/// Keys that read well.
#[derive(Debug)]
pub(crate) struct Keys<E> {
    pub(crate) events: E,
    pub(crate) signing: Option<SigningKey>,
    pub(crate) fallback: Option<SigningKey>,
}

impl Options {
    /// The keys that were given. No error shows one.
    pub(crate) fn keys(&self) -> anyhow::Result<Keys<Vec<String>>> {
        let read = |name: &str, key: &Option<String>| match key.as_deref().map(str::trim) {
            None | Some("") => Ok(None),
            Some(text) => SigningKey::parse(text)
                .map(Some)
                .map_err(|error| anyhow::anyhow!("{name} {error}")),
        };
        let events = self.event_key.iter().map(|key| key.trim().to_owned());
        let keys = Keys {
            events: events.filter(|key| !key.is_empty()).collect(),
            signing: read("signing-key", &self.signing_key)?,
            fallback: read("signing-key-fallback", &self.signing_key_fallback)?,
        };
        if keys.fallback.is_some() && keys.signing.is_none() {
            bail!("signing-key-fallback is of use only beside --signing-key");
        }
        Ok(keys)
    }

    /// The database's file: the one that was named, or the usual one if something is to be kept.
    pub(crate) fn database(&self, keep: bool) -> anyhow::Result<Option<PathBuf>> {
        let usual = || keep.then(|| self.sqlite_dir.join("stepwell.db"));
        let database = self.db.clone().or_else(usual);
        if database.is_none() {
            let needs = "is of use only where a file is kept: add --db <FILE> or --persist";
            if self.sync.is_some() {
                bail!("--sync {needs}");
            }
            if self.retention.limits_size() {
                bail!("--retain-size {needs}");
            }
        }
        Ok(database)
    }

    /// Whether functions may have the server make requests to this machine and its network.
    pub(crate) fn private_addresses(&self, otherwise: bool) -> PrivateAddresses {
        if self.allow_private_addresses.unwrap_or(otherwise) {
            PrivateAddresses::Allow
        } else {
            PrivateAddresses::Refuse
        }
    }
}

/// In what the commands differ.
#[derive(Debug)]
pub(crate) struct Shape {
    /// How the server presents itself.
    pub(crate) kind: ServerKind,
    /// Where everything is kept; nothing is without it.
    pub(crate) database: Option<PathBuf>,
    pub(crate) keys: Keys<EventKeys>,
    /// Which apps are asked again to register.
    pub(crate) polling: Polling,
    /// Whether apps are looked for on this machine.
    pub(crate) finds: bool,
    /// Whether functions may have the server make requests to this machine and its network.
    pub(crate) private_addresses: PrivateAddresses,
    /// Whether to greet in JSON.
    pub(crate) json: bool,
}

/// Serves until told to stop.
pub(crate) fn run(options: &Options, shape: Shape) -> anyhow::Result<()> {
    let tokio = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let served = tokio.block_on(serve(options, shape));
    // A question to a disk that hangs is not waited for.
    tokio.shutdown_background();
    served
}

async fn serve(options: &Options, shape: Shape) -> anyhow::Result<()> {
    let store = open(options, shape.database.as_deref())?;
    let address = (options.host.as_str(), options.port);
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {}:{}; is another server running? choose another port with --port",
            options.host, options.port
        )
    })?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let url = format!("http://{address}");

    let invoker = HttpInvoker::new(HttpOptions {
        signing_key: shape.keys.signing.clone(),
        signing_key_fallback: shape.keys.fallback.clone(),
        private_addresses: shape.private_addresses,
        ..HttpOptions::default()
    })
    .context("cannot set up the HTTP client")?;
    let invoker = Arc::new(invoker);
    let gateway = options
        .connect
        .gateway(shape.keys.signing.clone(), shape.keys.fallback.clone());
    let invokers = Invokers::none()
        .with("http", Arc::clone(&invoker) as _)
        .with("https", invoker)
        .with("ws", gateway.invoker())
        .with("wss", gateway.invoker());
    let runtime = Runtime::start(
        store,
        invokers,
        stepwell_runtime::Options {
            engine: engine(options),
            private_addresses: shape.private_addresses,
            retention: (&options.retention).into(),
            ..stepwell_runtime::Options::default()
        },
    )?;

    let limits = ConnectionLimits {
        connections_max: room_for_connections(
            options.max_connections as usize,
            options.connect.connections_max(),
        ),
        ..ConnectionLimits::default()
    };
    let apps = Apps::default();
    // Developers run several servers; where workers are configured to find one, another port would be missed.
    let moves = shape.kind == ServerKind::Dev;
    options
        .connect
        .listen(
            &options.host,
            &gateway,
            runtime.handle(),
            apps.clone(),
            moves,
        )
        .await?;
    let tracer = options.traces.tracer(runtime.handle())?;
    let router = stepwell_server::router(
        runtime.handle(),
        ServerOptions {
            kind: shape.kind,
            event_keys: shape.keys.events.clone(),
            signing_key: shape.keys.signing.clone(),
            signing_key_fallback: shape.keys.fallback.clone(),
            traces: tracer.as_ref().map(Tracer::counts),
            metrics_token: options.metrics_token.as_deref().and_then(MetricsToken::new),
            connect: Some(gateway.clone()),
            connections_max: limits.connections_max,
            apps: apps.clone(),
        },
    );
    let every = match options.poll_interval {
        0 => POLL_INTERVAL_S,
        seconds => seconds,
    };
    let poller = Poller::new(
        runtime.handle(),
        PollerOptions {
            urls: options.sdk_url.clone(),
            every: Duration::from_secs(every),
            polling: shape.polling,
            find: shape.finds.then_some(address.port()),
            ports: port_of_environment().into_iter().collect(),
            kind: shape.kind,
            signing_key: shape.keys.signing.clone(),
            signing_key_fallback: shape.keys.fallback.clone(),
            apps,
        },
    )
    .context("cannot set up the HTTP client")?;

    let mut interrupts = Interrupts::listen().context("cannot listen for signals")?;
    greeting::greet(options, &shape, &url)?;
    if let Some(path) = &options.ready_file {
        write_whole(path, &url).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let (stop, stopping) = tokio::sync::watch::channel(());
    let server = stepwell_server::serve(listener, router, limits, async move {
        let mut stopping = stopping;
        // A closed channel means the same.
        stopping.changed().await.unwrap_or_default();
    });
    let server = tokio::spawn(server);
    let poller = tokio::spawn(poller.run());
    let no_more_traces = CancellationToken::new();
    let tracer = tracer.map(|tracer| tokio::spawn(tracer.run(no_more_traces.clone())));
    tokio::select! {
        interrupted = interrupts.next() => interrupted?,
        () = runtime.ended() => bail!(ENGINE_ENDED),
    }
    poller.abort();
    let handle = runtime.handle();
    handle.withdraw();
    if options.shutdown_delay > 0 {
        tracing::info!(
            "not ready any more; stopping begins in {} s",
            options.shutdown_delay
        );
        let delay = Duration::from_secs(options.shutdown_delay);
        linger(delay, interrupts.next(), runtime.ended()).await?;
    }
    tracing::info!(
        "stopping; calls in flight get {} s, press Ctrl-C again to give them up",
        options.grace
    );
    let grace = Duration::from_secs(options.grace);
    let stopping = async {
        let shutdown = runtime.shutdown(grace);
        let stopped = tokio::select! {
            stopped = shutdown => stopped,
            again = interrupts.next() => { again?; Stopped::GaveUp }
        };
        // Only now: a worker that connects anew brings its replies to whoever is there then.
        gateway.close(LAST_ANSWERS).await;
        stop.send_replace(());
        // What has been decided is also answered; a client that does not read its answer cannot hold the server.
        if tokio::time::timeout(LAST_ANSWERS, server).await.is_err() {
            tracing::debug!("stopped with answers under way");
        }
        no_more_traces.cancel();
        if let Some(tracer) = tracer
            && tokio::time::timeout(LAST_TRACES, tracer).await.is_err()
        {
            tracing::debug!("stopped with traces that the collector has not taken");
        }
        anyhow::Ok(stopped)
    };
    // Whoever told the server to stop counts on it: a disk that hangs does not keep it.
    let Ok(stopped) = tokio::time::timeout(grace.saturating_add(LAST_DITCH), stopping).await else {
        bail!(
            "could not stop in time, perhaps because the disk does not answer; what was recorded is safe, and the rest is done at the next start"
        );
    };
    match stopped? {
        Stopped::Clean => tracing::info!("stopped"),
        Stopped::GaveUp if shape.database.is_some() => {
            tracing::warn!("stopped with calls in flight; they are made again at the next start");
        }
        Stopped::GaveUp => tracing::warn!("stopped with calls in flight"),
    }
    Ok(())
}

/// Goes on as it is until the delay is over or a second signal comes. An engine that ends meanwhile is not to be waited for.
async fn linger(
    delay: Duration,
    again: impl Future<Output = anyhow::Result<()>>,
    ended: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    tokio::select! {
        () = tokio::time::sleep(delay) => Ok(()),
        again = again => again,
        () = ended => bail!(ENGINE_ENDED),
    }
}

fn engine(options: &Options) -> Config {
    let retry_interval = options.retry_interval.filter(|seconds| *seconds > 0);
    Config {
        calls_max: options.max_calls as usize,
        backoff: retry_interval.map_or(Backoff::Table, |seconds| {
            Backoff::Constant(seconds.saturating_mul(1_000))
        }),
        catch_up: match options.catch_up {
            Missed::One => CatchUp::One,
            Missed::Skip => CatchUp::Skip,
        },
    }
}

fn open(options: &Options, database: Option<&Path>) -> anyhow::Result<Store> {
    let Some(path) = database else {
        return Ok(memory::open());
    };
    make_folder(&options.sqlite_dir, path)?;
    let durability = match options.sync {
        None | Some(Sync::Full) => Durability::Full,
        Some(Sync::Process) => Durability::Process,
    };
    Ok(sqlite::open(&sqlite::Options {
        durability,
        ..sqlite::Options::new(path)
    })?)
}

/// Makes the usual folder of a database, closed to other users: events may be nobody's business.
fn make_folder(folder: &Path, database: &Path) -> anyhow::Result<()> {
    if !database.starts_with(folder) || folder.exists() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o750);
    builder
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))
}

/// The port that many frameworks listen on when it is set.
fn port_of_environment() -> Option<u16> {
    std::env::var("PORT").ok()?.parse().ok()
}

/// Writes a file in one step, so that nobody reads half of it.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    std::fs::write(&name, text)?;
    std::fs::rename(name, path)
}

#[cfg(test)]
mod tests {
    use super::linger;
    use std::future::{pending, ready};
    use std::time::Duration;

    #[tokio::test]
    async fn an_engine_that_ends_or_a_second_signal_cuts_the_delay_short() {
        const LONG: Duration = Duration::from_secs(100_000);
        let ended = linger(LONG, pending(), ready(())).await;
        let said = ended.expect_err("it is no success").to_string();
        assert!(said.contains("the engine has stopped"), "{said}");
        let again = linger(LONG, ready(Ok(())), pending()).await;
        assert!(again.is_ok(), "{again:?}");
        let over = linger(Duration::ZERO, pending(), pending()).await;
        assert!(over.is_ok(), "{over:?}");
    }
}
