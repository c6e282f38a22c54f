//! Debounce: a function starts when events have stopped coming for a while, with the last of them.

use super::{hash, key_text};
use crate::Timestamp;
use crate::function::Problems;
use serde_json::Value;
use stepwell_expr::Expr;
use stepwell_protocol::config::Debounce as DebounceConfig;
use stepwell_protocol::{FunctionId, span};

const PERIOD_MS_MIN: u64 = 1_000;
const PERIOD_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Waits until events stop coming.
#[derive(Debug, Clone)]
pub struct Debounce {
    /// The quiet time, in milliseconds.
    pub period_ms: u64,
    /// The longest delay from a window's first event, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// A window for each value.
    pub key: Option<Expr>,
}

impl Debounce {
    pub(crate) fn compile(config: &DebounceConfig, problems: &mut Problems) -> Option<Self> {
        let period_ms = match span::parse_ms(&config.period) {
            Ok(period_ms) => period_ms,
            Err(error) => {
                problems.add("debounce.period", error.to_string());
                return None;
            }
        };
        let text = &config.period;
        if period_ms < PERIOD_MS_MIN {
            let message = format!("The debounce period of '{text}' is less than the min of: 1s");
            problems.add("debounce.period", message);
        }
        if period_ms > PERIOD_MS_MAX {
            let message =
                format!("The debounce period of '{text}' is greater than the max of: 168h0m0s");
            problems.add("debounce.period", message);
        }
        let timeout = config.timeout.as_deref();
        let timeout_ms = match timeout.filter(|timeout| !timeout.is_empty()) {
            None => None,
            Some(timeout) => match span::parse_ms(timeout) {
                Ok(ms) => Some(ms),
                Err(error) => {
                    problems.add("debounce.timeout", error.to_string());
                    None
                }
            },
        };
        let key = problems.expression("debounce.key", config.key.as_deref());
        Some(Self {
            period_ms,
            timeout_ms,
            key,
        })
    }

    /// The window of an event.
    pub(crate) fn window(&self, function: FunctionId, event: &Value, now: Timestamp) -> u128 {
        let value = self.key.as_ref().map(|key| key_text(key, event, now));
        hash(&[
            b"debounce",
            &function.to_bytes(),
            value.as_deref().unwrap_or("").as_bytes(),
        ])
    }

    /// When a window that opened at `opened_at` and got an event now closes if no other comes.
    pub(crate) fn closes_at(&self, opened_at: Timestamp, now: Timestamp) -> Timestamp {
        let closes_at = now.after_ms(self.period_ms);
        match self.timeout_ms {
            Some(timeout_ms) => closes_at.min(opened_at.after_ms(timeout_ms)).max(now),
            None => closes_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A window closes one period after its last event, or at its timeout, whichever is first: nothing else.
        #[test]
        fn windows_close_when_events_stop_or_time_is_up(
            gaps in proptest::collection::vec(0_u64..3_000, 1..20),
            period_ms in 1_000_u64..2_000,
            timeout_ms in proptest::option::of(1_000_u64..10_000),
        ) {
            let debounce = Debounce { period_ms, timeout_ms, key: None };
            let opened_at = Timestamp::from_ms(1_000_000);
            let mut now = opened_at;
            let mut closes_at = debounce.closes_at(opened_at, now);
            for gap in gaps {
                let next = now.after_ms(gap);
                if next >= closes_at {
                    break;
                }
                now = next;
                closes_at = debounce.closes_at(opened_at, now);
            }
            let quiet = now.after_ms(period_ms);
            let up = timeout_ms.map_or(quiet, |timeout_ms| opened_at.after_ms(timeout_ms));
            prop_assert_eq!(closes_at, quiet.min(up));
        }
    }
}
