use crate::PassedOver;
use serde::{Deserialize, Serialize};

/// What a provider answered, and what the answer cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    pub value: T,
    pub usage: Usage,
}

impl<T> Answer<T> {
    pub fn new(value: T, usage: Usage) -> Self {
        Self { value, usage }
    }

    /// The same usage with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            value: change(self.value),
            usage: self.usage,
        }
    }
}

/// What one call consumed, for metering. An error that comes after the work was done carries one, too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Who did the work: `gemini`, `fal`, `llama-parse`, `local`.
    pub provider: String,
    /// The model that answered; after a fallback, the fallback.
    pub model: String,
    pub input_tokens: u64,
    /// What was answered, and what was thought on the way when the provider charges for it.
    pub output_tokens: u64,
    /// Images made, not images looked at.
    pub images: u32,
    /// How long the provider says it worked; how long the call took where it does not say.
    pub seconds: f64,
    /// The model that was asked before this one and did not do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<PassedOver>,
}

impl Usage {
    /// Counts what another call for the same purpose consumed in; who did the work stays.
    pub(crate) fn add(&mut self, other: &Self) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.images += other.images;
        self.seconds += other.seconds;
    }
}
