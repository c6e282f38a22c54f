//! The engine: its state, its one verb, and how it is loaded.

use crate::batches::Batch;
use crate::bulk_cancel::BulkCancels;
use crate::census::Backlogs;
use crate::decision::{Answer, Decision};
use crate::deliver::Delivery;
use crate::endpoint::Endpoints;
use crate::flow::throttle::Buckets;
use crate::flow::{Keys, idempotency};
use crate::function::Function;
use crate::item::Item;
use crate::ops::gateway::Requests;
use crate::ops::invoke::Reply;
use crate::queue::{LaneKey, Queue};
use crate::run::Run;
use crate::ticking::{ScheduleKey, Ticking, Ticks};
use crate::triggers::Index;
use crate::waits::Waits;
use crate::windows::Window;
use crate::{
    Announcement, AppRow, Backoff, CatchUp, Change, Effect, IdSource, Input, ItemId, Timestamp,
};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// What becomes of the ticks of a schedule that fell into a time when nothing ran.
    pub catch_up: CatchUp,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            calls_max: 1_000,
            backoff: Backoff::Table,
            catch_up: CatchUp::One,
        }
    }
}

/// Something on the timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Item(ItemId),
    Lane(LaneKey),
    /// A run may be over time.
    Run(RunId),
    /// A debounce window closes.
    Window(u128),
    /// A batch closes.
    Batch(u128),
    /// A schedule ticks.
    Tick(u64),
}

/// The live state of one shard.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) apps: HashMap<AppId, AppRow>,
    pub(crate) functions: HashMap<FunctionId, Arc<Function>>,
    pub(crate) triggers: Index,
    /// How many endpoints each app has.
    pub(crate) endpoints: Endpoints,
    /// Boxed, like items: a map keeps much room free, which is better small.
    pub(crate) runs: HashMap<RunId, Box<Run>>,
    pub(crate) items: HashMap<ItemId, Box<Item>>,
    pub(crate) announcements: BTreeMap<ItemId, Announcement>,
    pub(crate) queue: Queue,
    /// What stands in the queue, counted.
    pub(crate) backlogs: Backlogs,
    /// How many of the runs have been called.
    pub(crate) runs_running: usize,
    pub(crate) timers: BTreeSet<(Timestamp, Timer)>,
    /// Functions by their public ids, without archived ones.
    pub(crate) slugs: HashMap<Arc<str>, SmallVec<[FunctionId; 1]>>,
    pub(crate) waits: Waits,
    pub(crate) deliveries: BTreeMap<ItemId, Delivery>,
    pub(crate) bulk_cancels: BulkCancels,
    pub(crate) requests: Requests,
    /// Answers to invoking steps that are brought before the decision at hand is done.
    pub(crate) replies: VecDeque<Reply>,
    pub(crate) singletons: HashMap<u128, RunId>,
    pub(crate) windows: HashMap<u128, Window>,
    pub(crate) batches: HashMap<u128, Batch>,
    pub(crate) schedules: BTreeMap<ScheduleKey, Ticking>,
    pub(crate) ticks: Ticks,
    /// Unfinished runs, and some that have ended since, in the order in which they are audited.
    pub(crate) audit_ring: VecDeque<RunId>,
    /// What runs without flow-control keys share.
    pub(crate) no_keys: Arc<Keys>,
    pub(crate) window: idempotency::Window,
    pub(crate) throttles: Buckets,
    pub(crate) item_last: ItemId,
    pub(crate) generation_last: u64,
    /// Whether the numbers of dispatches go on from those of an earlier engine of this process.
    pub(crate) follows: bool,
}

/// How far apart the numbers of two lives' dispatches may be: far more than a life makes, and small enough that numbers
/// stay below 2^53, up to which JSON's readers are exact.
const GENERATIONS_APART: u64 = 1 << 50;

impl Engine {
    /// An engine that knows nothing yet. One that goes on with what an earlier one has written is to [`Self::resume`], so
    /// that dispatches of before are told apart.
    #[must_use]
    pub fn new(config: Config, now: Timestamp) -> Self {
        Self {
            queue: Queue::new(config.calls_max.max(1)),
            config,
            apps: HashMap::new(),
            functions: HashMap::new(),
            triggers: Index::default(),
            endpoints: Endpoints::default(),
            runs: HashMap::new(),
            items: HashMap::new(),
            announcements: BTreeMap::new(),
            backlogs: Backlogs::default(),
            runs_running: 0,
            timers: BTreeSet::new(),
            slugs: HashMap::new(),
            waits: Waits::default(),
            deliveries: BTreeMap::new(),
            bulk_cancels: BulkCancels::default(),
            requests: Requests::default(),
            replies: VecDeque::new(),
            singletons: HashMap::new(),
            windows: HashMap::new(),
            batches: HashMap::new(),
            schedules: BTreeMap::new(),
            ticks: Ticks::default(),
            audit_ring: VecDeque::new(),
            no_keys: Arc::default(),
            window: idempotency::Window::default(),
            throttles: Buckets::default(),
            item_last: ItemId(0),
            generation_last: now.ms().saturating_mul(1_000),
            follows: false,
        }
    }

    /// Numbers dispatches on from those of an engine that this one replaces, so that their answers are told apart.
    pub fn follow(&mut self, earlier: &Self) {
        self.generation_last = self.generation_last.max(earlier.generation_last);
        self.follows = true;
        self.item_last = self.item_last.max(earlier.item_last);
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
            Input::EndpointStarted(start) => {
                let result = self.start_endpoint(*start, now, ids, out);
                out.answer = Some(Answer::EndpointStarted(result));
            }
            Input::EndpointReported { run, steps } => {
                let result = self.report_endpoint(run, steps, now, ids, out);
                out.answer = Some(Answer::EndpointReported(result));
            }
            Input::Announced { item, events } => self.announced(item, events, now, ids, out),
            Input::CancelRun(run) => {
                out.answer = Some(Answer::Cancelled(self.cancel_run(run, now, out)));
            }
            Input::BulkCancelAsked(row) => {
                out.answer = Some(Answer::BulkCancelled(self.bulk_cancel(*row, out)));
            }
            Input::BulkCancelDropped(id) => {
                out.answer = Some(Answer::BulkCancelDropped(self.drop_bulk_cancel(id, out)));
            }
            Input::Swept {
                id,
                generation,
                runs,
                next,
            } => self.swept(id, generation, runs, next, now, out),
            Input::Fetched {
                item,
                generation,
                result,
            } => {
                let result = result.map_err(|failure| *failure);
                let recorded = self.fetched(item, generation, result, now, ids, out);
                out.answer = Some(Answer::Fetched(recorded));
            }
            Input::LookedBack { item, event } => {
                self.looked_back(item, event.as_deref(), now, out);
            }
            Input::Delivered { id, event } => self.delivered(id, event.as_deref(), now, out),
            Input::SignalSent { signal, data } => {
                let resumed = self.signal(&signal, &data, now, out);
                out.answer = Some(Answer::Signalled(resumed));
            }
            Input::FunctionInvoked { function, event } => {
                let verdict = self.invoke_from_outside(&function, *event, now, ids, out);
                out.answer = Some(Answer::Invoked(verdict));
            }
            Input::RunRepeated(repetition) => {
                let run = self.repeat(*repetition, now, ids, out);
                out.answer = Some(Answer::Repeated(run));
            }
            Input::Noted { metadata, spans } => {
                // Payloads: they pass through into changes.
                let metadata = metadata.into_iter().map(Box::new);
                out.changes.extend(metadata.map(Change::MetadataPut));
                let spans = spans.into_iter().map(Box::new);
                out.changes.extend(spans.map(Change::UserSpansPut));
                out.answer = Some(Answer::Noted);
            }
            Input::FunctionPaused { function, paused } => {
                out.answer = Some(Answer::Paused(self.pause(function, paused, out)));
            }
            Input::FunctionBounded { function, bound } => {
                out.answer = Some(Answer::Bounded(self.bound(function, bound, out)));
            }
            Input::Audit => out.answer = Some(Answer::Audited(self.audit(now, out))),
            Input::TimersDue => self.timers_due(now, ids, out),
        }
        self.settle(now, out);
    }

    /// What every decision ends with.
    fn settle(&mut self, now: Timestamp, out: &mut Decision) {
        self.end_new_runs_in_bulk(now, out);
        self.bring_replies(now, out);
        self.dispatch(now, out);
    }

    /// Asks again for everything that was asked for and is not done: to be called once after a load.
    pub fn resume(&mut self, now: Timestamp, ids: &mut IdSource, out: &mut Decision) {
        if !self.follows {
            // By the clock alone, which may have gone back, two lives could number their dispatches alike.
            let apart = ids.below(GENERATIONS_APART);
            self.generation_last = self.generation_last.wrapping_add(apart);
        }
        let announcements = self.announcements.values().copied();
        out.effects.extend(announcements.map(Effect::Announce));
        let deliveries = self.deliveries.values();
        out.effects
            .extend(deliveries.map(|delivery| Effect::Deliver(delivery.row)));
        self.look_back_again(out);
        self.sweep_again(out);
        while self.next_due().is_some_and(|due| due <= now) {
            self.timers_due(now, ids, out);
        }
        self.settle(now, out);
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

    /// The same, but for the ticks of schedules, which come for ever. Looks at all ticks that are due before it.
    #[must_use]
    pub fn next_due_besides_ticks(&self) -> Option<Timestamp> {
        let mut others = self.timers.iter();
        others
            .find(|(_, timer)| !matches!(timer, Timer::Tick(_)))
            .map(|(due, _)| *due)
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

    /// How many waits for events there are, listeners of cancellations included.
    #[must_use]
    pub fn waits(&self) -> usize {
        self.waits.len()
    }

    fn timers_due(&mut self, now: Timestamp, ids: &mut IdSource, out: &mut Decision) {
        for _ in 0..TIMERS_PER_INPUT_MAX {
            match self.timers.first() {
                Some((due, _)) if *due <= now => {}
                _ => return,
            }
            let Some((_, timer)) = self.timers.pop_first() else {
                return;
            };
            match timer {
                Timer::Item(item) => self.schedule_item(item, now, out),
                Timer::Lane(lane) => self.queue.wake(lane, now),
                Timer::Run(run) => self.time_is_up(run, now, out),
                Timer::Window(key) => self.close_window(key, now, ids, out),
                Timer::Batch(key) => {
                    self.close_batch(key, now, ids, out);
                }
                Timer::Tick(number) => self.tick(number, now, ids, out),
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
