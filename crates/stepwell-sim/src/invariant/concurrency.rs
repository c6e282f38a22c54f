//! No call goes beyond a limit that its function has at that moment.

use super::Resting;
use crate::ledger::{Decided, Gate, Ledger};
use stepwell_engine::Effect;

/// Looks at a decision after the ledger has taken in what it changes.
pub(super) fn check(ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
    for effect in &decided.effects {
        let Effect::Call(call) = effect else {
            continue;
        };
        let (Some(run), Some(flow)) = (ledger.runs.get(&call.run), ledger.flow(call.function))
        else {
            return Err(format!("{} is called", ledger.name_of(call.run)));
        };
        let place = ledger
            .in_flight
            .get_index_of(&(call.item, call.generation))
            .unwrap_or_default();
        // Calls that were made after it may have higher limits.
        let inside = |gate: &Gate| {
            let earlier = ledger.in_flight.values().take(place + 1);
            earlier
                .filter(|other| {
                    let run = ledger.runs.get(&other.run);
                    run.is_some_and(|run| run.gates.iter().any(|(_, other)| other == gate))
                })
                .count()
        };
        for (id, gate) in &run.gates {
            let limit = flow
                .concurrency
                .iter()
                .find(|limit| (limit.scope, limit.key) == *id);
            if let Some(limit) = limit {
                let count = inside(gate);
                if count > limit.limit {
                    return Err(format!(
                        "a call of {} is number {count} at {gate:?}, where {} are allowed",
                        ledger.name_of(call.run),
                        limit.limit
                    ));
                }
            }
        }
    }
    Ok(())
}

/// The engine counts the calls in flight as they are, and no more than the operator allows.
pub(super) fn check_count(ledger: &Ledger<'_>, resting: &Resting<'_>) -> Result<(), String> {
    let count = ledger.in_flight.len();
    if resting.calls_in_flight != count {
        return Err(format!(
            "the engine counts {} calls in flight, and there are {count}",
            resting.calls_in_flight
        ));
    }
    if count > resting.calls_max {
        let most = resting.calls_max;
        return Err(format!(
            "{count} calls are in flight, and {most} are allowed"
        ));
    }
    Ok(())
}
