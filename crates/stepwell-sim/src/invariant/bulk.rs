//! A bulk cancellation ends the runs that it is about, no others, and leaves none behind it.

use crate::ledger::{Decided, Ledger, Run};
use crate::plan::Condition;
use stepwell_engine::{BulkCancelRow, Cause as Reason, Change, RunEnd};
use stepwell_protocol::RunId;
use stepwell_protocol::event::{DEFERRED_SCHEDULE, SCHEDULED_TIMER};

/// Whether a run that is cancelled for a bulk cancellation is one of those that it is about.
pub(super) fn is_meant(ledger: &Ledger<'_>, end: &RunEnd) -> bool {
    let Some(Reason::Bulk { cancellation }) = &end.cause else {
        return false;
    };
    let (bulk, run) = (ledger.bulks.get(cancellation), ledger.runs.get(&end.id));
    bulk.zip(run).is_some_and(|((row, condition), run)| {
        is_about(row, end.id, run) && meets(ledger, *condition, run) != Some(false)
    })
}

/// Looks at a decision after the ledger has taken in what it changes: whatever a bulk cancellation has come by and is about
/// has ended.
pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let touches = |change: &Change| matches!(change, Change::RunPut(_) | Change::BulkCancelPut(_));
    if ledger.bulks.is_empty() || !decided.changes.iter().any(touches) {
        return Ok(());
    }
    for (row, condition) in ledger.bulks.values() {
        let passed = |id: RunId| row.done || row.after.is_some_and(|after| id <= after);
        let left = ledger.runs.iter().find(|(id, run)| {
            run.ended.is_none()
                && passed(**id)
                && is_about(row, **id, run)
                && meets(ledger, *condition, run) == Some(true)
        });
        if let Some((id, _)) = left {
            let name = ledger.name_of(*id);
            return Err(format!(
                "{name} goes on behind the bulk cancellation {row:?}"
            ));
        }
    }
    Ok(())
}

/// Looks at the end: every bulk cancellation has come by all runs.
pub(super) fn check_done(ledger: &Ledger<'_>) -> Result<(), String> {
    let mut rows = ledger.bulks.values().map(|(row, _)| row);
    match rows.find(|row| !row.done) {
        Some(row) => Err(format!(
            "a bulk cancellation never came to its end: {row:?}"
        )),
        None => Ok(()),
    }
}

fn is_about(row: &BulkCancelRow, id: RunId, run: &Run) -> bool {
    run.function == row.function && row.spans(id)
}

/// Whether a run's event meets a condition, if the ledger can tell: it does not know what is in the events that the
/// engine makes.
fn meets(ledger: &Ledger<'_>, condition: Option<Condition>, run: &Run) -> Option<bool> {
    let Some(condition) = condition else {
        return Some(true);
    };
    let event = ledger.events.get(run.events.first()?)?;
    let made = [DEFERRED_SCHEDULE, SCHEDULED_TIMER].contains(&event.name);
    (!made).then(|| condition.met(event.data))
}
