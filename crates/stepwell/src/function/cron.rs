//! Schedules.

use super::flow::time_string;
use std::time::Duration;
use stepwell_protocol::config::Trigger;

/// A schedule: five cron fields (minute, hour, day of the month, month, day of the week).
///
/// ```
/// # use stepwell::Cron;
/// # use std::time::Duration;
/// let weekdays_at_five = Cron::new("0 5 * * 1-5").zone("Europe/Paris").jitter(Duration::from_secs(60));
/// ```
#[derive(Debug, Clone)]
pub struct Cron {
    expression: String,
    zone: Option<String>,
    jitter: Option<Duration>,
}

impl Cron {
    /// A schedule in UTC, unless the expression begins with `TZ=Area/City `.
    pub fn new(expression: impl Into<String>) -> Self {
        Self {
            expression: expression.into(),
            zone: None,
            jitter: None,
        }
    }

    /// The time zone that it is meant in, as the IANA database names it.
    #[must_use]
    pub fn zone(mut self, name: impl Into<String>) -> Self {
        self.zone = Some(name.into());
        self
    }

    /// Starts by up to this much later, the same for the same tick: one second to five minutes.
    #[must_use]
    pub fn jitter(mut self, at_most: Duration) -> Self {
        self.jitter = Some(at_most);
        self
    }

    pub(super) fn trigger(self) -> Trigger {
        let cron = match self.zone {
            Some(zone) => format!("TZ={zone} {}", self.expression),
            None => self.expression,
        };
        Trigger {
            cron: Some(cron),
            jitter: self.jitter.map(time_string),
            ..Trigger::default()
        }
    }
}

impl From<&str> for Cron {
    fn from(expression: &str) -> Self {
        Self::new(expression)
    }
}

impl From<String> for Cron {
    fn from(expression: String) -> Self {
        Self::new(expression)
    }
}
