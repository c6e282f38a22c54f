//! Batches: a function runs for several events at once.

use super::{event_bindings, hash};
use crate::Timestamp;
use crate::function::Problems;
use serde_json::Value;
use stepwell_expr::Expr;
use stepwell_protocol::config::Batch as BatchConfig;
use stepwell_protocol::{FunctionId, span};

/// Events of one batch, whatever a function asks for: a call carries them all.
const SIZE_MAX: u32 = 10_000;
const TIMEOUT_MS_MIN: u64 = 1_000;
/// A batch closes when its events take this much.
pub(crate) const BATCH_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Runs for several events at once.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Events of a full batch; at least 2.
    pub size_max: usize,
    /// How long after its first event a batch closes anyway, in milliseconds.
    pub timeout_ms: u64,
    /// A batch for each value; an event for which it fails does not start the function.
    pub key: Option<Expr>,
    /// Events for which it is not true run alone.
    pub condition: Option<Expr>,
}

/// Where an event goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Into the batch of this key.
    Batch(u128),
    /// On its own.
    Alone,
    /// Nowhere: the key fails.
    Invalid,
}

impl Batch {
    pub(crate) fn compile(config: &BatchConfig, problems: &mut Problems) -> Option<Self> {
        if config.max_size < 2 {
            problems.add("batchEvents.maxSize", "a batch has at least 2 events");
            return None;
        }
        if config.max_size > SIZE_MAX {
            let message = format!("a batch has at most {SIZE_MAX} events");
            problems.add("batchEvents.maxSize", message);
        }
        let timeout_ms = match span::parse_ms(&config.timeout) {
            Ok(ms) => ms,
            Err(error) => {
                problems.add("batchEvents.timeout", error.to_string());
                return None;
            }
        };
        if timeout_ms < TIMEOUT_MS_MIN {
            let message = format!("'{}' is less than the min of: 1s", config.timeout);
            problems.add("batchEvents.timeout", message);
        }
        Some(Self {
            size_max: config.max_size as usize,
            timeout_ms,
            key: problems.expression("batchEvents.key", config.key.as_deref()),
            condition: problems.expression("batchEvents.if", config.condition.as_deref()),
        })
    }

    /// Where an event goes.
    pub(crate) fn place(&self, function: FunctionId, event: &Value, now: Timestamp) -> Place {
        let (bindings, now_ms) = event_bindings(event, now);
        if let Some(condition) = &self.condition
            && !condition.eval_bool(&bindings, now_ms).unwrap_or(false)
        {
            return Place::Alone;
        }
        let value = match &self.key {
            None => String::new(),
            Some(key) => match key.eval_key(&bindings, now_ms) {
                Ok(value) => value.into_string(),
                Err(_) => return Place::Invalid,
            },
        };
        Place::Batch(hash(&[b"batch", &function.to_bytes(), value.as_bytes()]))
    }
}
