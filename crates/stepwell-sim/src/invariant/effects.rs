//! Nothing is asked of the world that does not rest on committed rows.

use crate::ledger::Ledger;
use stepwell_engine::{Effect, ItemKind, Snapshot, WaitFor};
use stepwell_store::Reader;

/// Looks at an effect when it is carried out; `stored` is what the store holds at that moment.
pub(super) fn check(
    ledger: &Ledger<'_>,
    reader: &dyn Reader,
    stored: &Snapshot,
    effect: &Effect,
) -> Result<(), String> {
    let item = match effect {
        Effect::Call(call) => call.item,
        Effect::Announce(announcement) => announcement.item,
        // They ask nothing new of the world; whose sweep it is may be gone by now.
        Effect::GiveUp { .. } | Effect::Sweep(_) => return Ok(()),
        Effect::LookBack(look) => look.item,
        Effect::Deliver(delivery) if stored.deliveries.contains(delivery) => return Ok(()),
        other => return Err(format!("no function here asks for {other:?}")),
    };
    let found = stored
        .items
        .binary_search_by_key(&item, |row| row.id)
        .ok()
        .map(|at| &stored.items[at]);
    match effect {
        Effect::Call(call) => {
            let name = ledger.name_of(call.run);
            let run = reader.run(call.run).map_err(|error| error.to_string())?;
            let Some(run) = run else {
                return Err(format!("{name} is called and not stored"));
            };
            if run.status.has_ended() {
                // It ended in the batch that called it.
                return Ok(());
            }
            if run.started_at.is_none() {
                return Err(format!("{name} is called and its start is not stored"));
            }
            let function = reader
                .function(call.function)
                .map_err(|error| error.to_string())?;
            if function.is_none() {
                return Err(format!("{name} is called and its function is not stored"));
            }
            let target = found.map(|row| match &row.kind {
                ItemKind::Step(step) => Some(step),
                _ => None,
            });
            if target != Some(call.target.as_ref()) {
                return Err(format!(
                    "{name} is called for {:?}, and what is stored is {found:?}",
                    call.target
                ));
            }
            // A checkpoint of before may have begun the count anew in the same batch.
            if found.is_some_and(|row| row.attempt != call.attempt && row.attempt > 0) {
                return Err(format!(
                    "attempt {} of {name} is made, and what is stored is {found:?}",
                    call.attempt
                ));
            }
        }
        Effect::Announce(announcement) => {
            let name = ledger.name_of(announcement.run);
            if found.is_none_or(|row| row.kind != ItemKind::Announce) {
                return Err(format!(
                    "the end of {name} is announced, with {found:?} stored"
                ));
            }
            let run = reader
                .run(announcement.run)
                .map_err(|error| error.to_string())?;
            if run.is_none_or(|run| run.status != announcement.status) {
                return Err(format!("the end of {name} is announced and not stored"));
            }
        }
        Effect::LookBack(look) => {
            let since_ms = found.and_then(|row| match row.wait.as_deref() {
                Some(WaitFor::Event { since_ms, .. }) => *since_ms,
                _ => None,
            });
            // The wait may have ended in the batch that asked.
            if found.is_some_and(|row| matches!(row.kind, ItemKind::WaitForEvent(_)))
                && since_ms != Some(look.since.ms())
            {
                return Err(format!(
                    "{look:?} is asked, and what is stored is {found:?}"
                ));
            }
        }
        _ => {}
    }
    Ok(())
}
