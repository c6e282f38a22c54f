//! Set-up, tests and checks of the workspace: `cargo xtask <command>`.
//!
//! It needs Rust alone to start; `setup` fetches what the tests of the other languages need.

mod arrows;
mod ci;
mod console;
mod docs;
mod process;
mod setup;
mod sim;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Set-up, tests and checks of the workspace"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Install what the tests need: npm packages, a Python environment, PostgreSQL. Does nothing twice
    Setup,
    /// Set up, build once, run every test, end with `N passed, N failed`
    Test,
    /// Everything that has to hold before a change is merged: format, arrows, tidy, clippy, the SDK's documentation, tests
    Ci,
    /// Play seeds of the simulation; the story of the first that breaks a promise is told
    Sim(sim::Options),
    /// Write the command line's manual pages and completion scripts to target/cli-docs
    Docs,
    /// Show which crate depends on which, and check that arrows point down only
    Arrows,
    /// Check what no other tool checks: names, sizes, left-overs, paths, lock files
    Tidy,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            console::failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::load()?;
    let passed = match command {
        Command::Setup => {
            setup::run(&workspace)?;
            true
        }
        Command::Test => test::run(&workspace)?,
        Command::Ci => ci::run(&workspace)?,
        Command::Sim(options) => sim::run(&workspace, &options)?,
        Command::Docs => {
            docs::run(&workspace)?;
            true
        }
        Command::Arrows => arrows::run(&workspace)?,
        Command::Tidy => tidy::run(&workspace)?,
    };
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
