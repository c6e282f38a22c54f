//! The command line: every command, and what all of them take.

use crate::commands;
use crate::logging::Logging;
use clap::{CommandFactory, Parser, Subcommand};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
An option with a [STEPWELL_…] may also be set by that variable, by the same with INNGEST_ in front, or in a configuration file \
(stepwell.yaml, .json or .toml, here or in a folder above) under the option's name. \
The command line goes before the environment, the environment before the file.";

/// Durable, event-driven functions: the server, and what to ask it.
#[derive(Debug, Parser)]
#[command(
    name = "stepwell",
    version,
    propagate_version = true,
    after_long_help = AFTER_HELP,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Answer in JSON, for programs. A server logs in JSON.
    #[arg(help_heading = "Settings and logs", long, global = true)]
    pub(crate) json: bool,
    /// The configuration file, instead of the one that is found here or in a folder above.
    #[arg(
        help_heading = "Settings and logs",
        long,
        global = true,
        env = "STEPWELL_CONFIG",
        value_name = "FILE"
    )]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) logging: Logging,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a server for development, which finds your apps and keeps nothing unless told to.
    Dev(Box<commands::dev::Arguments>),
    /// Run a server for production, with keys and a database.
    Start(Box<commands::start::Arguments>),
    /// Send events, and ask what came of them.
    Events(commands::events::Arguments),
    /// List, show, cancel, repeat and export runs.
    Runs(commands::runs::Arguments),
    /// List the functions that apps have registered.
    Functions(commands::functions::Arguments),
    /// Look at a running server and its database: what is stuck, damaged, or soon full.
    Doctor(commands::doctor::Arguments),
    /// Copy the database to a file, also while a server uses it.
    Backup(commands::backup::Arguments),
    /// Make the keys that a server and its apps share.
    Keys(commands::keys::Arguments),
    /// Print the version.
    Version,
    /// Print a completion script for a shell.
    #[command(hide = true)]
    Completions(commands::documents::Completions),
    /// Write manual pages to a folder.
    #[command(hide = true)]
    Man(commands::documents::Man),
}

/// The whole command, before its settings are completed.
pub(crate) fn command() -> clap::Command {
    Arguments::command()
}
