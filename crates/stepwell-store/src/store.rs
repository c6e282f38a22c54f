//! The contract of a store.

use crate::{
    AppRecord, AttemptRecord, DeferRecord, EventFilter, EventPage, EventQuery, EventRecord,
    FunctionRecord, History, MetadataRecord, Pruned, RunFilter, RunPage, RunQuery, RunRecord,
    RunState, Slice, StepRecord, StoreError,
};
use std::sync::Arc;
use stepwell_engine::{BulkCancelRow, Change, ItemRow, Snapshot, Timestamp, Verdict};
use stepwell_protocol::{EventId, FunctionId, RunId, StepId};

/// An opened store: its writing side, which one owner holds, and its reading side, which is shared.
#[derive(Debug)]
pub struct Store {
    /// The writing side.
    pub writer: Box<dyn Writer>,
    /// The reading side.
    pub reader: Arc<dyn Reader>,
}

/// The writing side of a store.
pub trait Writer: Send + std::fmt::Debug {
    /// Writes a batch of changes.
    ///
    /// The batch is atomic: all of it or nothing. It is durable when this returns, unless the store was opened
    /// otherwise. Changes are applied in order. An [`Change::EventPut`] of a known id changes nothing, nor
    /// does what is noted of a run that is not there or has as much noted as is kept.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of the batch is visible then, and the same batch may be tried again.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// Writes and syncs about `bytes` that change nothing and gives their room back, to see whether a batch of that
    /// size can be written (again). At least 64 KiB are written, at most 64 MiB.
    ///
    /// # Errors
    /// [`StoreError`] when such a commit would fail.
    fn probe(&mut self, bytes: usize) -> Result<(), StoreError>;

    /// Reads the live rows, with the duplicate keys of runs scheduled within 24 hours before `now`.
    ///
    /// # Errors
    /// [`StoreError`] when the rows cannot be read or do not read back.
    fn load(&mut self, now: Timestamp) -> Result<Snapshot, StoreError>;

    /// Removes some of what is old: ended runs with all that was recorded of them and the events that no other run
    /// refers to, and events that started nothing.
    ///
    /// Never goes: an unfinished run and anything of it, its events included; a run that a queue item belongs to; the
    /// duplicate key of a run scheduled within 24 hours before `now`, even when the run goes. So nothing that
    /// [`Writer::load`] gives changes.
    ///
    /// A slice is atomic and looks at a bounded number of rows; until the next commit a crash of the machine may undo
    /// it. One that stops inside a large run has removed only the last of its steps and attempts; the next slice goes
    /// on there. Walking with [`Pruned::next`] ends, and visits everything whose id is older than `before` once; an
    /// event that came with an id of the future is visited when that has come.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of the slice is gone then.
    fn prune(&mut self, slice: &Slice) -> Result<Pruned, StoreError>;

    /// The bytes of the file that hold something, without room that is free to be used again. 0 in memory.
    ///
    /// # Errors
    /// [`StoreError`] when that cannot be found out.
    fn bytes_used(&mut self) -> Result<u64, StoreError>;

    /// Gives a small part of the room that is free, beyond a reserve for what comes next, back to the file system;
    /// whether more is to be given back.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has changed then.
    fn give_back(&mut self) -> Result<bool, StoreError>;
}

/// The reading side of a store. It sees what was committed before the question.
///
/// Every method fails with [`StoreError`] when rows cannot be read or do not read back.
#[expect(clippy::missing_errors_doc, reason = "stated once for all, above")]
pub trait Reader: Send + Sync + std::fmt::Debug {
    /// A run.
    fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError>;

    /// The runs that an event started, oldest first.
    fn runs_of_event(&self, id: EventId) -> Result<Vec<RunRecord>, StoreError>;

    /// An event.
    fn event(&self, id: EventId) -> Result<Option<EventRecord>, StoreError>;

    /// The newest events, newest first, before `before` if given.
    fn events(
        &self,
        name: Option<&str>,
        before: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<EventRecord>, StoreError>;

    /// Events of a name that came in from `since` on, oldest first, after `after` if given.
    fn events_since(
        &self,
        name: &str,
        since: Timestamp,
        after: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<EventRecord>, StoreError>;

    /// A page of a list of runs.
    fn find_runs(&self, query: &RunQuery) -> Result<RunPage, StoreError>;

    /// How many runs the filter admits, as far as `rows_max` rows tell: the newest of those within its time.
    fn count_runs(&self, filter: &RunFilter, rows_max: usize) -> Result<usize, StoreError>;

    /// A page of a list of events.
    fn find_events(&self, query: &EventQuery) -> Result<EventPage, StoreError>;

    /// How many events there are, as far as `rows_max` rows tell.
    fn count_events(&self, filter: &EventFilter, rows_max: usize) -> Result<usize, StoreError>;

    /// The names of events, in the order asked for; nothing for one that is not there.
    fn event_names(&self, ids: &[EventId]) -> Result<Vec<Option<String>>, StoreError>;

    /// What was decided about an event and the functions that listen to its name, other than that it started a run.
    fn verdicts(&self, event: EventId) -> Result<Vec<(FunctionId, Verdict)>, StoreError>;

    /// All bulk cancellations, oldest first.
    fn bulk_cancels(&self) -> Result<Vec<BulkCancelRow>, StoreError>;

    /// The runs that a run has deferred.
    fn defers(&self, run: RunId) -> Result<Vec<DeferRecord>, StoreError>;

    /// The queue items of an unfinished run, and the announcement of an ended one.
    fn items(&self, run: RunId) -> Result<Vec<ItemRow>, StoreError>;

    /// The ended steps of a run, in order.
    fn steps(&self, run: RunId) -> Result<Vec<StepRecord>, StoreError>;

    /// An ended step of a run.
    fn step(&self, run: RunId, step: &StepId) -> Result<Option<StepRecord>, StoreError>;

    /// The attempts of a run that failed or were cut short, in order.
    fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError>;

    /// What is noted of a run, what was noted longest ago first.
    fn metadata(&self, run: RunId) -> Result<Vec<MetadataRecord>, StoreError>;

    /// What there is to tell of a run, all of one moment; `None` when there is no such run.
    fn history(&self, run: RunId) -> Result<Option<History>, StoreError>;

    /// What a call of a run carries; `None` when there is no such run.
    fn run_state(&self, run: RunId) -> Result<Option<RunState>, StoreError>;

    /// All apps, by name.
    fn apps(&self) -> Result<Vec<AppRecord>, StoreError>;

    /// A function, also an archived one.
    fn function(&self, id: FunctionId) -> Result<Option<FunctionRecord>, StoreError>;

    /// Functions that are not archived, by app and id.
    fn functions(&self) -> Result<Vec<FunctionRecord>, StoreError>;

    /// All functions, archived ones too, by app and id.
    fn all_functions(&self) -> Result<Vec<FunctionRecord>, StoreError>;
}
