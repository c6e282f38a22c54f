//! The generic cell rate algorithm (ITU-T I.371) once more, for the models of throttles and rate limits.

use std::collections::HashMap;
use stepwell_engine::Timestamp;
use stepwell_protocol::FunctionId;

/// Theoretical arrival times, in microseconds, by function and value.
#[derive(Default)]
pub(super) struct Buckets(HashMap<(FunctionId, String), u64>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Admitted,
    Refused,
    /// Refused, but for a clock that was ahead and has gone back: then the bucket may have been forgotten.
    Either,
}

impl Buckets {
    pub(super) fn ask(
        &self,
        key: &(FunctionId, String),
        emission_us: u64,
        burst: u64,
        now: Timestamp,
        latest: Timestamp,
    ) -> Verdict {
        let tat_us = self.0.get(key).copied().unwrap_or(0);
        let now_us = now.ms() * 1_000;
        let ahead_us = tat_us.max(now_us) + emission_us - now_us;
        if ahead_us <= emission_us * (burst + 1) {
            Verdict::Admitted
        } else if tat_us <= latest.ms() * 1_000 {
            Verdict::Either
        } else {
            Verdict::Refused
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
        let now_us = now.ms() * 1_000;
        let tat_us = self.0.get(&key).copied().unwrap_or(0);
        // What may have been forgotten counts as forgotten, so that no start is blamed that may be in order.
        let kept_us = if tat_us <= latest.ms() * 1_000 {
            0
        } else {
            tat_us
        };
        self.0.insert(key, kept_us.max(now_us) + emission_us);
    }
}
