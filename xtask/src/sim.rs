//! `cargo xtask sim`: plays seeds of the simulation.

use anyhow::Result;
use clap::Args;

use crate::process;
use crate::workspace::{Workspace, cargo};

/// What is passed on to `stepwell-sim`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// How many seeds
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long)]
    from: Option<u64>,
    /// Stop after so many minutes, however many seeds are left; without --seeds, play until then
    #[arg(long)]
    minutes: Option<f64>,
    /// Tell the story of every seed
    #[arg(long)]
    story: bool,
    /// Tell a failure as it is, without looking for a smaller one
    #[arg(long)]
    whole: bool,
    /// Build it optimised: several times as many seeds a minute
    #[arg(long)]
    release: bool,
}

/// True if every promise was kept.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let mut build = cargo();
    build.current_dir(&workspace.root);
    build.args(["build", "--quiet", "--package", "stepwell-sim"]);
    let profile = if options.release {
        build.arg("--release");
        "release"
    } else {
        "debug"
    };
    process::run(&mut build)?;
    let mut sim = std::process::Command::new(workspace.target.join(profile).join("stepwell-sim"));
    if let Some(seeds) = options.seeds {
        sim.args(["--seeds", &seeds.to_string()]);
    }
    if let Some(from) = options.from {
        sim.args(["--from", &from.to_string()]);
    }
    if let Some(minutes) = options.minutes {
        sim.args(["--minutes", &minutes.to_string()]);
    }
    for (wanted, flag) in [(options.story, "--story"), (options.whole, "--whole")] {
        if wanted {
            sim.arg(flag);
        }
    }
    process::passes(&mut sim)
}
