//! The binary `studio233`.

use clap::Parser;
use std::process::ExitCode;
use studio233_setup::ReaderProgram;
use studio233_web::commands::{self, Arguments};

/// Steps come and go on every thread, which is slow with the C library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match ReaderProgram::enter() {
        Ok(pdf_program) => commands::run(Arguments::parse(), pdf_program),
        Err(done) => done,
    }
}
