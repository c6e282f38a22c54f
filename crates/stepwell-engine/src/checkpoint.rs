//! Checkpoints: a running function reports steps ahead of its answer.

use crate::decision::Decision;
use crate::engine::Engine;
use crate::input::Ask;
use crate::item::ItemState;
use crate::lifecycle::{Recorded, StepEnd};
use crate::{Change, CheckpointedStep, ItemId, StepDetail, Timestamp};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::{RunId, limits};

/// Why a checkpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The run has ended, or never was.
    #[error("run not found in state store")]
    NoRun,
    /// Another dispatch of the queue item is under way.
    #[error("this call is no longer the one that runs the function")]
    Stale,
    /// The op cannot be checkpointed.
    #[error("cannot checkpoint opcode: {0}")]
    Opcode(Opcode),
    /// One step's value is over [`limits::STEP_OUTPUT_BYTES_MAX`].
    #[error("step output size is greater than the limit")]
    OutputTooLarge,
    /// The run's values are over [`limits::RUN_STATE_BYTES_MAX`], or its steps over the limit; it has failed.
    #[error("the run's state is greater than the limit")]
    StateTooLarge,
}

impl Engine {
    pub(crate) fn checkpoint(
        &mut self,
        run: RunId,
        item: ItemId,
        generation: Option<u64>,
        steps: Vec<CheckpointedStep>,
        now: Timestamp,
        out: &mut Decision,
    ) -> Result<(), CheckpointError> {
        if !self.runs.contains_key(&run) {
            return Err(CheckpointError::NoRun);
        }
        let since = match self.items.get(&item) {
            Some(found) if found.row.run == run => match found.state {
                ItemState::InFlight {
                    generation: current,
                    since,
                    ..
                } => {
                    if generation.is_some_and(|generation| generation != current) {
                        return Err(CheckpointError::Stale);
                    }
                    since
                }
                ItemState::Later | ItemState::Ready | ItemState::LookingBack => {
                    return Err(CheckpointError::Stale);
                }
            },
            _ => return Err(CheckpointError::Stale),
        };
        // All or nothing: what follows cannot fail half-way but for the run's own limits, which end it.
        for step in &steps {
            match step.op {
                Opcode::StepRun
                | Opcode::Step
                | Opcode::StepPlanned
                | Opcode::DeferAdd
                | Opcode::DeferAbort => {}
                other => return Err(CheckpointError::Opcode(other)),
            }
            if step
                .value
                .as_ref()
                .is_some_and(|value| value.get().len() > limits::STEP_OUTPUT_BYTES_MAX)
            {
                return Err(CheckpointError::OutputTooLarge);
            }
        }
        let attempt = self.items[&item].row.attempt;
        let mut progress = false;
        for step in steps
            .into_iter()
            .filter(|step| step.op != Opcode::StepPlanned)
        {
            match step.ask {
                Ask::Defer(deferral) => {
                    self.add_defer(run, step.step, *deferral, out);
                    continue;
                }
                Ask::AbortDefer(target) => {
                    self.abort_defer(run, &target, out);
                    continue;
                }
                _ => {}
            }
            let started_at = step
                .started_at
                .unwrap_or(since)
                .clamp(since, now.max(since));
            // What follows a step that was recorded has failed no more: see below.
            let retried = self.items[&item].row.attempt > 0 && !progress;
            let end = StepEnd {
                step: step.step,
                op: step.op.as_str(),
                name: step.title,
                value: step.value.unwrap_or_else(crate::reply::no_data),
                failed: false,
                attempt,
                queued_at: started_at,
                started_at,
                detail: StepDetail::of_run(step.kind).map(|detail| detail.encode()),
                failures_of: retried.then_some(item),
                metadata: step.metadata,
            };
            match self.record_step(run, end, now, out) {
                Recorded::First => progress = true,
                Recorded::Repeated => {}
                Recorded::TooMany => {
                    self.fail_for_steps(run, now, out);
                    return Err(CheckpointError::StateTooLarge);
                }
                Recorded::TooLarge => {
                    self.fail_for_state(run, now, out);
                    return Err(CheckpointError::StateTooLarge);
                }
            }
        }
        // The steps that follow a new one have their own attempts.
        let found = self
            .items
            .get_mut(&item)
            .expect("the call's item was just there");
        if progress && found.row.attempt > 0 {
            found.row.attempt = 0;
            let row = found.row.clone();
            out.changes.push(Change::ItemPut(Box::new(row)));
        }
        Ok(())
    }
}
