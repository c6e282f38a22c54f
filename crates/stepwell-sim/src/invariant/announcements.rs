//! The end of a run is announced if and only if someone listens, and once.

use crate::ledger::{Cause, Decided, Ledger};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stepwell_engine::{Change, DeferStatus, Effect, ItemId, ItemKind, ItemRow, RunStatus, WaitFor};
use stepwell_protocol::RunId;
use stepwell_protocol::event::{FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED};

/// Looks at a decision before the ledger takes in what it changes.
pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let mut listening = Listening::of(ledger, decided);
    let mut expected: BTreeSet<RunId> = BTreeSet::new();
    let mut queued: BTreeSet<RunId> = BTreeSet::new();
    for change in &decided.changes {
        listening.apply(change);
        match change {
            Change::RunEnd(end) => {
                let announces = ledger.runs.get(&end.id).is_some_and(|run| run.announces);
                let announces = announces && end.status != RunStatus::Skipped;
                let run = ledger.runs.get(&end.id);
                let mut defers = run.into_iter().flat_map(|run| run.defers.values());
                let defers = defers.any(|status| *status == DeferStatus::AfterRun);
                if (announces && listening.hears(end.status)) || defers {
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

/// Who listens for the ends of runs, as a decision goes on.
struct Listening<'l, 's> {
    ledger: &'l Ledger<'s>,
    waits: BTreeMap<ItemId, Arc<str>>,
}

impl<'l, 's> Listening<'l, 's> {
    fn of(ledger: &'l Ledger<'s>, decided: &Decided) -> Self {
        let ends = |change: &Change| matches!(change, Change::RunEnd(_));
        let waits = if decided.changes.iter().any(ends) {
            let items = ledger.items.values();
            let items = items.filter_map(|item| Some((item.id, awaited(item)?)));
            let cancels = ledger.cancels.values();
            let cancels = cancels.map(|row| (row.id, Arc::clone(&row.event)));
            items.chain(cancels).collect()
        } else {
            BTreeMap::new()
        };
        Self { ledger, waits }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::ItemPut(row) => {
                match awaited(row) {
                    Some(name) => self.waits.insert(row.id, name),
                    None => self.waits.remove(&row.id),
                };
            }
            Change::CancelPut(row) => {
                self.waits.insert(row.id, Arc::clone(&row.event));
            }
            Change::ItemDelete(id) | Change::CancelDelete(id) => {
                self.waits.remove(id);
            }
            _ => {}
        }
    }

    fn hears(&self, status: RunStatus) -> bool {
        let heard =
            |name: &str| self.ledger.heard(name) || self.waits.values().any(|wait| **wait == *name);
        heard(FUNCTION_FINISHED)
            || (status == RunStatus::Failed && heard(FUNCTION_FAILED))
            || (status == RunStatus::Cancelled && heard(FUNCTION_CANCELLED))
    }
}

/// The events that an item waits for.
fn awaited(item: &ItemRow) -> Option<Arc<str>> {
    match item.wait.as_deref() {
        Some(WaitFor::Event { name, .. }) => Some(Arc::clone(name)),
        _ => None,
    }
}
