//! Repeating a run: what it takes over from the first one.

use crate::handle::{Handle, Unavailable};
use stepwell_engine::{Answer, EventRow, Input, KeptStep, Repetition};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::{RunId, SharedJson, StepId};
use stepwell_store::{Reader, StepRecord, StoreError};

/// Why a run was not repeated.
#[derive(Debug, thiserror::Error)]
pub enum RepeatError {
    /// There is no such run.
    #[error("there is no run {0}")]
    NoRun(RunId),
    /// A schedule started it: it has no event to give again.
    #[error("run {0} was started by a schedule and cannot be repeated")]
    Cron(RunId),
    /// Its event was pruned.
    #[error("the event of run {0} is no longer kept")]
    NoEvent(RunId),
    /// Its function is no longer registered.
    #[error("the function of run {0} is no longer registered")]
    NoFunction(RunId),
    /// The run has no such step.
    #[error("Step not found in original run")]
    NoStep,
    /// Several steps have this name.
    #[error("Step name matches multiple steps in original run")]
    Ambiguous,
    /// Nothing can be taken in now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Handle {
    /// Runs a run again, whole or from one of its steps on: its hashed id or its name. The step may get other arguments, a
    /// JSON array. Returns the new run.
    ///
    /// # Errors
    /// [`RepeatError`].
    pub async fn repeat(
        &self,
        original: RunId,
        from: Option<(String, Option<SharedJson>)>,
    ) -> Result<RunId, RepeatError> {
        let repetition = self
            .read(move |reader| Ok(repetition(reader, original, from)))
            .await??;
        let bytes = repetition
            .steps
            .iter()
            .map(|step| step.value.get().len())
            .sum::<usize>()
            + repetition.event.body.get().len();
        let input = Input::RunRepeated(Box::new(repetition));
        match self.ask(input, bytes).await? {
            Answer::Repeated(run) => run.ok_or(RepeatError::NoFunction(original)),
            other => unreachable!("a repetition is answered as one, not {other:?}"),
        }
    }
}

fn repetition(
    reader: &dyn Reader,
    id: RunId,
    from: Option<(String, Option<SharedJson>)>,
) -> Result<Repetition, RepeatError> {
    let run = reader.run(id)?.ok_or(RepeatError::NoRun(id))?;
    let origin = run.origin.unwrap_or_default();
    if origin.cron.is_some() {
        return Err(RepeatError::Cron(id));
    }
    let event = run
        .events
        .first()
        .copied()
        .ok_or(RepeatError::NoEvent(id))?;
    let event = reader.event(event)?.ok_or(RepeatError::NoEvent(id))?;
    let mut repetition = Repetition {
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
        steps: Vec::new(),
        target: None,
        input: None,
    };
    let Some((name, input)) = from else {
        return Ok(repetition);
    };
    let mut steps = reader.steps(id)?;
    let at = position_of(&steps, &name)?;
    let (step, ended_at) = (steps[at].step.clone(), steps[at].ended_at);
    // Steps that no call runs are found again by a call that finds out what comes next.
    let runs_alone = matches!(
        Opcode::parse(&steps[at].op),
        Some(Opcode::StepRun | Opcode::Step | Opcode::StepError | Opcode::StepFailed)
    );
    repetition.target = runs_alone.then(|| step.clone());
    repetition.input = input.map(|input| (step, input));
    // Whatever the step was given had ended before it. What ended later and began before its end, was beside it.
    let later = steps.split_off(at).into_iter().skip(1);
    steps.extend(later.filter(|step| step.started_at < ended_at));
    repetition.steps = steps.into_iter().map(kept).collect();
    Ok(repetition)
}

/// Where the step is that goes by this hashed id, or by this name.
fn position_of(steps: &[StepRecord], name: &str) -> Result<usize, RepeatError> {
    let id = StepId::parse(name);
    if let Some(at) = steps.iter().position(|step| step.step == id) {
        return Ok(at);
    }
    let mut named = (0..steps.len()).filter(|at| steps[*at].name == name);
    match (named.next(), named.next()) {
        (Some(at), None) => Ok(at),
        (None, _) => Err(RepeatError::NoStep),
        (Some(_), Some(_)) => Err(RepeatError::Ambiguous),
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
