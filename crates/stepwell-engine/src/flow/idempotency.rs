//! Idempotency: an event's id starts a function once in 24 hours.

use super::hash;
use crate::Timestamp;
use hashbrown::HashMap;
use std::collections::VecDeque;
use stepwell_protocol::{FunctionId, limits};

/// The (function, event id) pairs of the last 24 hours, by hash.
#[derive(Debug, Default)]
pub(crate) struct Window {
    expiry: HashMap<u128, Timestamp>,
    order: VecDeque<(Timestamp, u128)>,
}

impl Window {
    /// The hash of a function and an event's id.
    pub(crate) fn key(function: FunctionId, external_id: &str) -> u128 {
        hash(&[b"run", &function.to_bytes(), external_id.as_bytes()])
    }

    /// Whether this key has been seen in the last 24 hours.
    pub(crate) fn contains(&self, key: u128, now: Timestamp) -> bool {
        self.expiry.get(&key).is_some_and(|expiry| *expiry > now)
    }

    /// Remembers a key that came up at `at`, and forgets a few that have expired.
    pub(crate) fn insert(&mut self, key: u128, at: Timestamp, now: Timestamp) {
        let expiry = at.after_ms(limits::IDEMPOTENCY_MS);
        self.expiry.insert(key, expiry);
        self.order.push_back((expiry, key));
        // Two out for one in keeps the window's size bounded by a day's keys.
        for _ in 0..2 {
            match self.order.front() {
                Some((expiry, key)) if *expiry <= now => {
                    if self.expiry.get(key) == Some(expiry) {
                        self.expiry.remove(key);
                    }
                    self.order.pop_front();
                }
                _ => break,
            }
        }
    }

    pub(crate) fn keys(&self, now: Timestamp) -> impl Iterator<Item = (u128, Timestamp)> {
        self.expiry
            .iter()
            .filter(move |(_, expiry)| **expiry > now)
            .map(|(key, expiry)| (*key, *expiry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_for_a_day() {
        let (mut window, start) = (Window::default(), Timestamp::from_ms(1_000));
        window.insert(1, start, start);
        assert!(window.contains(1, start.after_ms(limits::IDEMPOTENCY_MS - 1)));
        assert!(!window.contains(1, start.after_ms(limits::IDEMPOTENCY_MS)));
        assert!(!window.contains(2, start));
    }

    #[test]
    fn the_window_forgets() {
        let mut window = Window::default();
        for index in 0_u64..100 {
            let now = Timestamp::from_ms(index * limits::IDEMPOTENCY_MS);
            window.insert(u128::from(index), now, now);
        }
        assert!(
            window.expiry.len() <= 2,
            "{} keys kept",
            window.expiry.len()
        );
        assert!(window.order.len() <= 2);
    }
}
