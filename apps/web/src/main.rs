//! The binary `studio233`.

use clap::Parser;
use std::process::ExitCode;
use studio233_web::commands::{self, Arguments};

fn main() -> ExitCode {
    commands::run(Arguments::parse())
}
