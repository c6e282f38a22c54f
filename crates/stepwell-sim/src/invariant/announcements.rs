//! The end of a run is announced if and only if someone listens, and once.

use crate::ledger::{Cause, Decided, Ledger};
use std::collections::BTreeSet;
use stepwell_engine::{Change, Effect, ItemKind, RunStatus};
use stepwell_protocol::RunId;
use stepwell_protocol::event::{FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED};

/// Looks at a decision before the ledger takes in what it changes.
pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let heard = |status: RunStatus| {
        ledger.heard(FUNCTION_FINISHED)
            || (status == RunStatus::Failed && ledger.heard(FUNCTION_FAILED))
            || (status == RunStatus::Cancelled && ledger.heard(FUNCTION_CANCELLED))
    };
    let mut expected: BTreeSet<RunId> = BTreeSet::new();
    let mut queued: BTreeSet<RunId> = BTreeSet::new();
    for change in &decided.changes {
        match change {
            Change::RunEnd(end) => {
                let announces = ledger.runs.get(&end.id).is_some_and(|run| run.announces);
                if announces && heard(end.status) {
                    expected.insert(end.id);
                }
            }
            Change::ItemPut(row) if row.kind == ItemKind::Announce && !queued.insert(row.run) => {
                let name = ledger.name_of(row.run);
                return Err(format!("the end of {name} is announced twice"));
            }
            _ => {}
        }
    }
    if expected != queued {
        let names = |runs: &BTreeSet<RunId>| {
            let names: Vec<String> = runs.iter().map(|run| ledger.name_of(*run)).collect();
            format!("[{}]", names.join(", "))
        };
        return Err(format!(
            "someone listens for the ends of {}, and those of {} are announced",
            names(&expected),
            names(&queued)
        ));
    }
    let asked: BTreeSet<RunId> = decided
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Announce(announcement) => Some(announcement.run),
            _ => None,
        })
        .collect();
    let pending: BTreeSet<RunId> = match decided.cause {
        Cause::Resumed => ledger.announcements.values().copied().collect(),
        _ => BTreeSet::new(),
    };
    let due: BTreeSet<RunId> = queued.union(&pending).copied().collect();
    if asked != due {
        return Err(format!(
            "{} announcements are queued or left over, {} are asked for",
            due.len(),
            asked.len()
        ));
    }
    if let Cause::Announced { announcement, .. } = &decided.cause {
        let done = decided
            .changes
            .iter()
            .any(|change| matches!(change, Change::ItemDelete(item) if *item == announcement.item));
        if done != ledger.announcements.contains_key(&announcement.item) {
            let name = ledger.name_of(announcement.run);
            return Err(format!(
                "the announced end of {name} is taken off the queue: {done}"
            ));
        }
    }
    Ok(())
}
