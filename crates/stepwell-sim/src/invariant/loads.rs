//! What the store holds after a commit is what the engine was that wrote it, and loads into the same again.

use crate::ledger::Ledger;
use std::fmt::Debug;
use stepwell_engine::{Config, Engine, Snapshot, Timestamp};
use stepwell_protocol::{RunId, limits};

/// `latest` is the latest moment any engine has seen.
pub(super) fn check(
    ledger: &Ledger<'_>,
    stored: &Snapshot,
    engine: &Snapshot,
    latest: Timestamp,
) -> Result<(), String> {
    let (stored, mut engine) = (lasting(stored, latest), lasting(engine, latest));
    for (_, run, _) in &mut engine.recent_keys {
        // The store keeps the key without it.
        *run = run.filter(|run| ledger.runs.get(run).is_none_or(|run| !run.pruned));
    }
    engine.recent_keys.sort_unstable();
    if stored != engine {
        return Err(format!(
            "the store is not what the engine was: {}",
            difference(&stored, &engine)
        ));
    }
    Ok(())
}

pub(super) fn check_load(
    stored: &Snapshot,
    config: &Config,
    now: Timestamp,
    latest: Timestamp,
) -> Result<(), String> {
    let engine = Engine::load(stored.clone(), config.clone(), now);
    let loaded = engine
        .map_err(|error| format!("what is stored does not load: {error}"))?
        .snapshot(now);
    let (stored, loaded) = (lasting(stored, latest), lasting(&loaded, latest));
    if stored != loaded {
        return Err(format!(
            "what is stored loads into something else: {}",
            difference(&stored, &loaded)
        ));
    }
    Ok(())
}

/// A snapshot without the keys of duplicates that had expired when the clock was ahead: they may be forgotten, and
/// then the clock goes back to when they had not.
fn lasting(snapshot: &Snapshot, latest: Timestamp) -> Snapshot {
    let mut snapshot = snapshot.clone();
    let lasts = |(_, _, at): &(u128, Option<RunId>, Timestamp)| {
        at.after_ms(limits::IDEMPOTENCY_MS) > latest
    };
    snapshot.recent_keys.retain(lasts);
    snapshot
}

/// The first part in which two snapshots differ.
fn difference(stored: &Snapshot, engine: &Snapshot) -> String {
    fn part<T: Debug + PartialEq>(name: &str, stored: &[T], engine: &[T]) -> Option<String> {
        if stored == engine {
            return None;
        }
        let only = |these: &[T], those: &[T]| {
            let only: Vec<String> = these
                .iter()
                .filter(|row| !those.contains(row))
                .map(|row| format!("{row:?}"))
                .collect();
            only.join(", ")
        };
        Some(format!(
            "{name}: only stored [{}], only in the engine [{}]",
            only(stored, engine),
            only(engine, stored)
        ))
    }
    part("items", &stored.items, &engine.items)
        .or_else(|| part("runs", &stored.runs, &engine.runs))
        .or_else(|| part("ended", &stored.ended, &engine.ended))
        .or_else(|| part("recent keys", &stored.recent_keys, &engine.recent_keys))
        .or_else(|| part("throttles", &stored.throttles, &engine.throttles))
        .or_else(|| part("cancels", &stored.cancels, &engine.cancels))
        .or_else(|| part("deliveries", &stored.deliveries, &engine.deliveries))
        .or_else(|| {
            part(
                "bulk cancellations",
                &stored.bulk_cancels,
                &engine.bulk_cancels,
            )
        })
        .or_else(|| part("debounces", &stored.debounces, &engine.debounces))
        .or_else(|| part("batches", &stored.batches, &engine.batches))
        .or_else(|| part("schedules", &stored.schedules, &engine.schedules))
        .or_else(|| part("defers", &stored.defers, &engine.defers))
        .or_else(|| part("functions", &stored.functions, &engine.functions))
        .or_else(|| part("apps", &stored.apps, &engine.apps))
        .unwrap_or_else(|| "in a part that this report does not know".to_owned())
}
