//! What the tables hold of a run's past.

use super::Tables;
use crate::{History, StepOutline, StepRecord};
use stepwell_engine::ItemId;
use stepwell_protocol::{EventId, RunId};

impl Tables {
    pub(super) fn history(&self, id: RunId) -> Option<History> {
        let run = self.runs.get(&id)?;
        let items = self
            .run_items
            .range((id, ItemId(0))..=(id, ItemId(u64::MAX)));
        let items: Vec<_> = items
            .filter_map(|(_, item)| self.items.get(item))
            .cloned()
            .collect();
        let invocations = History::invocations(&items, &run.attempts);
        let function = self.functions.get(&run.row.function);
        Some(History {
            run: Self::record(run),
            function: function.map(|row| self.function_record(row)),
            steps: run.steps.iter().map(outline).collect(),
            attempts: run.attempts.clone(),
            invoked: invocations
                .into_iter()
                .filter_map(|event| Some((event, self.first_run(event)?)))
                .collect(),
            items,
        })
    }

    fn first_run(&self, event: EventId) -> Option<RunId> {
        let mut runs = self.event_runs.range((event, RunId::from_bytes([0; 16]))..);
        let (of, run) = runs.next()?;
        (*of == event).then_some(*run)
    }
}

fn outline(step: &StepRecord) -> StepOutline {
    StepOutline {
        step: step.step.clone(),
        op: step.op.clone(),
        name: step.name.clone(),
        failed: step.failed,
        queued_at: step.queued_at,
        started_at: step.started_at,
        ended_at: step.ended_at,
        detail: step.detail.clone(),
        failures_of: step.failures_of,
    }
}
