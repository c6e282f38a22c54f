//! Logs: for people on a terminal, in JSON otherwise.

use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

#[derive(Debug, Args)]
pub(crate) struct Logging {
    /// What to log: error, warn, info, debug, trace, or a filter such as `info,stepwell_runtime=debug`.
    #[arg(help_heading = "Settings and logs",
        long,
        global = true,
        env = "STEPWELL_LOG",
        default_value = "info",
        value_name = "FILTER",
        value_parser = check_filter
    )]
    log: String,
    /// How to log; by default for people on a terminal and in JSON otherwise.
    #[arg(
        help_heading = "Settings and logs",
        long,
        global = true,
        env = "STEPWELL_LOG_FORMAT",
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

/// A filter is kept as text: the parsed one cannot be cloned, which options must.
fn check_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

/// Sends logs to standard error.
pub(crate) fn set_up(arguments: &Logging, json: bool) {
    let filter = EnvFilter::new(&arguments.log);
    let terminal = std::io::stderr().is_terminal();
    let format = arguments.log_format.unwrap_or(if terminal && !json {
        Format::Text
    } else {
        Format::Json
    });
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        Format::Text => logs.with_ansi(terminal).with_target(false).init(),
        Format::Json => logs.json().init(),
    }
}
