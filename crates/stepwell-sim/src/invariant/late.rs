//! An answer to a call that is not in flight, because it is over or its engine is gone, changes nothing.

use crate::ledger::{Cause, Decided, Ledger};

pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let Cause::Returned {
        item,
        generation,
        run,
        ..
    } = decided.cause
    else {
        return Ok(());
    };
    let known = ledger.in_flight.contains_key(&(item, generation));
    let taken = !decided.changes.is_empty() || !decided.effects.is_empty();
    if taken && !known {
        return Err(format!(
            "an answer to dispatch {generation} of item {item}, {}, was taken though that call is not in flight",
            ledger.name_of(run)
        ));
    }
    Ok(())
}
