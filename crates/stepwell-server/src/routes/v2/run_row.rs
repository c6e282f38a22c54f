//! A run, as the second API writes it.

use super::super::rest::moment;
use crate::answer::value;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use stepwell_engine::RunStatus;
use stepwell_protocol::{EventId, FunctionId};
use stepwell_store::{FunctionRecord, Reader, RunRecord, StoreError};
use utoipa::ToSchema;

/// A run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    pub(super) id: String,
    function: RunFunction,
    app: AppReference,
    #[schema(inline)]
    status: Status,
    #[schema(format = DateTime)]
    queued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// Milliseconds from its start to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<String>,
    trigger: RunTrigger,
    /// What it returned, or its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    /// The run that it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    original_run_id: Option<String>,
}

/// A run's function.
#[derive(Debug, Serialize, ToSchema)]
struct RunFunction {
    /// Its id within its app.
    id: String,
    name: String,
    app: AppReference,
}

/// An app, by its name.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AppReference {
    pub(super) id: String,
}

/// What started a run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RunTrigger {
    event_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_name: Option<String>,
    is_batch: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cron_schedule: Option<String>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Status {
    Queued,
    Running,
    Completed,
    Failed,
    Cancelled,
    Skipped,
}

impl Status {
    pub(crate) fn of(status: RunStatus) -> Self {
        match status {
            RunStatus::Scheduled => Self::Queued,
            RunStatus::Running => Self::Running,
            RunStatus::Completed => Self::Completed,
            RunStatus::Failed => Self::Failed,
            RunStatus::Cancelled => Self::Cancelled,
            RunStatus::Skipped => Self::Skipped,
        }
    }

    /// The status of this name, in any case.
    pub(super) fn parse(text: &str) -> Option<RunStatus> {
        Some(match text.to_ascii_uppercase().as_str() {
            "QUEUED" | "SCHEDULED" => RunStatus::Scheduled,
            "RUNNING" => RunStatus::Running,
            "COMPLETED" => RunStatus::Completed,
            "FAILED" => RunStatus::Failed,
            "CANCELLED" => RunStatus::Cancelled,
            "SKIPPED" => RunStatus::Skipped,
            _ => return None,
        })
    }
}

/// What rows of runs tell besides the runs: the names of their functions and events.
#[derive(Debug, Default)]
pub(super) struct Names {
    functions: HashMap<FunctionId, FunctionRecord>,
    events: HashMap<EventId, String>,
}

impl Names {
    pub(super) fn read(reader: &dyn Reader, runs: &[RunRecord]) -> Result<Self, StoreError> {
        let mut names = Self::default();
        for run in runs {
            if !names.functions.contains_key(&run.function)
                && let Some(function) = reader.function(run.function)?
            {
                names.functions.insert(run.function, function);
            }
        }
        let events: Vec<EventId> = runs
            .iter()
            .filter_map(|run| run.events.first())
            .copied()
            .collect();
        let found = reader.event_names(&events)?;
        let known = events.into_iter().zip(found);
        names.events = known.filter_map(|(id, name)| Some((id, name?))).collect();
        Ok(names)
    }
}

impl Run {
    pub(super) fn of(record: &RunRecord, names: &Names) -> Self {
        let origin = record.origin.clone().unwrap_or_default();
        let function = names.functions.get(&record.function);
        let app = AppReference {
            id: function.map_or_else(String::new, |function| function.app_name.clone()),
        };
        let event = record.events.first();
        let took_ms = record
            .ended_at
            .zip(record.started_at)
            .map(|(ended, started)| ended.ms_since(started));
        Self {
            id: record.id.to_string(),
            function: RunFunction {
                id: function.map_or_else(|| record.function.to_string(), id_in_app),
                name: function.map_or_else(String::new, |function| function.name.clone()),
                app: app.clone(),
            },
            app,
            status: Status::of(record.status),
            queued_at: moment(record.queued_at),
            started_at: record.started_at.map(moment),
            ended_at: record.ended_at.map(moment),
            duration_ms: took_ms.map(|ms| ms.to_string()),
            trigger: RunTrigger {
                event_ids: record.events.iter().map(EventId::to_string).collect(),
                event_name: event.and_then(|event| names.events.get(event).cloned()),
                is_batch: origin.batch.is_some(),
                batch_id: origin.batch.map(|batch| batch.to_string()),
                cron_schedule: origin.cron.as_deref().map(str::to_owned),
            },
            output: record.output.as_ref().map(value),
            original_run_id: origin.original.map(|run| run.to_string()),
        }
    }
}

/// A function's id within its app: its public one without the app's name in front.
pub(super) fn id_in_app(function: &FunctionRecord) -> String {
    let slug = &function.slug;
    let within = slug
        .strip_prefix(&*function.app_name)
        .and_then(|rest| rest.strip_prefix('-'));
    within.unwrap_or(slug).to_owned()
}
