//! Pruning forgets ended runs and old events, and nothing that an engine is loaded from or still needs.

use crate::ledger::Ledger;
use std::collections::BTreeSet;
use stepwell_engine::{Snapshot, Timestamp};
use stepwell_protocol::EventId;
use stepwell_store::Reader;

/// Looks at a store from which all went that was over before a moment; `kept` is what it held of the living before.
/// Notes what is gone.
pub(super) fn check(
    ledger: &mut Ledger<'_>,
    reader: &dyn Reader,
    (kept, stored): (&Snapshot, &Snapshot),
    before: Timestamp,
) -> Result<(), String> {
    // A duplicate's key is kept longer than its run.
    let without_runs = |snapshot: &Snapshot| {
        let mut snapshot = snapshot.clone();
        for (_, run, _) in &mut snapshot.recent_keys {
            *run = None;
        }
        snapshot.recent_keys.sort_unstable();
        snapshot
    };
    if without_runs(kept) != without_runs(stored) {
        return Err("pruning changed what an engine is loaded from".to_owned());
    }
    let needed = needed(stored);
    for event in &needed {
        let found = reader.event(*event).map_err(|error| error.to_string())?;
        if found.is_none() {
            return Err(format!("event {event} is still needed and was pruned"));
        }
    }
    let busy: BTreeSet<_> = stored.items.iter().map(|item| item.run).collect();
    let mut gone = Vec::new();
    for (id, run) in &ledger.runs {
        let found = reader.run(*id).map_err(|error| error.to_string())?;
        let is_over = run.ended_at.is_some_and(|at| at < before) && !busy.contains(id);
        match found {
            None if run.pruned => {}
            None if is_over => gone.push(*id),
            None => return Err(format!("{} was pruned", ledger.name_of(*id))),
            // Walks go by ids, which begin with the time at which runs were made.
            Some(_) if is_over && Timestamp::from_ms(id.timestamp_ms()) < before => {
                return Err(format!("{} was not pruned", ledger.name_of(*id)));
            }
            Some(_) => {}
        }
    }
    for id in gone {
        if let Some(run) = ledger.runs.get_mut(&id) {
            run.pruned = true;
        }
    }
    for sent in ledger.events.values_mut() {
        let found = reader.event(sent.id).map_err(|error| error.to_string())?;
        if found.is_none() {
            if sent.received.is_some_and(|at| at >= before) {
                return Err(format!("event {} was pruned before its time", sent.id));
            }
            sent.received = None;
        }
    }
    Ok(())
}

/// The events of unfinished runs, and those that are gathered or on their way.
fn needed(stored: &Snapshot) -> BTreeSet<EventId> {
    let runs = stored.runs.iter().flat_map(|(run, _, _)| run.events.iter());
    let batches = stored.batches.iter().flat_map(|(_, events)| events);
    let windows = stored.debounces.iter().map(|window| window.event);
    let deliveries = stored.deliveries.iter().map(|delivery| delivery.event);
    runs.copied()
        .chain(batches.map(|event| event.event))
        .chain(windows)
        .chain(deliveries)
        .collect()
}
