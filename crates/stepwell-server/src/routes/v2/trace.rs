//! `GET /v2/runs/{run}/trace`: the run, its steps and their attempts, as spans.

use super::super::query::Params;
use super::super::rest::moment;
use super::runs::no_run;
use super::{Answer, Envelope, Errors, found, run_id};
use crate::answer::value;
use crate::state::Shared;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::{Map, Value};
use stepwell_protocol::otlp::UserSpan;
use stepwell_store::MetadataRecord;
use stepwell_store::history::{self, Outputs, Span, SpanStatus, StepOp};
use utoipa::ToSchema;

/// The kind of steps that the protocol shows as an op of their own.
const SEND_EVENT: &str = "step.sendEvent";

/// A run's spans.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trace {
    run_id: String,
    root_span: SpanRow,
}

/// Something of a run that took time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SpanRow {
    id: String,
    name: String,
    /// `RUNNING`, `COMPLETED`, `FAILED`, `WAITING`, `CANCELLED` or `SKIPPED`.
    status: &'static str,
    #[schema(format = DateTime)]
    queued_at: String,
    /// What is noted of it.
    metadata: Vec<MetadataRow>,
    /// What the app says of a span of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    userland: Option<UserSpan>,
    #[schema(no_recursion)]
    children: Vec<SpanRow>,
    /// What a step does.
    #[serde(skip_serializing_if = "Option::is_none")]
    step_op: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_id: Option<String>,
    /// Milliseconds from its start to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
}

/// Something that is noted of a span.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MetadataRow {
    /// `run`, `step`, `step_attempt` or `extended_trace`.
    scope: &'static str,
    kind: String,
    #[schema(value_type = Object)]
    values: Map<String, Value>,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl MetadataRow {
    fn of(record: &MetadataRecord) -> Self {
        Self {
            scope: record.target.scope(),
            kind: record.kind.clone(),
            values: record.values.clone(),
            updated_at: moment(record.updated_at),
        }
    }
}

/// A run, its steps and their attempts.
#[utoipa::path(get, path = "/runs/{run}/trace", tag = "Runs",
    params(("run" = String, Path), ("includeOutput" = Option<bool>, Query)),
    responses((status = 200, body = Envelope<Trace>), (status = 400, body = Errors), (status = 404, body = Errors)))]
pub(super) async fn trace(
    State(shared): State<Shared>,
    Path(run): Path<String>,
    params: Params,
) -> Answer<Trace> {
    let id = run_id(&run)?;
    let with_output = params.flag("includeOutput")?.unwrap_or(false);
    // What is in flight, no store knows. An engine that cannot say is no reason to hide the rest.
    let under_way = shared.handle.under_way(id).await.unwrap_or_default();
    let read = shared.handle.read(move |reader| {
        let Some(trace) = history::trace(reader, id, &under_way)? else {
            return Ok(None);
        };
        let outputs = with_output.then(|| Outputs::read(reader, id)).transpose()?;
        Ok(Some(SpanRow::of(&trace.root, outputs.as_ref())))
    });
    let root_span = read.await?.ok_or_else(|| no_run(id))?;
    let run_id = id.to_string();
    Ok(found(&shared, Trace { run_id, root_span }))
}

impl SpanRow {
    /// A span as the protocol's JSON mapping writes it: what is absent is left out, and 64-bit integers are text.
    fn of(span: &Span, outputs: Option<&Outputs>) -> Self {
        let children = span.children.iter();
        let output = outputs.zip(span.output.as_ref());
        let output = output.and_then(|(outputs, id)| outputs.get(id));
        Self {
            id: span.id.clone(),
            name: span.name.clone(),
            status: status(span.status),
            queued_at: moment(span.queued_at),
            metadata: span.metadata.iter().map(MetadataRow::of).collect(),
            userland: span.userland.as_deref().cloned(),
            children: children.map(|child| Self::of(child, outputs)).collect(),
            step_op: span.op.map(|op| op_name(op, span)),
            step_id: span.step.as_ref().map(ToString::to_string),
            duration_ms: span.duration_ms().map(|ms| ms.to_string()),
            started_at: span.started_at.map(moment),
            ended_at: span.ended_at.map(moment),
            output: output.map(|output| value(&output.wrapped())),
        }
    }
}

/// The protocol has no word here for what has not begun.
fn status(status: SpanStatus) -> &'static str {
    match status {
        SpanStatus::Queued => SpanStatus::Waiting.as_str(),
        other => other.as_str(),
    }
}

fn op_name(op: StepOp, span: &Span) -> &'static str {
    if span.kind.as_deref() == Some(SEND_EVENT) {
        return "SEND_EVENT";
    }
    op.as_str()
}
