//! What inputs make the engine do, told as stories.
//!
//! Each file in `tests/scenarios` holds scenarios: commands at the margin, and under each one, indented, what
//! it led to. A test plays the commands again and compares. After each command the engine is also rebuilt from
//! its snapshot, which must give the same snapshot, and no run may be stuck.
//!
//! `STEPWELL_REWRITE=1 cargo test -p stepwell-engine --test scenarios` writes what happens into the files, to
//! be read before it is kept. The commands are described in `scenarios/command.rs`.

#[path = "scenarios/command.rs"]
mod command;
#[path = "scenarios/trace.rs"]
mod trace;
#[path = "scenarios/world.rs"]
mod world;

use std::path::PathBuf;

/// Plays the scenarios of a file and compares what they lead to with what the file says.
fn check(file: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/scenarios")
        .join(file);
    let expected = std::fs::read_to_string(&path).expect("the scenario file is there");
    let played = play(&expected);
    if std::env::var_os("STEPWELL_REWRITE").is_some() {
        std::fs::write(&path, played).expect("the scenario file is writable");
        return;
    }
    let differs = expected
        .lines()
        .zip(played.lines())
        .position(|(expected, played)| expected != played);
    let at = differs.unwrap_or(expected.lines().count().min(played.lines().count()));
    assert!(
        expected == played,
        "{file} tells another story from line {} on:\n{}",
        at + 1,
        around(&expected, &played, at)
    );
}

/// The scenarios with what their commands lead to; comments and empty lines stay.
fn play(scenarios: &str) -> String {
    let mut told = String::new();
    let mut world = world::World::new();
    for line in scenarios.lines() {
        if line.starts_with(' ') {
            continue;
        }
        told.push_str(line);
        told.push('\n');
        if line.starts_with("== ") {
            world = world::World::new();
        } else if !line.is_empty() && !line.starts_with('#') {
            for outcome in world.act(command::Command::parse(line)) {
                told.push_str("  ");
                told.push_str(&outcome);
                told.push('\n');
            }
        }
    }
    told
}

fn around(expected: &str, played: &str, at: usize) -> String {
    let excerpt = |text: &str, mark: &str| {
        let lines: Vec<&str> = text.lines().collect();
        let range = at.saturating_sub(6).min(lines.len())..(at + 6).min(lines.len());
        lines[range]
            .iter()
            .map(|line| format!("{mark} {line}\n"))
            .collect::<String>()
    };
    format!("{}\n{}", excerpt(expected, "-"), excerpt(played, "+"))
}

macro_rules! scenario_files {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(concat!(stringify!($name), ".txt"));
        }
    )*};
}

scenario_files! {
    announced
    announcements
    batch_cases
    batches
    cancel_listeners
    cancel_on
    cancelling
    checkpoint_cases
    checkpoints
    concurrency
    debounce
    debounce_cases
    defer_cases
    defers
    deliveries
    duplicates
    evaluation_order
    fairness
    gateway
    gateway_cases
    id_cases
    invocation_chains
    invocation_flow
    invocations
    limit_cases
    limits
    look_backs
    over_time
    parallel_cases
    parallel_steps
    paused
    pausing
    priorities
    priority
    rate_limits
    repeats
    repetitions
    retries
    run_limit_cases
    run_limits
    schedules
    signal_cases
    signals
    singleton
    singleton_cases
    sleeps
    standings
    steps
    syncing
    throttling
    ticks
    timeouts
    triggers
    wait_groups
    wait_timing
    waits
}

#[test]
fn every_scenario_file_is_played() {
    let source = include_str!("scenarios.rs");
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let name = entry.expect("the folder is readable").file_name();
        let name = name.to_string_lossy();
        if let Some(stem) = name.strip_suffix(".txt") {
            assert!(
                source.lines().any(|line| line.trim() == stem),
                "{name} has no test"
            );
        }
    }
}
