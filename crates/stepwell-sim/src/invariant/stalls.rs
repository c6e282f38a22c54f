//! Every unfinished run waits for something: a queue item, and, all together, for a call or a time.

use crate::ledger::Ledger;
use stepwell_engine::Engine;

/// An engine that is `stopping` makes no calls, whatever waits for them; nor does one call functions that are paused.
pub(super) fn check(engine: &Engine, ledger: &Ledger<'_>, stopping: bool) -> Result<(), String> {
    if let Some(run) = engine.stuck_runs().next() {
        return Err(format!("{} has no queue item", ledger.name_of(run)));
    }
    let waits = engine.calls_in_flight() > 0 || engine.next_due().is_some() || engine.waits() > 0;
    if engine.runs_unfinished() > 0 && !waits && !stopping {
        return Err(format!(
            "{} runs are unfinished, no call is in flight and no timer runs",
            engine.runs_unfinished()
        ));
    }
    Ok(())
}
