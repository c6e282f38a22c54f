use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// What a call of a service consumed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cost {
    /// Who did the work: `fal`, `gemini`, …
    pub provider: String,
    /// The model that answered.
    pub model: String,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Images made.
    pub images: u32,
    /// Seconds of work.
    pub seconds: f64,
    /// The model that was asked before this one and did not do.
    pub passed_over: Option<PassedOver>,
}

/// Who was asked first and did not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// A provider, or a model of one.
    pub provider: String,
    /// For people.
    pub reason: String,
}

/// Where a plugin tells what it spent, at once and also when what comes after it fails. Clones tell the same place.
///
/// Without one who listens, nothing is counted. All are equal: for whom a plugin runs does not depend on it.
#[derive(Clone, Default)]
pub struct Spending(Option<Arc<dyn Fn(Cost) + Send + Sync>>);

impl Spending {
    /// Is told to this function, which must not block.
    pub fn told_to(listener: impl Fn(Cost) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Counts a call.
    pub fn add(&self, cost: Cost) {
        if let Some(listener) = &self.0 {
            listener(cost);
        }
    }
}

impl fmt::Debug for Spending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spending").field(&self.0.is_some()).finish()
    }
}

impl PartialEq for Spending {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Spending {}
