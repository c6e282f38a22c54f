//! A step's place in an execution: what its future is told to do, and what it brings.

use super::executed::{check_size, executed};
use super::{Execution, Memo, Phase, StepSpec, inside, is_final};
use crate::Error;
use crate::error::StepError;
use crate::middleware::{StandIn, StepInfo};
use std::sync::Arc;
use std::task::{Context, Poll};
use stepwell_protocol::op::Timing;
use stepwell_protocol::{SharedJson, StepId};

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
            && !inside::is_of(execution)
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
            (None, Some(spec)) if inside::is_of(execution) => {
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
        let position = self.position.expect("the step was asked for");
        inside::enter(&self.execution, position, poll)
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
