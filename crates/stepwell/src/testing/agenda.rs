//! What a test has put off: events and signals to be sent at virtual times.

use crate::event::OutgoingEvent;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use stepwell_engine::Timestamp;
use stepwell_protocol::SharedJson;

#[derive(Debug)]
pub(super) enum Deed {
    Send(Box<OutgoingEvent>),
    Signal(String, SharedJson),
}

/// In the order of their times; those of one moment in the order in which they were put down.
#[derive(Debug, Default)]
pub(super) struct Agenda(Mutex<BTreeMap<(Timestamp, usize), Deed>>);

impl Agenda {
    pub(super) fn put(&self, at: Timestamp, deed: Deed) {
        let mut deeds = self.deeds();
        let last = deeds.range(..=(at, usize::MAX)).next_back();
        let place = match last {
            Some(((moment, place), _)) if *moment == at => place + 1,
            _ => 0,
        };
        deeds.insert((at, place), deed);
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.deeds().keys().next().map(|(at, _)| *at)
    }

    pub(super) fn take_due(&self, now: Timestamp) -> Option<Deed> {
        let mut deeds = self.deeds();
        let first = deeds.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn deeds(&self) -> MutexGuard<'_, BTreeMap<(Timestamp, usize), Deed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
