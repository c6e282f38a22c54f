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
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::process::ExitCode;

/// Calls and their bodies come and go on every thread, which costs the C library's allocator a sixth of the server's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a command line that cannot be understood ends with.
const USAGE: u8 = 2;

/// Whether a command line asks for JSON that may not be understood as a whole.
fn wants_json(given: &[OsString]) -> bool {
    let options = given.iter().take_while(|word| *word != "--");
    options.into_iter().any(|word| word == "--json")
}

/// Says why a command line is not understood, or shows the help that it asks for.
fn misused(error: &clap::Error, json: bool) -> ExitCode {
    if !json || !error.use_stderr() {
        error.exit();
    }
    let said = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a command is missing; --help shows which there are".to_owned()
        }
        _ => {
            let said = error.render().to_string();
            let said = said.strip_prefix("error: ").unwrap_or(&said);
            // How to call the command is for people.
            let end = ["\n\nUsage:", "\n\nFor more"]
                .iter()
                .filter_map(|end| said.find(end));
            said[..end.min().unwrap_or(said.len())]
                .trim_end()
                .to_owned()
        }
    };
    printing::complain(&said, true);
    ExitCode::from(USAGE)
}

fn main() -> ExitCode {
    let given: Vec<_> = std::env::args_os().collect();
    let resolved = settings::resolve(&cli::command(), &given, &Surroundings::of_process());
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(SettingsError::Usage(error)) => return misused(&error, wants_json(&given)),
        Err(error @ SettingsError::Values(_)) => {
            printing::complain(&error.to_string(), wants_json(&given));
            return ExitCode::from(USAGE);
        }
    };
    let arguments = match Arguments::from_arg_matches(&resolved.matches) {
        Ok(arguments) => arguments,
        Err(error) => return misused(&error, wants_json(&given)),
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
