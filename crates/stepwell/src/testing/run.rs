//! Runs, as tests look at them.

use super::app::moment;
use super::history::History;
use super::notes::{self, Note};
use super::stand_ins::StandIns;
use super::steps::{TestStep, Wait, label, steps_of};
use crate::client::events_of_step;
use crate::embedded::{FunctionNames, OutputError, Run, RunStatus};
use crate::event::Event;
use crate::moment::Moment;
use crate::step::Score;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use stepwell_engine::StepDetail;
use stepwell_protocol::{EventId, RunId, UserError};
use stepwell_store::{EventRecord, Reader, RunRecord, StoreError};

/// The kind of steps that send events.
const SEND_EVENT: &str = "step.sendEvent";

/// An event that was sent.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SentEvent {
    /// The engine's id of it.
    pub id: EventId,
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Value,
    /// When it happened, as its sender says.
    pub at: Moment,
    /// The id that its sender gave it.
    pub external_id: Option<String>,
}

impl SentEvent {
    pub(super) fn new(record: EventRecord) -> Self {
        let body: Value = serde_json::from_str(record.body.get()).unwrap_or_default();
        let external_id = Some(record.external_id);
        Self {
            id: record.id,
            name: record.name,
            data: body.get("data").cloned().unwrap_or_default(),
            at: Moment::from_unix_ms(record.ts_ms),
            external_id: external_id.filter(|external| *external != record.id.to_string()),
        }
    }

    /// The event as a value of its type; nothing when it is another event, or does not decode.
    #[must_use]
    pub fn decode<E: Event>(&self) -> Option<E> {
        if self.name != E::NAME {
            return None;
        }
        serde_json::from_value(self.data.clone()).ok()
    }
}

/// A run, as it stood when the test looked at it.
///
/// What asserts something panics with the run's [`history`](TestRun::history) when it does not hold.
#[derive(Debug, Clone)]
pub struct TestRun {
    run: Run,
    events: Vec<SentEvent>,
    steps: Vec<TestStep>,
    waits: Vec<Wait>,
    sent: Vec<SentEvent>,
    notes: Vec<Note>,
    history: History,
}

impl TestRun {
    pub(super) fn read(
        record: RunRecord,
        reader: &dyn Reader,
        names: &FunctionNames,
        stand_ins: &StandIns,
    ) -> Result<Self, StoreError> {
        let id = record.id;
        let attempts = reader.attempts(id)?;
        let records = reader.steps(id)?;
        let sends = records.iter().filter(
            |step| matches!(&step.detail, Some(StepDetail::Run { kind }) if kind == SEND_EVENT),
        );
        // What the step has recorded may be a secret of the app's; the ids of its events tell as much.
        let mut sent = Vec::new();
        for step in sends {
            let found = events_of_step(id, &step.step, |event| reader.event(event))?;
            sent.extend(found.into_iter().map(SentEvent::new));
        }
        let items = reader.items(id)?;
        let noted = reader.metadata(id)?;
        let notes = notes::of_run(&noted);
        let steps = steps_of(records, &items, &attempts, &noted, stand_ins);
        let waits = steps.iter().filter_map(TestStep::wait).collect();
        let events = read_events(reader, &record.events)?;
        let cause = record.cause;
        let run = Run::new(record, names);
        let history = History::new(&run, cause, &events, &notes, &steps, &attempts);
        Ok(Self {
            run,
            events,
            steps,
            waits,
            sent,
            notes,
            history,
        })
    }

    /// The run.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.run.id
    }

    /// The public id of its function, `<app>-<function>`.
    #[must_use]
    pub fn function_id(&self) -> &str {
        &self.run.function_id
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        self.run.status
    }

    /// The events that started it.
    #[must_use]
    pub fn events(&self) -> &[SentEvent] {
        &self.events
    }

    /// When it was scheduled.
    #[must_use]
    pub fn queued_at(&self) -> Moment {
        moment(self.run.queued_at)
    }

    /// When it was first called.
    #[must_use]
    pub fn started_at(&self) -> Option<Moment> {
        self.run.started_at.map(moment)
    }

    /// When it ended.
    #[must_use]
    pub fn ended_at(&self) -> Option<Moment> {
        self.run.ended_at.map(moment)
    }

    /// How much virtual time passed from its scheduling to its end.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        let ended_at = self.run.ended_at?;
        Some(Duration::from_millis(ended_at.ms_since(self.run.queued_at)))
    }

    /// What the function returned.
    ///
    /// # Errors
    /// [`OutputError`] when it did not return, or something else.
    pub fn try_output<T: DeserializeOwned>(&self) -> Result<T, OutputError> {
        self.run.output()
    }

    /// What the function returned.
    ///
    /// # Panics
    /// If it did not return, or something else.
    #[track_caller]
    #[must_use]
    pub fn output<T: DeserializeOwned>(&self) -> T {
        match self.try_output() {
            Ok(output) => output,
            Err(error) => self.fail(error),
        }
    }

    /// What the function returned, or its error object, as JSON; nothing before the end.
    #[must_use]
    pub fn output_json(&self) -> Option<&str> {
        self.run.output_json()
    }

    /// The error of a run that failed.
    #[must_use]
    pub fn error(&self) -> Option<UserError> {
        self.run.error()
    }

    /// Its steps: those that have ended, in the order of their ends, then those that are under way or were cut short.
    #[must_use]
    pub fn steps(&self) -> &[TestStep] {
        &self.steps
    }

    /// The first use of a step; a later one of an id that is used several times is `<id>:1`, `<id>:2`, …, as in the history.
    ///
    /// # Panics
    /// If the run did not reach it.
    #[track_caller]
    #[must_use]
    pub fn step(&self, id: &str) -> &TestStep {
        let again = || {
            let (id, index) = id.rsplit_once(':')?;
            self.find_step(id, index.parse().ok()?)
        };
        // An id may itself look like that.
        match self.find_step(id, 0).or_else(again) {
            Some(step) => step,
            None => self.fail(format!("step \"{id}\" was not reached")),
        }
    }

    /// A use of a step whose id was used several times, from 0.
    ///
    /// # Panics
    /// If the run did not reach it.
    #[track_caller]
    #[must_use]
    pub fn step_again(&self, id: &str, index: usize) -> &TestStep {
        match self.find_step(id, index) {
            Some(step) => step,
            None => {
                let label = label(id, index);
                self.fail(format!("step \"{label}\" was not reached"))
            }
        }
    }

    /// A use of a step, from 0; nothing when the run did not reach it.
    #[must_use]
    pub fn find_step(&self, id: &str, index: usize) -> Option<&TestStep> {
        let mut steps = self.steps.iter();
        steps.find(|step| step.id == id && step.index == index)
    }

    /// The events that its steps have sent (`send_event` and `send_events`), in their order.
    #[must_use]
    pub fn sent_events(&self) -> &[SentEvent] {
        &self.sent
    }

    /// Those of one type.
    ///
    /// # Panics
    /// If one of this name does not decode.
    #[track_caller]
    #[must_use]
    pub fn sent<E: Event>(&self) -> Vec<E> {
        let of_type = self.sent.iter().filter(|event| event.name == E::NAME);
        let decoded = of_type.map(|event| match event.decode() {
            Some(event) => event,
            None => self.fail(format!(
                "event '{}' does not decode: {}",
                E::NAME,
                event.data
            )),
        });
        decoded.collect()
    }

    /// What was noted of the run itself, besides its steps' [`notes`](TestStep::notes).
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The scores of the run ([`Step::score`](crate::Step::score)).
    #[must_use]
    pub fn scores(&self) -> Vec<Score> {
        self.notes.iter().flat_map(Note::scores).collect()
    }

    /// What it has slept or waited for, or still does.
    #[must_use]
    pub fn waits(&self) -> &[Wait] {
        &self.waits
    }

    /// What happened, as a tree that people can read.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Ends the test, and shows what happened.
    #[track_caller]
    pub(super) fn fail(&self, what: impl std::fmt::Display) -> ! {
        panic!("{what}\n\n{}", self.history)
    }
}

fn read_events(reader: &dyn Reader, ids: &[EventId]) -> Result<Vec<SentEvent>, StoreError> {
    let mut events = Vec::new();
    for id in ids {
        events.extend(reader.event(*id)?.map(SentEvent::new));
    }
    Ok(events)
}
