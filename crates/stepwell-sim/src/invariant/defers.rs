//! What a run defers is announced with its end, once, unless it was called off; and its calls tell of it.

use crate::ledger::{Cause, Decided, Ledger};
use std::collections::BTreeSet;
use stepwell_engine::{Change, DeferStatus, Effect};
use stepwell_protocol::event::DEFERRED_SCHEDULE;

/// Looks at a decision before the ledger takes in what it changes.
pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let Cause::Announced {
        announcement,
        events,
    } = &decided.cause
    else {
        return Ok(());
    };
    let (run, name) = (announcement.run, ledger.name_of(announcement.run));
    if !ledger.announcements.contains_key(&announcement.item) {
        return Ok(());
    }
    let deferred = events
        .iter()
        .filter(|event| event.name == DEFERRED_SCHEDULE);
    let told: BTreeSet<String> = deferred
        .filter_map(|event| event.identity.clone())
        .collect();
    let defers = ledger.runs.get(&run).map(|run| run.defers.iter());
    let kept = defers.into_iter().flatten();
    let kept: BTreeSet<String> = kept
        .filter(|(_, status)| **status == DeferStatus::AfterRun)
        .map(|(step, _)| format!("defer-event:{run}:{step}"))
        .collect();
    if told != kept {
        return Err(format!(
            "{name} deferred {kept:?}, and its end tells of {told:?}"
        ));
    }
    Ok(())
}

/// Looks at a decision after the ledger has taken in what it changes.
pub(super) fn check_after(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    for effect in &decided.effects {
        let Effect::Call(call) = effect else {
            continue;
        };
        let run = ledger.runs.get(&call.run);
        let defers = run.into_iter().flat_map(|run| &run.defers);
        let known: BTreeSet<_> = defers
            .map(|(step, status)| (step.clone(), *status == DeferStatus::AfterRun))
            .collect();
        let told: BTreeSet<_> = call.defers.iter().cloned().collect();
        if known != told {
            let name = ledger.name_of(call.run);
            return Err(format!(
                "{name} has deferred {known:?}, and a call says {told:?}"
            ));
        }
    }
    let Cause::Returned { run, defers, .. } = &decided.cause else {
        return Ok(());
    };
    let taken = !decided.changes.is_empty();
    let Some(facts) = ledger.runs.get(run).filter(|_| taken) else {
        return Ok(());
    };
    let ends = |change: &Change| matches!(change, Change::RunEnd(end) if end.id == *run);
    if facts.ended_at.is_some() && !decided.changes.iter().any(ends) {
        // It had ended before, though the call was still to be given up; the changes are those of what comes next.
        return Ok(());
    }
    for (step, aborts) in defers {
        let is_kept = match aborts {
            // Nothing was there to call off, perhaps.
            Some(target) => facts.defers.get(target) != Some(&DeferStatus::AfterRun),
            None => facts.defers.contains_key(step),
        };
        if !is_kept {
            let name = ledger.name_of(*run);
            return Err(format!("{name} deferred by step {step}, in vain"));
        }
    }
    Ok(())
}
