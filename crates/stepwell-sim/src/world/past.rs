//! What the engine asks the store about the past: events that came before a wait, those that go on to more waits, and the runs
//! that a bulk cancellation ends.

use super::decider::Asker;
use super::{Happening, Phase, World, bulk};
use crate::invariant::{Violation, broken};
use crate::ledger::Cause;
use stepwell_engine::waits::condition_holds;
use stepwell_engine::{DeliveryRow, Input, LookBack, NewEvent, Sweep, Timestamp};
use stepwell_store::{EventRecord, Reader, StoreError};

/// Events that are read at a time: few, so that pages matter.
const EVENTS_PER_READ: usize = 3;
/// How many answers of a hundred come twice.
const DOUBLED_PERCENT: u64 = 10;
/// How many answers of a hundred take long.
const LATE_PERCENT: u64 = 15;

/// A question.
#[derive(Clone)]
pub(super) enum Asked {
    LookBack(Box<LookBack>),
    Delivery(DeliveryRow),
    Sweep(Box<Sweep>),
}

impl World<'_> {
    pub(super) fn ask_the_past(&mut self, asked: Asked) {
        let number = match &asked {
            Asked::LookBack(look) => look.item.0,
            Asked::Delivery(delivery) => delivery.id.0,
            Asked::Sweep(sweep) => sweep.generation,
        };
        let life = self.life;
        let mut dice = self.dice("past", &[number]);
        let mut ms = dice.between(0, self.scenario.latency_ms_max);
        if !self.calm && dice.chance(LATE_PERCENT) {
            ms += dice.below(self.scenario.span_ms);
        }
        if !self.calm && dice.chance(DOUBLED_PERCENT) {
            let again = ms + dice.below(self.scenario.span_ms);
            let asked = asked.clone();
            self.after(again, Happening::Past { asked, life });
        }
        self.after(ms, Happening::Past { asked, life });
    }

    pub(super) fn past_answers(&mut self, asked: Asked, life: u64) -> Result<(), Violation> {
        if self.phase != Phase::Up || life != self.life {
            return Ok(());
        }
        let (now, reader) = (self.clock.wall(), self.store.reader());
        let (input, cause) = match asked {
            Asked::LookBack(look) => {
                let event = matching(&look, reader, now)
                    .map_err(|error| broken("store")(error.to_string()))?;
                let found = event.as_ref().map(|event| event.id);
                let (item, event) = (look.item, event.map(Box::new));
                let cause = Cause::LookedBack { item, found };
                (Input::LookedBack { item, event }, cause)
            }
            Asked::Delivery(DeliveryRow { id, event }) => {
                let event = reader
                    .event(event)
                    .map_err(|error| broken("store")(error.to_string()))?;
                let event = event.map(|record| Box::new(event_of(record)));
                (Input::Delivered { id, event }, Cause::Delivered)
            }
            Asked::Sweep(sweep) => {
                let Sweep { row, generation } = *sweep;
                let (runs, next) = bulk::next(&row, reader, now)
                    .map_err(|error| broken("store")(error.to_string()))?;
                let id = row.id;
                let input = Input::Swept {
                    id,
                    generation,
                    runs,
                    next,
                };
                (input, Cause::Swept)
            }
        };
        self.tell(|| "the past answers".to_owned());
        self.decide(input, cause, Asker::Nobody)
    }
}

/// The earliest event that a wait would have matched had it been there; none of the run's own, and none that came when
/// the wait was over.
fn matching(
    look: &LookBack,
    reader: &dyn Reader,
    now: Timestamp,
) -> Result<Option<NewEvent>, StoreError> {
    let own = reader.run(look.run)?.map(|run| run.events);
    let own = own.unwrap_or_default();
    let mut after = None;
    loop {
        let found = reader.events_since(&look.name, look.since, after, EVENTS_PER_READ)?;
        let Some(last) = found.last() else {
            return Ok(None);
        };
        after = Some(last.id);
        for record in found {
            let value = serde_json::from_str(record.body.get()).unwrap_or_default();
            let meets = condition_holds(look.condition.as_deref(), &value, now);
            let counts = record.received_at <= look.until && !own.contains(&record.id);
            if meets && counts {
                return Ok(Some(event_of(record)));
            }
        }
    }
}

fn event_of(record: EventRecord) -> NewEvent {
    NewEvent {
        id: record.id,
        name: record.name.into(),
        external_id: Some(record.external_id),
        ts_ms: record.ts_ms,
        repeatable: false,
        body: record.body,
    }
}
