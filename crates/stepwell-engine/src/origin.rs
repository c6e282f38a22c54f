//! Where a run comes from, when that is more than an event.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stepwell_protocol::{RunId, StepId};

/// Where a run comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The steps that invoked it and wait for its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replies_to: Vec<ReplyTo>,
    /// The cron expression whose tick started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<Arc<str>>,
    /// The batch that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u64>,
    /// The run that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<RunId>,
}

/// A step that waits for the end of a run it invoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// The invoking run.
    pub run: RunId,
    /// Its step.
    pub step: StepId,
}

impl Origin {
    /// The origin, unless there is nothing to say.
    pub(crate) fn some(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}
