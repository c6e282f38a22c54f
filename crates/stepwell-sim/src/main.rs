//! Plays seeds, and tells the story of the first that breaks a promise.

// What it prints is what it is for.
#![allow(clippy::print_stdout)]

use clap::Parser;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use stepwell_sim::{Scenario, Story, Tally, run, shrink, tell};

/// Seeds that are played when nobody says how many.
const SEEDS: u64 = 1_000;
/// Scenarios that are played to make a failing one smaller.
const TRIES_MAX: usize = 3_000;

/// Simulates engine, store and apps under faults, one seed after another.
#[derive(Debug, Parser)]
#[command(name = "stepwell-sim", version)]
struct Arguments {
    /// How many seeds; 1000 if nothing says when to stop.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Stop after so many minutes, however many seeds are left; without --seeds, play until then.
    #[arg(long)]
    minutes: Option<f64>,
    /// Tell the story of every seed, also of those that keep all promises.
    #[arg(long)]
    story: bool,
    /// Tell a failure as it is, without looking for a smaller one.
    #[arg(long)]
    whole: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let limit = arguments
        .minutes
        .map(|minutes| Duration::from_secs_f64(minutes.max(0.0) * 60.0));
    let seeds = match (arguments.seeds, limit) {
        (Some(seeds), _) => seeds,
        (None, Some(_)) => u64::MAX,
        (None, None) => SEEDS,
    };
    let mut tally = Tally::default();
    let mut played = 0;
    for seed in arguments.from..arguments.from.saturating_add(seeds) {
        if limit.is_some_and(|limit| started.elapsed() >= limit) {
            break;
        }
        let scenario = Scenario::of(seed);
        let story = if arguments.story || arguments.whole {
            Story::kept()
        } else {
            Story::unheard()
        };
        let outcome = run(&scenario, story);
        played += 1;
        tally += outcome.tally;
        if arguments.story {
            let digest = outcome.tally.digest;
            println!("seed {seed}\n{}  digest {digest:016x}", outcome.story);
        }
        if let Some(violation) = outcome.violation {
            if arguments.whole {
                println!("{}\nseed {seed}: {violation}", outcome.story);
            } else if let Some(shrunk) = shrink(&scenario, TRIES_MAX) {
                println!("{}", tell(&scenario, &shrunk));
            } else {
                println!("seed {seed} failed once and not again: {violation}");
            }
            return ExitCode::FAILURE;
        }
    }
    println!(
        "{played} seeds from {} in {:.1} s: {} runs, {} calls, {} commits, {} crashes, {} refused commits; every promise kept",
        arguments.from,
        started.elapsed().as_secs_f64(),
        tally.runs,
        tally.calls,
        tally.commits,
        tally.crashes,
        tally.refusals
    );
    ExitCode::SUCCESS
}
