//! The commands of the binary `studio233`.

mod budgets;
mod context;
mod ingest;
mod report;
mod search;
mod serve;
mod server;
mod steps;
mod usage;

use crate::terminal;
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use std::time::Duration;
use studio233_setup::{Failure, Flags, LogArguments, ReaderProgram, Settings, set_up_logs};

/// The studio: brand documents become knowledge that can be searched, durably.
#[derive(Debug, Parser)]
#[command(name = "studio233", version, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The port that `serve` listens on, on 127.0.0.1; 0 takes a free one [default: 8233].
    #[arg(
        long,
        short,
        global = true,
        env = "STUDIO233_PORT",
        value_name = "PORT"
    )]
    port: Option<u16>,
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    logs: LogArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process: engine, jobs, web API (the default).
    Serve,
    /// Read a brand's PDF into a workspace, and show the profile that was found.
    Ingest(ingest::Arguments),
    /// Find what a workspace's documents say.
    Search(search::Arguments),
    /// Tell what a prompt should know of a workspace's brand, with where it stands.
    Context(context::Arguments),
    /// See and change what may be spent. A spent budget holds further runs.
    Budgets(budgets::Arguments),
    /// Show what a workspace has used.
    Usage(usage::Arguments),
}

/// What still blocks a thread gets this long when a command ends.
const SHUTDOWN_MAX: Duration = Duration::from_secs(1);

/// Runs a command. The exit code is 0 only when it did what was asked. PDFs are read in processes of that program.
pub fn run(arguments: Arguments, pdf_program: ReaderProgram) -> ExitCode {
    let command = arguments.command.unwrap_or(Command::Serve);
    let (default_log, json) = match &command {
        Command::Serve => ("info", false),
        Command::Ingest(arguments) => ("off", arguments.json),
        Command::Search(arguments) => ("off", arguments.json),
        Command::Context(arguments) => ("off", arguments.json),
        Command::Budgets(arguments) => ("off", arguments.json),
        Command::Usage(arguments) => ("off", arguments.json),
    };
    let done = prepare(&arguments.logs, default_log, &arguments.flags).and_then(|settings| {
        let settings = Settings {
            port: arguments.port.or(settings.port),
            pdf_program: Some(pdf_program),
            ..settings
        };
        let tokio = tokio::runtime::Runtime::new().map_err(|error| {
            Failure::new("start", format!("cannot start the async runtime: {error}"))
        })?;
        let done = tokio.block_on(async {
            match command {
                Command::Serve => serve::run(settings).await,
                Command::Ingest(arguments) => ingest::run(arguments, settings).await,
                Command::Search(arguments) => search::run(arguments, settings).await,
                Command::Context(arguments) => context::run(arguments, settings).await,
                Command::Budgets(arguments) => budgets::run(arguments, settings).await,
                Command::Usage(arguments) => usage::run(arguments, settings).await,
            }
        });
        // What is dropped ends its processes; what still blocks a thread must not hold this one.
        tokio.shutdown_timeout(SHUTDOWN_MAX);
        done
    });
    match done {
        Ok(code) => code,
        Err(failure) => {
            terminal::failure(&failure);
            if json {
                let answer = serde_json::json!({"status": "failed", "error": failure});
                terminal::line(answer.to_string());
            }
            ExitCode::FAILURE
        }
    }
}

fn prepare(logs: &LogArguments, default_log: &str, flags: &Flags) -> Result<Settings, Failure> {
    set_up_logs(logs, default_log).map_err(|message| Failure::new("configuration", message))?;
    Settings::read(flags)
}

/// Waits for Ctrl-C, or SIGTERM where there is one. It listens from the call on, before it is awaited, so that a
/// caller can ask for it and miss nothing.
fn interrupted() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let signals = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::interrupt())
            .and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)))
    };
    async move {
        #[cfg(unix)]
        match signals {
            Ok((mut interrupt, mut terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                return;
            }
            Err(error) => tracing::warn!(%error, "SIGTERM is not waited for"),
        }
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "Ctrl-C is not waited for");
            std::future::pending::<()>().await;
        }
    }
}
