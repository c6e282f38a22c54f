//! The engine: its state, its one verb, and how it is loaded.

use crate::decision::{Answer, Decision};
use crate::flow::Keys;
use crate::flow::idempotency::Window;
use crate::flow::throttle::Buckets;
use crate::function::Function;
use crate::item::{Item, ItemState};
use crate::queue::{LaneKey, Queue};
use crate::run::Run;
use crate::triggers::Index;
use crate::{
    Announcement, AppRow, Backoff, Effect, IdSource, Input, ItemId, ItemKind, ItemRow, RunRow,
    RunStatus, Snapshot, ThrottleRow, Timestamp,
};
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stepwell_protocol::{AppId, FunctionId, RunId};

/// Timers that one [`Input::TimersDue`] handles; the rest are due at once again.
const TIMERS_PER_INPUT_MAX: usize = 1_000;

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// Calls in flight at once.
    pub calls_max: usize,
    /// How long to wait after a failed attempt.
    pub backoff: Backoff,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            calls_max: 1_000,
            backoff: Backoff::Table,
        }
    }
}

/// Something on the timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Item(ItemId),
    Lane(LaneKey),
}

/// The live state of one shard.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) apps: HashMap<AppId, AppRow>,
    pub(crate) functions: HashMap<FunctionId, Arc<Function>>,
    pub(crate) triggers: Index,
    pub(crate) runs: HashMap<RunId, Run>,
    pub(crate) items: HashMap<ItemId, Item>,
    pub(crate) announcements: BTreeMap<ItemId, Announcement>,
    pub(crate) queue: Queue,
    pub(crate) timers: BTreeSet<(Timestamp, Timer)>,
    pub(crate) window: Window,
    pub(crate) throttles: Buckets,
    pub(crate) item_last: ItemId,
    generation_last: u64,
}

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
}

impl Engine {
    /// An engine that knows nothing yet. `now` must be later than at any earlier load of the same store, so
    /// that dispatches of before are told apart.
    #[must_use]
    pub fn new(config: Config, now: Timestamp) -> Self {
        Self {
            queue: Queue::new(config.calls_max.max(1)),
            config,
            apps: HashMap::new(),
            functions: HashMap::new(),
            triggers: Index::default(),
            runs: HashMap::new(),
            items: HashMap::new(),
            announcements: BTreeMap::new(),
            timers: BTreeSet::new(),
            window: Window::default(),
            throttles: Buckets::default(),
            item_last: ItemId(0),
            // Dispatches are numbered on from the clock: more than one a microsecond is out of reach.
            generation_last: now.ms().saturating_mul(1_000),
        }
    }

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
            if !function.archived {
                engine.triggers.add(&function);
            }
            engine.functions.insert(row.id, Arc::new(function));
        }
        for (key, queued_at) in snapshot.recent_keys {
            engine.window.insert(key, queued_at, now);
        }
        for row in &snapshot.throttles {
            engine.throttles.put(row.key, row.tat_us);
        }
        for (row, steps, state_bytes) in snapshot.runs {
            engine.load_run(row, steps.into_iter().collect(), state_bytes)?;
        }
        let ended: HashMap<RunId, RunStatus> = snapshot.ended.into_iter().collect();
        for row in snapshot.items {
            engine.item_last = engine.item_last.max(row.id);
            engine.load_item(row, &ended)?;
        }
        // The clock may have gone back since the items were made.
        let made_at = engine.item_last.made_at();
        engine.generation_last = engine
            .generation_last
            .max(made_at.ms().saturating_mul(1_000));
        Ok(engine)
    }

    fn load_run(
        &mut self,
        row: RunRow,
        steps: indexmap::IndexSet<stepwell_protocol::StepId>,
        state_bytes: usize,
    ) -> Result<(), LoadError> {
        if !self.functions.contains_key(&row.function) {
            return Err(LoadError::UnknownFunction(row.id));
        }
        let keys = match &row.keys {
            None => Keys::default(),
            Some(text) => Keys::decode(text).ok_or(LoadError::Keys(row.id))?,
        };
        let run = Run {
            function: row.function,
            function_version: row.function_version,
            events: row.events,
            dedupe_key: row.dedupe_key,
            announces: row.announces,
            queued_at: row.queued_at,
            keys,
            status: row.progress.status,
            started_at: row.progress.started_at,
            request_version: row.progress.request_version,
            force_plan: row.progress.force_plan,
            pending: row.progress.pending,
            steps,
            state_bytes,
            items: smallvec::SmallVec::new(),
        };
        self.runs.insert(row.id, run);
        Ok(())
    }

    fn load_item(
        &mut self,
        row: ItemRow,
        ended: &HashMap<RunId, RunStatus>,
    ) -> Result<(), LoadError> {
        if row.kind == ItemKind::Announce {
            let status = ended.get(&row.run).copied();
            let status = status.ok_or(LoadError::Item {
                item: row.id,
                run: row.run,
            })?;
            self.announcements.insert(
                row.id,
                Announcement {
                    item: row.id,
                    run: row.run,
                    status,
                },
            );
            return Ok(());
        }
        let run = self.runs.get_mut(&row.run).ok_or(LoadError::Item {
            item: row.id,
            run: row.run,
        })?;
        run.items.push(row.id);
        // Even what is due waits for `resume`, since a due sleep makes changes.
        self.timers.insert((row.due, Timer::Item(row.id)));
        let item = Item {
            run: row.run,
            kind: row.kind,
            due: row.due,
            attempt: row.attempt,
            state: ItemState::Later,
        };
        self.items.insert(row.id, item);
        Ok(())
    }

    /// Numbers dispatches on from those of an engine that this one replaces, so that their answers are told apart.
    pub fn follow(&mut self, earlier: &Self) {
        self.generation_last = self.generation_last.max(earlier.generation_last);
        self.item_last = self.item_last.max(earlier.item_last);
    }

    /// What a store that has committed all changes so far must hold of the live state.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let mut snapshot = Snapshot {
            apps: self.apps.values().cloned().collect(),
            functions: self
                .functions
                .values()
                .map(|function| function.row())
                .collect(),
            runs: self
                .runs
                .iter()
                .map(|(id, run)| {
                    let row = RunRow {
                        id: *id,
                        function: run.function,
                        function_version: run.function_version,
                        events: run.events.clone(),
                        dedupe_key: run.dedupe_key,
                        announces: run.announces,
                        queued_at: run.queued_at,
                        keys: run.keys.encode(),
                        progress: run.progress(*id),
                    };
                    (row, run.steps.iter().cloned().collect(), run.state_bytes)
                })
                .collect(),
            items: self
                .items
                .iter()
                .map(|(id, item)| ItemRow {
                    id: *id,
                    run: item.run,
                    kind: item.kind.clone(),
                    due: item.due,
                    attempt: item.attempt,
                })
                .chain(self.announcements.values().map(|announcement| ItemRow {
                    id: announcement.item,
                    run: announcement.run,
                    kind: ItemKind::Announce,
                    due: Timestamp::default(),
                    attempt: 0,
                }))
                .collect(),
            ended: self
                .announcements
                .values()
                .map(|announcement| (announcement.run, announcement.status))
                .collect(),
            recent_keys: self
                .window
                .keys(now)
                .map(|(key, expiry)| {
                    (
                        key,
                        Timestamp::from_ms(expiry.ms() - stepwell_protocol::limits::IDEMPOTENCY_MS),
                    )
                })
                .collect(),
            throttles: self
                .throttles
                .iter()
                .map(|(key, tat_us)| ThrottleRow { key, tat_us })
                .collect(),
        };
        snapshot.normalize();
        snapshot
    }

    /// Decides what follows from an input. Decisions must be committed in the order in which they were made.
    pub fn handle(&mut self, input: Input, now: Timestamp, ids: &mut IdSource, out: &mut Decision) {
        match input {
            Input::EventsReceived(events) => {
                self.receive_events(events, now, ids, out);
                out.answer = Some(Answer::EventsAccepted);
            }
            Input::AppSynced(sync) => self.sync_app(*sync, now, out),
            Input::CallReturned {
                item,
                generation,
                reply,
            } => {
                self.call_returned(item, generation, *reply, now, ids, out);
            }
            Input::StepsCheckpointed {
                run,
                item,
                generation,
                steps,
            } => {
                let result = self.checkpoint(run, item, generation, steps, now, out);
                out.answer = Some(Answer::Checkpointed(result));
            }
            Input::Announced { item, events } => self.announced(item, events, now, ids, out),
            Input::CancelRun(run) => {
                out.answer = Some(Answer::Cancelled(self.cancel_run(run, now, out)))
            }
            Input::TimersDue => self.timers_due(now, out),
        }
        self.dispatch(now, out);
    }

    /// Asks again for everything that was asked for and is not done: to be called once after a load.
    pub fn resume(&mut self, now: Timestamp, out: &mut Decision) {
        out.effects
            .extend(self.announcements.values().copied().map(Effect::Announce));
        while self.next_due().is_some_and(|due| due <= now) {
            self.timers_due(now, out);
        }
        self.dispatch(now, out);
    }

    /// Makes no new calls from now on. Answers to calls in flight are still dealt with.
    pub fn stop_calling(&mut self) {
        self.queue.close();
    }

    /// When [`Input::TimersDue`] is due next.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// How many runs are unfinished.
    #[must_use]
    pub fn runs_unfinished(&self) -> usize {
        self.runs.len()
    }

    /// How many calls are in flight.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.queue.in_flight()
    }

    /// Unfinished runs that nothing will ever move on: no queue item waits for them. There must be none.
    pub fn stuck_runs(&self) -> impl Iterator<Item = RunId> {
        self.runs
            .iter()
            .filter(|(_, run)| run.items.is_empty())
            .map(|(id, _)| *id)
    }

    fn timers_due(&mut self, now: Timestamp, out: &mut Decision) {
        for _ in 0..TIMERS_PER_INPUT_MAX {
            match self.timers.first() {
                Some((due, _)) if *due <= now => {}
                _ => return,
            }
            match self.timers.pop_first() {
                Some((_, Timer::Item(item))) => self.schedule_item(item, now, out),
                Some((_, Timer::Lane(lane))) => self.queue.wake(lane, now),
                None => return,
            }
        }
    }

    pub(crate) fn next_item_id(&mut self, now: Timestamp) -> ItemId {
        self.item_last = ItemId::after(self.item_last, now);
        self.item_last
    }

    pub(crate) fn next_generation(&mut self) -> u64 {
        self.generation_last += 1;
        self.generation_last
    }
}
