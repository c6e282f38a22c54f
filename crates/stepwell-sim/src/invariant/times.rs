//! Nothing happens before its time: sleeps last as long as they were asked to, retries wait, late starts are late.
//! What was due once stays due when the clock goes back.

use crate::ledger::{Decided, Ledger};
use crate::plan::Body;
use stepwell_engine::{Change, Effect, ItemKind};

/// Looks at a decision before the ledger takes in what it changes.
pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    for change in &decided.changes {
        match change {
            Change::StepPut(row) if row.op == "Sleep" => {
                // A liar may ask for one sleep twice: it ends with the first.
                let items = ledger.items.values().filter(|item| {
                    let same = item.run == row.run && item.kind.step() == Some(&row.step);
                    same && is_sleep(&item.kind)
                });
                let due = items.map(|item| item.due).min();
                if let Some(due) = due.filter(|due| *due > decided.latest) {
                    let name = ledger.name_of(row.run);
                    let early_ms = due.ms_since(decided.latest);
                    return Err(format!("a sleep of {name} ends {early_ms} ms early"));
                }
            }
            Change::ItemPut(row) if is_sleep(&row.kind) => {
                let asked_ms = ledger
                    .runs
                    .get(&row.run)
                    .and_then(|run| ledger.function(run.function))
                    .and_then(|function| match &function.body {
                        Body::Program(program) => program.sleep_ms(row.kind.step()?),
                        Body::Liar => None,
                    });
                let gets_ms = row.due.ms_since(decided.now);
                if asked_ms.is_some_and(|asked_ms| asked_ms != gets_ms) {
                    let name = ledger.name_of(row.run);
                    return Err(format!(
                        "a sleep of {name} is to last {gets_ms} ms, not {asked_ms:?}"
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Looks at a decision after the ledger has taken in what it changes.
pub(super) fn check_calls(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    for effect in &decided.effects {
        let Effect::Call(call) = effect else {
            continue;
        };
        let name = ledger.name_of(call.run);
        let Some(item) = ledger.items.get(&call.item) else {
            return Err(format!("{name} is called without a queue item"));
        };
        if item.due > decided.latest {
            let early_ms = item.due.ms_since(decided.latest);
            return Err(format!("{name} is called {early_ms} ms early"));
        }
    }
    Ok(())
}

fn is_sleep(kind: &ItemKind) -> bool {
    matches!(kind, ItemKind::Sleep(_))
}
