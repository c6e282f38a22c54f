//! Parallel steps, at request version 2: the function is called again when all of a group have ended, or, in a race,
//! as soon as one has.

use crate::ledger::{Cause, Decided, Ledger};
use crate::plan::Body;
use crate::plan::program::Program;
use stepwell_engine::{Change, Effect, ItemKind};
use stepwell_protocol::RunId;

/// Looks at a decision after the ledger has taken in what it changes, and before what it calls.
pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    check_races(ledger, decided)?;
    for effect in &decided.effects {
        let Effect::Call(call) = effect else {
            continue;
        };
        let grouped = program(ledger, call.run).is_some_and(|program| !program.has_race());
        if !grouped || call.target.is_some() {
            continue;
        }
        let others = ledger
            .items
            .values()
            .filter(|item| item.run == call.run && item.id != call.item);
        let waits = others.count();
        if waits > 0 {
            return Err(format!(
                "{} is asked what comes next while {waits} steps of it are under way",
                ledger.name_of(call.run)
            ));
        }
    }
    Ok(())
}

fn check_races(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    if matches!(
        decided.cause,
        Cause::Checkpointed { .. }
            | Cause::EdgeStarted { .. }
            | Cause::EdgeReported { .. }
            | Cause::Repeated(_)
    ) {
        return Ok(());
    }
    for change in &decided.changes {
        let Change::StepPut(row) = change else {
            continue;
        };
        let races = program(ledger, row.run).is_some_and(|program| program.races(&row.step));
        let live = ledger
            .runs
            .get(&row.run)
            .is_some_and(|run| run.ended.is_none());
        let asked = ledger.items.values().any(|item| {
            let flies = ledger.in_flight.keys().any(|(id, _)| *id == item.id);
            item.run == row.run && matches!(item.kind, ItemKind::Discovery(_)) && !flies
        });
        if races && live && !asked {
            return Err(format!(
                "a step of a race of {} has ended, and the function is not called",
                ledger.name_of(row.run)
            ));
        }
    }
    Ok(())
}

/// The program of a run whose parallel steps are found the second way.
fn program<'s>(ledger: &Ledger<'s>, run: RunId) -> Option<&'s Program> {
    let function = ledger.function(ledger.runs.get(&run)?.function)?;
    match &function.body {
        Body::Program(program) if function.speaks >= 2 => Some(program),
        _ => None,
    }
}
