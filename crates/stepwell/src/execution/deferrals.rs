//! Runs that are scheduled when the one at hand ends: they ride along with what the call is answered with.

use serde_json::{Map, Value};
use std::collections::HashMap;
use stepwell_protocol::op::{Op, Opcode};
use stepwell_protocol::{StepId, limits};

/// What a call has deferred, and what was deferred before it.
#[derive(Debug)]
pub(super) struct Deferrals {
    /// What the server knows of, and whether it can be taken back.
    known: HashMap<StepId, bool>,
    /// What was asked for in this call.
    asked: HashMap<StepId, Asked>,
    riders: Vec<Op>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Deferred,
    Aborted,
}

impl Deferrals {
    /// `known` as a call says it: by step, `{"abortable": bool}`.
    pub(super) fn new(known: Map<String, Value>) -> Self {
        let known = known
            .into_iter()
            .map(|(id, state)| (StepId::parse(&id), state["abortable"] == Value::Bool(true)));
        Self {
            known: known.collect(),
            asked: HashMap::new(),
            riders: Vec::new(),
        }
    }

    /// Adds one, or says why not.
    pub(super) fn add(&mut self, op: Op) -> Result<(), String> {
        if self.asked.insert(op.id.clone(), Asked::Deferred).is_some() {
            return Err("its id was used before in this run".to_owned());
        }
        if self.known.contains_key(&op.id) {
            return Ok(());
        }
        let added = self.riders.iter().filter(|op| op.op == Opcode::DeferAdd);
        if self.known.len() + added.count() >= limits::DEFERS_PER_RUN_MAX {
            return Err(format!(
                "a run defers at most {}",
                limits::DEFERS_PER_RUN_MAX
            ));
        }
        self.riders.push(op);
        Ok(())
    }

    /// Takes one back, if it was not before.
    pub(super) fn abort(&mut self, target: &StepId) {
        let asked = self.asked.insert(target.clone(), Asked::Aborted);
        if asked == Some(Asked::Aborted) || self.known.get(target) == Some(&false) {
            return;
        }
        // The server has not heard of it, and need not: it may take both in any order.
        let unheard = |op: &Op| op.op == Opcode::DeferAdd && op.id == *target;
        if let Some(at) = self.riders.iter().position(unheard) {
            self.riders.remove(at);
            return;
        }
        let id = StepId::of(&format!("{target}:abort"), 0);
        let mut op = Op::new(Opcode::DeferAbort, id, "defer.abort");
        let target = Value::from(target.to_string());
        op.opts = Some(Map::from_iter([("target_hashed_id".to_owned(), target)]));
        self.riders.push(op);
    }

    pub(super) fn take(&mut self) -> Vec<Op> {
        std::mem::take(&mut self.riders)
    }
}
