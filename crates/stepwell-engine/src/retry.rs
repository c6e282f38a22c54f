//! When a failed attempt is tried again.

use crate::{IdSource, Timestamp};
use stepwell_protocol::reply::RetryAfter;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Delays by failed attempt, from 0; the last one repeats.
const TABLE_MS: [u64; 10] = [
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    40 * MINUTE,
    HOUR,
    2 * HOUR,
];
/// Added to a delay, uniformly, so that what failed together does not come back together.
const JITTER_MS_MAX: u64 = 30 * SECOND;
/// What an SDK may ask for.
const RETRY_AFTER_MS_MIN: u64 = SECOND;
const RETRY_AFTER_MS_MAX: u64 = 24 * HOUR;

/// How long to wait after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backoff {
    /// The protocol's table: 15 s, 30 s, 1 m, 2 m, 5 m, 10 m, 20 m, 40 m, 1 h, then 2 h; plus up to 30 s.
    #[default]
    Table,
    /// Always this many milliseconds, for development.
    Constant(u64),
}

impl Backoff {
    /// When the attempt after the failed `attempt` (from 0) is due. What the SDK asked for wins, within 1 s
    /// and 24 h.
    #[must_use]
    pub fn next(
        self,
        attempt: u32,
        asked: Option<RetryAfter>,
        now: Timestamp,
        ids: &mut IdSource,
    ) -> Timestamp {
        let delay_ms = match asked {
            Some(RetryAfter::In(ms)) => ms.clamp(RETRY_AFTER_MS_MIN, RETRY_AFTER_MS_MAX),
            Some(RetryAfter::At(at_ms)) => u64::try_from(at_ms)
                .unwrap_or(0)
                .saturating_sub(now.ms())
                .clamp(RETRY_AFTER_MS_MIN, RETRY_AFTER_MS_MAX),
            None => match self {
                Self::Constant(ms) => ms,
                Self::Table => {
                    let index = usize::try_from(attempt)
                        .unwrap_or(usize::MAX)
                        .min(TABLE_MS.len() - 1);
                    TABLE_MS[index] + ids.below(JITTER_MS_MAX + 1)
                }
            },
        };
        now.after_ms(delay_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_follow_the_table_and_what_was_asked() {
        let now = Timestamp::from_ms(1_000_000);
        let mut ids = IdSource::from_seed(1);
        let mut delay = |backoff: Backoff, attempt, asked| {
            backoff.next(attempt, asked, now, &mut ids).ms_since(now)
        };
        for (attempt, at_least_s) in [
            (0, 15),
            (1, 30),
            (2, 60),
            (8, 3_600),
            (9, 7_200),
            (500, 7_200),
        ] {
            let delay_ms = delay(Backoff::Table, attempt, None);
            assert!(
                (at_least_s * 1_000..=at_least_s * 1_000 + 30_000).contains(&delay_ms),
                "{attempt}: {delay_ms}"
            );
        }
        assert_eq!(delay(Backoff::Constant(250), 3, None), 250);
        assert_eq!(delay(Backoff::Table, 0, Some(RetryAfter::In(0))), 1_000);
        assert_eq!(
            delay(Backoff::Table, 0, Some(RetryAfter::In(90_000))),
            90_000
        );
        assert_eq!(
            delay(Backoff::Table, 0, Some(RetryAfter::In(u64::MAX))),
            24 * HOUR
        );
        assert_eq!(
            delay(Backoff::Table, 0, Some(RetryAfter::At(1_005_000))),
            5_000
        );
        assert_eq!(delay(Backoff::Table, 0, Some(RetryAfter::At(-1))), 1_000);
    }
}
