//! The generic cell rate algorithm (ITU-T I.371) once more, for the models of throttles and rate limits.

use std::collections::HashMap;
use stepwell_engine::Timestamp;
use stepwell_protocol::FunctionId;

/// Theoretical arrival times by function and value.
#[derive(Default)]
pub(super) struct Buckets(HashMap<(FunctionId, String), Bucket>);

/// Between which moments, in microseconds, a bucket's theoretical arrival time is. An engine may forget one that has
/// passed; when the clock then goes back, it is not known whether it did.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    least_us: u64,
    most_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Admitted,
    Refused,
    /// One or the other, by what was forgotten.
    Either,
}

impl Buckets {
    /// Whether a start may happen, when the clock shows `now` and has shown `latest` before.
    pub(super) fn ask(
        &self,
        key: &(FunctionId, String),
        emission_us: u64,
        burst: u64,
        now: Timestamp,
        latest: Timestamp,
    ) -> Verdict {
        let bucket = self.bucket(key, latest);
        let now_us = now.ms() * 1_000;
        let admits =
            |tat_us: u64| tat_us.max(now_us) + emission_us - now_us <= emission_us * (burst + 1);
        match (admits(bucket.least_us), admits(bucket.most_us)) {
            (_, true) => Verdict::Admitted,
            (true, false) => Verdict::Either,
            (false, false) => Verdict::Refused,
        }
    }

    /// A start has happened.
    pub(super) fn take(
        &mut self,
        key: (FunctionId, String),
        emission_us: u64,
        now: Timestamp,
        latest: Timestamp,
    ) {
        let bucket = self.bucket(&key, latest);
        let now_us = now.ms() * 1_000;
        let taken = Bucket {
            least_us: bucket.least_us.max(now_us) + emission_us,
            most_us: bucket.most_us.max(now_us) + emission_us,
        };
        self.0.insert(key, taken);
    }

    fn bucket(&self, key: &(FunctionId, String), latest: Timestamp) -> Bucket {
        let mut bucket = self.0.get(key).copied().unwrap_or_default();
        if bucket.least_us <= latest.ms() * 1_000 {
            bucket.least_us = 0;
        }
        bucket
    }
}
