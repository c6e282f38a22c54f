//! Nothing of an ended run stays in the engine.

use crate::ledger::Ledger;
use stepwell_engine::Engine;

/// Looks at an engine that has nothing left to do. What it holds is read off its debug output, which shows all of it.
pub(super) fn check(ledger: &Ledger<'_>, engine: &Engine) -> Result<(), String> {
    let held = format!("{engine:?}");
    let run = ledger
        .runs
        .keys()
        .find(|run| held.contains(&run.to_string()));
    if let Some(run) = run {
        return Err(format!(
            "{} has ended and is still held",
            ledger.name_of(*run)
        ));
    }
    if held.contains("LaneKey") {
        return Err("no work is left, and a lane is still held".to_owned());
    }
    // The number of the last one is kept.
    let items = held.matches('#').count();
    if items > 1 {
        return Err(format!("no work is left, and {items} items are still held"));
    }
    Ok(())
}
