//! What there is to say of a step besides its result.

use crate::{ItemRow, Timestamp, waits::WaitFor};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stepwell_protocol::{EventId, RunId};

/// What there is to say of a step besides its result. Moments are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum StepDetail {
    /// A step that ran and is not a plain one.
    Run {
        /// Its kind, e.g. `step.sendEvent`.
        kind: String,
    },
    /// A sleep.
    Sleep {
        /// When it was to end.
        until_ms: u64,
    },
    /// A wait for an event.
    WaitForEvent {
        /// The event's name.
        event: Arc<str>,
        /// Which of the events.
        #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
        condition: Option<Arc<str>>,
        /// When it gives up.
        until_ms: u64,
        /// The event that came; nothing when it gave up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<EventId>,
    },
    /// A wait for a signal.
    WaitForSignal {
        /// The signal's name.
        signal: Arc<str>,
        /// When it gives up.
        until_ms: u64,
        /// Whether the signal came.
        found: bool,
    },
    /// An invoked function.
    Invoke {
        /// What the step asked for.
        function: Arc<str>,
        /// The event of the invocation.
        event: EventId,
        /// When it gives up.
        until_ms: u64,
        /// The run that answered; nothing when none did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<RunId>,
        /// Whether it gave up.
        timed_out: bool,
    },
}

impl StepDetail {
    pub(crate) fn wait_for_event(
        name: &Arc<str>,
        condition: Option<&Arc<str>>,
        due: Timestamp,
        found: Option<EventId>,
    ) -> Self {
        Self::WaitForEvent {
            event: Arc::clone(name),
            condition: condition.map(Arc::clone),
            until_ms: due.ms(),
            found,
        }
    }

    /// What there is to say of a step that ran: nothing, unless the SDK says of what kind it is.
    pub(crate) fn of_run(kind: Option<String>) -> Option<Self> {
        kind.map(|kind| Self::Run { kind })
    }

    /// What there is to say of a step that has waited for nothing until its time came, or still waits.
    #[must_use]
    pub fn of_item(row: &ItemRow) -> Option<Self> {
        let until_ms = row.due.ms();
        match (row.wait.as_deref(), &row.kind) {
            (None, crate::ItemKind::Sleep(_)) => Some(Self::Sleep { until_ms }),
            (
                Some(WaitFor::Event {
                    name, condition, ..
                }),
                _,
            ) => Some(Self::wait_for_event(
                name,
                condition.as_ref(),
                row.due,
                None,
            )),
            (Some(WaitFor::Signal { name, .. }), _) => Some(Self::WaitForSignal {
                signal: Arc::clone(name),
                until_ms,
                found: false,
            }),
            (Some(WaitFor::Invoke { function, event }), _) => Some(Self::Invoke {
                function: Arc::clone(function),
                event: *event,
                until_ms,
                run: None,
                timed_out: true,
            }),
            (Some(WaitFor::Response { .. }) | None, _) => None,
        }
    }

    /// The text that stores it.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("a detail has only string keys")
    }
}
