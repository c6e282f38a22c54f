//! The binary `studio233-worker`.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    studio233_worker::main(&studio233_worker::Arguments::parse())
}
