//! Logs: for people on a terminal, in JSON otherwise.

use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// What to log, and how.
#[derive(Debug, Clone, Args)]
pub struct LogArguments {
    /// What to log to standard error: off, error, warn, info, debug, trace, or a filter such as `info,studio233_inngest=debug`.
    /// By default `info` for `serve`, and `off` for commands that tell what they do themselves.
    #[arg(long, global = true, env = "STUDIO233_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How to log; by default for people on a terminal and in JSON otherwise.
    #[arg(
        long,
        global = true,
        env = "STUDIO233_LOG_FORMAT",
        value_name = "FORMAT"
    )]
    log_format: Option<Format>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends logs to standard error. `default` is the filter when none is asked for.
///
/// # Errors
/// The filter that is none, and why.
pub fn set_up(arguments: &LogArguments, default: &str) -> Result<(), String> {
    let filter = arguments.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("--log '{filter}' is no log filter: {error}"))?;
    let terminal = std::io::stderr().is_terminal();
    let format = arguments
        .log_format
        .unwrap_or(if terminal { Format::Text } else { Format::Json });
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        Format::Text => logs.with_ansi(terminal).with_target(false).init(),
        Format::Json => logs.json().init(),
    }
    Ok(())
}
