//! Timeouts: how long a run may wait for its first call, and how long it may take from there. One that takes longer is
//! cancelled, its calls with it.

use crate::Timestamp;
use crate::function::Problems;
use stepwell_protocol::config::Timeouts as TimeoutsConfig;
use stepwell_protocol::span;

/// How long a run may wait and take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// From scheduling to the first call, in milliseconds.
    pub start_ms: Option<u64>,
    /// From the first call to the end, in milliseconds.
    pub finish_ms: Option<u64>,
}

impl Timeouts {
    pub(crate) fn compile(config: &TimeoutsConfig, problems: &mut Problems) -> Self {
        let mut parse = |place: &str, text: Option<&str>| {
            let text = text.filter(|text| !text.trim().is_empty())?;
            match span::parse_ms(text) {
                Ok(ms) => Some(ms),
                Err(error) => {
                    problems.add(place, error.to_string());
                    None
                }
            }
        };
        Self {
            start_ms: parse("timeouts.start", config.start.as_deref()),
            finish_ms: parse("timeouts.finish", config.finish.as_deref()),
        }
    }

    /// When a run is over time, by where it stands.
    pub(crate) fn over_at(
        self,
        queued_at: Timestamp,
        started_at: Option<Timestamp>,
    ) -> Option<Timestamp> {
        match started_at {
            None => self.start_ms.map(|ms| queued_at.after_ms(ms)),
            Some(started_at) => self.finish_ms.map(|ms| started_at.after_ms(ms)),
        }
    }
}
