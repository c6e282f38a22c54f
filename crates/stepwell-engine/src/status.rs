//! The law of a run's status.

use serde::{Deserialize, Serialize};
use std::fmt;
use stepwell_protocol::{BulkCancelId, EventId, RunId};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunStatus {
    /// Queued; not called yet.
    Scheduled,
    /// Called at least once; perhaps asleep.
    Running,
    /// Returned.
    Completed,
    /// Out of attempts, told not to retry, or over a limit.
    Failed,
    /// Stopped from outside.
    Cancelled,
    /// Never called: its function was paused, or another run had its place.
    Skipped,
}

/// A change of status that the law does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run cannot go from {from} to {to}")]
pub struct IllegalTransition {
    /// Where it stands.
    pub from: RunStatus,
    /// Where it was to go.
    pub to: RunStatus,
}

impl RunStatus {
    /// All statuses.
    pub const ALL: [Self; 6] = [
        Self::Scheduled,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Skipped,
    ];

    /// Whether the run is over.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Skipped
        )
    }

    /// The status after going to `to`.
    ///
    /// # Errors
    /// [`IllegalTransition`]; nothing follows an end, nothing goes back.
    pub fn go(self, to: Self) -> Result<Self, IllegalTransition> {
        match (self, to) {
            (Self::Scheduled, Self::Running | Self::Skipped)
            | (Self::Scheduled | Self::Running, Self::Completed | Self::Failed | Self::Cancelled) => {
                Ok(to)
            }
            (from, to) => Err(IllegalTransition { from, to }),
        }
    }

    /// The status after ending as `to`: by the run's own doing, without a cause, or for one.
    ///
    /// # Errors
    /// [`IllegalTransition`]; a function's own end has no cause, a cancelled or skipped run has one that fits.
    pub fn end(self, to: Self, cause: Option<Cause>) -> Result<Self, IllegalTransition> {
        let lawful = match (self, to, cause) {
            (_, Self::Completed | Self::Failed, None) => true,
            (_, Self::Cancelled, Some(cause)) => match cause {
                Cause::Request
                | Cause::Bulk { .. }
                | Cause::Event { .. }
                | Cause::Replaced { .. } => true,
                Cause::StartTimeout => self == Self::Scheduled,
                Cause::FinishTimeout => self == Self::Running,
                Cause::Singleton { .. } | Cause::FunctionPaused => false,
            },
            (_, Self::Skipped, Some(Cause::Singleton { .. } | Cause::FunctionPaused)) => true,
            _ => false,
        };
        match lawful {
            true => self.go(to),
            false => Err(IllegalTransition { from: self, to }),
        }
    }

    /// The status as the REST API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "Scheduled",
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Skipped => "Skipped",
        }
    }

    /// The status that [`RunStatus::as_str`] writes so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why a run ended when its function did not end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Cause {
    /// Someone asked for it.
    Request,
    /// Someone asked for it and others of its function.
    Bulk {
        /// The bulk cancellation.
        cancellation: BulkCancelId,
    },
    /// A cancellation's event came.
    Event {
        /// The event.
        event: EventId,
    },
    /// It was not called in time.
    StartTimeout,
    /// It did not end in time.
    FinishTimeout,
    /// A later run took its place.
    Replaced {
        /// That run.
        run: RunId,
    },
    /// Another run had its place.
    Singleton {
        /// That run.
        run: RunId,
    },
    /// Its function was paused.
    FunctionPaused,
}

#[cfg(test)]
mod tests {
    use super::*;
    use RunStatus::{Cancelled, Completed, Failed, Running, Scheduled, Skipped};

    #[test]
    fn the_whole_law() {
        let legal = [
            (Scheduled, Running),
            (Scheduled, Completed),
            (Scheduled, Failed),
            (Scheduled, Cancelled),
            (Scheduled, Skipped),
            (Running, Completed),
            (Running, Failed),
            (Running, Cancelled),
        ];
        for from in RunStatus::ALL {
            for to in RunStatus::ALL {
                assert_eq!(
                    from.go(to).is_ok(),
                    legal.contains(&(from, to)),
                    "{from} to {to}"
                );
            }
        }
    }

    #[test]
    fn the_law_of_causes() {
        let (run, event) = (RunId::from_bytes([1; 16]), EventId::from_bytes([2; 16]));
        let cancellation = BulkCancelId::from_bytes([3; 16]);
        let causes = [
            None,
            Some(Cause::Request),
            Some(Cause::Event { event }),
            Some(Cause::StartTimeout),
            Some(Cause::FinishTimeout),
            Some(Cause::Replaced { run }),
            Some(Cause::Singleton { run }),
            Some(Cause::FunctionPaused),
            Some(Cause::Bulk { cancellation }),
        ];
        let legal = [
            (Completed, vec![Scheduled, Running], vec![0]),
            (Failed, vec![Scheduled, Running], vec![0]),
            (Cancelled, vec![Scheduled, Running], vec![1, 2, 5, 8]),
            (Cancelled, vec![Scheduled], vec![3]),
            (Cancelled, vec![Running], vec![4]),
            (Skipped, vec![Scheduled], vec![6, 7]),
        ];
        for from in RunStatus::ALL {
            for to in RunStatus::ALL {
                for (index, cause) in causes.into_iter().enumerate() {
                    let expected = legal.iter().any(|(end, froms, causes)| {
                        *end == to && froms.contains(&from) && causes.contains(&index)
                    });
                    assert_eq!(
                        from.end(to, cause).is_ok(),
                        expected,
                        "{from} to {to} for {cause:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_end_for_a_cause_is_a_way_to_go() {
        for from in RunStatus::ALL {
            for to in RunStatus::ALL.into_iter().filter(|to| to.has_ended()) {
                if from.end(to, Some(Cause::Request)).is_ok() || from.end(to, None).is_ok() {
                    assert_eq!(from.go(to), Ok(to));
                }
            }
        }
    }

    #[test]
    fn texts_read_back() {
        for status in RunStatus::ALL {
            assert_eq!(RunStatus::parse(status.as_str()), Some(status));
        }
    }
}
