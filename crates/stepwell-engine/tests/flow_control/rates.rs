//! Rate limit and throttle: the same rate, one drops what is over it and the other lets it wait.

use crate::rig::Rig;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stepwell_engine::Verdict;

/// A generic cell rate as servers of the protocol define it, in nanoseconds: a start is admitted unless the bucket's
/// theoretical arrival time would run more than `burst + 1` emissions ahead of now.
#[derive(Clone, Copy)]
struct Rate {
    emission_ns: i128,
    burst: i128,
}

#[derive(Default, Clone, Copy)]
struct Bucket {
    arrival_ns: i128,
}

impl Rate {
    fn admits(self, bucket: &mut Bucket, now_ms: u64) -> bool {
        let now_ns = i128::from(now_ms) * 1_000_000;
        let next_ns = bucket.arrival_ns.max(now_ns) + self.emission_ns;
        let admitted = now_ns >= next_ns - self.emission_ns * (self.burst + 1);
        if admitted {
            bucket.arrival_ns = next_ns;
        }
        admitted
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// An event of this key; without one it is not limited.
    Event(Option<u8>),
    Restart,
}

fn steps(gap_max: u64) -> impl Strategy<Value = Vec<(u64, Step)>> {
    let event = prop_oneof![9 => (0_u8..3).prop_map(Some), 1 => Just(None)].prop_map(Step::Event);
    let step = prop_oneof![8 => event, 1 => Just(Step::Restart)];
    let gap = prop_oneof![Just(0), 0..gap_max];
    proptest::collection::vec((gap, step), 1..60)
}

fn key_of(key: Option<u8>) -> Value {
    match key {
        Some(key) => json!({"key": format!("k{key}")}),
        None => json!({"key": false}),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rate_limit_admits_what_its_rate_does(
        steps in steps(2_000),
        limit in 1_u32..35,
        emission_ms in 100_u64..2_000,
    ) {
        let period = format!("{}ms", u64::from(limit) * emission_ms);
        let mut rig = Rig::of(json!({"rateLimit": {
            "limit": limit, "period": period, "key": "event.data.key",
        }}));
        let rate = Rate {
            emission_ns: i128::from(emission_ms) * 1_000_000,
            burst: i128::from(limit / 10),
        };
        let mut buckets: BTreeMap<u8, Bucket> = BTreeMap::new();
        let mut expected = Vec::new();
        for (gap, step) in steps {
            rig.pass(gap);
            match step {
                Step::Event(key) => {
                    rig.send("x", key_of(key));
                    let bucket = key.map(|key| buckets.entry(key).or_default());
                    let now = rig.now_ms();
                    expected.push(bucket.is_none_or(|bucket| rate.admits(bucket, now)));
                }
                Step::Restart => rig.restart(1),
            }
        }
        let found: Vec<bool> = rig
            .verdicts()
            .iter()
            .map(|verdict| !matches!(verdict, Some(Verdict::RateLimited { .. })))
            .collect();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(rig.queued().len(), expected.iter().filter(|admitted| **admitted).count());
    }

    #[test]
    fn an_idempotency_key_admits_one_a_day(
        keys in proptest::collection::vec((0_u64..20 * 60 * 60 * 1_000, 0_u8..3), 1..30),
    ) {
        let mut rig = Rig::of(json!({"idempotency": "event.data.key"}));
        let mut last: BTreeMap<u8, u64> = BTreeMap::new();
        let mut expected = Vec::new();
        for (gap, key) in keys {
            rig.pass(gap);
            let event = rig.send("x", json!({"key": key}));
            let (now, day) = (rig.now_ms(), 24 * 60 * 60 * 1_000);
            if last.get(&key).is_none_or(|last| now >= last + day) {
                last.insert(key, now);
                expected.push((now, vec![event]));
            }
        }
        prop_assert_eq!(rig.queued(), expected);
    }

    #[test]
    fn a_throttle_starts_runs_in_their_order_as_its_rate_admits_them(
        steps in steps(1_500),
        limit in 1_u32..10,
        emission_s in 1_u64..4,
        burst in 0_u32..4,
    ) {
        let period = format!("{}s", u64::from(limit) * emission_s);
        let mut rig = Rig::of(json!({"throttle": {
            "limit": limit, "period": period, "burst": burst, "key": "event.data.key",
        }}));
        let rate = Rate {
            emission_ns: i128::from(emission_s) * 1_000_000_000,
            burst: i128::from(burst),
        };
        let mut queues: BTreeMap<Option<u8>, Vec<(usize, u64)>> = BTreeMap::new();
        let mut runs = 0;
        for (gap, step) in steps {
            rig.pass(gap);
            match step {
                Step::Event(key) => {
                    rig.send("x", key_of(key));
                    queues.entry(key).or_default().push((runs, rig.now_ms()));
                    runs += 1;
                }
                Step::Restart => rig.restart(1),
            }
        }
        rig.pass(60 * 4_000);
        let mut expected = vec![None; runs];
        for queue in queues.into_values() {
            let (mut bucket, mut now) = (Bucket::default(), 0);
            for (run, queued) in queue {
                now = queued.max(now);
                while !rate.admits(&mut bucket, now) {
                    now += 1;
                }
                expected[run] = Some(now);
            }
        }
        prop_assert_eq!(rig.starts(), expected);
    }
}
