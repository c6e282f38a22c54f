//! A recorded step is never recorded again, never executed again, and its one result is kept.

use crate::ledger::{Decided, Ledger};
use std::collections::{BTreeMap, HashMap};
use stepwell_engine::{Call, Change, Effect, ItemId};
use stepwell_protocol::{RunId, SharedJson, StepId};
use stepwell_store::Reader;

/// Looks at a decision before the ledger takes in what it changes.
pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let mut new: BTreeMap<RunId, Vec<&StepId>> = BTreeMap::new();
    for change in &decided.changes {
        let Change::StepPut(row) = change else {
            continue;
        };
        let name = ledger.name_of(row.run);
        let known = ledger.runs.get(&row.run);
        let before = new.entry(row.run).or_default();
        if before.contains(&&row.step) || known.is_some_and(|run| run.steps.contains_key(&row.step))
        {
            return Err(format!("step '{}' of {name} was recorded twice", row.name));
        }
        let position = known.map_or(0, |run| run.steps.len()) + before.len();
        if row.position as usize != position {
            return Err(format!(
                "step '{}' of {name} is at place {}, not at {position}",
                row.name, row.position
            ));
        }
        before.push(&row.step);
    }
    Ok(())
}

/// Looks at a decision after the ledger has taken in what it changes: nobody is called for a step that is recorded.
pub(super) fn check_targets(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    for effect in &decided.effects {
        if let Effect::Call(call) = effect
            && let Some(target) = &call.target
            && let Some(run) = ledger.runs.get(&call.run)
            && run.steps.contains_key(target)
            && ledger.is_honest(run.function)
        {
            let name = ledger.name_of(call.run);
            return Err(format!("{name} is called for a step that is recorded"));
        }
    }
    Ok(())
}

/// A call carries what was recorded when it was decided on, to the letter and in order.
pub(super) fn check_call(
    ledger: &Ledger<'_>,
    call: &Call,
    steps: &[(StepId, SharedJson)],
) -> Result<(), String> {
    let name = ledger.name_of(call.run);
    let Some(run) = ledger.runs.get(&call.run) else {
        return Err(format!("{name} is called"));
    };
    let recorded = run.steps.iter().take(call.steps_ended);
    let recorded: Vec<(&StepId, &str)> = recorded
        .map(|(step, recorded)| (step, recorded.value.as_str()))
        .collect();
    let carried: Vec<(&StepId, &str)> = steps
        .iter()
        .map(|(step, value)| (step, value.get()))
        .collect();
    if recorded != carried || carried.len() != call.steps_ended {
        return Err(format!(
            "a call of {name} carries {carried:?}, not the {} recorded {recorded:?}",
            call.steps_ended
        ));
    }
    Ok(())
}

/// The call that executes a step was decided on, as the so manieth decision, before the step was recorded.
pub(super) fn check_execution(
    ledger: &Ledger<'_>,
    call: &Call,
    decision: u64,
    step: &StepId,
) -> Result<(), String> {
    let recorded = ledger
        .runs
        .get(&call.run)
        .and_then(|run| run.steps.get(step));
    match recorded {
        Some(recorded) if recorded.decision <= decision => Err(format!(
            "a step of {} is executed again: it was recorded by decision {} and the call made by decision {decision}",
            ledger.name_of(call.run),
            recorded.decision
        )),
        _ => Ok(()),
    }
}

/// Which calls have executed which steps.
#[derive(Default)]
pub(super) struct Executions(HashMap<(RunId, StepId), Vec<(ItemId, u64)>>);

impl Executions {
    /// Nobody else is at the step: only a crash may have it executed by two calls at the same time.
    pub(super) fn check(
        &mut self,
        ledger: &Ledger<'_>,
        call: &Call,
        step: &StepId,
    ) -> Result<(), String> {
        let calls = self.0.entry((call.run, step.clone())).or_default();
        let this = (call.item, call.generation);
        let is_current = ledger.in_flight.contains_key(&this);
        let other = calls
            .iter()
            .any(|other| *other != this && ledger.in_flight.contains_key(other));
        calls.push(this);
        if is_current && other {
            let name = ledger.name_of(call.run);
            return Err(format!(
                "two calls of {name} execute one step at the same time"
            ));
        }
        Ok(())
    }
}

/// In the end the store holds what was recorded.
pub(super) fn check_kept(ledger: &Ledger<'_>, reader: &dyn Reader) -> Result<(), String> {
    for (id, run) in ledger.runs.iter().filter(|(_, run)| !run.pruned) {
        let name = ledger.name_of(*id);
        let stored = reader.steps(*id).map_err(|error| error.to_string())?;
        let stored: Vec<(&StepId, &str)> = stored
            .iter()
            .map(|step| (&step.step, step.value.get()))
            .collect();
        let recorded: Vec<(&StepId, &str)> = run
            .steps
            .iter()
            .map(|(step, recorded)| (step, recorded.value.as_str()))
            .collect();
        if stored != recorded {
            return Err(format!(
                "the store holds {stored:?} for {name}, where {recorded:?} was recorded"
            ));
        }
    }
    Ok(())
}
