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
mod memo;
mod reply;
mod spec;

pub(crate) use call::{Call, Performed};
pub(crate) use checkpoint::{Checkpointer, Reported, Reports};
use deferrals::Deferrals;
use driver::drive;
pub(crate) use driver::{Ended, Limits, Target, panic_error};
pub(crate) use memo::Memo;
use memo::Recorded;
#[cfg(feature = "testing")]
pub(crate) use memo::ended as ended_memo;
use reply::check_output;
pub(crate) use reply::{CallReply, REQUEST_VERSION, end_id, is_final, render};
pub(crate) use spec::StepSpec;

use crate::Error;
use crate::error::{StepError, serialized};
use crate::middleware::{RunInfo, Stack, StandIn, StepInfo};
use crate::moment::Clock;
use hashbrown::HashMap;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use stepwell_protocol::call::{MemoizedSteps, Stack as CompletionOrder};
use stepwell_protocol::op::{Metadata, Op, Opcode, Timing, Userland};
use stepwell_protocol::{SharedJson, StepId, limits};

thread_local! {
    /// The execution whose step is being polled on this thread, by address; 0 when none is.
    static INSIDE_STEP: Cell<usize> = const { Cell::new(0) };
}

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

/// What the one step that executed in this call reports.
#[derive(Debug)]
pub(crate) struct Executed {
    pub(crate) op: Op,
    /// The error, and whether no other attempt comes.
    pub(crate) failure: Option<(Error, bool)>,
}

/// A step's place in an execution.
#[derive(Debug)]
pub(crate) struct Slot {
    execution: Arc<Execution>,
    spec: Option<StepSpec>,
    position: Option<usize>,
}

/// What a step's future is to do.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Stay pending.
    Wait,
    /// Execute now, and keep executing.
    Execute,
    /// Resolve with this.
    Resolve(Memo),
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
        let inside = INSIDE_STEP.get() == self.address();
        if inside {
            self.state().notes.push(note);
        }
        inside
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

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
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

impl Slot {
    pub(crate) fn new(execution: Arc<Execution>, spec: StepSpec) -> Self {
        Self {
            execution,
            spec: Some(spec),
            position: None,
        }
    }

    pub(crate) fn execution(&self) -> &Arc<Execution> {
        &self.execution
    }

    /// The step as it will be asked for; `None` once it was.
    pub(crate) fn spec_mut(&mut self) -> Option<&mut StepSpec> {
        self.spec.as_mut()
    }

    /// Asks for the step, the first time; says what to do.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Turn {
        let execution = &*self.execution;
        let mut spec = self.spec.take();
        let mut refused = None;
        if let Some(spec) = &mut spec
            && INSIDE_STEP.get() != execution.address()
        {
            // Code of the user's, before the lock.
            refused = spec.transform(execution).err();
        }
        let mut state = execution.state();
        if let (None, Some(spec)) = (self.position, &mut spec)
            && refused.is_none()
            // What is recorded counts, though the step could not be asked for today.
            && !state.is_recorded(&spec.id)
        {
            refused = spec.problem.take();
        }
        let position = match (self.position, spec) {
            (Some(position), _) => position,
            (None, Some(spec)) if INSIDE_STEP.get() == execution.address() => {
                let outer = state
                    .found
                    .iter()
                    .find(|found| found.phase == Phase::Executing);
                let outer = outer.map_or("?", |found| found.info.id.as_str());
                let message = format!(
                    "step \"{}\" is awaited inside step \"{outer}\": a step cannot contain steps; await it before or after \"{outer}\"",
                    spec.id
                );
                state
                    .misuse
                    .get_or_insert(Error::new("NestedStepError", message).non_retriable());
                return Turn::Wait;
            }
            (None, Some(spec)) => {
                if let Some(problem) = refused {
                    let message = format!("step \"{}\" cannot be asked for: {problem}", spec.id);
                    let error = Error::new(problem.name().to_owned(), message).non_retriable();
                    state.misuse.get_or_insert(error);
                    return Turn::Wait;
                }
                let position = state.register(spec, cx);
                self.position = Some(position);
                position
            }
            (None, None) => return Turn::Wait,
        };
        match state.found[position].phase {
            Phase::Waiting | Phase::Over => {
                let old = state.found[position].waker.replace(cx.waker().clone());
                // A waker may own what it wakes, other steps included: it goes after the lock.
                drop(state);
                drop(old);
                Turn::Wait
            }
            Phase::Permitted | Phase::Executing => {
                let found = &mut state.found[position];
                found.phase = Phase::Executing;
                // The step's result wakes whoever polls it, which need not be the function as a whole.
                let old = found.waker.replace(cx.waker().clone());
                drop(state);
                drop(old);
                Turn::Execute
            }
            Phase::Released => {
                state.end(position);
                let found = &state.found[position];
                let memo = state
                    .memos
                    .get(&found.id)
                    .expect("only recorded steps are released")
                    .clone();
                if execution.middleware.is_empty() {
                    return Turn::Resolve(memo);
                }
                let info = found.info.clone();
                drop(state);
                self.resolve(&info, memo)
            }
        }
    }

    /// Lets middleware change what the function gets.
    fn resolve(&self, info: &StepInfo, memo: Memo) -> Turn {
        let execution = &*self.execution;
        let mut result = memo.into_result().map_err(|error| *error);
        let transformed =
            execution
                .middleware
                .transform_step_result(&execution.run, info, &mut result);
        match transformed {
            Ok(()) => Turn::Resolve(match result {
                Ok(data) => Memo::Data(data),
                Err(error) => Memo::Failed(Box::new(error)),
            }),
            Err(error) => {
                self.fail(error);
                Turn::Wait
            }
        }
    }

    /// The same for a step that the server sees to: it never executes here.
    pub(crate) fn poll_recorded(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Result<SharedJson, StepError>> {
        match self.poll(cx) {
            Turn::Wait | Turn::Execute => Poll::Pending,
            Turn::Resolve(memo) => Poll::Ready(
                memo.into_result()
                    .map_err(|error| StepError::new(self.info().id, *error)),
            ),
        }
    }

    /// What the step is to get instead of its own inputs: a JSON array.
    pub(crate) fn input(&self) -> Option<SharedJson> {
        let position = self.position.expect("the step was asked for");
        let state = self.execution.state();
        let found = &state.found[position];
        let recorded = state.inputs.get(&found.id).cloned();
        recorded.or_else(|| {
            let opts = found.op.opts.as_ref().filter(|_| found.has_other_input);
            let input = opts?.get("input")?.to_string();
            Some(stepwell_protocol::shared_json(input).expect("a JSON value's text is JSON"))
        })
    }

    /// The step's info, once it was asked for.
    pub(crate) fn info(&self) -> StepInfo {
        let position = self.position.expect("the step was asked for");
        self.execution.found_info(position)
    }

    pub(crate) fn hash(&self) -> StepId {
        let position = self.position.expect("the step was asked for");
        self.execution.state().found[position].id.clone()
    }

    /// What runs in the place of the step's code, if anything does.
    pub(crate) fn stand_in(&self) -> Option<StandIn> {
        let execution = &*self.execution;
        let position = self.position.expect("the step was asked for");
        let (info, input) = {
            let state = execution.state();
            let found = &state.found[position];
            let opts = found.op.opts.as_ref();
            let input = opts.and_then(|opts| opts.get("input")).cloned();
            (found.info.clone(), input.unwrap_or_default())
        };
        execution.middleware.stand_in(&execution.run, &info, &input)
    }

    /// Runs a poll of the step's own code; steps asked for within are refused.
    pub(crate) fn enter<T>(&self, poll: impl FnOnce() -> T) -> T {
        struct Restore(usize);
        impl Drop for Restore {
            fn drop(&mut self) {
                INSIDE_STEP.set(self.0);
            }
        }
        let _restore = Restore(INSIDE_STEP.replace(self.execution.address()));
        poll()
    }

    /// Takes the result of the step that executed.
    pub(crate) fn complete(&self, result: Result<SharedJson, Error>, timing: Timing) {
        let execution = &*self.execution;
        let info = self.info();
        let result = result.and_then(|output| check_size(&info, output));
        match &result {
            Ok(output) => execution
                .middleware
                .notify(|hooks| hooks.on_step_complete(&execution.run, &info, output)),
            Err(error) => {
                let is_final = is_final(error, &execution.run);
                execution
                    .middleware
                    .notify(|hooks| hooks.on_step_error(&execution.run, &info, error, is_final));
            }
        }
        let mut state = execution.state();
        let position = self.position.expect("the step was asked for");
        let mut op = state.found[position].op.clone();
        op.timing = Some(timing);
        op.metadata.append(&mut state.notes);
        state.executed = Some(executed(op, result, &execution.run));
    }

    /// Fails the attempt because a step without a result of its own has failed.
    pub(crate) fn fail(&self, error: Error) {
        self.execution.state().misuse.get_or_insert(error);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(position) = self.position {
            let mut state = self.execution.state();
            state.end(position);
            let waker = state.found[position].waker.take();
            drop(state);
            drop(waker);
        }
    }
}

fn check_size(info: &StepInfo, output: SharedJson) -> Result<SharedJson, Error> {
    let (size, max) = (output.get().len(), limits::STEP_OUTPUT_BYTES_MAX);
    if size <= max {
        return Ok(output);
    }
    let message = format!(
        "step \"{}\" returned {size} bytes; at most {max} are recorded: store the data elsewhere and return a reference",
        info.id
    );
    Err(Error::new("StepOutputTooLarge", message).non_retriable())
}

pub(crate) fn executed(mut op: Op, result: Result<SharedJson, Error>, run: &RunInfo) -> Executed {
    match result {
        Ok(output) => {
            op.op = Opcode::StepRun;
            op.data = Some(output);
            Executed { op, failure: None }
        }
        Err(error) => {
            let is_final = is_final(&error, run);
            let wire = error.to_wire();
            op.op = Opcode::StepError;
            if is_final {
                op.op = Opcode::StepFailed;
                let bare = stepwell_protocol::UserError::new(&wire.name, &wire.message);
                let data = serialized(&stepwell_protocol::UserError {
                    data: wire.data.clone(),
                    ..bare
                });
                op.data = stepwell_protocol::shared_json(data.to_string()).ok();
            }
            op.error = Some(wire);
            Executed {
                op,
                failure: Some((error, is_final)),
            }
        }
    }
}

impl State {
    /// Takes a step that executed in this call as recorded: it is released as those are that were recorded before.
    fn record(&mut self, op: &Op) {
        let position = self.positions[&op.id];
        let data = op.data.clone().expect("a step that has run has data");
        self.memos.insert(op.id.clone(), Memo::Data(data));
        self.order.push_back(op.id.clone());
        self.set_phase(position, Phase::Waiting);
    }
}

/// Nanoseconds since the Unix epoch, and a duration in nanoseconds.
pub(crate) fn timing(start_ms: i64, duration: Duration) -> Timing {
    Timing {
        a: start_ms as f64 * 1e6,
        b: duration.as_nanos() as f64,
    }
}

#[cfg(test)]
mod tests;
