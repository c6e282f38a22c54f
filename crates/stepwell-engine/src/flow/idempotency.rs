//! Idempotency: an event's id starts a function once in 24 hours.

use super::hash;
use crate::decision::Decision;
use crate::{Change, KeyRow, Timestamp};
use hashbrown::HashMap;
use std::collections::VecDeque;
use stepwell_protocol::{FunctionId, RunId, limits};

/// The (function, event id) pairs of the last 24 hours, by hash.
#[derive(Debug, Default)]
pub(crate) struct Window {
    seen: HashMap<u128, Seen>,
    order: VecDeque<(Timestamp, u128)>,
}

/// A key of the last 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    expiry: Timestamp,
    /// The run that remembers the key; a key of an event that shared a run with others has a row of its own.
    run: Option<RunId>,
}

impl Window {
    /// The hash of a function and an event's id.
    pub(crate) fn key(function: FunctionId, external_id: &str) -> u128 {
        hash(&[b"run", &function.to_bytes(), external_id.as_bytes()])
    }

    /// The run of this key, if it has been seen in the last 24 hours; `Some(None)` when its event shared one with others.
    pub(crate) fn get(&self, key: u128, now: Timestamp) -> Option<Option<RunId>> {
        let seen = self.seen.get(&key)?;
        (seen.expiry > now).then_some(seen.run)
    }

    /// Remembers a key that came up at `at`, and forgets a few that have expired.
    pub(crate) fn insert(
        &mut self,
        key: u128,
        run: Option<RunId>,
        at: Timestamp,
        now: Timestamp,
        out: &mut Decision,
    ) {
        let expiry = at.after_ms(limits::IDEMPOTENCY_MS);
        self.seen.insert(key, Seen { expiry, run });
        self.order.push_back((expiry, key));
        if run.is_none() {
            out.changes.push(Change::KeyPut(KeyRow { key, at }));
        }
        // Two out for one in keeps the window's size bounded by a day's keys.
        for _ in 0..2 {
            match self.order.front() {
                Some((expiry, key)) if *expiry <= now => {
                    if let Some(seen) = self.seen.get(key)
                        && seen.expiry == *expiry
                    {
                        if seen.run.is_none() {
                            out.changes.push(Change::KeyDelete(*key));
                        }
                        self.seen.remove(key);
                    }
                    self.order.pop_front();
                }
                _ => break,
            }
        }
    }

    /// Takes over a key from the store.
    pub(crate) fn load(&mut self, key: u128, run: Option<RunId>, at: Timestamp) {
        let expiry = at.after_ms(limits::IDEMPOTENCY_MS);
        self.seen.insert(key, Seen { expiry, run });
        self.order.push_back((expiry, key));
    }

    pub(crate) fn keys(
        &self,
        now: Timestamp,
    ) -> impl Iterator<Item = (u128, Option<RunId>, Timestamp)> {
        let live = self.seen.iter().filter(move |(_, seen)| seen.expiry > now);
        live.map(|(key, seen)| {
            let at = Timestamp::from_ms(seen.expiry.ms() - limits::IDEMPOTENCY_MS);
            (*key, seen.run, at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_for_a_day() {
        let (mut window, start) = (Window::default(), Timestamp::from_ms(1_000));
        let run = RunId::from_bytes([1; 16]);
        window.insert(1, Some(run), start, start, &mut Decision::default());
        let day = limits::IDEMPOTENCY_MS;
        assert_eq!(window.get(1, start.after_ms(day - 1)), Some(Some(run)));
        assert_eq!(window.get(1, start.after_ms(day)), None);
        assert_eq!(window.get(2, start), None);
    }

    #[test]
    fn the_window_forgets() {
        let mut window = Window::default();
        let mut out = Decision::default();
        for index in 0_u64..100 {
            let now = Timestamp::from_ms(index * limits::IDEMPOTENCY_MS);
            window.insert(u128::from(index), None, now, now, &mut out);
        }
        assert!(window.seen.len() <= 2, "{} keys kept", window.seen.len());
        assert!(window.order.len() <= 2);
        let deleted = out.changes.iter();
        let deleted = deleted.filter(|change| matches!(change, Change::KeyDelete(_)));
        assert!(deleted.count() >= 98);
    }
}
