//! When the engine checks itself, it finds nothing, and changes nothing.

use crate::ledger::{Cause, Decided};
use stepwell_engine::Answer;

pub(super) fn check(decided: &Decided) -> Result<(), String> {
    let (Cause::Audit, answer) = (&decided.cause, &decided.answer) else {
        return Ok(());
    };
    let Some(Answer::Audited(found)) = answer else {
        return Err(format!("an audit was answered {answer:?}"));
    };
    if let Some(first) = found.first() {
        return Err(format!("it found {} mistakes: {first}", found.len()));
    }
    if decided.changes.is_empty() && decided.effects.is_empty() {
        return Ok(());
    }
    Err("it found nothing and changed something".to_owned())
}
