//! What the tables hold of a run's past, and how it comes in.

use super::{Run, Tables};
use crate::{AttemptRecord, History, RunRecord, StepOutline, StepRecord};
use std::sync::Arc;
use stepwell_engine::{AttemptRow, ItemId, StepDetail, StepRow};
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
            metadata: run.metadata.records().to_vec(),
            user_spans: run.user_spans.values().cloned().collect(),
        })
    }

    pub(super) fn record(run: &Run) -> RunRecord {
        let end = run.end.as_ref();
        RunRecord {
            id: run.row.id,
            function: run.row.function,
            function_version: run.row.function_version,
            events: run.row.events.to_vec(),
            status: end.map_or(run.row.progress.status, |end| end.status),
            queued_at: run.row.queued_at,
            started_at: run.row.progress.started_at,
            ended_at: end.map(|end| end.ended_at),
            output: end.and_then(|end| end.output.clone()),
            origin: run.row.origin.as_deref().cloned(),
            cause: end.and_then(|end| end.cause),
            last_call: end.and_then(|end| end.last_call),
        }
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

/// A step as it is read.
pub(super) fn step(row: &StepRow) -> StepRecord {
    StepRecord {
        step: row.step.clone(),
        op: row.op.to_owned(),
        name: row.name.clone(),
        value: Arc::clone(&row.value),
        failed: row.failed,
        attempt: row.attempt,
        queued_at: row.queued_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
        detail: detail(row.detail.as_deref()),
        failures_of: row.failures_of,
    }
}

/// An attempt as it is read.
pub(super) fn attempt(row: &AttemptRow) -> AttemptRecord {
    AttemptRecord {
        item: row.item,
        attempt: row.attempt,
        step: row.step.clone(),
        name: row.name.clone(),
        error: row.error.clone(),
        queued_at: row.queued_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
        retry_at: row.retry_at,
        op: row.op.map(str::to_owned),
        detail: detail(row.detail.as_deref()),
    }
}

/// What a row's detail says; text that says nothing is as good as none.
fn detail(text: Option<&str>) -> Option<StepDetail> {
    text.and_then(|text| serde_json::from_str(text).ok())
}
