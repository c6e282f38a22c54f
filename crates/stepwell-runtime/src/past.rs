//! The past: events that came before someone waited for them.

use serde_json::Value;
use stepwell_engine::waits::condition_holds;
use stepwell_engine::{LookBack, NewEvent, Timestamp};
use stepwell_store::{EventRecord, Reader, StoreError};

/// Events that one look back reads at a time.
const EVENTS_PER_READ: usize = 200;
/// Events that one look back asks at most: the earliest of its span.
const EVENTS_MAX: usize = 10_000;

/// The earliest event that a wait would have matched had it been there; none of the run's own, and none that came when the wait
/// was over.
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
            if own.contains(&record.id) || record.received_at > look.until {
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

#[cfg(test)]
mod tests {
    use super::*;
    use stepwell_engine::{Change, EventRow, ItemId};
    use stepwell_protocol::{EventId, RunId, shared_json};
    use stepwell_store::memory;

    #[test]
    fn what_came_when_the_wait_was_over_does_not_count() {
        let mut store = memory::open();
        let event = |at_ms: u64| {
            Change::EventPut(EventRow {
                id: EventId::from_bytes([u8::try_from(at_ms).expect("a small number"); 16]),
                name: "x/z".to_owned(),
                external_id: String::new(),
                ts_ms: 0,
                received_at: Timestamp::from_ms(at_ms),
                body: shared_json("{}".to_owned()).expect("it is JSON"),
            })
        };
        let found = |reader: &dyn Reader, until_ms| {
            let look = LookBack {
                item: ItemId(1),
                run: RunId::from_bytes([1; 16]),
                name: "x/z".into(),
                condition: None,
                since: Timestamp::from_ms(10),
                until: Timestamp::from_ms(until_ms),
            };
            let found = matching(&look, reader, Timestamp::from_ms(100));
            found.expect("memory reads").map(|event| event.id)
        };
        store
            .writer
            .commit(&[event(5), event(20)])
            .expect("memory takes them");
        assert_eq!(found(&*store.reader, 19), None);
        assert_eq!(
            found(&*store.reader, 20),
            Some(EventId::from_bytes([20; 16]))
        );
    }
}
