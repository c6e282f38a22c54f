//! CancelOn: events that cancel a run. A run listens from the moment it is scheduled.

use crate::Timestamp;
use crate::function::Problems;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use stepwell_expr::Expr;
use stepwell_protocol::config::CancelOn as CancelOnConfig;
use stepwell_protocol::span;

/// Entries of one function.
const ENTRIES_MAX: usize = 5;
/// How long a run listens when the entry does not say, in milliseconds: 365 days.
const LISTENS_MS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// An event that cancels runs.
#[derive(Debug, Clone)]
pub struct CancelOn {
    /// The event's exact name.
    pub event: Arc<str>,
    /// Which of the events, over `event` (the run's) and `async` (the one that comes).
    pub condition: Option<Expr>,
    /// Until when, as a duration or a moment.
    pub timeout: Option<String>,
}

/// What a run listens for, with the values of its event put in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The event's name.
    pub event: Arc<str>,
    /// Which of the events: an expression over `async`.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Arc<str>>,
    /// How long from when the run is scheduled, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts_ms: Option<u64>,
    /// Until when, in milliseconds since the Unix epoch, for one that ends at a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

impl Listener {
    /// When it ends, for a run that is scheduled now.
    pub(crate) fn expires_at(&self, now: Timestamp) -> Timestamp {
        match (self.lasts_ms, self.expires_ms) {
            (Some(lasts_ms), _) => now.after_ms(lasts_ms),
            (None, Some(expires_ms)) => Timestamp::from_ms(expires_ms),
            (None, None) => now.after_ms(LISTENS_MS),
        }
    }
}

impl CancelOn {
    pub(crate) fn compile_all(configs: &[CancelOnConfig], problems: &mut Problems) -> Vec<Self> {
        if configs.len() > ENTRIES_MAX {
            let message = format!(
                "This function exceeds the max number of cancellation events: {ENTRIES_MAX}"
            );
            problems.add("cancel", message);
            return Vec::new();
        }
        let mut found = Vec::new();
        for (index, config) in configs.iter().enumerate() {
            let place = format!("cancel[{index}]");
            if config.event.is_empty() {
                problems.add(format!("{place}.event"), "an event's name is missing");
                continue;
            }
            if config.event.ends_with('*') {
                let message = format!(
                    "'{}' is a pattern; cancellations listen to exact names",
                    config.event
                );
                problems.add(format!("{place}.event"), message);
                continue;
            }
            let source = config.condition.as_deref();
            let condition = match source.filter(|source| !source.trim().is_empty()) {
                None => None,
                Some(source) => match Expr::compile_restricted(source) {
                    Ok(expr) => Some(expr),
                    Err(error) => {
                        let message = format!("Cancellation expression is invalid: {error}");
                        problems.add(format!("{place}.if"), message);
                        continue;
                    }
                },
            };
            let timeout = config.timeout.clone().filter(|timeout| !timeout.is_empty());
            if let Some(timeout) = &timeout
                && span::sleep_until_ms(timeout, 0).is_none()
            {
                let message =
                    format!("'{timeout}' is neither a duration like 1h nor an RFC 3339 date");
                problems.add(format!("{place}.timeout"), message);
                continue;
            }
            found.push(Self {
                event: config.event.as_str().into(),
                condition,
                timeout,
            });
        }
        found
    }

    /// What a run of this event listens for; nothing when no event can ever match.
    pub(crate) fn listener(&self, event: &Value) -> Option<Listener> {
        let condition = match &self.condition {
            None => None,
            Some(condition) => {
                // One that grows too large with the event's values could not be kept.
                let bound = condition.interpolate(event).ok()?;
                if bound.is_literal_false() {
                    return None;
                }
                Some(Arc::from(bound.source()))
            }
        };
        let timeout = self.timeout.as_deref();
        let lasts_ms = timeout.and_then(|timeout| span::parse_ms(timeout).ok());
        let moment = timeout.filter(|_| lasts_ms.is_none());
        Some(Listener {
            event: Arc::clone(&self.event),
            condition,
            lasts_ms,
            expires_ms: moment.and_then(|moment| span::sleep_until_ms(moment, 0)),
        })
    }
}
