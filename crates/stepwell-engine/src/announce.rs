//! Announcements: the events of a run's end, for functions that listen to them.

use crate::decision::Decision;
use crate::engine::Engine;
use crate::{Change, IdSource, ItemId, NewEvent, Timestamp};

impl Engine {
    /// The events of a run's end come in; the announcement is done in the same decision, so they come in once.
    pub(crate) fn announced(
        &mut self,
        item: ItemId,
        events: Vec<NewEvent>,
        now: Timestamp,
        ids: &mut IdSource,
        out: &mut Decision,
    ) {
        if self.announcements.remove(&item).is_some() {
            out.changes.push(Change::ItemDelete(item));
            self.receive_events(events, now, ids, out);
        }
    }
}
