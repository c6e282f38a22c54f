//! Serving: what the commands that run a server share.

mod interrupts;
mod open_files;

use self::interrupts::Interrupts;
use self::open_files::room_for_connections;
use crate::retention::Retention;
use anyhow::Context;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stepwell_engine::{Backoff, CatchUp, Config};
use stepwell_protocol::signing::SigningKey;
use stepwell_runtime::gateway::PrivateAddresses;
use stepwell_runtime::{HttpInvoker, HttpOptions, Invokers, Runtime, Stopped};
use stepwell_server::{
    ConnectionLimits, EventKeys, Poller, PollerOptions, ServerKind, ServerOptions,
};
use stepwell_store::sqlite::Durability;
use stepwell_store::{Store, memory, sqlite};
use tokio::net::TcpListener;

/// How long answers that are under way get to go out when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

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
        long,
        short = 'u',
        env = "STEPWELL_SDK_URL",
        value_delimiter = ',',
        value_name = "URL"
    )]
    sdk_url: Vec<String>,
    /// Seconds between two questions to an app.
    #[arg(
        long,
        env = "STEPWELL_POLL_INTERVAL",
        default_value_t = 5,
        value_name = "SECONDS"
    )]
    poll_interval: u64,
    /// Wait this long before every retry, rather than longer and longer.
    #[arg(long, env = "STEPWELL_RETRY_INTERVAL", value_name = "SECONDS")]
    retry_interval: Option<u64>,
    /// Keep everything in this SQLite file. Without it, everything is forgotten when the server stops.
    #[arg(long, env = "STEPWELL_DB", value_name = "FILE")]
    db: Option<PathBuf>,
    /// What a commit to the file survives.
    #[arg(
        long,
        env = "STEPWELL_SYNC",
        default_value = "full",
        requires = "db",
        value_name = "LEVEL"
    )]
    sync: Sync,
    #[command(flatten)]
    retention: Retention,
    /// An event key that senders must use; without one any is good. May be given several times.
    #[arg(
        long,
        env = "STEPWELL_EVENT_KEY",
        value_delimiter = ',',
        value_name = "KEY",
        hide_env_values = true
    )]
    event_key: Vec<String>,
    /// Signs calls to apps, and locks the API for whoever does not have it.
    #[arg(
        long,
        env = "STEPWELL_SIGNING_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    signing_key: Option<String>,
    /// Calls in flight at once.
    #[arg(long, env = "STEPWELL_MAX_CALLS", default_value_t = 1_000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_calls: u32,
    /// Connections at once. Of more, those go first that keep the server waiting.
    #[arg(long, env = "STEPWELL_MAX_CONNECTIONS", default_value_t = 4_096, value_name = "N",
          value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    max_connections: u32,
    /// What becomes of the ticks of a cron schedule that fell into a time when the server was down.
    #[arg(
        long,
        env = "STEPWELL_CATCH_UP",
        default_value = "one",
        value_name = "WHICH"
    )]
    catch_up: Missed,
    /// Write the server's URL to this file once it takes requests.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Seconds that calls in flight get to finish when the server stops.
    #[arg(
        long,
        env = "STEPWELL_GRACE",
        default_value_t = 10,
        value_name = "SECONDS"
    )]
    grace: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
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

/// In what the commands differ.
#[derive(Debug)]
pub(crate) struct Shape {
    /// How the server presents itself.
    pub(crate) kind: ServerKind,
    /// Ask each app only until it has registered.
    pub(crate) poll_once: bool,
    /// Whether functions may have the server make requests to this machine and its network.
    pub(crate) private_addresses: PrivateAddresses,
}

/// Serves until told to stop.
pub(crate) fn run(options: &Options, shape: &Shape) -> anyhow::Result<()> {
    let tokio = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    tokio.block_on(serve(options, shape))
}

async fn serve(options: &Options, shape: &Shape) -> anyhow::Result<()> {
    let store = open(options)?;
    let signing_key = options
        .signing_key
        .clone()
        .filter(|key| !key.is_empty())
        .map(SigningKey::new);
    let address = (options.host.as_str(), options.port);
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {}:{}; is another server running? choose another port with --port",
            options.host, options.port
        )
    })?;
    let url = base_url(
        listener
            .local_addr()
            .context("the listener has no address")?,
    );

    let http = HttpInvoker::new(HttpOptions {
        signing_key: signing_key.clone(),
        private_addresses: shape.private_addresses,
        ..HttpOptions::default()
    })
    .context("cannot set up the HTTP client")?;
    let http = Arc::new(http);
    let invokers = Invokers::none()
        .with("http", Arc::clone(&http) as _)
        .with("https", http);
    let backoff = options.retry_interval.map_or(Backoff::Table, |seconds| {
        Backoff::Constant(seconds.saturating_mul(1_000))
    });
    let engine = Config {
        calls_max: options.max_calls as usize,
        backoff,
        catch_up: match options.catch_up {
            Missed::One => CatchUp::One,
            Missed::Skip => CatchUp::Skip,
        },
    };
    let runtime = Runtime::start(
        store,
        invokers,
        stepwell_runtime::Options {
            engine,
            private_addresses: shape.private_addresses,
            retention: (&options.retention).into(),
            ..stepwell_runtime::Options::default()
        },
    )?;

    let event_keys = match options
        .event_key
        .iter()
        .filter(|key| !key.is_empty())
        .cloned()
        .collect::<Vec<_>>()
    {
        keys if keys.is_empty() => EventKeys::Any,
        keys => EventKeys::These(keys),
    };
    let server = ServerOptions {
        kind: shape.kind,
        event_keys,
        signing_key: signing_key.clone(),
        signing_key_fallback: None,
    };
    let router = stepwell_server::router(runtime.handle(), server);
    let poller = Poller::new(PollerOptions {
        urls: options.sdk_url.clone(),
        every: Duration::from_secs(options.poll_interval.max(1)),
        once: shape.poll_once,
        kind: shape.kind,
        signing_key,
    })
    .context("cannot set up the HTTP client")?;
    let poller = tokio::spawn(poller.run());

    let limits = ConnectionLimits {
        connections_max: room_for_connections(options.max_connections as usize),
        ..ConnectionLimits::default()
    };
    let mut interrupts = Interrupts::listen().context("cannot listen for signals")?;
    greet(options, &url);
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
    tokio::select! {
        interrupted = interrupts.next() => interrupted?,
        () = runtime.ended() => anyhow::bail!(
            "the engine has stopped after an internal error; what was recorded is safe, start the server again"
        ),
    }
    tracing::info!(
        "stopping; calls in flight get {} s, press Ctrl-C again to give them up",
        options.grace
    );
    poller.abort();
    let shutdown = runtime.shutdown(Duration::from_secs(options.grace));
    let stopped = tokio::select! {
        stopped = shutdown => stopped,
        again = interrupts.next() => { again?; Stopped::GaveUp }
    };
    stop.send_replace(());
    // What has been decided is also answered; a client that does not read its answer cannot hold the server.
    if tokio::time::timeout(LAST_ANSWERS, server).await.is_err() {
        tracing::debug!("stopped with answers under way");
    }
    match stopped {
        Stopped::Clean => tracing::info!("stopped"),
        Stopped::GaveUp if options.db.is_some() => {
            tracing::warn!("stopped with calls in flight; they are made again at the next start");
        }
        Stopped::GaveUp => tracing::warn!("stopped with calls in flight"),
    }
    Ok(())
}

fn open(options: &Options) -> anyhow::Result<Store> {
    let Some(path) = &options.db else {
        return Ok(memory::open());
    };
    let durability = match options.sync {
        Sync::Full => Durability::Full,
        Sync::Process => Durability::Process,
    };
    Ok(sqlite::open(&sqlite::Options {
        durability,
        ..sqlite::Options::new(path)
    })?)
}

fn base_url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// Writes a file in one step, so that nobody reads half of it.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    std::fs::write(&name, text)?;
    std::fs::rename(name, path)
}

#[expect(
    clippy::print_stdout,
    reason = "where the server is and what to try is the command's output"
)]
fn greet(options: &Options, url: &str) {
    println!("listening on {url}");
    match &options.db {
        Some(path) => println!(
            "  state       {} (sync: {:?})",
            path.display(),
            options.sync
        ),
        None => println!("  state       in memory; keep it with --db FILE"),
    }
    if options.sdk_url.is_empty() {
        println!(
            "  apps        none asked for; name one with -u http://localhost:3000/api/inngest"
        );
    }
    for app in &options.sdk_url {
        println!("  app         {app}");
    }
    println!("  send        curl {url}/e/dev -d '{{\"name\":\"demo/hello\",\"data\":{{}}}}'");
    println!("  functions   curl {url}/dev");
}
