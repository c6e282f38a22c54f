//! A run ends once, and nothing happens to it afterwards.

use crate::ledger::{Decided, Ledger};
use std::collections::BTreeSet;
use stepwell_engine::{Change, Effect, ItemKind};
use stepwell_protocol::RunId;

/// Looks at a decision before the ledger takes in what it changes.
pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    let mut ended: BTreeSet<RunId> = BTreeSet::new();
    let over = |run: RunId, ended: &BTreeSet<RunId>| {
        ended.contains(&run) || ledger.runs.get(&run).is_some_and(|run| run.ended.is_some())
    };
    for change in &decided.changes {
        let (run, what) = match change {
            Change::RunEnd(end) => {
                if over(end.id, &ended) {
                    return Err(format!("{} ended twice", ledger.name_of(end.id)));
                }
                if !end.status.has_ended() {
                    let name = ledger.name_of(end.id);
                    return Err(format!("{name} ended as {}", end.status));
                }
                ended.insert(end.id);
                continue;
            }
            Change::RunProgress(progress) => (progress.id, "progressed"),
            Change::StepPut(row) => (row.run, "recorded a step"),
            Change::DeferPut(row) => (row.run, "deferred a run"),
            Change::AttemptPut(row) => (row.run, "recorded an attempt"),
            Change::ItemPut(row) if row.kind != ItemKind::Announce => (row.run, "got a queue item"),
            _ => continue,
        };
        if over(run, &ended) {
            return Err(format!("{} {what} after its end", ledger.name_of(run)));
        }
    }
    for effect in &decided.effects {
        if let Effect::Call(call) = effect
            && over(call.run, &ended)
        {
            return Err(format!(
                "{} is called after its end",
                ledger.name_of(call.run)
            ));
        }
    }
    Ok(())
}
