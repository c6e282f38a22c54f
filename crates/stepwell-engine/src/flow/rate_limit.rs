//! Rate limit: how often a function may start. Starts over the rate are dropped; the event itself is recorded.
//!
//! The same algorithm as the throttle's, asked when an event comes in, with a burst of a tenth of the limit. A function's
//! `idempotency` key is short for one start in 24 hours for each value.

use super::throttle::{Buckets, admit};
use super::{event_bindings, hash};
use crate::Timestamp;
use crate::function::Problems;
use serde_json::Value;
use stepwell_expr::Expr;
use stepwell_protocol::config::FunctionConfig;
use stepwell_protocol::{FunctionId, limits, span};

/// The longest period, in milliseconds: 24 hours.
const PERIOD_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// How often a function may start.
#[derive(Debug, Clone)]
pub struct RateLimit {
    /// Time between two starts, in microseconds.
    pub emission_us: u64,
    /// Starts that may come at once on top of the first.
    pub burst: u32,
    /// A bucket for each value; one that is `false` is not limited.
    pub key: Option<Expr>,
}

impl RateLimit {
    /// The rate limit that a configuration asks for, or the one that its `idempotency` key stands for.
    pub(crate) fn compile(config: &FunctionConfig, problems: &mut Problems) -> Option<Self> {
        if let Some(key) = config
            .idempotency
            .as_deref()
            .filter(|key| !key.trim().is_empty())
        {
            let key = problems.expression("idempotency: key is invalid", Some(key))?;
            let emission_us = limits::IDEMPOTENCY_MS * 1_000;
            return Some(Self {
                emission_us,
                burst: 0,
                key: Some(key),
            });
        }
        let limit = config.rate_limit.as_ref()?;
        if limit.limit == 0 {
            problems.add("rateLimit.limit", "limit must be greater than 0");
            return None;
        }
        if limit.period.is_empty() {
            problems.add("rateLimit.period", "period must be specified");
            return None;
        }
        let period_ms = match span::parse_ms(&limit.period) {
            Ok(period_ms) => period_ms,
            Err(error) => {
                problems.add(
                    "rateLimit.period",
                    format!("failed to parse time duration: {error}"),
                );
                return None;
            }
        };
        if period_ms > PERIOD_MS_MAX {
            problems.add("rateLimit.period", "period must be less than 24h0m0s");
            return None;
        }
        let key = problems.expression("rateLimit: key is invalid", limit.key.as_deref());
        let emission_us = (period_ms.saturating_mul(1_000) / u64::from(limit.limit)).max(1);
        Some(Self {
            emission_us,
            burst: limit.limit / 10,
            key,
        })
    }

    /// Asks for a start for this event: what to write if it takes one, nothing if it is not limited.
    ///
    /// # Errors
    /// [`Limited`] when there is none, or when the key cannot be told.
    pub(crate) fn take(
        &self,
        function: FunctionId,
        event: &Value,
        buckets: &Buckets,
        now: Timestamp,
    ) -> Result<Option<(u128, u64)>, Limited> {
        let value = match &self.key {
            None => String::new(),
            Some(key) => {
                let (bindings, now_ms) = event_bindings(event, now);
                let failed = |_| Limited {
                    key: "<invalid>".to_owned(),
                };
                let value = key.eval_key(&bindings, now_ms).map_err(failed)?;
                if value.is_false() {
                    return Ok(None);
                }
                value.into_string()
            }
        };
        let bucket = hash(&[b"rate", &function.to_bytes(), value.as_bytes()]);
        match admit(self.emission_us, self.burst, buckets.get(bucket), now) {
            Ok(tat_us) => Ok(Some((bucket, tat_us))),
            Err(_) => Err(Limited { key: value }),
        }
    }
}

/// A start was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limited {
    /// The value of the limit's key; empty without one.
    pub(crate) key: String,
}
