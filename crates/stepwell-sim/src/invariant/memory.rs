//! Nothing of an ended run stays in the engine.

use crate::ledger::Ledger;
use stepwell_engine::Engine;

/// Looks at an engine that has nothing left to do and has been audited. What it holds is read off its debug output, which
/// shows all of it; but for the window of duplicates, which remembers runs for a day.
pub(super) fn check(ledger: &Ledger<'_>, engine: &Engine) -> Result<(), String> {
    let held = format!("{engine:?}");
    let window = held
        .find(", window: Window {")
        .zip(held.find(", throttles:"));
    let Some((from, to)) = window else {
        return Err("an engine no longer shows its window of duplicates".to_owned());
    };
    let held = format!("{}{}", &held[..from], &held[to..]);
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
