//! Whoever is answered can rely on it: what was accepted is in the store, what was refused did not happen.

use crate::ledger::{Cause, Decided, Ledger};
use stepwell_engine::{Answer, Change, EndpointStarted, RunStatus};
use stepwell_store::Reader;

/// Looks at a decision before the ledger takes in what it changes.
pub(super) fn check_before(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    match (&decided.cause, &decided.answer) {
        (Cause::Cancel(id), Some(Answer::Cancelled(result))) => {
            let live = ledger.runs.get(id).is_some_and(|run| run.ended.is_none());
            let name = ledger.name_of(*id);
            let ended = decided.changes.iter().any(|change| {
                matches!(change, Change::RunEnd(end) if end.id == *id && end.status == RunStatus::Cancelled)
            });
            if result.is_ok() != live || ended != live {
                return Err(format!(
                    "{name} was unfinished: {live}, is cancelled: {ended}, and the answer is {result:?}"
                ));
            }
            Ok(())
        }
        (
            Cause::Checkpointed {
                run,
                item,
                generation,
                ..
            },
            Some(Answer::Checkpointed(Ok(()))),
        ) => {
            let mut calls = ledger.in_flight.iter();
            let current = calls.any(|((other, dispatch), call)| {
                let same = generation.is_none_or(|generation| generation == *dispatch);
                other == item && same && call.run == *run
            });
            let live = ledger.runs.get(run).is_some_and(|run| run.ended.is_none());
            if !current || !live {
                return Err(format!(
                    "a checkpoint of {} was accepted; its call is in flight: {current}, its run unfinished: {live}",
                    ledger.name_of(*run)
                ));
            }
            Ok(())
        }
        (Cause::Cancel(_), other) => Err(format!("a wish to cancel was answered {other:?}")),
        _ => Ok(()),
    }
}

/// Looks at a decision after the ledger has taken in what it changes: a step that a checkpoint records gives what follows
/// it all its attempts.
pub(super) fn check_after(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let Cause::Checkpointed { run, item, .. } = &decided.cause else {
        return Ok(());
    };
    let mut changes = decided.changes.iter();
    let recorded = changes.any(|change| matches!(change, Change::StepPut(_)));
    let attempt = ledger.items.get(item).map_or(0, |item| item.attempt);
    if recorded && attempt > 0 {
        let name = ledger.name_of(*run);
        return Err(format!(
            "after a checkpoint, {name} stands at attempt {attempt}"
        ));
    }
    Ok(())
}

/// Looks at an answer when it leaves.
pub(super) fn check(
    ledger: &Ledger<'_>,
    reader: &dyn Reader,
    decided: &Decided,
) -> Result<(), String> {
    match (&decided.cause, &decided.answer) {
        (Cause::Events(events), Some(Answer::EventsAccepted)) => {
            for event in events {
                let stored = reader.event(event.id).map_err(|error| error.to_string())?;
                if stored.is_none() {
                    return Err(format!("event {} was accepted and is not stored", event.id));
                }
            }
            Ok(())
        }
        (
            Cause::EdgeStarted { run, steps, .. },
            Some(Answer::EndpointStarted(Ok(EndpointStarted { steps: Ok(()), .. }))),
        )
        | (Cause::EdgeReported { run, steps }, Some(Answer::EndpointReported(Ok(())))) => {
            let recorded = ledger.runs.get(run).map(|run| &run.steps);
            let all = |step| recorded.is_some_and(|recorded| recorded.contains_key(step));
            match steps.iter().find(|step| !all(*step)) {
                Some(step) => Err(format!(
                    "a report of {} was accepted, and its step {step} is not recorded",
                    ledger.name_of(*run)
                )),
                None => Ok(()),
            }
        }
        (Cause::Events(_), other) => Err(format!("events were answered {other:?}")),
        (Cause::Checkpointed { run, steps, .. }, Some(Answer::Checkpointed(Ok(())))) => {
            let recorded = ledger.runs.get(run).map(|run| &run.steps);
            let missing = steps
                .iter()
                .find(|step| recorded.is_none_or(|recorded| !recorded.contains_key(*step)));
            match missing {
                Some(step) => Err(format!(
                    "a checkpoint of {} was accepted, and its step {step} is not recorded",
                    ledger.name_of(*run)
                )),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}
