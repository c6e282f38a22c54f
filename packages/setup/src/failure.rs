//! What went wrong, as a person is told it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A failure that a person reads: what, and what to do next. The same in the API's answers and on the terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable, for programs: `not_a_pdf`.
    pub code: String,
    /// What happened, to what.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// Without a hint.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            hint: None,
        }
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With the whole chain of an error in the message.
    pub fn of(code: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(code, chain(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An error and what caused it, in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let errors = std::iter::successors(Some(error), |error| (*error).source());
    let texts: Vec<String> = errors.take(8).map(ToString::to_string).collect();
    texts.join(": ")
}
