//! Repeating runs, as the runtime does: what they take over is read from the store.

use super::decider::Asker;
use super::{Phase, World};
use crate::invariant::{Violation, broken};
use crate::ledger::{Cause, Repeated};
use stepwell_engine::{EventRow, Input, KeptStep, Repetition};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::{RunId, shared_json};
use stepwell_store::{StepRecord, StoreError};

impl World<'_> {
    /// Someone wants a run repeated, whole or from one of its steps on.
    pub(super) fn repeat(&mut self, which: u64, from: Option<u64>) -> Result<(), Violation> {
        let runs = self.ledger.runs.iter();
        let runs: Vec<RunId> = runs
            .filter(|(_, run)| from.is_none() || !run.steps.is_empty())
            .map(|(id, _)| *id)
            .collect();
        if self.phase != Phase::Up || self.draining || runs.is_empty() {
            return Ok(());
        }
        let place = usize::try_from(which).expect("a small number") % runs.len();
        let id = runs[place];
        let repetition = self
            .repetition(id, from)
            .map_err(|error| broken("store")(error.to_string()))?;
        let Some(repetition) = repetition else {
            return Ok(());
        };
        let name = self.ledger.name_of(id);
        let steps = repetition.steps.len();
        self.tell(|| format!("someone repeats {name} after {steps} steps"));
        let kept = repetition.steps.iter();
        let cause = Cause::Repeated(Repeated {
            original: repetition.original,
            function: repetition.function,
            kept: kept
                .map(|step| (step.step.clone(), step.value.get().to_owned()))
                .collect(),
            target: repetition.target.clone(),
        });
        self.decide(
            Input::RunRepeated(Box::new(repetition)),
            cause,
            Asker::Nobody,
        )
    }

    /// What repeats a run; nothing for one of a schedule, or without its event.
    fn repetition(&self, id: RunId, from: Option<u64>) -> Result<Option<Repetition>, StoreError> {
        let reader = self.store.reader();
        let Some(run) = reader.run(id)? else {
            return Ok(None);
        };
        let origin = run.origin.unwrap_or_default();
        let event = match run.events.first() {
            Some(event) if origin.cron.is_none() => reader.event(*event)?,
            _ => None,
        };
        let Some(event) = event else {
            return Ok(None);
        };
        let mut steps = reader.steps(id)?;
        steps.sort_by_key(|step| step.queued_at);
        let (mut target, mut input) = (None, None);
        match from {
            Some(from) if !steps.is_empty() => {
                let at = usize::try_from(from).expect("a small number") % steps.len();
                let step = steps[at].step.clone();
                let runs_alone = matches!(
                    Opcode::parse(&steps[at].op),
                    Some(Opcode::StepRun | Opcode::Step | Opcode::StepError | Opcode::StepFailed)
                );
                target = runs_alone.then(|| step.clone());
                if from % 2 == 0 {
                    let arguments = shared_json("[1]".to_owned()).expect("it is JSON");
                    input = Some((step, arguments));
                }
                steps.truncate(at);
            }
            _ => steps.clear(),
        }
        Ok(Some(Repetition {
            original: origin.original.unwrap_or(id),
            function: run.function,
            event: EventRow {
                id: event.id,
                name: event.name,
                external_id: event.external_id,
                ts_ms: event.ts_ms,
                received_at: event.received_at,
                body: event.body,
            },
            steps: steps.into_iter().map(kept).collect(),
            target,
            input,
        }))
    }
}

fn kept(step: StepRecord) -> KeptStep {
    KeptStep {
        op: Opcode::parse(&step.op).unwrap_or(Opcode::StepRun),
        step: step.step,
        name: step.name,
        value: step.value,
        failed: step.failed,
    }
}
