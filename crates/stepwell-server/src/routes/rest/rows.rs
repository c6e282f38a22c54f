//! Events and runs, as the first API writes them.

use super::moment;
use crate::answer::value;
use serde::Serialize;
use serde_json::{Map, Value};
use stepwell_store::{EventRecord, RunRecord};
use utoipa::ToSchema;

/// The account and the environment of a server that has one of each.
pub(crate) const ACCOUNT: &str = "00000000-0000-4000-a000-000000000000";
pub(crate) const ENVIRONMENT: &str = "00000000-0000-4000-b000-000000000000";

/// An event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventRow {
    internal_id: String,
    account_id: &'static str,
    environment_id: &'static str,
    /// Where it came from; always null.
    source: Option<String>,
    source_id: Option<String>,
    #[schema(format = DateTime)]
    received_at: String,
    /// `id`, `name`, `data`, `user`, `ts`, and `v` and `meta` if it has any.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    body: Map<String, Value>,
}

impl EventRow {
    pub(super) fn of(record: &EventRecord) -> Self {
        Self {
            internal_id: record.id.to_string(),
            account_id: ACCOUNT,
            environment_id: ENVIRONMENT,
            source: None,
            source_id: None,
            received_at: moment(record.received_at),
            body: match value(&record.body) {
                Value::Object(body) => body,
                _ => Map::new(),
            },
        }
    }
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunRow {
    run_id: String,
    #[schema(format = DateTime)]
    run_started_at: String,
    function_id: String,
    function_version: u32,
    environment_id: &'static str,
    event_id: Option<String>,
    /// `Scheduled`, `Running`, `Completed`, `Failed`, `Cancelled` or `Skipped`.
    status: &'static str,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// What it returned, or its error.
    output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_run_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    /// Why it ended when its function did not end it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    cause: Option<stepwell_engine::Cause>,
}

impl RunRow {
    pub(super) fn of(record: &RunRecord) -> Self {
        let origin = record.origin.clone().unwrap_or_default();
        Self {
            run_id: record.id.to_string(),
            run_started_at: moment(record.started_at.unwrap_or(record.queued_at)),
            function_id: record.function.to_string(),
            function_version: record.function_version,
            environment_id: ENVIRONMENT,
            event_id: record.events.first().map(ToString::to_string),
            status: record.status.as_str(),
            ended_at: record.ended_at.map(moment),
            output: record.output.as_ref().map(value),
            batch_id: origin.batch.map(|batch| batch.to_string()),
            original_run_id: origin.original.map(|original| original.to_string()),
            cron: origin.cron.as_deref().map(str::to_owned),
            cause: record.cause,
        }
    }
}

/// What is queued for a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobRow {
    #[serde(rename = "JobID")]
    pub(super) id: String,
    #[schema(format = DateTime)]
    pub(super) at: String,
    pub(super) position: usize,
    pub(super) kind: &'static str,
    pub(super) attempt: u32,
}
