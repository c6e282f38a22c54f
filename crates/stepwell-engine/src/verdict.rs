//! Verdicts: what was decided about an event and a function that listens to its name.

use serde::{Deserialize, Serialize};
use stepwell_protocol::RunId;

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "verdict",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Verdict {
    /// It started a run.
    Started {
        /// The run.
        run: RunId,
    },
    /// No trigger's condition was met.
    Filtered {
        /// The part of the condition that decided.
        part: String,
        /// What this part read: paths and their values in JSON.
        values: Vec<(String, String)>,
    },
    /// It waits in a debounce window for others to stop coming.
    Debounced {
        /// When the window closes if no other event comes, in milliseconds since the Unix epoch.
        closes_ms: u64,
    },
    /// A later event in its debounce window took its place.
    Superseded {
        /// Whether the event that has the place is the later one by its own time rather than by its arrival.
        by_its_time: bool,
    },
    /// It waits in a batch with others.
    Batched {
        /// When the batch closes if it does not fill, in milliseconds since the Unix epoch.
        closes_ms: u64,
    },
    /// The batch's key fails for it.
    BatchKeyInvalid,
    /// It was one too many for the rate limit.
    RateLimited {
        /// The value of the limit's key; empty without one.
        key: String,
    },
    /// The function has had an event of this id in the last 24 hours.
    Duplicate {
        /// The run of that event; nothing when it shared one with others.
        run: Option<RunId>,
    },
    /// It made a run that was skipped.
    Skipped {
        /// The run.
        run: RunId,
        /// Why.
        cause: crate::Cause,
    },
}
