//! The reading side.

use super::{Memory, Tables};
use crate::{
    AppRecord, AttemptRecord, DeferRecord, EventFilter, EventPage, EventQuery, EventRecord,
    FunctionRecord, History, MetadataRecord, Reader, RunFilter, RunPage, RunQuery, RunRecord,
    RunState, StepRecord, StoreError,
};
use std::ops::Bound;
use std::sync::Arc;
use stepwell_engine::{BulkCancelRow, ItemId, ItemRow, Timestamp, Verdict};
use stepwell_protocol::{EventId, FunctionId, RunId, StepId};

impl Reader for Memory {
    fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        Ok(self.tables().runs.get(&id).map(Tables::record))
    }

    fn runs_of_event(&self, id: EventId) -> Result<Vec<RunRecord>, StoreError> {
        let tables = self.tables();
        let runs = tables
            .event_runs
            .range((id, RunId::from_bytes([0; 16]))..=(id, RunId::from_bytes([0xff; 16])));
        Ok(runs
            .filter_map(|(_, run)| tables.runs.get(run))
            .map(Tables::record)
            .collect())
    }

    fn event(&self, id: EventId) -> Result<Option<EventRecord>, StoreError> {
        Ok(self.tables().events.get(&id).cloned())
    }

    fn events(
        &self,
        name: Option<&str>,
        before: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let tables = self.tables();
        let before = before.unwrap_or(EventId::from_bytes([0xff; 16]));
        let newest = tables.events.range(..before).rev().map(|(_, event)| event);
        Ok(newest
            .filter(|event| name.is_none_or(|name| event.name == name))
            .take(limit)
            .cloned()
            .collect())
    }

    fn events_since(
        &self,
        name: &str,
        since: Timestamp,
        after: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let tables = self.tables();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let events = tables.events.range((after, Bound::Unbounded));
        Ok(events
            .map(|(_, event)| event)
            .filter(|event| event.name == name && event.received_at >= since)
            .take(limit)
            .cloned()
            .collect())
    }

    fn find_runs(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        Ok(self.tables().find_runs(query))
    }

    fn count_runs(&self, filter: &RunFilter, rows_max: usize) -> Result<usize, StoreError> {
        Ok(self.tables().count_runs(filter, rows_max))
    }

    fn find_events(&self, query: &EventQuery) -> Result<EventPage, StoreError> {
        Ok(self.tables().find_events(query))
    }

    fn count_events(&self, filter: &EventFilter, rows_max: usize) -> Result<usize, StoreError> {
        Ok(self.tables().count_events(filter, rows_max))
    }

    fn event_names(&self, ids: &[EventId]) -> Result<Vec<Option<String>>, StoreError> {
        let tables = self.tables();
        let events = ids.iter().map(|id| tables.events.get(id));
        Ok(events
            .map(|event| event.map(|event| event.name.clone()))
            .collect())
    }

    fn verdicts(&self, event: EventId) -> Result<Vec<(FunctionId, Verdict)>, StoreError> {
        let least = FunctionId::from_bytes([0; 16]);
        let most = FunctionId::from_bytes([0xff; 16]);
        let tables = self.tables();
        let found = tables.verdicts.range((event, least)..=(event, most));
        Ok(found
            .map(|((_, function), verdict)| (*function, verdict.clone()))
            .collect())
    }

    fn bulk_cancels(&self) -> Result<Vec<BulkCancelRow>, StoreError> {
        Ok(self.tables().bulk_cancels.values().cloned().collect())
    }

    fn defers(&self, run: RunId) -> Result<Vec<DeferRecord>, StoreError> {
        let tables = self.tables();
        let run = tables.runs.get(&run);
        Ok(run.map(|run| run.defers.clone()).unwrap_or_default())
    }

    fn metadata(&self, run: RunId) -> Result<Vec<MetadataRecord>, StoreError> {
        let tables = self.tables();
        let run = tables.runs.get(&run);
        let mut noted = run
            .map(|run| run.metadata.records().to_vec())
            .unwrap_or_default();
        noted.sort_by_key(|one| one.updated_at);
        Ok(noted)
    }

    fn items(&self, run: RunId) -> Result<Vec<ItemRow>, StoreError> {
        let tables = self.tables();
        let ids = tables
            .run_items
            .range((run, ItemId(0))..=(run, ItemId(u64::MAX)));
        Ok(ids
            .filter_map(|(_, id)| tables.items.get(id))
            .cloned()
            .collect())
    }

    fn steps(&self, run: RunId) -> Result<Vec<StepRecord>, StoreError> {
        Ok(self
            .tables()
            .runs
            .get(&run)
            .map(|run| run.steps.clone())
            .unwrap_or_default())
    }

    fn step(&self, run: RunId, step: &StepId) -> Result<Option<StepRecord>, StoreError> {
        let tables = self.tables();
        let run = tables.runs.get(&run);
        let mut steps = run.into_iter().flat_map(|run| &run.steps);
        Ok(steps.find(|record| record.step == *step).cloned())
    }

    fn history(&self, run: RunId) -> Result<Option<History>, StoreError> {
        Ok(self.tables().history(run))
    }

    fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError> {
        Ok(self
            .tables()
            .runs
            .get(&run)
            .map(|run| run.attempts.clone())
            .unwrap_or_default())
    }

    fn run_state(&self, run: RunId) -> Result<Option<RunState>, StoreError> {
        let tables = self.tables();
        let Some(run) = tables.runs.get(&run) else {
            return Ok(None);
        };
        let events = run.row.events.iter().map(|id| {
            let event = tables
                .events
                .get(id)
                .ok_or_else(|| StoreError::Damaged(format!("event {id} is not there")))?;
            Ok(Arc::clone(&event.body))
        });
        Ok(Some(RunState {
            events: events.collect::<Result<_, StoreError>>()?,
            steps: run
                .steps
                .iter()
                .map(|step| (step.step.clone(), Arc::clone(&step.value)))
                .collect(),
            inputs: run.inputs.clone(),
        }))
    }

    fn apps(&self) -> Result<Vec<AppRecord>, StoreError> {
        let tables = self.tables();
        let mut apps: Vec<AppRecord> = tables.apps.values().map(Tables::app_record).collect();
        apps.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(apps)
    }

    fn function(&self, id: FunctionId) -> Result<Option<FunctionRecord>, StoreError> {
        let tables = self.tables();
        Ok(tables
            .functions
            .get(&id)
            .map(|row| tables.function_record(row)))
    }

    fn functions(&self) -> Result<Vec<FunctionRecord>, StoreError> {
        let mut records = self.all_functions()?;
        records.retain(|record| !record.archived);
        Ok(records)
    }

    fn all_functions(&self) -> Result<Vec<FunctionRecord>, StoreError> {
        let tables = self.tables();
        let functions = tables.functions.values();
        let mut records: Vec<FunctionRecord> =
            functions.map(|row| tables.function_record(row)).collect();
        records.sort_by(|a, b| (&a.app_name, &a.slug).cmp(&(&b.app_name, &b.slug)));
        Ok(records)
    }
}
