//! The laws of states: what may become what.

use serde::{Deserialize, Serialize};

/// How far a workflow run is, or a step of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunState {
    Pending,
    Running,
    Completed,
    Failed,
    Canceled,
}

impl RunState {
    const ALL: [Self; 5] = [
        Self::Pending,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
        }
    }

    /// Whether it has ended: it stays so.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }

    /// The law. What was never started cannot complete, but it can fail (nobody could be told of it) or be cancelled.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => matches!(next, Self::Running | Self::Failed | Self::Canceled),
            Self::Running => next.is_ended(),
            Self::Completed | Self::Failed | Self::Canceled => false,
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("unknown state {text:?}"))
    }
}

/// How far a batch job is, or an item of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum BatchJobStatus {
    Queued,
    Processing,
    Verifying,
    Completed,
    Failed,
    Canceled,
}

impl BatchJobStatus {
    const ALL: [Self; 6] = [
        Self::Queued,
        Self::Processing,
        Self::Verifying,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Processing => "PROCESSING",
            Self::Verifying => "VERIFYING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
        }
    }

    /// Whether it has ended: it stays so.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }

    /// The law. A result that was not good enough is made again, so verifying may become processing.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Processing | Self::Failed | Self::Canceled),
            Self::Processing => matches!(next, Self::Verifying | Self::Failed | Self::Canceled),
            Self::Verifying => next == Self::Processing || next.is_ended(),
            Self::Completed | Self::Failed | Self::Canceled => false,
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| format!("unknown status {text:?}"))
    }
}

/// What came of asking for a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum StateChange<S> {
    /// It is so now.
    Changed,
    /// It was so already: somebody asks again. Nothing was written.
    Unchanged,
    /// The law forbids it; what it is instead.
    Refused(S),
}

impl StateChange<RunState> {
    pub(crate) fn of_run(now: RunState, next: RunState) -> Self {
        match now {
            _ if now == next => Self::Unchanged,
            _ if now.may_become(next) => Self::Changed,
            _ => Self::Refused(now),
        }
    }
}

impl StateChange<BatchJobStatus> {
    pub(crate) fn of_job(now: BatchJobStatus, next: BatchJobStatus) -> Self {
        match now {
            _ if now == next => Self::Unchanged,
            _ if now.may_become(next) => Self::Changed,
            _ => Self::Refused(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BatchJobStatus, RunState};

    #[test]
    fn what_has_ended_stays_and_nothing_completes_unstarted() {
        for ended in RunState::ALL.into_iter().filter(|state| state.is_ended()) {
            assert!(
                RunState::ALL
                    .into_iter()
                    .all(|next| !ended.may_become(next))
            );
        }
        let jobs = BatchJobStatus::ALL;
        for ended in jobs.into_iter().filter(|status| status.is_ended()) {
            assert!(jobs.into_iter().all(|next| !ended.may_become(next)));
        }
        assert!(!RunState::Pending.may_become(RunState::Completed));
        assert!(!BatchJobStatus::Queued.may_become(BatchJobStatus::Completed));
        assert!(BatchJobStatus::Verifying.may_become(BatchJobStatus::Processing));
    }
}
