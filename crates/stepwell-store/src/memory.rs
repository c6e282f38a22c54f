//! A store that keeps nothing past the process: for development and tests.
//!
//! It is bounded: of ended runs it keeps the newest, with their events and steps, and of other events the newest. What
//! is old goes earlier, as in every store.

mod list;
mod notes;
mod past;
mod prune;
mod read;

use crate::{
    AttemptRecord, DeferRecord, EventRecord, FunctionRecord, Pruned, Slice, StepRecord, Store,
    StoreError, Writer,
};
use notes::Noted;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stepwell_engine::{
    AppRow, BatchEventRow, BatchRow, BulkCancelRow, CancelRow, Change, DebounceRow, DeliveryRow,
    FunctionRow, ItemId, ItemRow, RunEnd, RunRow, ScheduleRow, Snapshot, ThrottleRow, Timestamp,
    Verdict,
};
use stepwell_protocol::otlp::UserSpan;
use stepwell_protocol::{
    AppId, BulkCancelId, EventId, FunctionId, RunId, SharedJson, StepId, limits,
};

/// Ended runs that are kept, besides those with something left in the queue.
const ENDED_RUNS_MAX: usize = 10_000;
/// Events that are kept, besides those of kept runs.
const EVENTS_MAX: usize = 100_000;

/// Opens an empty store.
#[must_use]
pub fn open() -> Store {
    let tables = Arc::new(Memory::default());
    Store {
        writer: Box::new(MemoryWriter(Arc::clone(&tables))),
        reader: tables,
    }
}

#[derive(Debug, Default)]
struct Memory(Mutex<Tables>);

#[derive(Debug)]
struct MemoryWriter(Arc<Memory>);

#[derive(Debug, Default)]
struct Tables {
    apps: BTreeMap<AppId, AppRow>,
    functions: BTreeMap<FunctionId, FunctionRow>,
    events: BTreeMap<EventId, EventRecord>,
    runs: BTreeMap<RunId, Run>,
    event_runs: BTreeSet<(EventId, RunId)>,
    /// Events without a run.
    unneeded: BTreeSet<EventId>,
    /// Ended runs, oldest end first. Not those that had items left, until their last one went.
    finished: VecDeque<RunId>,
    items: BTreeMap<ItemId, ItemRow>,
    run_items: BTreeSet<(RunId, ItemId)>,
    throttles: BTreeMap<u128, u64>,
    cancels: BTreeMap<ItemId, CancelRow>,
    bulk_cancels: BTreeMap<BulkCancelId, BulkCancelRow>,
    deliveries: BTreeMap<ItemId, DeliveryRow>,
    debounces: BTreeMap<u128, DebounceRow>,
    batches: BTreeMap<ItemId, (BatchRow, Vec<BatchEventRow>)>,
    recent_keys: BTreeMap<u128, Timestamp>,
    /// Events of windows, batches and deliveries, and by how many of these they are held.
    held: BTreeMap<EventId, usize>,
    schedules: BTreeMap<(FunctionId, Arc<str>), Timestamp>,
    verdicts: BTreeMap<(EventId, FunctionId), Verdict>,
    /// The keys of runs that were pruned within their 24 hours, and when those were scheduled.
    forgotten_keys: BTreeSet<(Timestamp, u128)>,
}

#[derive(Debug)]
struct Run {
    row: RunRow,
    end: Option<RunEnd>,
    /// Whether it stands in [`Tables::finished`].
    finished: bool,
    steps: Vec<StepRecord>,
    attempts: Vec<AttemptRecord>,
    defers: Vec<DeferRecord>,
    inputs: Vec<(StepId, SharedJson)>,
    metadata: Noted,
    user_spans: BTreeMap<String, UserSpan>,
}

/// Whether a set has a pair that begins so, given the least of what comes second.
fn has_second<A: Ord + Copy, B: Ord + Copy>(pairs: &BTreeSet<(A, B)>, first: A, least: B) -> bool {
    let mut following = pairs.range((first, least)..);
    following.next().is_some_and(|pair| pair.0 == first)
}

impl Memory {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // A panic in the middle of a batch leaves half of it: the process is the only one to see it, and ends.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn run_mut(&mut self, id: RunId) -> Result<&mut Run, StoreError> {
        self.runs
            .get_mut(&id)
            .ok_or_else(|| StoreError::Damaged(format!("run {id} is not there")))
    }

    /// Whether every change of a batch fits, so that applying it cannot fail half-way.
    fn check(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut put = BTreeSet::new();
        for change in changes {
            let run = match change {
                Change::RunPut(row) => {
                    if self.runs.contains_key(&row.id) || !put.insert(row.id) {
                        return Err(StoreError::Damaged(format!(
                            "run {} is there already",
                            row.id
                        )));
                    }
                    continue;
                }
                Change::RunProgress(progress) => progress.id,
                Change::RunEnd(end) => end.id,
                Change::StepPut(row) => row.run,
                Change::AttemptPut(row) => row.run,
                Change::DeferPut(row) => row.run,
                Change::InputPut(row) => row.run,
                _ => continue,
            };
            if !self.runs.contains_key(&run) && !put.contains(&run) {
                return Err(StoreError::Damaged(format!("run {run} is not there")));
            }
        }
        Ok(())
    }

    fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::AppPut(row) => {
                self.apps.insert(row.id, row.clone());
            }
            Change::FunctionPut(row) => {
                self.functions.insert(row.id, row.clone());
            }
            Change::EventPut(row) => {
                self.events.entry(row.id).or_insert_with(|| EventRecord {
                    id: row.id,
                    name: row.name.clone(),
                    external_id: row.external_id.clone(),
                    ts_ms: row.ts_ms,
                    received_at: row.received_at,
                    body: Arc::clone(&row.body),
                });
                if !self.needed(row.id) {
                    self.unneeded.insert(row.id);
                }
            }
            Change::RunPut(row) => {
                for event in &row.events {
                    self.event_runs.insert((*event, row.id));
                    self.unneeded.remove(event);
                }
                let run = Run {
                    row: (**row).clone(),
                    end: None,
                    finished: false,
                    steps: Vec::new(),
                    attempts: Vec::new(),
                    defers: Vec::new(),
                    inputs: Vec::new(),
                    metadata: Noted::default(),
                    user_spans: BTreeMap::new(),
                };
                self.runs.insert(row.id, run);
            }
            Change::RunProgress(progress) => {
                self.run_mut(progress.id)?.row.progress = (**progress).clone()
            }
            Change::RunEnd(end) => {
                self.run_mut(end.id)?.end = Some(end.clone());
                self.finish(end.id);
            }
            Change::StepPut(row) => self.run_mut(row.run)?.steps.push(past::step(row)),
            Change::AttemptPut(row) => self.run_mut(row.run)?.attempts.push(past::attempt(row)),
            Change::ItemPut(row) => {
                self.put_item(row);
            }
            Change::ItemDelete(id) => {
                if let Some(item) = self.items.remove(id) {
                    self.unlink_item(&item);
                }
            }
            Change::ThrottlePut(row) => {
                self.throttles.insert(row.key, row.tat_us);
            }
            Change::ThrottleDelete(key) => {
                self.throttles.remove(key);
            }
            Change::CancelPut(row) => {
                self.cancels.insert(row.id, (**row).clone());
            }
            Change::CancelDelete(id) => {
                self.cancels.remove(id);
            }
            Change::BulkCancelPut(row) => {
                self.bulk_cancels.insert(row.id, (**row).clone());
            }
            Change::BulkCancelDelete(id) => {
                self.bulk_cancels.remove(id);
            }
            Change::DeliveryPut(row) => {
                self.hold(row.event);
                if let Some(replaced) = self.deliveries.insert(row.id, *row) {
                    self.release(replaced.event);
                }
            }
            Change::DeliveryDelete(id) => {
                if let Some(row) = self.deliveries.remove(id) {
                    self.release(row.event);
                }
            }
            Change::DebouncePut(row) => {
                self.hold(row.event);
                if let Some(replaced) = self.debounces.insert(row.key, (**row).clone()) {
                    self.release(replaced.event);
                }
            }
            Change::DebounceDelete(key) => {
                if let Some(row) = self.debounces.remove(key) {
                    self.release(row.event);
                }
            }
            Change::BatchPut(row) => {
                self.batches.insert(row.id, ((**row).clone(), Vec::new()));
            }
            Change::BatchEventPut(row) => {
                let missing = || StoreError::Damaged(format!("batch {} is not there", row.batch));
                let batch = self.batches.get_mut(&row.batch).ok_or_else(missing)?;
                batch.1.push((**row).clone());
                self.hold(row.event);
            }
            Change::BatchDelete(id) => {
                for row in self
                    .batches
                    .remove(id)
                    .map(|(_, events)| events)
                    .unwrap_or_default()
                {
                    self.release(row.event);
                }
            }
            Change::KeyPut(row) => {
                self.recent_keys.insert(row.key, row.at);
            }
            Change::KeyDelete(key) => {
                self.recent_keys.remove(key);
            }
            Change::SchedulePut(row) => {
                let key = (row.function, Arc::clone(&row.cron));
                self.schedules.insert(key, row.after);
            }
            Change::ScheduleDelete(function, cron) => {
                self.schedules.remove(&(*function, Arc::clone(cron)));
            }
            Change::DeferPut(row) => {
                let defers = &mut self.run_mut(row.run)?.defers;
                match defers.iter_mut().find(|defer| defer.step == row.step) {
                    Some(known) => {
                        known.status = row.status;
                        known.input.clone_from(&row.input);
                    }
                    None => defers.push(DeferRecord {
                        step: row.step.clone(),
                        slug: row.slug.clone(),
                        input: row.input.clone(),
                        status: row.status,
                    }),
                }
            }
            Change::InputPut(row) => {
                let inputs = &mut self.run_mut(row.run)?.inputs;
                inputs.retain(|(step, _)| *step != row.step);
                inputs.push((row.step.clone(), Arc::clone(&row.input)));
            }
            Change::MetadataPut(row) => {
                if let Some(run) = self.runs.get_mut(&row.run) {
                    run.metadata.put(row);
                }
            }
            Change::UserSpansPut(row) => {
                if let Some(run) = self.runs.get_mut(&row.run) {
                    notes::put_spans(&mut run.user_spans, row);
                }
            }
            Change::VerdictPut(row) => {
                let key = (row.event, row.function);
                self.verdicts.insert(key, row.verdict.clone());
            }
        }
        Ok(())
    }

    fn put_item(&mut self, row: &ItemRow) {
        self.run_items.insert((row.run, row.id));
        let replaced = self.items.insert(row.id, row.clone());
        if let Some(replaced) = replaced.filter(|replaced| replaced.run != row.run) {
            self.unlink_item(&replaced);
        }
    }

    fn unlink_item(&mut self, item: &ItemRow) {
        self.run_items.remove(&(item.run, item.id));
        self.finish(item.run);
    }

    /// Queues a run to be forgotten if it has ended and nothing of it is left to do.
    fn finish(&mut self, id: RunId) {
        let has_items = has_second(&self.run_items, id, ItemId(0));
        if let Some(run) = self.runs.get_mut(&id)
            && run.end.is_some()
            && !run.finished
            && !has_items
        {
            run.finished = true;
            self.finished.push_back(id);
        }
    }

    fn prune(&mut self) {
        while self.finished.len() > ENDED_RUNS_MAX {
            let Some(id) = self.finished.pop_front() else {
                break;
            };
            if has_second(&self.run_items, id, ItemId(0)) {
                // It got an item after its end, and comes back when that one goes.
                if let Some(run) = self.runs.get_mut(&id) {
                    run.finished = false;
                }
                continue;
            }
            self.forget(id);
        }
        while self.unneeded.len() > EVENTS_MAX {
            if let Some(oldest) = self.unneeded.pop_first() {
                self.forget_event(oldest);
            }
        }
    }

    fn forget_event(&mut self, id: EventId) {
        self.events.remove(&id);
        let least = FunctionId::from_bytes([0; 16]);
        let most = FunctionId::from_bytes([0xff; 16]);
        let of_it: Vec<(EventId, FunctionId)> = self
            .verdicts
            .range((id, least)..=(id, most))
            .map(|(key, _)| *key)
            .collect();
        for key in of_it {
            self.verdicts.remove(&key);
        }
    }

    /// Removes a run; events that were only its own are nobody's then.
    fn forget(&mut self, id: RunId) -> Option<Run> {
        let run = self.runs.remove(&id)?;
        for event in &run.row.events {
            self.event_runs.remove(&(*event, id));
            if self.events.contains_key(event) && !self.needed(*event) {
                self.unneeded.insert(*event);
            }
        }
        Some(run)
    }

    /// Whether a kept run is of this event, or something that waits to start one or to reach waits.
    fn needed(&self, event: EventId) -> bool {
        self.held.contains_key(&event)
            || has_second(&self.event_runs, event, RunId::from_bytes([0; 16]))
    }

    fn hold(&mut self, event: EventId) {
        *self.held.entry(event).or_default() += 1;
        self.unneeded.remove(&event);
    }

    fn release(&mut self, event: EventId) {
        if let Some(holds) = self.held.get_mut(&event) {
            *holds -= 1;
            if *holds == 0 {
                self.held.remove(&event);
            }
        }
        if self.events.contains_key(&event) && !self.needed(event) {
            self.unneeded.insert(event);
        }
    }

    fn function_record(&self, row: &FunctionRow) -> FunctionRecord {
        FunctionRecord {
            id: row.id,
            app: row.app,
            app_name: self
                .apps
                .get(&row.app)
                .map(|app| app.name.clone())
                .unwrap_or_default(),
            slug: row.slug.clone(),
            name: row.name.clone(),
            config: row.config.clone(),
            version: row.version,
            paused: row.paused,
            archived: row.archived,
        }
    }
}

impl Writer for MemoryWriter {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut tables = self.0.tables();
        tables.check(changes)?;
        for change in changes {
            tables.apply(change)?;
        }
        tables.prune();
        Ok(())
    }

    fn probe(&mut self, _bytes: usize) -> Result<(), StoreError> {
        Ok(())
    }

    fn load(&mut self, now: Timestamp) -> Result<Snapshot, StoreError> {
        let tables = self.0.tables();
        let since = Timestamp::from_ms(now.ms().saturating_sub(limits::IDEMPOTENCY_MS));
        let live = tables.runs.values().filter(|run| run.end.is_none());
        let mut snapshot = Snapshot {
            apps: tables.apps.values().cloned().collect(),
            functions: tables.functions.values().cloned().collect(),
            runs: live
                .map(|run| {
                    let steps = run.steps.iter().map(|step| step.step.clone()).collect();
                    let bytes = run.steps.iter().map(|step| step.value.get().len()).sum();
                    (run.row.clone(), steps, bytes)
                })
                .collect(),
            items: tables.items.values().cloned().collect(),
            ended: tables
                .items
                .values()
                .filter_map(|item| tables.runs.get(&item.run))
                .filter_map(|run| run.end.as_ref().map(|end| (run.row.id, end.status)))
                .collect(),
            recent_keys: tables
                .runs
                .values()
                .filter_map(|run| {
                    let key = run.row.dedupe_key?;
                    let at = RunRow::key_since(run.row.id, run.row.queued_at);
                    Some((key, Some(run.row.id), at))
                })
                .chain(
                    tables
                        .forgotten_keys
                        .iter()
                        .map(|(at, key)| (*key, None, *at)),
                )
                .chain(tables.recent_keys.iter().map(|(key, at)| (*key, None, *at)))
                .filter(|(_, _, at)| *at > since)
                .collect(),
            throttles: tables
                .throttles
                .iter()
                .map(|(key, tat_us)| ThrottleRow {
                    key: *key,
                    tat_us: *tat_us,
                })
                .collect(),
            cancels: tables.cancels.values().cloned().collect(),
            bulk_cancels: tables.bulk_cancels.values().cloned().collect(),
            deliveries: tables.deliveries.values().copied().collect(),
            debounces: tables.debounces.values().cloned().collect(),
            batches: tables.batches.values().cloned().collect(),
            schedules: tables
                .schedules
                .iter()
                .map(|((function, cron), after)| ScheduleRow {
                    function: *function,
                    cron: Arc::clone(cron),
                    after: *after,
                })
                .collect(),
            defers: tables
                .runs
                .values()
                .filter(|run| run.end.is_none())
                .flat_map(|run| {
                    run.defers.iter().map(|defer| {
                        let bytes = defer.input.as_ref().map_or(0, |input| input.get().len());
                        (run.row.id, defer.step.clone(), defer.status, bytes)
                    })
                })
                .collect(),
        };
        snapshot.normalize();
        Ok(snapshot)
    }

    fn prune(&mut self, slice: &Slice) -> Result<Pruned, StoreError> {
        Ok(self.0.tables().prune_slice(slice))
    }

    fn bytes_used(&mut self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn give_back(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }
}
