//! What tests assert of runs. Each assertion that does not hold shows what happened in the run.

use super::run::{SentEvent, TestRun};
use super::steps::StepStatus;
use crate::embedded::RunStatus;
use crate::event::Event;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

impl TestRun {
    #[track_caller]
    fn assert_status(&self, expected: RunStatus) -> &Self {
        if self.status() != expected {
            let found = self.status().to_string().to_lowercase();
            let expected = expected.to_string().to_lowercase();
            self.fail(format!("the run is {found}, not {expected}"));
        }
        self
    }

    /// The function has returned.
    #[track_caller]
    pub fn assert_completed(&self) -> &Self {
        self.assert_status(RunStatus::Completed)
    }

    /// The run has failed.
    #[track_caller]
    pub fn assert_failed(&self) -> &Self {
        self.assert_status(RunStatus::Failed)
    }

    /// The run has failed, with an error of this name or with this text in its message.
    #[track_caller]
    pub fn assert_failed_with(&self, what: &str) -> &Self {
        self.assert_failed();
        let error = self.error().unwrap_or_default();
        if error.name != what && !error.message.contains(what) {
            self.fail(format!(
                "the run failed with {}: {}, not with {what}",
                error.name, error.message
            ));
        }
        self
    }

    /// The run was cancelled.
    #[track_caller]
    pub fn assert_cancelled(&self) -> &Self {
        self.assert_status(RunStatus::Cancelled)
    }

    /// The run has not ended.
    #[track_caller]
    pub fn assert_unfinished(&self) -> &Self {
        if self.status().has_ended() {
            self.fail("the run has ended");
        }
        self
    }

    /// The function has returned this.
    #[track_caller]
    pub fn assert_output<T: DeserializeOwned + PartialEq + Debug>(&self, expected: T) -> &Self {
        self.assert_completed();
        let output: T = self.output();
        if output != expected {
            self.fail(format!(
                "the function returned {output:?}, not {expected:?}"
            ));
        }
        self
    }

    /// These steps have ended, in this order, and no others: sleeps and waits count as any step does. A step whose id was
    /// used several times is named as often.
    #[track_caller]
    pub fn assert_steps<'i>(&self, expected: impl IntoIterator<Item = &'i str>) -> &Self {
        let expected: Vec<&str> = expected.into_iter().collect();
        let ended = self.steps().iter().filter(|step| step.ended_at().is_some());
        let ended: Vec<&str> = ended.map(super::steps::TestStep::id).collect();
        if ended != expected {
            self.fail(format!("the steps {ended:?} have ended, not {expected:?}"));
        }
        self
    }

    /// This step has given this result.
    #[track_caller]
    pub fn assert_step<T: DeserializeOwned + PartialEq + Debug>(
        &self,
        id: &str,
        expected: T,
    ) -> &Self {
        let step = self.step(id);
        let Some(json) = step.output_json() else {
            self.fail(format!(
                "step \"{id}\" has no result: it is {:?}",
                step.status()
            ));
        };
        match serde_json::from_str::<T>(json.get()) {
            Ok(output) if output == expected => self,
            Ok(output) => self.fail(format!("step \"{id}\" gave {output:?}, not {expected:?}")),
            Err(_) => self.fail(format!("step \"{id}\" gave {json}, not {expected:?}")),
        }
    }

    /// This step has a result.
    #[track_caller]
    pub fn assert_step_completed(&self, id: &str) -> &Self {
        let status = self.step(id).status();
        if status != StepStatus::Completed {
            self.fail(format!("step \"{id}\" has no result: it is {status:?}"));
        }
        self
    }

    /// This step has failed for good.
    #[track_caller]
    pub fn assert_step_failed(&self, id: &str) -> &Self {
        let status = self.step(id).status();
        if status != StepStatus::Failed {
            self.fail(format!("step \"{id}\" has not failed: it is {status:?}"));
        }
        self
    }

    /// The run did not reach this step.
    #[track_caller]
    pub fn assert_not_reached(&self, id: &str) -> &Self {
        if self.find_step(id, 0).is_some() {
            self.fail(format!("step \"{id}\" was reached"));
        }
        self
    }

    /// So many attempts were made of this step.
    #[track_caller]
    pub fn assert_attempts(&self, id: &str, expected: u32) -> &Self {
        let attempts = self.step(id).attempts();
        if attempts != expected {
            self.fail(format!(
                "step \"{id}\" took {attempts} attempts, not {expected}"
            ));
        }
        self
    }

    /// The run's steps have sent an event of this name; that event.
    #[track_caller]
    pub fn assert_sent_event(&self, name: &str) -> &SentEvent {
        match self.sent_events().iter().find(|event| event.name == name) {
            Some(event) => event,
            None => self.fail(format!(
                "no event '{name}' was sent, but {:?}",
                self.sent_names()
            )),
        }
    }

    /// The run's steps have sent this event.
    #[track_caller]
    pub fn assert_sent<E: Event + Serialize>(&self, expected: &E) -> &Self {
        let data = serde_json::to_value(expected).unwrap_or_default();
        let is_it = |event: &&SentEvent| event.name == E::NAME && event.data == data;
        if !self.sent_events().iter().any(|event| is_it(&event)) {
            let sent = self.sent_events().iter();
            let sent: Vec<String> = sent
                .map(|event| format!("{} {}", event.name, event.data))
                .collect();
            self.fail(format!(
                "event '{}' {data} was not sent, but [{}]",
                E::NAME,
                sent.join(", ")
            ));
        }
        self
    }

    /// The run's steps have sent no event of this name.
    #[track_caller]
    pub fn assert_not_sent(&self, name: &str) -> &Self {
        if self.sent_events().iter().any(|event| event.name == name) {
            self.fail(format!("event '{name}' was sent"));
        }
        self
    }

    /// From its scheduling to its end so much virtual time has passed.
    #[track_caller]
    pub fn assert_took(&self, expected: Duration) -> &Self {
        match self.took() {
            Some(took) if took == expected => self,
            Some(took) => self.fail(format!("the run took {took:?}, not {expected:?}")),
            None => self.fail("the run has not ended"),
        }
    }

    fn sent_names(&self) -> Vec<&str> {
        let names = self.sent_events().iter().map(|event| event.name.as_str());
        names.collect()
    }
}
