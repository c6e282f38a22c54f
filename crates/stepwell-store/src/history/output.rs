//! What spans have given: kept where it is, and named by an id that says where.

use crate::{AttemptRecord, Reader, RunRecord, StepRecord, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use stepwell_engine::RunStatus;
use stepwell_protocol::{RunId, SharedJson, StepId, UserError, shared_json};

/// Where the output of a span is. Its text is opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OutputId {
    /// What the run returned, or its error.
    Run(RunId),
    /// What a step gave.
    Step(RunId, StepId),
    /// The error of an attempt, by its position among the run's.
    Attempt(RunId, usize),
}

/// Not the id of an output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not the id of an output; take the one that a span of a trace carries")]
pub struct ParseOutputIdError(String);

impl fmt::Display for OutputId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Run(run) => format!("run:{run}"),
            Self::Step(run, step) => format!("step:{run}:{step}"),
            Self::Attempt(run, index) => format!("attempt:{run}:{index}"),
        };
        formatter.write_str(&URL_SAFE_NO_PAD.encode(text))
    }
}

impl FromStr for OutputId {
    type Err = ParseOutputIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (what, rest) = text.split_once(':')?;
            let (run, which) = match rest.split_once(':') {
                Some((run, which)) => (run, Some(which)),
                None => (rest, None),
            };
            let run = run.parse().ok()?;
            match (what, which) {
                ("run", None) => Some(Self::Run(run)),
                ("step", Some(step)) => Some(Self::Step(run, StepId::parse(step))),
                ("attempt", Some(index)) => Some(Self::Attempt(run, index.parse().ok()?)),
                _ => None,
            }
        };
        // Whatever it is, not all of it need be said.
        read().ok_or_else(|| ParseOutputIdError(text.chars().take(64).collect()))
    }
}

/// What a span has given.
#[derive(Debug, Clone)]
pub enum Output {
    /// A result.
    Data(SharedJson),
    /// An error.
    Error(Box<UserError>),
}

impl Output {
    fn of_run(run: &RunRecord) -> Option<Self> {
        let output = run.output.as_ref()?;
        Some(match run.status {
            RunStatus::Failed => {
                Self::Error(Box::new(UserError::from_body(output.get().as_bytes())))
            }
            _ => Self::Data(SharedJson::clone(output)),
        })
    }

    fn of_step(step: &StepRecord) -> Self {
        let fields: Option<HashMap<String, Box<RawValue>>> =
            serde_json::from_str(step.value.get()).ok();
        let field = |name| fields.as_ref().and_then(|fields| fields.get(name).cloned());
        if step.failed {
            let error = field("error").and_then(|error| serde_json::from_str(error.get()).ok());
            let error = error.unwrap_or_else(|| UserError::from_body(step.value.get().as_bytes()));
            return Self::Error(Box::new(error));
        }
        // An event is what it is; all else that steps give is wrapped.
        match field("data").filter(|_| step.op != "WaitForEvent") {
            Some(data) => Self::Data(SharedJson::from(data)),
            None => Self::Data(SharedJson::clone(&step.value)),
        }
    }

    fn of_attempt(attempt: &AttemptRecord) -> Option<Self> {
        let error = attempt.error.as_ref()?;
        let read = serde_json::from_str(error);
        let error = read.unwrap_or_else(|_| UserError::from_body(error.as_bytes()));
        Some(Self::Error(Box::new(error)))
    }

    /// How large it is, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Data(data) => data.get().len(),
            Self::Error(error) => error.message.len() + error.stack.as_ref().map_or(0, String::len),
        }
    }

    /// The output as traces show it: `{"data": …}` or `{"error": …}`.
    #[must_use]
    pub fn wrapped(&self) -> SharedJson {
        let text = match self {
            Self::Data(data) => format!("{{\"data\":{}}}", data.get()),
            Self::Error(error) => {
                let error = serde_json::to_string(error).expect("an error serialises");
                format!("{{\"error\":{error}}}")
            }
        };
        shared_json(text).expect("JSON in an object is JSON")
    }
}

/// The output of a span; `None` when it has none, or is no longer there.
///
/// # Errors
/// The store's.
pub fn output(reader: &dyn Reader, id: &OutputId) -> Result<Option<Output>, StoreError> {
    Ok(match id {
        OutputId::Run(run) => reader.run(*run)?.as_ref().and_then(Output::of_run),
        OutputId::Step(run, step) => reader.step(*run, step)?.as_ref().map(Output::of_step),
        OutputId::Attempt(run, index) => {
            let attempts = reader.attempts(*run)?;
            attempts.get(*index).and_then(Output::of_attempt)
        }
    })
}

/// All outputs of a run.
#[derive(Debug)]
pub struct Outputs(HashMap<OutputId, Output>);

impl Outputs {
    /// Reads them. What is recorded never changes, so they are those of any trace read before.
    ///
    /// # Errors
    /// The store's.
    pub fn read(reader: &dyn Reader, id: RunId) -> Result<Self, StoreError> {
        let mut outputs = HashMap::new();
        if let Some(output) = reader.run(id)?.as_ref().and_then(Output::of_run) {
            outputs.insert(OutputId::Run(id), output);
        }
        for step in reader.steps(id)? {
            let output = Output::of_step(&step);
            outputs.insert(OutputId::Step(id, step.step), output);
        }
        for (index, attempt) in reader.attempts(id)?.iter().enumerate() {
            let output = Output::of_attempt(attempt);
            outputs.extend(output.map(|output| (OutputId::Attempt(id, index), output)));
        }
        Ok(Self(outputs))
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: &OutputId) -> Option<&Output> {
        self.0.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_nothing_else_reads() {
        let run = RunId::from_bytes([7; 16]);
        for id in [
            OutputId::Run(run),
            OutputId::Step(run, StepId::of("a", 1)),
            OutputId::Step(run, StepId::parse("with: colons")),
            OutputId::Attempt(run, 12),
        ] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for text in [
            String::new(),
            "run".to_owned(),
            encoded("run:1"),
            encoded(&format!("run:{run}:x")),
            encoded(&format!("step:{run}")),
            encoded(&format!("attempt:{run}:-1")),
            encoded(&format!("other:{run}:1")),
        ] {
            text.parse::<OutputId>().expect_err("it is none");
        }
    }
}
