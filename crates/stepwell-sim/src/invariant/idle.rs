//! Nothing waits that could go: what is due is called as far as limits let it, and a timer runs for what is not.

use super::gcra::Verdict;
use super::throttle::Starts;
use super::waits;
use crate::ledger::{Gate, Ledger};
use std::collections::{BTreeMap, BTreeSet};
use stepwell_engine::{ItemId, ItemKind, Snapshot, Timestamp};

/// An engine when it handed a batch over that is committed now.
pub(crate) struct Resting<'w> {
    pub(crate) snapshot: &'w Snapshot,
    pub(crate) now: Timestamp,
    pub(crate) latest: Timestamp,
    pub(crate) next_due: Option<Timestamp>,
    pub(crate) calls_in_flight: usize,
    pub(crate) calls_max: usize,
    /// Whether it makes no calls because the process is to stop.
    pub(crate) stopping: bool,
}

pub(super) fn check(
    ledger: &Ledger<'_>,
    starts: &Starts,
    resting: &Resting<'_>,
) -> Result<(), String> {
    let Resting { snapshot, now, .. } = *resting;
    let late = snapshot.items.iter().find(|item| {
        item.kind != ItemKind::Announce
            && item.due > resting.latest
            && resting.next_due.is_none_or(|next| next > item.due)
    });
    if let Some(item) = late {
        let name = ledger.name_of(item.run);
        return Err(format!(
            "an item of {name} is due at {:?}, and the next timer at {:?}",
            item.due, resting.next_due
        ));
    }
    if resting.stopping || ledger.in_flight.len() >= resting.calls_max {
        return Ok(());
    }
    let called: BTreeSet<ItemId> = ledger.in_flight.keys().map(|(item, _)| *item).collect();
    let mut inside: BTreeMap<&Gate, usize> = BTreeMap::new();
    for call in ledger.in_flight.values() {
        let gates = ledger.runs.get(&call.run).map(|run| &run.gates);
        let gates: BTreeSet<&Gate> = gates.into_iter().flatten().map(|(_, gate)| gate).collect();
        for gate in gates {
            *inside.entry(gate).or_default() += 1;
        }
    }
    for item in &snapshot.items {
        let rests = item.kind == ItemKind::Announce || waits::looks_back(item);
        let paused = ledger
            .runs
            .get(&item.run)
            .is_some_and(|run| ledger.is_paused(run.function));
        if rests || paused || item.due > now || called.contains(&item.id) {
            continue;
        }
        let Some(run) = ledger.runs.get(&item.run) else {
            continue;
        };
        let flow = ledger.flow(run.function);
        let shut = run.gates.iter().any(|(id, gate)| {
            let mut limits = flow.into_iter().flat_map(|flow| &flow.concurrency);
            limits
                .find(|limit| (limit.scope, limit.key) == *id)
                .is_some_and(|limit| inside.get(gate).copied().unwrap_or(0) >= limit.limit)
        });
        let throttled =
            !run.started && starts.ask(ledger, run, now, resting.latest) != Verdict::Admitted;
        if !shut && !throttled {
            let name = ledger.name_of(item.run);
            let in_flight = ledger.in_flight.len();
            return Err(format!(
                "{name} waits since {:?} though it could be called, with {in_flight} calls in flight",
                item.due
            ));
        }
    }
    Ok(())
}
