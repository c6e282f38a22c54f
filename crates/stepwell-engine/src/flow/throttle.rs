//! Throttle: how often a function may start. Starts over the rate wait; nothing is dropped.
//!
//! The generic cell rate algorithm (ITU-T I.371): each start moves the bucket's theoretical arrival time on by
//! one emission interval; a start is let through unless that runs more than `burst + 1` intervals ahead of now.

use super::hash;
use crate::function::Problems;
use crate::{Change, ThrottleRow, Timestamp};
use hashbrown::HashMap;
use serde_json::Value;
use std::collections::BTreeSet;
use stepwell_expr::Expr;
use stepwell_protocol::config::Throttle as ThrottleConfig;
use stepwell_protocol::{FunctionId, span};

/// How often a function may start.
#[derive(Debug, Clone)]
pub struct Throttle {
    /// Time between two starts, in microseconds.
    pub emission_us: u64,
    /// Starts that may come at once on top of the first.
    pub burst: u32,
    /// A bucket for each value.
    pub key: Option<Expr>,
}

impl Throttle {
    pub(crate) fn compile(config: &ThrottleConfig, problems: &mut Problems) -> Option<Self> {
        let period_s = match span::parse_ms(&config.period) {
            Ok(period_ms) => period_ms / 1_000,
            Err(error) => {
                problems.add("throttle.period", error.to_string());
                return None;
            }
        };
        if period_s == 0 {
            problems.add(
                "throttle.period",
                format!("'{}' is less than a second", config.period),
            );
            return None;
        }
        let key = problems.expression("throttle.key", config.key.as_deref());
        let emission_us =
            (period_s.saturating_mul(1_000_000) / u64::from(config.limit.max(1))).max(1);
        Some(Self {
            emission_us,
            burst: config.burst,
            key,
        })
    }

    /// The bucket of a run of this event.
    pub(crate) fn bucket(&self, function: FunctionId, event: &Value, now: Timestamp) -> u128 {
        let value = self
            .key
            .as_ref()
            .map(|key| super::key_text(key, event, now));
        hash(&[
            b"throttle",
            &function.to_bytes(),
            value.as_deref().unwrap_or("").as_bytes(),
        ])
    }

    /// Asks for a start at `now` from a bucket with this theoretical arrival time: its new one if the start may
    /// happen, else the moment to ask again.
    pub(crate) fn admit(&self, tat_us: u64, now: Timestamp) -> Result<u64, Timestamp> {
        admit(self.emission_us, self.burst, tat_us, now)
    }
}

/// One question to a bucket: its new theoretical arrival time if a start may happen, else the moment to ask again.
pub(crate) fn admit(
    emission_us: u64,
    burst: u32,
    tat_us: u64,
    now: Timestamp,
) -> Result<u64, Timestamp> {
    let now_us = now.ms().saturating_mul(1_000);
    let new_tat_us = tat_us.max(now_us).saturating_add(emission_us);
    let tolerance_us = emission_us.saturating_mul(u64::from(burst) + 1);
    let earliest_us = new_tat_us.saturating_sub(tolerance_us);
    if now_us >= earliest_us {
        Ok(new_tat_us)
    } else {
        Err(Timestamp::from_ms(earliest_us.div_ceil(1_000)))
    }
}

/// States of throttles and rate limits by bucket. A bucket whose theoretical arrival time has passed is as good as none.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    tat_us: HashMap<u128, u64>,
    expiry: BTreeSet<(u64, u128)>,
}

impl Buckets {
    pub(crate) fn get(&self, key: u128) -> u64 {
        self.tat_us.get(&key).copied().unwrap_or(0)
    }

    pub(crate) fn put(&mut self, key: u128, tat_us: u64) {
        if let Some(old) = self.tat_us.insert(key, tat_us) {
            self.expiry.remove(&(old, key));
        }
        self.expiry.insert((tat_us, key));
    }

    /// Puts a bucket and forgets two that are as good as none, which keeps their number bounded by what is under way.
    pub(crate) fn record(
        &mut self,
        key: u128,
        tat_us: u64,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        self.put(key, tat_us);
        changes.push(Change::ThrottlePut(ThrottleRow { key, tat_us }));
        let drained = std::iter::from_fn(|| self.pop_expired(now)).take(2);
        changes.extend(drained.map(Change::ThrottleDelete));
    }

    /// Takes out a bucket that is as good as none.
    fn pop_expired(&mut self, now: Timestamp) -> Option<u128> {
        let (tat_us, key) = self.expiry.first().copied()?;
        if tat_us > now.ms().saturating_mul(1_000) {
            return None;
        }
        self.expiry.pop_first();
        self.tat_us.remove(&key);
        Some(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u128, u64)> {
        self.tat_us.iter().map(|(key, tat_us)| (*key, *tat_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn throttle(limit: u64, period_s: u64, burst: u32) -> Throttle {
        Throttle {
            emission_us: period_s * 1_000_000 / limit,
            burst,
            key: None,
        }
    }

    /// Starts as soon as allowed; the milliseconds at which `count` starts happen.
    fn starts(throttle: &Throttle, count: usize) -> Vec<u64> {
        let (mut tat, mut now, mut at) = (0, Timestamp::from_ms(1_000_000), Vec::new());
        while at.len() < count {
            match throttle.admit(tat, now) {
                Ok(next) => {
                    tat = next;
                    at.push(now.ms() - 1_000_000);
                }
                Err(later) => {
                    assert!(later > now, "asking again must be later");
                    now = later;
                }
            }
        }
        at
    }

    #[test]
    fn without_burst_starts_are_evenly_spaced() {
        assert_eq!(starts(&throttle(1, 60, 0), 3), [0, 60_000, 120_000]);
        assert_eq!(starts(&throttle(3, 60, 0), 4), [0, 20_000, 40_000, 60_000]);
    }

    #[test]
    fn buckets_that_have_drained_are_forgotten() {
        let mut buckets = Buckets::default();
        buckets.put(1, 1_000_000);
        buckets.put(2, 3_000_000);
        buckets.put(1, 2_000_000);
        assert_eq!(buckets.pop_expired(Timestamp::from_ms(1_999)), None);
        assert_eq!(buckets.pop_expired(Timestamp::from_ms(2_000)), Some(1));
        assert_eq!(buckets.pop_expired(Timestamp::from_ms(2_000)), None);
        assert_eq!((buckets.get(1), buckets.get(2)), (0, 3_000_000));
        assert_eq!(buckets.iter().collect::<Vec<_>>(), [(2, 3_000_000)]);
    }

    #[test]
    fn burst_lets_that_many_more_come_at_once() {
        assert_eq!(starts(&throttle(1, 10, 2), 5), [0, 0, 0, 10_000, 20_000]);
    }

    proptest! {
        #[test]
        fn no_window_of_a_period_sees_more_than_limit_and_burst(limit in 1_u64..20, period_s in 1_u64..100, burst in 0_u32..5) {
            let at = starts(&throttle(limit, period_s, burst), 60);
            for (index, start) in at.iter().enumerate() {
                let within = at[index..].iter().filter(|other| **other < start + period_s * 1_000).count() as u64;
                prop_assert!(within <= limit + u64::from(burst) + 1, "{within} starts in one period");
            }
        }
    }
}
