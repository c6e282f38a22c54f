//! Completion scripts and manual pages, made from the command line itself.

use crate::{cli, printing, settings};
use anyhow::Context;
use clap::Args;
use clap_complete::Shell;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell that reads it.
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder; made if it is not there.
    folder: PathBuf,
}

pub(crate) fn completions(arguments: &Completions) -> anyhow::Result<()> {
    let mut command = settings::presentable(cli::command());
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "stepwell", &mut script);
    let script = String::from_utf8(script).context("the script is not text")?;
    printing::line(script.trim_end())
}

pub(crate) fn man(arguments: &Man) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    clap_mangen::generate_to(settings::presentable(cli::command()), folder)
        .with_context(|| format!("cannot write to {}", folder.display()))
}
