//! The studio's jobs in a process of their own.
//!
//! [`run`] connects out to a server of the protocol and runs the functions that it calls: the same list, made of the same
//! settings, as the web app's. It listens nowhere. Several workers share the work; with PostgreSQL and a bucket they may be on
//! several machines.

use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;
use stepwell::connect::{Worker, shutdown_signal};
use studio233_setup::{
    Failure, FileSource, Flags, LogArguments, Parts, ReaderProgram, Settings, set_budgets,
    set_up_logs,
};

/// Calls in flight get this long when the worker stops; what is given up is executed by another.
const GRACE: Duration = Duration::from_secs(60);

/// What still blocks a thread gets this long when the worker ends.
const SHUTDOWN_MAX: Duration = Duration::from_secs(1);

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "studio233-worker", version)]
pub struct Arguments {
    /// What this worker does differently from others.
    #[command(flatten)]
    pub options: Options,
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    logs: LogArguments,
}

/// What is a worker's own.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// How many calls execute at once [default: 1000; what a function allows itself counts before].
    #[arg(long, env = "STUDIO233_WORKER_CONCURRENCY", value_name = "CALLS")]
    pub concurrency: Option<usize>,
    /// The worker's name, the same after a restart [default: the host's].
    #[arg(long, env = "STUDIO233_WORKER_NAME", value_name = "NAME")]
    pub name: Option<String>,
}

/// The program: the exit code is 0 when it was told to stop. PDFs are read in processes of that program.
#[must_use]
pub fn main(arguments: &Arguments, pdf_program: ReaderProgram) -> ExitCode {
    let done = set_up_logs(&arguments.logs, "info")
        .map_err(|message| Failure::new("configuration", message))
        .and_then(|()| Settings::read(&arguments.flags))
        .and_then(|settings| {
            let settings = Settings {
                pdf_program: Some(pdf_program),
                ..settings
            };
            let tokio = tokio::runtime::Runtime::new().map_err(|error| {
                Failure::new("start", format!("cannot start the async runtime: {error}"))
            })?;
            let done = tokio.block_on(run(&settings, &arguments.options, shutdown_signal()));
            // What is dropped ends its processes; what still blocks a thread must not hold this one.
            tokio.shutdown_timeout(SHUTDOWN_MAX);
            done
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&failure);
            ExitCode::FAILURE
        }
    }
}

/// Opens the stores, connects, and runs what it is called for, until the signal. Then it takes nothing new, and what it is
/// doing gets a minute to end. A server that is away is tried again, for as long as it takes.
///
/// # Errors
/// A [`Failure`] of code `configuration`, `data_folder` or `start`, or `refused` when the server does not take the worker.
pub async fn run(
    settings: &Settings,
    options: &Options,
    signal: impl Future<Output = ()>,
) -> Result<(), Failure> {
    std::fs::create_dir_all(&settings.data).map_err(|error| {
        let folder = settings.data.display();
        Failure::new(
            "data_folder",
            format!("cannot make the folder {folder}: {error}"),
        )
        .hint("name a folder that you may write to with --data")
    })?;
    let parts = Parts::open(settings).await?;
    let client = studio233_inngest::client(settings.inngest.clone());
    let database = &parts.deps.database;
    set_budgets(
        &settings.money.budgets,
        FileSource::Worker,
        &client,
        database,
    )
    .await?;
    let app = parts.app(client);
    let mut worker = Worker::builder(app).shutdown_timeout(GRACE);
    if let Some(concurrency) = options.concurrency {
        worker = worker.max_concurrency(concurrency);
    }
    if let Some(name) = &options.name {
        worker = worker.instance_id(name);
    }
    let worker = worker
        .build()
        .map_err(|error| Failure::of("configuration", &error))?;
    for (part, provider) in &parts.providers {
        tracing::info!(part, provider, "the studio's AI");
    }
    let signalled = async {
        signal.await;
        tracing::info!("stopping; what is at work gets a moment to finish");
    };
    let ended = worker.run_until(signalled).await;
    parts.close().await;
    ended.map_err(|error| {
        Failure::of("refused", &error)
            .hint("INNGEST_BASE_URL says where the server is, INNGEST_SIGNING_KEY is the key that it shares with its apps")
    })
}

#[allow(clippy::print_stderr, reason = "a person reads why the program ended")]
fn tell(failure: &Failure) {
    eprintln!("error: {}", failure.message);
    if let Some(hint) = &failure.hint {
        eprintln!("  next: {hint}");
    }
}
