//! Flow control: one file a rule.

pub mod batch;
pub mod cancel_on;
pub mod concurrency;
pub mod cron;
pub mod debounce;
pub mod idempotency;
pub mod priority;
pub mod rate_limit;
pub mod singleton;
pub mod throttle;
pub mod timeouts;

use crate::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stepwell_expr::{Bindings, Expr};

/// The values of a function's flow-control keys for one run. They are taken from the run's event once, when it
/// comes in; the limits themselves follow the function's latest version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys {
    /// For each limit on executing steps: hash of its definition, and hash of where its value counts.
    pub concurrency: Vec<(u64, u128)>,
    /// The same for limits on unfinished runs.
    pub runs: Vec<(u64, u128)>,
    /// Hash of the throttle's bucket.
    pub throttle: Option<u128>,
    /// Hash of the place that only one run may have.
    pub singleton: Option<u128>,
    /// Seconds by which the run goes before others of its time.
    pub priority_s: i64,
}

impl Keys {
    /// The text that stores them; nothing when there are none.
    #[must_use]
    pub fn encode(&self) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        let limits = |limits: &[(u64, u128)]| -> Vec<Value> {
            limits
                .iter()
                .map(|(limit, value)| json!([format!("{limit:x}"), format!("{value:x}")]))
                .collect()
        };
        let key = |key: Option<u128>| key.map(|key| format!("{key:x}"));
        let mut text = json!({
            "concurrency": limits(&self.concurrency),
            "throttle": key(self.throttle),
            "priority": self.priority_s,
        });
        if !self.runs.is_empty() {
            text["runs"] = limits(&self.runs).into();
        }
        if self.singleton.is_some() {
            text["singleton"] = key(self.singleton).into();
        }
        Some(text.to_string())
    }

    /// Reads what [`Keys::encode`] wrote; `None` when it did not.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let limits = |value: &Value| -> Option<Vec<(u64, u128)>> {
            let pairs = value.as_array()?.iter();
            pairs
                .map(|pair| {
                    let limit = u64::from_str_radix(pair[0].as_str()?, 16).ok()?;
                    let value = u128::from_str_radix(pair[1].as_str()?, 16).ok()?;
                    Some((limit, value))
                })
                .collect()
        };
        let key = |value: &Value| match value {
            Value::Null => Some(None),
            key => u128::from_str_radix(key.as_str()?, 16).ok().map(Some),
        };
        Some(Self {
            concurrency: limits(&value["concurrency"])?,
            // Rows of before have none of what follows.
            runs: match &value["runs"] {
                Value::Null => Vec::new(),
                runs => limits(runs)?,
            },
            throttle: key(&value["throttle"])?,
            singleton: key(&value["singleton"])?,
            priority_s: value["priority"].as_i64().unwrap_or(0),
        })
    }
}

/// A hash of parts that no other list of parts shares.
#[must_use]
pub(crate) fn hash(parts: &[&[u8]]) -> u128 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    u128::from_le_bytes(digest[..16].try_into().expect("SHA-256 has 32 bytes"))
}

/// The value of a limit's key for an event, as text. An expression that fails counts as `<invalid>`, so that such
/// events share one bucket rather than escape the limit.
pub(crate) fn key_text(key: &Expr, event: &Value, now: Timestamp) -> String {
    let (bindings, now_ms) = event_bindings(event, now);
    match key.eval_key(&bindings, now_ms) {
        Ok(value) => value.into_string(),
        Err(_) => "<invalid>".to_owned(),
    }
}

/// What an expression over a run's event sees, and when.
pub(crate) fn event_bindings(event: &Value, now: Timestamp) -> (Bindings<'_>, i64) {
    (
        Bindings::of_event(event),
        i64::try_from(now.ms()).unwrap_or(i64::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        let keys = Keys {
            concurrency: vec![(1, u128::MAX), (u64::MAX, 2)],
            runs: vec![(3, 4)],
            throttle: Some(9),
            singleton: Some(0),
            priority_s: -5,
        };
        assert_eq!(Keys::decode(&keys.encode().unwrap()), Some(keys));
        assert_eq!(Keys::default().encode(), None);
        assert_eq!(Keys::decode("{}"), None);
        let of_before = r#"{"concurrency": [], "throttle": "a"}"#;
        assert_eq!(Keys::decode(of_before).unwrap().throttle, Some(10));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
    }
}
