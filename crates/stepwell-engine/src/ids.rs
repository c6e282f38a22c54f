//! Ids and randomness, from a seed.

use crate::Timestamp;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use stepwell_protocol::{BulkCancelId, EventId, RunId};
use ulid::Ulid;

/// Where ids and random numbers come from. Two sources of one seed give the same.
#[derive(Debug, Clone)]
pub struct IdSource {
    random: SmallRng,
    last: Ulid,
}

impl IdSource {
    /// A source of this seed. Outside tests the seed must be unpredictable and never used twice.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self {
            random: SmallRng::seed_from_u64(seed),
            last: Ulid::nil(),
        }
    }

    /// A run id of this moment; ids of one moment increase.
    pub fn run_id(&mut self, now: Timestamp) -> RunId {
        RunId(self.ulid(now))
    }

    /// An event id of this moment; ids of one moment increase.
    pub fn event_id(&mut self, now: Timestamp) -> EventId {
        EventId(self.ulid(now))
    }

    /// A bulk cancellation's id of this moment.
    pub fn bulk_cancel_id(&mut self, now: Timestamp) -> BulkCancelId {
        BulkCancelId(self.ulid(now))
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            self.random.next_u64() % bound
        }
    }

    fn ulid(&mut self, now: Timestamp) -> Ulid {
        let next = if self.last.timestamp_ms() == now.ms() {
            self.last.increment()
        } else {
            None
        };
        let ulid = next.unwrap_or_else(|| {
            let random =
                (u128::from(self.random.next_u64()) << 64) | u128::from(self.random.next_u64());
            Ulid::from_parts(now.ms(), random)
        });
        self.last = ulid;
        ulid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_ordered_and_repeatable() {
        let now = Timestamp::from_ms(1_000);
        let make = || {
            let mut ids = IdSource::from_seed(7);
            (0..1_000).map(|_| ids.run_id(now)).collect::<Vec<_>>()
        };
        let ids = make();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(ids, make());
    }
}
