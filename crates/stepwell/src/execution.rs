//! One call of a function: what is recorded, what was found, what may move.
//!
//! A function is polled until nothing of it can move. What it asked for until then decides the answer: a step
//! that may run now is executed in its own place, inside the function's future; any other is reported, and the
//! function is dropped. The next call polls it anew from the start, with one more step recorded.
//!
//! Recorded steps are released one at a time, in the order in which they once completed, and only when nothing
//! else can move: so races end as they once ended, and repeated ids are counted alike on each call.

mod call;
mod checkpoint;
mod deferrals;
mod driver;
mod executed;
mod inside;
mod memo;
mod reply;
mod slot;
mod spec;

pub(crate) use call::{Call, Performed};
pub(crate) use checkpoint::{Checkpointer, Reported, Reports};
use deferrals::Deferrals;
use driver::drive;
pub(crate) use driver::{Ended, Limits, Target, panic_error};
pub(crate) use executed::{Executed, executed, timing};
pub(crate) use inside::current_step;
pub(crate) use memo::Memo;
use memo::Recorded;
#[cfg(feature = "testing")]
pub(crate) use memo::ended as ended_memo;
use reply::check_output;
pub(crate) use reply::{CallReply, REQUEST_VERSION, end_id, is_final, render};
pub(crate) use slot::{Slot, Turn};
pub(crate) use spec::StepSpec;

use crate::Error;
use crate::middleware::{RunInfo, Stack, StepInfo};
use crate::moment::Clock;
use hashbrown::HashMap;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use stepwell_protocol::call::{MemoizedSteps, Stack as CompletionOrder};
use stepwell_protocol::op::{Metadata, Op, Userland};
use stepwell_protocol::{SharedJson, StepId};

/// One call of a function, shared by its driver and its steps.
pub(crate) struct Execution {
    pub(crate) run: RunInfo,
    pub(crate) middleware: Stack,
    pub(crate) client: crate::Client,
    pub(crate) clock: Arc<dyn Clock>,
    /// What middleware gives the handler.
    pub(crate) provided: http::Extensions,
    /// What the run's events say that they belong to.
    pub(crate) sessions: BTreeMap<String, String>,
    state: Mutex<State>,
}

impl fmt::Debug for Execution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Execution")
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

struct State {
    memos: HashMap<StepId, Memo>,
    /// What steps that are still to run get instead of their own inputs.
    inputs: HashMap<StepId, SharedJson>,
    /// Recorded steps that were not released yet, in the order in which they completed.
    order: VecDeque<StepId>,
    found: Vec<Found>,
    positions: HashMap<StepId, usize>,
    /// The step that was last allowed to execute: no other executes, or may. A look at all that were found would cost a
    /// replay the square of their number.
    permitted: Option<usize>,
    /// How many of those found are not over.
    under_way: usize,
    repeats: HashMap<String, usize>,
    replaying: bool,
    executed: Option<Executed>,
    misuse: Option<Error>,
    /// What the step's code that executes has noted.
    notes: Vec<Metadata>,
    deferrals: Deferrals,
    /// What code of steps has sent, and how often.
    sends: HashMap<[u8; 32], u32>,
}

/// What a call says of what was before it.
pub(crate) struct Known {
    pub(crate) steps: MemoizedSteps,
    pub(crate) completed: CompletionOrder,
    pub(crate) defers: Map<String, Value>,
    pub(crate) provided: http::Extensions,
    pub(crate) sessions: BTreeMap<String, String>,
}

/// A step that the function asked for.
struct Found {
    id: StepId,
    info: StepInfo,
    op: Op,
    has_other_input: bool,
    phase: Phase,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Asked for, and pending.
    Waiting,
    /// Its recorded result may be taken.
    Released,
    /// It may execute.
    Permitted,
    /// It executes.
    Executing,
    /// Its result was taken, or its future dropped.
    Over,
}

impl Execution {
    pub(crate) fn new(
        run: RunInfo,
        middleware: Stack,
        client: crate::Client,
        clock: Arc<dyn Clock>,
        known: Known,
    ) -> Arc<Self> {
        let Known {
            steps,
            completed,
            defers,
            provided,
            sessions,
        } = known;
        let mut memos = HashMap::with_capacity(steps.0.len());
        let mut order = VecDeque::with_capacity(steps.0.len());
        let mut unordered = Vec::new();
        let stacked: HashSet<&StepId> = completed.stack.iter().collect();
        let mut inputs = HashMap::new();
        for (id, value) in steps.0 {
            let memo = match memo::read(&value) {
                Recorded::Ended(memo) => memo,
                Recorded::Input(input) => {
                    inputs.insert(id, input);
                    continue;
                }
            };
            if !stacked.contains(&id) {
                unordered.push(id.clone());
            }
            memos.insert(id, memo);
        }
        let mut seen = HashSet::new();
        let known = completed.stack.into_iter().chain(unordered);
        order.extend(known.filter(|id| memos.contains_key(id) && seen.insert(id.clone())));
        let replaying = !memos.is_empty();
        Arc::new(Self {
            run,
            middleware,
            client,
            clock,
            provided,
            sessions,
            state: Mutex::new(State {
                memos,
                inputs,
                order,
                found: Vec::new(),
                positions: HashMap::new(),
                permitted: None,
                under_way: 0,
                repeats: HashMap::new(),
                replaying,
                executed: None,
                misuse: None,
                notes: Vec::new(),
                deferrals: Deferrals::new(defers),
                sends: HashMap::new(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code of the user runs under the lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether recorded steps are still to be replayed.
    pub(crate) fn is_replaying(&self) -> bool {
        self.state().replaying
    }

    /// Notes something about the step whose code calls this; `false` outside of one.
    pub(crate) fn note(&self, note: Metadata) -> bool {
        let is_inside = inside::is_of(self);
        if is_inside {
            self.state().notes.push(note);
        }
        is_inside
    }

    /// Has a run scheduled when this one ends. Says why not.
    pub(crate) fn defer(&self, op: Op) -> Result<(), String> {
        self.state().deferrals.add(op)
    }

    /// Takes a deferral back.
    pub(crate) fn abort_deferral(&self, target: &StepId) {
        self.state().deferrals.abort(target);
    }

    /// What rides along with the answer.
    pub(crate) fn take_riders(&self) -> Vec<Op> {
        self.state().deferrals.take()
    }

    fn found_info(&self, position: usize) -> StepInfo {
        self.state().found[position].info.clone()
    }
}

impl State {
    /// The steps that are pending and not recorded, in the order in which they were found.
    fn new_steps(&self) -> impl Iterator<Item = (usize, &Found)> {
        self.found.iter().enumerate().filter(|(_, found)| {
            found.phase == Phase::Waiting && !self.memos.contains_key(&found.id)
        })
    }

    /// Whether the step that is asked for next under this id is recorded.
    fn is_recorded(&self, id: &str) -> bool {
        let index = self.repeats.get(id).copied().unwrap_or_default();
        self.memos.contains_key(&StepId::of(id, index))
    }

    /// Releases the recorded step that completed first among those asked for. Returns whether there was one.
    fn release_next(&mut self) -> bool {
        let next = self.order.iter().enumerate().find_map(|(at, id)| {
            let position = *self.positions.get(id)?;
            (self.found[position].phase == Phase::Waiting).then_some((at, position))
        });
        let Some((at, position)) = next else {
            return false;
        };
        self.order.remove(at);
        if self.order.is_empty() {
            self.replaying = false;
        }
        self.set_phase(position, Phase::Released);
        true
    }

    fn set_phase(&mut self, position: usize, phase: Phase) {
        let found = &mut self.found[position];
        found.phase = phase;
        if let Some(waker) = found.waker.take() {
            waker.wake();
        }
    }

    fn end(&mut self, position: usize) {
        let phase = &mut self.found[position].phase;
        if *phase != Phase::Over {
            *phase = Phase::Over;
            self.under_way -= 1;
        }
    }

    /// Takes a step that executed in this call as recorded: it is released as those are that were recorded before.
    fn record(&mut self, op: &Op) {
        let position = self.positions[&op.id];
        let data = op.data.clone().expect("a step that has run has data");
        self.memos.insert(op.id.clone(), Memo::Data(data));
        self.order.push_back(op.id.clone());
        self.set_phase(position, Phase::Waiting);
    }

    /// How often the same was sent before.
    fn nth_send(&mut self, what: [u8; 32]) -> u32 {
        let count = self.sends.entry(what).or_default();
        *count += 1;
        *count - 1
    }

    fn register(&mut self, spec: StepSpec, cx: &Context<'_>) -> usize {
        let repeats = self.repeats.entry(spec.id.clone()).or_default();
        let index = *repeats;
        *repeats += 1;
        let twin = |found: &Found| found.info.id == spec.id && found.phase != Phase::Over;
        // Steps of a loop come one after another: none is looked for among those that are over.
        if index > 0 && self.under_way > 0 && self.found.iter().any(twin) {
            tracing::warn!(
                step = %spec.id,
                "two steps of one id are under way at once: which of them is which depends on their order; give each its own id"
            );
        }
        let id = StepId::of(&spec.id, index);
        let kind = spec.kind();
        let display_name = spec.display_name.unwrap_or_else(|| spec.id.clone());
        let mut op = Op::new(
            spec.opcode,
            id.clone(),
            spec.name.unwrap_or_else(|| spec.id.clone()),
        );
        op.display_name = Some(display_name.clone());
        op.opts = (!spec.opts.is_empty()).then_some(spec.opts);
        op.userland = Some(Userland {
            id: spec.id.clone(),
            index: index as u64,
        });
        self.found.push(Found {
            id: id.clone(),
            info: StepInfo {
                id: spec.id,
                index,
                display_name,
                kind,
            },
            op,
            has_other_input: spec.has_other_input,
            phase: Phase::Waiting,
            waker: Some(cx.waker().clone()),
        });
        self.under_way += 1;
        let position = self.found.len() - 1;
        self.positions.insert(id, position);
        position
    }
}

#[cfg(test)]
mod tests;
