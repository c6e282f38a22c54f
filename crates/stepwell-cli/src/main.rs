//! The `stepwell` command line.

mod cli;
mod client;
mod commands;
mod connect;
mod logging;
mod printing;
mod retention;
mod serving;
mod settings;
mod table;
mod traces;

use crate::cli::{Arguments, Command};
use crate::settings::{SettingsError, Surroundings};
use clap::FromArgMatches;
use std::process::ExitCode;

/// Calls and their bodies come and go on every thread, which costs the C library's allocator a sixth of the server's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a command line that cannot be understood ends with.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let given: Vec<_> = std::env::args_os().collect();
    let resolved = settings::resolve(&cli::command(), &given, &Surroundings::of_process());
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(SettingsError::Usage(error)) => error.exit(),
        Err(error @ SettingsError::Values(_)) => {
            let json = given.iter().any(|word| word == "--json");
            printing::complain(&error.to_string(), json);
            return ExitCode::from(USAGE);
        }
    };
    let arguments = match Arguments::from_arg_matches(&resolved.matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    logging::set_up(&arguments.logging, arguments.json);
    if let Some(file) = &resolved.file {
        tracing::debug!(file = %file.display(), "settings are read from a file");
    }
    let json = arguments.json;
    let done = match arguments.command {
        Command::Dev(arguments) => commands::dev::run(&arguments, json),
        Command::Start(arguments) => commands::start::run(&arguments, json),
        Command::Events(arguments) => commands::events::run(&arguments, json),
        Command::Runs(arguments) => commands::runs::run(&arguments, json),
        Command::Functions(arguments) => commands::functions::run(&arguments, json),
        Command::Doctor(arguments) => commands::doctor::run(&arguments, json),
        Command::Backup(arguments) => commands::backup::run(&arguments, json),
        Command::Keys(arguments) => commands::keys::run(&arguments, json),
        Command::Version => printing::line(env!("CARGO_PKG_VERSION")),
        Command::Completions(arguments) => commands::documents::completions(&arguments),
        Command::Man(arguments) => commands::documents::man(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            printing::complain(&format!("{error:#}"), json);
            ExitCode::FAILURE
        }
    }
}
