//! The binary `studio233-worker`.

use clap::Parser;
use std::process::ExitCode;

/// Steps come and go on every thread, which is slow with the C library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    studio233_worker::main(&studio233_worker::Arguments::parse())
}
