//! Steps and waits of a run, as tests look at them.

use super::app::moment;
use super::notes::{self, Note};
use super::stand_ins::StandIns;
use crate::execution::{Memo, ended_memo};
use crate::moment::Moment;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashSet;
use stepwell_engine::{ItemRow, StepDetail};
use stepwell_protocol::{EventId, SharedJson, StepId, UserError};
use stepwell_store::{AttemptRecord, MetadataRecord, StepRecord};

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepStatus {
    /// It has a result.
    Completed,
    /// It has failed for good.
    Failed,
    /// It sleeps, or waits for an event, a signal or a function.
    Waiting,
    /// It is to run, or to run again.
    Queued,
    /// The end of its run has cut it short.
    Cancelled,
}

/// A failed attempt of a step.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// Which attempt, from 0.
    pub attempt: u32,
    /// What it failed with.
    pub error: UserError,
    /// When it began.
    pub started_at: Moment,
    /// When the next one was due; nothing when there was none.
    pub retry_at: Option<Moment>,
}

/// A step of a run.
#[derive(Debug, Clone)]
pub struct TestStep {
    pub(super) id: String,
    pub(super) index: usize,
    name: String,
    op: String,
    pub(super) status: StepStatus,
    failures: Vec<FailedAttempt>,
    failed_before: u32,
    notes: Vec<Note>,
    pub(super) value: Option<SharedJson>,
    pub(super) detail: Option<StepDetail>,
    pub(super) started_at: Moment,
    pub(super) ended_at: Option<Moment>,
}

impl TestStep {
    /// Its id, as the function wrote it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Which use of the id it is, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its id, and which use of it after the first: `add`, `add:1`.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.id, self.index)
    }

    /// Its name for people; the id when it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The op that reported it, e.g. `StepRun` or `Sleep`.
    #[must_use]
    pub fn op(&self) -> &str {
        &self.op
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> StepStatus {
        self.status
    }

    /// How many attempts were made of it.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        match self.status {
            StepStatus::Completed | StepStatus::Failed => self.failed_before + 1,
            _ => u32::try_from(self.failures.len()).unwrap_or(u32::MAX),
        }
    }

    /// The attempts that failed, in their order.
    #[must_use]
    pub fn failed_attempts(&self) -> &[FailedAttempt] {
        &self.failures
    }

    /// What was noted of it and its attempts ([`Step::note`](crate::Step::note)).
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// What it gave, as JSON; nothing when it has no result.
    #[must_use]
    pub fn output_json(&self) -> Option<SharedJson> {
        match ended_memo(self.value.as_ref()?)? {
            Memo::Data(data) => Some(data),
            Memo::Failed(_) => None,
        }
    }

    /// What it gave.
    ///
    /// # Panics
    /// If it has no result, or it is not a `T`.
    #[track_caller]
    #[must_use]
    pub fn output<T: DeserializeOwned>(&self) -> T {
        let Some(json) = self.output_json() else {
            panic!(
                "step \"{}\" has no result: it is {:?}",
                self.id, self.status
            );
        };
        match serde_json::from_str(json.get()) {
            Ok(output) => output,
            Err(error) => panic!(
                "step \"{}\" did not give a {}: {error}; it gave {json}",
                self.id,
                std::any::type_name::<T>()
            ),
        }
    }

    /// What it failed with, for good.
    #[must_use]
    pub fn error(&self) -> Option<UserError> {
        match ended_memo(self.value.as_ref()?)? {
            Memo::Failed(error) => Some(*error),
            Memo::Data(_) => None,
        }
    }

    /// When it began: its last attempt, or its wait.
    #[must_use]
    pub fn started_at(&self) -> Moment {
        self.started_at
    }

    /// When it ended.
    #[must_use]
    pub fn ended_at(&self) -> Option<Moment> {
        self.ended_at
    }

    pub(super) fn is_wait_for_event(&self) -> bool {
        matches!(self.detail, Some(StepDetail::WaitForEvent { .. }))
    }

    /// What it waits for, if it is a sleep or a wait.
    pub(super) fn wait(&self) -> Option<Wait> {
        let (kind, until_ms, found) = match self.detail.clone()? {
            StepDetail::Run { .. } => return None,
            StepDetail::Sleep { until_ms } => (WaitKind::Sleep, until_ms, None),
            StepDetail::WaitForEvent {
                event,
                condition,
                until_ms,
                found,
            } => {
                let (event, condition) = (
                    event.to_string(),
                    condition.map(|condition| condition.to_string()),
                );
                let found = found.map(|event| WaitEnd::Came { event: Some(event) });
                (WaitKind::Event { event, condition }, until_ms, found)
            }
            StepDetail::WaitForSignal {
                signal,
                until_ms,
                found,
            } => {
                let signal = signal.to_string();
                let found = found.then_some(WaitEnd::Came { event: None });
                (WaitKind::Signal { signal }, until_ms, found)
            }
            StepDetail::Invoke {
                function,
                until_ms,
                timed_out,
                ..
            } => {
                let function = function.to_string();
                let found = (!timed_out).then_some(WaitEnd::Came { event: None });
                (WaitKind::Function { function }, until_ms, found)
            }
        };
        Some(Wait {
            step: self.label(),
            kind,
            since: self.started_at,
            until: Moment::from_unix_ms(i64::try_from(until_ms).unwrap_or(i64::MAX)),
            end: match self.status {
                StepStatus::Waiting | StepStatus::Queued => WaitEnd::Waiting,
                StepStatus::Cancelled => WaitEnd::Cancelled,
                StepStatus::Completed | StepStatus::Failed => found.unwrap_or(WaitEnd::Time),
            },
        })
    }
}

/// A sleep or a wait.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Wait {
    /// The step's [`label`](TestStep::label).
    pub step: String,
    /// What for.
    pub kind: WaitKind,
    /// Since when.
    pub since: Moment,
    /// Until when at the latest.
    pub until: Moment,
    /// How it ended.
    pub end: WaitEnd,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitKind {
    /// For its time.
    Sleep,
    /// For an event.
    Event {
        /// The event's name.
        event: String,
        /// Which of the events.
        condition: Option<String>,
    },
    /// For a signal.
    Signal {
        /// Its name.
        signal: String,
    },
    /// For another function's end.
    Function {
        /// The function, as the step named it.
        function: String,
    },
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitEnd {
    /// What it waited for came.
    Came {
        /// The event, if it was one.
        event: Option<EventId>,
    },
    /// Its time was over: a sleep's end, a wait's timeout.
    Time,
    /// It has not.
    Waiting,
    /// The end of its run cut it short.
    Cancelled,
}

/// A use of a step's id, from 0, for people: `add`, `add:1`.
pub(super) fn label(id: &str, index: usize) -> String {
    match index {
        0 => id.to_owned(),
        index => format!("{id}:{index}"),
    }
}

/// The steps of a run: those that have ended, in the order of their ends; then what is queued or waits, and what was
/// cut short.
pub(super) fn steps_of(
    records: Vec<StepRecord>,
    items: &[ItemRow],
    attempts: &[AttemptRecord],
    noted: &[MetadataRecord],
    stand_ins: &StandIns,
) -> Vec<TestStep> {
    let make = |hash: &StepId, name: &str, op: &str, status, started_at| {
        let (id, index) = match stand_ins.name_of(hash) {
            Some(known) => known,
            None if name.is_empty() => (hash.to_string(), 0),
            None => (name.to_owned(), 0),
        };
        TestStep {
            name: if name.is_empty() {
                id.clone()
            } else {
                name.to_owned()
            },
            id,
            index,
            op: op.to_owned(),
            status,
            failures: failures_of(hash, attempts),
            failed_before: 0,
            notes: notes::of_step(noted, hash),
            value: None,
            detail: None,
            started_at,
            ended_at: None,
        }
    };
    let mut known: HashSet<StepId> = HashSet::new();
    let mut steps = Vec::new();
    for record in records {
        let status = match record.failed {
            true => StepStatus::Failed,
            false => StepStatus::Completed,
        };
        known.insert(record.step.clone());
        let started_at = moment(record.started_at);
        steps.push(TestStep {
            failed_before: record.attempt,
            value: Some(record.value),
            detail: record.detail,
            ended_at: Some(moment(record.ended_at)),
            ..make(&record.step, &record.name, &record.op, status, started_at)
        });
    }
    for item in items {
        let Some(hash) = item
            .kind
            .own_step()
            .filter(|hash| known.insert((*hash).clone()))
        else {
            continue;
        };
        let detail = StepDetail::of_item(item);
        let status = match detail {
            Some(_) => StepStatus::Waiting,
            None => StepStatus::Queued,
        };
        let title = item.title.as_deref().unwrap_or("");
        let started_at = moment(item.id.made_at());
        steps.push(TestStep {
            detail,
            ..make(hash, title, "", status, started_at)
        });
    }
    // The last one of a step says where it stands.
    for attempt in attempts.iter().rev() {
        let Some(hash) = attempt
            .step
            .as_ref()
            .filter(|hash| known.insert((*hash).clone()))
        else {
            continue;
        };
        let status = match attempt.retry_at {
            Some(_) => StepStatus::Queued,
            None if attempt.error.is_some() => StepStatus::Failed,
            None => StepStatus::Cancelled,
        };
        let op = attempt.op.as_deref().unwrap_or("");
        let mut step = make(hash, &attempt.name, op, status, moment(attempt.started_at));
        step.detail.clone_from(&attempt.detail);
        step.failed_before = u32::try_from(step.failures.len())
            .unwrap_or(u32::MAX)
            .saturating_sub(1);
        steps.push(step);
    }
    steps
}

fn failures_of(step: &StepId, attempts: &[AttemptRecord]) -> Vec<FailedAttempt> {
    let own = attempts
        .iter()
        .filter(|attempt| attempt.step.as_ref() == Some(step));
    own.filter_map(FailedAttempt::of).collect()
}

impl FailedAttempt {
    /// A failed attempt; nothing for one that was cut short.
    pub(super) fn of(record: &AttemptRecord) -> Option<Self> {
        let error = record.error.as_ref()?;
        let value: Option<Value> = serde_json::from_str(error).ok();
        let read = value.and_then(|value| serde_json::from_value(value).ok());
        Some(Self {
            attempt: record.attempt,
            error: read.unwrap_or_else(|| UserError::from_body(error.as_bytes())),
            started_at: moment(record.started_at),
            retry_at: record.retry_at.map(moment),
        })
    }
}
