//! Runs and steps as they are recorded.

use super::{RunStatus, Timestamp};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use stepwell_protocol::{EventId, FunctionId, RunId, SharedJson, UserError};
use stepwell_store::{RunRecord, StepRecord};

/// The public ids of functions.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<FunctionId, String>);

impl Names {
    pub(crate) fn insert(&mut self, id: FunctionId, name: &str) {
        self.0.insert(id, name.to_owned());
    }

    pub(crate) fn of(&self, id: FunctionId) -> String {
        // Functions of other programs, and former ones, have none here.
        self.0.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }
}

/// A run, as it is recorded.
#[derive(Debug, Clone)]
pub struct Run {
    /// The run.
    pub id: RunId,
    /// The public id of its function, `<app>-<function>`.
    pub function_id: String,
    /// The events that started it.
    pub events: Vec<EventId>,
    /// Where it stands.
    pub status: RunStatus,
    /// When it was scheduled.
    pub queued_at: Timestamp,
    /// When it was first called.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    output: Option<SharedJson>,
}

/// A run has not given the output that was asked for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OutputError {
    /// It has not ended.
    #[error("the run has not ended: it is {0}")]
    NotEnded(RunStatus),
    /// It was cancelled.
    #[error("the run was cancelled")]
    Cancelled,
    /// It was skipped: its function was paused, or another run had its place.
    #[error("the run was skipped")]
    Skipped,
    /// It failed.
    #[error("the run failed: {}: {}", .0.name, .0.message)]
    Failed(Box<UserError>),
    /// Its output is of another type.
    #[error("the run's output is of another type: {0}")]
    Type(String),
}

impl Run {
    pub(crate) fn new(record: RunRecord, names: &Names) -> Self {
        Self {
            id: record.id,
            function_id: names.of(record.function),
            events: record.events,
            status: record.status,
            queued_at: record.queued_at,
            started_at: record.started_at,
            ended_at: record.ended_at,
            output: record.output,
        }
    }

    /// What the function returned, or its error object, as JSON; `None` before the end.
    #[must_use]
    pub fn output_json(&self) -> Option<&str> {
        self.output.as_ref().map(|output| output.get())
    }

    /// What the function returned.
    ///
    /// # Errors
    /// [`OutputError`] when it did not return, or something else.
    pub fn output<T: DeserializeOwned>(&self) -> Result<T, OutputError> {
        match self.status {
            RunStatus::Scheduled | RunStatus::Running => Err(OutputError::NotEnded(self.status)),
            RunStatus::Cancelled => Err(OutputError::Cancelled),
            RunStatus::Skipped => Err(OutputError::Skipped),
            RunStatus::Failed => Err(OutputError::Failed(Box::new(self.failure()))),
            RunStatus::Completed => {
                let json = self.output_json().unwrap_or("null");
                stepwell_protocol::decode::from_slice(json.as_bytes())
                    .map_err(|error| OutputError::Type(error.to_string()))
            }
        }
    }

    /// The error of a run that failed.
    #[must_use]
    pub fn error(&self) -> Option<UserError> {
        (self.status == RunStatus::Failed).then(|| self.failure())
    }

    fn failure(&self) -> UserError {
        UserError::from_body(self.output_json().unwrap_or_default().as_bytes())
    }
}

/// A step that has ended, as it is recorded.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name for people; its id when it has none.
    pub name: String,
    /// The op that reported it, e.g. `StepRun`.
    pub op: String,
    /// Whether it failed for good.
    pub failed: bool,
    /// Failed attempts before its last.
    pub failed_attempts: u32,
    /// When its last attempt began.
    pub started_at: Timestamp,
    /// When its end was recorded.
    pub ended_at: Timestamp,
    value: SharedJson,
}

impl Step {
    pub(crate) fn new(record: StepRecord) -> Self {
        Self {
            name: record.name,
            op: record.op,
            failed: record.failed,
            failed_attempts: record.attempt,
            started_at: record.started_at,
            ended_at: record.ended_at,
            value: record.value,
        }
    }

    /// What is recorded, as JSON: `{"data": …}` or `{"error": …}`; `null` for a sleep.
    #[must_use]
    pub fn value_json(&self) -> &str {
        self.value.get()
    }
}
