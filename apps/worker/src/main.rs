//! The binary `studio233-worker`.

use clap::Parser;
use std::process::ExitCode;
use studio233_setup::ReaderProgram;
use studio233_worker::Arguments;

/// Steps come and go on every thread, which is slow with the C library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match ReaderProgram::enter() {
        Ok(pdf_program) => studio233_worker::main(&Arguments::parse(), pdf_program),
        Err(done) => done,
    }
}
