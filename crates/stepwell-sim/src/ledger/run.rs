//! What is known of a run.

use crate::plan::Variant;
use crate::plan::cutoff::CancelOn;
use crate::plan::flow::{Data, Flow, Key, Scope};
use indexmap::IndexMap;
use stepwell_engine::{DeferStatus, RunRow, RunStatus, Timestamp};
use stepwell_protocol::{EventId, FunctionId, StepId};

/// A concurrency limit, whatever its number is.
pub(crate) type LimitId = (Scope, Key);

/// Where calls are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gate {
    Function(FunctionId, Key, String),
    Environment(String),
    Account(String),
}

/// What is known of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) number: usize,
    pub(crate) function: FunctionId,
    /// The events that started it; what it carries is the first one's.
    pub(crate) events: Vec<EventId>,
    pub(crate) data: Data,
    /// Where it stands in line, in milliseconds; lower goes first.
    pub(crate) score: u64,
    /// Whether its event asked for a later start.
    pub(crate) delayed: bool,
    pub(crate) announces: bool,
    pub(crate) queued_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    /// Whether a call of it was asked for.
    pub(crate) started: bool,
    /// The events that cancel it, and until when.
    pub(crate) listeners: Vec<(CancelOn, Timestamp)>,
    pub(crate) gates: Vec<(LimitId, Gate)>,
    /// The value of the throttle's key, if there was a throttle when it was scheduled.
    pub(crate) bucket: Option<String>,
    /// The value of which it is the only one.
    pub(crate) singleton: Option<String>,
    /// Whether its events were gathered, which its start may take its time for.
    pub(crate) batched: bool,
    /// Whether it repeats another. Whoever invoked that one is not told of it.
    pub(crate) repeats: bool,
    /// Whether it repeats another from a step on, which its function may not come by any more.
    pub(crate) resumes: bool,
    pub(crate) steps: IndexMap<StepId, Recorded>,
    /// What it has deferred.
    pub(crate) defers: IndexMap<StepId, DeferStatus>,
    pub(crate) ended: Option<RunStatus>,
    pub(crate) ended_at: Option<Timestamp>,
    /// Whether the store has forgotten it.
    pub(crate) pruned: bool,
    /// Attempts that were used up by calls that came to nothing.
    pub(crate) strain: u32,
}

/// A recorded step.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// The number of the decision that recorded it.
    pub(crate) decision: u64,
    pub(crate) value: String,
}

impl Run {
    /// Whether whoever sent this event to invoke a function waits for its end.
    pub(crate) fn answers(&self, event: EventId) -> bool {
        !self.repeats && self.events.contains(&event)
    }

    /// A run of this variant of its function, for an event with this data.
    pub(super) fn new(number: usize, row: &RunRow, variant: Option<&Variant>, data: Data) -> Self {
        let flow = variant.map(|variant| &variant.flow);
        let head_start_s = flow
            .and_then(|flow| flow.priority)
            .map_or(0, |priority| priority.seconds(data));
        let listens = |variant: &Variant| {
            let events = variant.cutoff.events.iter();
            let until = |cancel: &CancelOn| row.queued_at.after_ms(cancel.lasts_ms());
            events.map(|cancel| (*cancel, until(cancel))).collect()
        };
        Self {
            number,
            function: row.function,
            events: row.events.to_vec(),
            data,
            score: row
                .queued_at
                .ms()
                .saturating_add_signed(-1_000 * head_start_s),
            delayed: false,
            announces: row.announces,
            queued_at: row.queued_at,
            started_at: row.progress.started_at,
            started: false,
            listeners: variant.map_or_else(Vec::new, listens),
            gates: flow.map_or_else(Vec::new, |flow| gates(row.function, flow, data)),
            bucket: flow
                .and_then(|flow| flow.throttle)
                .map(|throttle| throttle.key.text(data)),
            singleton: flow
                .and_then(|flow| flow.singleton)
                .and_then(|singleton| singleton.value(data)),
            batched: row
                .origin
                .as_ref()
                .is_some_and(|origin| origin.batch.is_some()),
            repeats: row
                .origin
                .as_ref()
                .is_some_and(|origin| origin.original.is_some()),
            resumes: false,
            steps: IndexMap::new(),
            defers: IndexMap::new(),
            ended: None,
            ended_at: None,
            pruned: false,
            strain: 0,
        }
    }
}

/// Where a run of an event counts, by the limits that its function has when it is scheduled.
fn gates(function: FunctionId, flow: &Flow, data: Data) -> Vec<(LimitId, Gate)> {
    let gate = |scope, key: Key| match scope {
        Scope::Function => Gate::Function(function, key, key.text(data)),
        Scope::Environment => Gate::Environment(key.text(data)),
        Scope::Account => Gate::Account(key.text(data)),
    };
    flow.concurrency
        .iter()
        .map(|limit| ((limit.scope, limit.key), gate(limit.scope, limit.key)))
        .collect()
}
