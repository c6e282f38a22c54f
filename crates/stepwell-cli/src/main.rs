//! The `stepwell` command line.

mod commands;
mod logging;
mod retention;
mod serving;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Durable, event-driven functions: the server.
#[derive(Debug, Parser)]
#[command(name = "stepwell", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logging: logging::Logging,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server for development.
    Dev(commands::dev::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::set_up(&arguments.logging);
    let done = match arguments.command {
        Command::Dev(arguments) => commands::dev::run(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// The last word of a failed command.
#[expect(
    clippy::print_stderr,
    reason = "the user's terminal is where a command's error goes"
)]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
