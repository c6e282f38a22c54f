//! Singleton: at most one unfinished run, for the function or for each value of a key.

use super::{event_bindings, hash};
use crate::Timestamp;
use crate::function::Problems;
use serde_json::Value;
use stepwell_expr::Expr;
use stepwell_protocol::FunctionId;
use stepwell_protocol::config::Singleton as SingletonConfig;

/// At most one unfinished run.
#[derive(Debug, Clone)]
pub struct Singleton {
    /// One for each value; events for which it is `false`, or fails, are not held back.
    pub key: Option<Expr>,
    /// What a new run does when there is one.
    pub mode: Mode,
}

/// What a new run does when there is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is skipped.
    Skip,
    /// It cancels the other and takes its place.
    Cancel,
}

impl Singleton {
    pub(crate) fn compile(config: &SingletonConfig, problems: &mut Problems) -> Option<Self> {
        let mode = match config.mode.to_lowercase().as_str() {
            "skip" | "" => Mode::Skip,
            "cancel" => Mode::Cancel,
            other => {
                let message = format!("unknown mode '{other}'; use skip or cancel");
                problems.add("singleton.mode", message);
                return None;
            }
        };
        let key = problems.expression("singleton.key", config.key.as_deref());
        Some(Self { key, mode })
    }

    /// The place that a run of this event takes; nothing when it may run beside others.
    pub(crate) fn place(
        &self,
        function: FunctionId,
        event: &Value,
        now: Timestamp,
    ) -> Option<u128> {
        let value = match &self.key {
            None => String::new(),
            Some(key) => {
                let (bindings, now_ms) = event_bindings(event, now);
                let value = key.eval_key(&bindings, now_ms).ok()?;
                if value.is_false() {
                    return None;
                }
                value.into_string()
            }
        };
        Some(hash(&[
            b"singleton",
            &function.to_bytes(),
            value.as_bytes(),
        ]))
    }
}
