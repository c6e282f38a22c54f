//! An engine becomes rows, and rows become an engine.

use crate::batches::Batch;
use crate::deliver::Delivery;
use crate::engine::{Config, Engine, Timer};
use crate::flow::Keys;
use crate::function::Function;
use crate::run::Run;
use crate::waits::WaitFor;
use crate::windows::Window;
use crate::{
    Announcement, BatchEventRow, BatchRow, CancelRow, Decision, Effect, ItemId, ItemKind, ItemRow,
    LookBack, RunRow, RunStatus, ScheduleRow, Snapshot, ThrottleRow, Timestamp,
};
use hashbrown::HashMap;
use indexmap::IndexSet;
use smallvec::SmallVec;
use std::sync::Arc;
use stepwell_protocol::{FunctionId, RunId, StepId};

/// A snapshot that does not make an engine: the store was written by another version, or is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A function's configuration does not compile.
    #[error("function '{slug}' cannot be loaded: {reason}")]
    Function {
        /// The function's public id.
        slug: String,
        /// What does not fit.
        reason: String,
    },
    /// A queue item belongs to a run that is not unfinished.
    #[error("queue item {item} belongs to run {run}, which is not unfinished")]
    Item {
        /// The item.
        item: ItemId,
        /// Its run.
        run: RunId,
    },
    /// A run's stored keys do not read back.
    #[error("the flow-control keys of run {0} do not read back")]
    Keys(RunId),
    /// A run's function is not there.
    #[error("the function of run {0} is not there")]
    UnknownFunction(RunId),
    /// A debounce window or a batch does not read back, or its function is not there.
    #[error("what waits to start function {0} does not read back")]
    Waiting(FunctionId),
}

impl Engine {
    /// The engine of what was committed. Calls that were in flight are due again; their effects come with the
    /// first decision.
    ///
    /// # Errors
    /// [`LoadError`] when the snapshot contradicts itself.
    pub fn load(snapshot: Snapshot, config: Config, now: Timestamp) -> Result<Self, LoadError> {
        let mut engine = Self::new(config, now);
        engine.apps = snapshot.apps.into_iter().map(|app| (app.id, app)).collect();
        for row in &snapshot.functions {
            let function = Function::from_row(row).map_err(|reason| LoadError::Function {
                slug: row.slug.clone(),
                reason,
            })?;
            if function.endpoint {
                engine.endpoints.count(function.app);
            }
            if !function.archived {
                engine.triggers.add(&function);
                engine.note_slug(&function);
            }
            engine.functions.insert(row.id, Arc::new(function));
        }
        let mut keys = snapshot.recent_keys;
        keys.sort_unstable_by_key(|(_, _, at)| *at);
        for (key, run, at) in keys {
            engine.window.load(key, run, at);
        }
        for row in &snapshot.throttles {
            engine.throttles.put(row.key, row.tat_us);
        }
        for (row, steps, state_bytes) in snapshot.runs {
            engine.load_run(row, steps.into_iter().collect(), state_bytes)?;
        }
        for (run, step, status, bytes) in snapshot.defers {
            if let Some(run) = engine.runs.get_mut(&run) {
                run.defers.push((step, status, bytes));
            }
        }
        let ended: HashMap<RunId, RunStatus> = snapshot.ended.into_iter().collect();
        for row in snapshot.items {
            engine.item_last = engine.item_last.max(row.id);
            engine.load_item(row, &ended)?;
        }
        let runs: Vec<RunId> = engine.runs.keys().copied().collect();
        for run in runs {
            engine.watch_time(run, now);
        }
        for row in snapshot.cancels {
            engine.load_listener(row)?;
        }
        for row in snapshot.deliveries {
            engine.item_last = engine.item_last.max(row.id);
            engine.deliveries.insert(row.id, Delivery::stored(row));
        }
        for row in snapshot.bulk_cancels {
            engine.bulk_cancels.load(row);
        }
        for row in &snapshot.debounces {
            let window = Window::from_row(row).ok_or(LoadError::Waiting(row.function))?;
            engine
                .timers
                .insert((window.closes_at, Timer::Window(row.key)));
            engine.windows.insert(row.key, window);
        }
        for (row, events) in snapshot.batches {
            engine.load_batch(&row, events)?;
        }
        engine.load_schedules(snapshot.schedules);
        Ok(engine)
    }

    fn load_run(
        &mut self,
        row: RunRow,
        steps: IndexSet<StepId>,
        state_bytes: usize,
    ) -> Result<(), LoadError> {
        if !self.functions.contains_key(&row.function) {
            return Err(LoadError::UnknownFunction(row.id));
        }
        let keys = match &row.keys {
            None => Keys::default(),
            Some(text) => Keys::decode(text).ok_or(LoadError::Keys(row.id))?,
        };
        if let Some(place) = keys.singleton {
            self.singletons.insert(place, row.id);
        }
        if row.progress.started_at.is_some() {
            self.queue.enter_run(&keys.runs);
        }
        let run = Run {
            function: row.function,
            function_version: row.function_version,
            events: row.events,
            dedupe_key: row.dedupe_key,
            announces: row.announces,
            queued_at: row.queued_at,
            keys: self.shared_keys(keys),
            origin: row.origin,
            status: row.progress.status,
            started_at: row.progress.started_at,
            request_version: row.progress.request_version,
            force_plan: row.progress.force_plan,
            pending: row.progress.pending,
            steps,
            state_bytes,
            items: SmallVec::new(),
            listeners: Vec::new(),
            defers: Vec::new(),
            over_at: None,
        };
        if run.status == RunStatus::Running {
            self.runs_running += 1;
        }
        self.runs.insert(row.id, Box::new(run));
        self.audit_ring.push_back(row.id);
        Ok(())
    }

    fn load_item(
        &mut self,
        row: ItemRow,
        ended: &HashMap<RunId, RunStatus>,
    ) -> Result<(), LoadError> {
        let (item, run) = (row.id, row.run);
        let orphan = LoadError::Item { item, run };
        if row.kind == ItemKind::Announce {
            let status = ended.get(&run).copied().ok_or(orphan)?;
            let announcement = Announcement { item, run, status };
            self.announcements.insert(item, announcement);
            return Ok(());
        }
        if !self.runs.contains_key(&run) {
            return Err(orphan);
        }
        // Even what is due waits for `resume`, since a due sleep makes changes.
        self.timers.insert((row.due, Timer::Item(item)));
        self.insert_item(row);
        Ok(())
    }

    fn load_listener(&mut self, row: CancelRow) -> Result<(), LoadError> {
        self.item_last = self.item_last.max(row.id);
        if !self.runs.contains_key(&row.run) {
            return Err(LoadError::Item {
                item: row.id,
                run: row.run,
            });
        }
        self.add_listener(row);
        Ok(())
    }

    fn load_batch(&mut self, row: &BatchRow, events: Vec<BatchEventRow>) -> Result<(), LoadError> {
        self.item_last = self.item_last.max(row.id);
        let keys = match &row.keys {
            None => Keys::default(),
            Some(text) => Keys::decode(text).ok_or(LoadError::Waiting(row.function))?,
        };
        let bytes = events.iter().map(|event| event.bytes).sum::<u64>();
        let batch = Batch {
            id: row.id,
            function: row.function,
            closes_at: row.closes_at,
            keys,
            events,
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        };
        self.timers.insert((batch.closes_at, Timer::Batch(row.key)));
        self.batches.insert(row.key, batch);
        Ok(())
    }

    fn load_schedules(&mut self, rows: Vec<ScheduleRow>) {
        for row in rows {
            let Some(function) = self.functions.get(&row.function).map(Arc::clone) else {
                continue;
            };
            let schedule = function
                .schedules
                .iter()
                .find(|schedule| schedule.source() == &*row.cron);
            if let Some(schedule) = schedule {
                self.set_tick((row.function, row.cron), schedule, row.after);
            }
        }
    }

    /// Asks again about the past for the waits that have no answer yet.
    pub(crate) fn look_back_again(&self, out: &mut Decision) {
        let first = out.effects.len();
        for (id, item) in &self.items {
            if let Some(WaitFor::Event {
                name,
                condition,
                since_ms: Some(since_ms),
            }) = item.row.wait.as_deref()
            {
                out.effects.push(Effect::LookBack(Box::new(LookBack {
                    item: *id,
                    run: item.row.run,
                    name: Arc::clone(name),
                    condition: condition.clone(),
                    since: Timestamp::from_ms(*since_ms),
                    until: item.row.due,
                })));
            }
        }
        // In the order in which they were asked first, whatever the map's.
        out.effects[first..].sort_by_key(|effect| match effect {
            Effect::LookBack(look) => look.item,
            _ => ItemId(0),
        });
    }

    /// What a store that has committed all changes so far must hold of the live state.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let runs = self.runs.iter().map(|(id, run)| {
            let steps = run.steps.iter().cloned().collect();
            (run.row(*id), steps, run.state_bytes)
        });
        let items = self.items.values().map(|item| item.row.clone());
        let announcing = self.announcements.values().map(|announcement| {
            let (item, run) = (announcement.item, announcement.run);
            ItemRow::new(item, run, ItemKind::Announce, Timestamp::default())
        });
        let announced = self.announcements.values();
        let defers = self.runs.iter().flat_map(|(id, run)| {
            let defers = run.defers.iter();
            defers.map(|(step, status, bytes)| (*id, step.clone(), *status, *bytes))
        });
        let mut snapshot = Snapshot {
            apps: self.apps.values().cloned().collect(),
            functions: self
                .functions
                .values()
                .map(|function| function.row())
                .collect(),
            runs: runs.collect(),
            items: items.chain(announcing).collect(),
            ended: announced
                .map(|announcement| (announcement.run, announcement.status))
                .collect(),
            recent_keys: self.window.keys(now).collect(),
            throttles: self
                .throttles
                .iter()
                .map(|(key, tat_us)| ThrottleRow { key, tat_us })
                .collect(),
            cancels: self.waits.cancels.values().cloned().collect(),
            deliveries: self
                .deliveries
                .values()
                .map(|delivery| delivery.row)
                .collect(),
            bulk_cancels: self.bulk_cancels.rows().cloned().collect(),
            debounces: self
                .windows
                .iter()
                .map(|(key, window)| window.row(*key))
                .collect(),
            batches: self
                .batches
                .iter()
                .map(|(key, batch)| (batch.row(*key), batch.events.clone()))
                .collect(),
            schedules: self
                .schedules
                .iter()
                .map(|((function, cron), ticking)| ScheduleRow {
                    function: *function,
                    cron: Arc::clone(cron),
                    after: ticking.after,
                })
                .collect(),
            defers: defers.collect(),
        };
        snapshot.normalize();
        snapshot
    }
}
