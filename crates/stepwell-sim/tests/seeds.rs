//! A few hundred seeds keep every promise.

use stepwell_sim::{Scenario, Story, run, shrink, tell};

/// Scenarios that are played to make a failing one smaller.
const TRIES_MAX: usize = 1_000;

fn play(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let scenario = Scenario::of(seed);
        if let Some(violation) = run(&scenario, Story::unheard()).violation {
            match shrink(&scenario, TRIES_MAX) {
                Some(shrunk) => panic!("{}", tell(&scenario, &shrunk)),
                None => panic!("seed {seed} failed once and not again: {violation}"),
            }
        }
    }
}

// Two, so that they share two cores.

#[test]
fn the_first_seeds_keep_every_promise() {
    play(0..200);
}

#[test]
fn the_next_seeds_keep_every_promise() {
    play(200..400);
}
