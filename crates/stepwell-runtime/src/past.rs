//! The past: events that came before someone waited for them.

use serde_json::Value;
use stepwell_engine::waits::condition_holds;
use stepwell_engine::{LookBack, NewEvent, Timestamp};
use stepwell_store::{EventRecord, Reader, StoreError};

/// Events that one look back reads at a time.
const EVENTS_PER_READ: usize = 200;
/// Events that one look back asks at most: the earliest of its span.
const EVENTS_MAX: usize = 10_000;

/// The earliest event that a wait would have matched had it been there; none of the run's own.
///
/// # Errors
/// [`StoreError`] when events cannot be read.
pub(crate) fn matching(
    look: &LookBack,
    reader: &dyn Reader,
    now: Timestamp,
) -> Result<Option<NewEvent>, StoreError> {
    let own = reader
        .run(look.run)?
        .map(|run| run.events)
        .unwrap_or_default();
    let (mut after, mut asked) = (None, 0);
    while asked < EVENTS_MAX {
        let found = reader.events_since(&look.name, look.since, after, EVENTS_PER_READ)?;
        let Some(last) = found.last() else {
            return Ok(None);
        };
        after = Some(last.id);
        asked += found.len();
        for record in found {
            if own.contains(&record.id) {
                continue;
            }
            let value: Value = serde_json::from_str(record.body.get()).unwrap_or_default();
            if condition_holds(look.condition.as_deref(), &value, now) {
                return Ok(Some(event_of(record)));
            }
        }
    }
    tracing::warn!(
        event = %look.name,
        "a wait looked back at {EVENTS_MAX} events and gave up on the rest"
    );
    Ok(None)
}

/// A recorded event, as the engine takes it.
pub(crate) fn event_of(record: EventRecord) -> NewEvent {
    NewEvent {
        id: record.id,
        name: record.name.into(),
        external_id: Some(record.external_id),
        ts_ms: record.ts_ms,
        repeatable: false,
        body: record.body,
    }
}
