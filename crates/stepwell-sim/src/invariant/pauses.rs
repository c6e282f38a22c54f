//! A paused function is not called, and one can only be paused that there is.

use crate::ledger::{Cause, Decided, Ledger};
use stepwell_engine::{Answer, Effect};

/// Looks at a decision before the ledger takes in what caused it.
pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let Cause::Paused { function, paused } = decided.cause else {
        return Ok(());
    };
    // One that is gone may only go on.
    let known = ledger.functions.get(&function);
    let expected = known.is_some_and(|known| !known.archived || (!paused && known.paused));
    if decided.answer == Some(Answer::Paused(expected)) {
        return Ok(());
    }
    Err(format!(
        "a wish to pause {} was answered {:?}, not {expected}",
        ledger.title(function),
        decided.answer
    ))
}

/// Looks at a decision once the ledger has taken in what caused it.
pub(super) fn check_calls(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    for effect in &decided.effects {
        if let Effect::Call(call) = effect
            && ledger.is_paused(call.function)
        {
            let name = ledger.name_of(call.run);
            return Err(format!("{name} is called, whose function is paused"));
        }
    }
    Ok(())
}
