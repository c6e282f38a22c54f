//! Waits: who waits for which event or signal.
//!
//! A wait of a step is a queue item; a cancellation's listener belongs to its run. Both are found by the name of an
//! event and, below it, by an [`index::Index`] over the equality comparisons of their conditions.

mod compiled;
mod index;

use crate::{ItemId, Timestamp};
use compiled::Compiled;
use hashbrown::HashMap;
use index::Index;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use stepwell_expr::{Bindings, Expr};
use stepwell_protocol::{EventId, RunId};

/// What a waiting step waits for besides its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum WaitFor {
    /// An event of this name.
    Event {
        /// The name.
        name: Arc<str>,
        /// Which of the events: an expression over `async`, with the values of the run's own event put in.
        #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
        condition: Option<Arc<str>>,
        /// Events that came in since this moment count, too; nothing once they have been looked through.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since_ms: Option<u64>,
    },
    /// A signal of this name.
    Signal {
        /// The name.
        name: Arc<str>,
        /// Whether the signal still goes to this wait, rather than to one that has taken its place.
        holds: bool,
    },
    /// The end of a function that the step invoked.
    Invoke {
        /// What the step asked for: the function's public id or its internal one.
        function: Arc<str>,
        /// The event of the invocation.
        event: EventId,
    },
    /// The answer to an HTTP request.
    Response {
        /// Whether the request goes to an AI provider.
        ai: bool,
    },
}

/// A listener that cancels its run when a matching event comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRow {
    /// The listener; taken from the ids of items, so that its order with waits is known.
    pub id: ItemId,
    /// The run to cancel.
    pub run: RunId,
    /// The event's name.
    pub event: Arc<str>,
    /// Which of the events, as in [`WaitFor::Event`].
    pub condition: Option<Arc<str>>,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Everything that waits for an event or a signal.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    index: Index,
    compiled: Compiled,
    pub(crate) signals: HashMap<Arc<str>, ItemId>,
    pub(crate) cancels: BTreeMap<ItemId, CancelRow>,
}

impl Waits {
    /// Adds a wait for events. Its condition is one that [`Expr::compile_interpolated`] takes.
    pub(crate) fn add(&mut self, id: ItemId, name: &Arc<str>, condition: Option<&Arc<str>>) {
        let equalities = match condition {
            None => Vec::new(),
            Some(source) => self
                .compiled
                .get(source)
                .map(|expr| expr.equalities())
                .unwrap_or_default(),
        };
        self.index.insert(id, name, &equalities);
    }

    /// Removes what [`Waits::add`] added.
    pub(crate) fn remove(&mut self, id: ItemId, name: &str) {
        self.index.remove(id, name);
    }

    /// Whether anything waits for events of this name.
    pub(crate) fn any(&self, name: &str) -> bool {
        self.index.any(name)
    }

    /// The waits made before `bound` that an event may match, oldest first. Their conditions are still to be asked.
    pub(crate) fn candidates(&self, name: &str, event: &Value, bound: ItemId) -> Vec<ItemId> {
        self.index.candidates(name, event, bound)
    }

    /// Whether an event meets a wait's condition. One that fails counts as not met.
    pub(crate) fn meets(
        &mut self,
        condition: Option<&Arc<str>>,
        event: &Value,
        now: Timestamp,
    ) -> bool {
        let Some(source) = condition else {
            return true;
        };
        let Some(expr) = self.compiled.get(source) else {
            return false;
        };
        let now_ms = i64::try_from(now.ms()).unwrap_or(i64::MAX);
        expr.eval_bool(&Bindings::of_incoming(event), now_ms)
            .unwrap_or(false)
    }

    /// How many waits for events there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}

/// Puts the values of a run's own event into a wait's condition: what [`WaitFor::Event`] keeps. Nothing for an empty
/// condition.
///
/// # Errors
/// Why it does not compile, with the column.
pub fn condition_for(condition: &str, event: &Value) -> Result<Option<Arc<str>>, String> {
    if condition.trim().is_empty() {
        return Ok(None);
    }
    let expr = Expr::compile(condition).map_err(|error| error.to_string())?;
    let bound = expr.interpolate(event).map_err(|error| error.to_string())?;
    Ok(Some(Arc::from(bound.source())))
}

/// Whether an event meets a condition that [`condition_for`] made. One that fails counts as not met.
#[must_use]
pub fn condition_holds(condition: Option<&str>, event: &Value, now: Timestamp) -> bool {
    let Some(source) = condition else {
        return true;
    };
    let now_ms = i64::try_from(now.ms()).unwrap_or(i64::MAX);
    Expr::compile_interpolated(source)
        .ok()
        .and_then(|expr| expr.eval_bool(&Bindings::of_incoming(event), now_ms).ok())
        .unwrap_or(false)
}
