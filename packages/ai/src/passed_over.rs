use crate::http::shortened;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fmt;

/// Who was asked first and did not do, so that somebody else was asked. Without this a record shows a result of the second
/// choice, and nobody sees that the first is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// A provider, or a model of one.
    pub provider: String,
    /// For people: on one line, not too long, without keys.
    pub reason: String,
}

impl PassedOver {
    /// An error is told with all its causes.
    pub(crate) fn failed(provider: &str, error: &dyn Error) -> Self {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            chain.push_str(": ");
            chain.push_str(&error.to_string());
            source = error.source();
        }
        Self::because(provider, &chain)
    }

    pub(crate) fn because(provider: &str, reason: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            reason: shortened(reason),
        }
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.provider, self.reason)
    }
}
