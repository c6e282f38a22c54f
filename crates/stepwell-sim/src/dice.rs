//! Chance, from a seed.

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

/// A source of random choices. What it gives depends on the seed, the purpose and the numbers it was made of, and on
/// nothing else that happens: taking one thing out of a scenario leaves the chances of the others as they were.
pub(crate) struct Dice(SmallRng);

impl Dice {
    pub(crate) fn of(seed: u64, purpose: &str, numbers: &[u64]) -> Self {
        let mut state = mix(seed);
        for byte in purpose.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        for number in numbers {
            state = mix(state ^ number);
        }
        Self(SmallRng::seed_from_u64(state))
    }

    /// A number in `0..bound`, and 0 if there is none.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        self.0.next_u64() % bound
    }

    /// A number in `least..=most`.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("an index of a list in memory")
    }
}

/// The finaliser of SplitMix64: close seeds give unlike states.
fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
