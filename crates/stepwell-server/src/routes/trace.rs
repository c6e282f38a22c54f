//! `GET /v2/runs/{run}/trace`: the run, its steps and their attempts, as spans.

use super::rest::moment;
use super::second::{found, malformed, refusal, run_id, unreadable};
use crate::answer::value;
use crate::state::Shared;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use stepwell_store::history::{self, Outputs, Span, SpanStatus, StepOp};

/// The kind of steps that the protocol shows as an op of their own.
const SEND_EVENT: &str = "step.sendEvent";

#[derive(Deserialize)]
pub(super) struct TraceQuery {
    #[serde(rename = "includeOutput", alias = "include_output")]
    include_output: Option<String>,
}

pub(super) async fn trace(
    State(shared): State<Shared>,
    Path(run): Path<String>,
    Query(query): Query<TraceQuery>,
) -> Response {
    let id = match run_id(&run) {
        Ok(id) => id,
        Err(refusal) => return refusal,
    };
    let with_output = match query.include_output.as_deref() {
        None | Some("" | "false" | "0") => false,
        Some("true" | "1") => true,
        Some(_) => return malformed("includeOutput: expected true or false"),
    };
    // What is in flight, no store knows. An engine that cannot say is no reason to hide the rest.
    let under_way = shared.handle.under_way(id).await.unwrap_or_default();
    let read = shared.handle.read(move |reader| {
        let Some(trace) = history::trace(reader, id, &under_way)? else {
            return Ok(None);
        };
        let outputs = with_output.then(|| Outputs::read(reader, id)).transpose()?;
        Ok(Some((trace, outputs)))
    });
    match read.await {
        Ok(Some((trace, outputs))) => {
            let root = span_row(&trace.root, outputs.as_ref());
            found(&shared, json!({"runId": id, "rootSpan": root}))
        }
        Ok(None) => {
            let message = format!("there is no run {id}");
            refusal(StatusCode::NOT_FOUND, "not_found", &message)
        }
        Err(error) => unreadable(&error),
    }
}

/// A span as the protocol's JSON mapping writes it: what is absent is left out, and 64-bit integers are text.
fn span_row(span: &Span, outputs: Option<&Outputs>) -> Value {
    let children = span.children.iter();
    let children: Vec<Value> = children.map(|child| span_row(child, outputs)).collect();
    let mut row = json!({
        "id": span.id,
        "name": span.name,
        "status": status(span.status),
        "queuedAt": moment(span.queued_at),
        "metadata": [],
        "children": children,
    });
    let output = outputs.zip(span.output.as_ref());
    let output = output.and_then(|(outputs, id)| outputs.get(id));
    for (key, known) in [
        ("stepOp", span.op.map(|op| json!(op_name(op, span)))),
        ("stepId", span.step.as_ref().map(|step| json!(step))),
        (
            "durationMs",
            span.duration_ms().map(|ms| ms.to_string().into()),
        ),
        ("startedAt", span.started_at.map(|at| moment(at).into())),
        ("endedAt", span.ended_at.map(|at| moment(at).into())),
        ("output", output.map(|output| value(&output.wrapped()))),
    ] {
        if let Some(known) = known {
            row[key] = known;
        }
    }
    row
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
