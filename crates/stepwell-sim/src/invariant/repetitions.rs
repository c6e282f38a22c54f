//! A repetition takes over what was recorded before the step that it begins with, and begins with it.

use crate::ledger::{Cause, Decided, Ledger, Repeated};
use stepwell_engine::{Answer, Change, ItemKind};

/// Looks at a decision after the ledger has taken in what it changes.
pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let Cause::Repeated(Repeated {
        original,
        function,
        kept,
        target,
    }) = &decided.cause
    else {
        return Ok(());
    };
    let made = decided.changes.iter().find_map(|change| match change {
        Change::RunPut(row) => Some(row),
        _ => None,
    });
    let name = ledger.name_of(*original);
    let gone = ledger
        .functions
        .get(function)
        .is_none_or(|known| known.archived);
    let expected = made.map(|row| row.id).filter(|_| !gone);
    if decided.answer != Some(Answer::Repeated(expected)) || expected.is_some() == gone {
        return Err(format!(
            "a repetition of {name} was answered {:?}",
            decided.answer
        ));
    }
    let Some(row) = made else {
        return Ok(());
    };
    let of = row.origin.as_ref().and_then(|origin| origin.original);
    if of != Some(*original) {
        return Err(format!(
            "a repetition of {name} says that it is one of {of:?}"
        ));
    }
    let run = &ledger.runs[&row.id];
    if run.ended.is_some() {
        return Ok(());
    }
    let steps: Vec<_> = run
        .steps
        .iter()
        .map(|(step, recorded)| (step, &recorded.value))
        .collect();
    let kept: Vec<_> = kept.iter().map(|(step, value)| (step, value)).collect();
    if steps != kept {
        return Err(format!(
            "a repetition of {name} begins with {steps:?}, not with {kept:?}"
        ));
    }
    let mut items = ledger.items.values().filter(|item| item.run == row.id);
    let begins = match (items.next(), target) {
        (Some(item), Some(target)) => item.kind == ItemKind::Step(target.clone()),
        (Some(item), None) => item.kind == ItemKind::Start,
        (None, _) => false,
    };
    if !begins || items.next().is_some() {
        return Err(format!(
            "a repetition of {name} does not begin with {target:?}"
        ));
    }
    Ok(())
}
