//! What apps note of their runs: metadata, and spans of their own.

use super::rest::{run_id, unknown_run};
use crate::answer::{ApiError, Failure, Found, Success};
use crate::body::Body;
use crate::state::Shared;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use stepwell_engine::{MetadataRow, UserSpansRow};
use stepwell_protocol::metadata::{MetadataError, Target, Update, bytes_of};
use stepwell_protocol::{RunId, StepId, limits, otlp};
use utoipa::ToSchema;

/// The largest body of metadata: all that one run may have.
const METADATA_BODY_BYTES_MAX: usize = limits::METADATA_PER_RUN_BYTES_MAX + 64 * 1024;
/// The largest export of spans.
const SPANS_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Metadata that comes at once.
const UPDATES_MAX: usize = 100;
/// The longest id of a span, in bytes.
const SPAN_ID_BYTES_MAX: usize = 64;

/// What is noted of a run.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewMetadata {
    /// What of the run; the run itself when it says nothing.
    #[serde(default)]
    target: MetadataTarget,
    metadata: Vec<MetadataUpdate>,
}

/// What of a run something is noted of.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct MetadataTarget {
    /// The step's id as its function has it, or its hash.
    step_id: Option<String>,
    /// Which use of that id, from 0.
    step_index: Option<usize>,
    /// The attempt of the step, from 0.
    step_attempt: Option<u32>,
    /// A span that the app made.
    span_id: Option<String>,
}

/// Something to note.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct MetadataUpdate {
    /// What it is about, e.g. `userland.invoice`.
    #[schema(min_length = 1, max_length = 255)]
    kind: String,
    /// What becomes of what was noted before: `merge`, `set`, `delete` or `add`.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(merge|set|delete|add)$")]
    op: stepwell_protocol::metadata::Op,
    /// What is noted.
    #[serde(default)]
    #[schema(value_type = Object)]
    values: serde_json::Map<String, serde_json::Value>,
}

/// That something is noted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Noted {
    ok: bool,
}

impl MetadataTarget {
    fn read(self) -> Result<Target, ApiError> {
        let invalid = || ApiError::new(StatusCode::BAD_REQUEST, "Invalid metadata target");
        let details =
            self.step_index.is_some() || self.step_attempt.is_some() || self.span_id.is_some();
        let Some(step) = self.step_id.filter(|step| !step.is_empty()) else {
            return if details {
                Err(invalid())
            } else {
                Ok(Target::Run)
            };
        };
        if let Some(span) = self.span_id {
            return match span.len() <= SPAN_ID_BYTES_MAX {
                true => Ok(Target::Span(span.to_ascii_lowercase())),
                false => Err(invalid()),
            };
        }
        let step = step_of(&step, self.step_index.unwrap_or(0));
        Ok(match self.step_attempt {
            Some(attempt) => Target::Attempt(step, attempt),
            None => Target::Step(step),
        })
    }
}

/// A step by the id that its function gives it, or by its hash.
pub(super) fn step_of(id: &str, index: usize) -> StepId {
    match StepId::parse(id) {
        hash @ StepId::Hash(_) => hash,
        StepId::Text(_) => StepId::of(id, index),
    }
}

/// Notes something of a run, or of a step of it, also when it has ended.
#[utoipa::path(post, path = "/v1/runs/{run}/metadata", tag = "Runs", params(("run" = String, Path)),
    request_body = NewMetadata,
    responses(
        (status = 200, body = Success<Noted>), (status = 400, body = Failure), (status = 404, body = Failure),
        (status = 413, description = "More than is kept of a run.", body = Failure)))]
pub(super) async fn metadata(
    State(shared): State<Shared>,
    Path(run): Path<String>,
    body: Body<METADATA_BODY_BYTES_MAX>,
) -> Result<Found<Noted>, ApiError> {
    let id = run_id(&run)?;
    let bad = |message: String| ApiError::new(StatusCode::BAD_REQUEST, message);
    let new: NewMetadata = stepwell_protocol::decode::from_slice(&body.bytes)
        .map_err(|error| bad(format!("Invalid metadata: {error}")))?;
    if new.metadata.len() > UPDATES_MAX {
        return Err(bad(format!(
            "Invalid metadata: expected at most {UPDATES_MAX} entries"
        )));
    }
    let target = new.target.read()?;
    let updates = new.metadata.into_iter().map(|update| Update {
        kind: update.kind,
        op: update.op,
        values: update.values,
    });
    let updates = updates.map(|update| (target.clone(), update)).collect();
    note(&shared, id, updates).await?;
    Ok(Found(Noted { ok: true }, shared.handle.now().ms()))
}

/// Notes metadata of a run, if there is room for it.
pub(super) async fn note(
    shared: &Shared,
    run: RunId,
    updates: Vec<(Target, Update)>,
) -> Result<(), ApiError> {
    for (_, update) in &updates {
        update.check().map_err(|error| {
            let status = match error {
                MetadataError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            };
            ApiError::new(status, error.to_string())
        })?;
    }
    let wanted = updates.clone();
    let fits = shared
        .handle
        .read(move |reader| {
            if reader.run(run)?.is_none() {
                return Ok(None);
            }
            let known = reader.metadata(run)?;
            let mut kept: BTreeMap<_, _> = known
                .into_iter()
                .map(|one| ((one.target, one.kind), one.values))
                .collect();
            let mut fits = true;
            for (target, update) in wanted {
                let place = (target, update.kind.clone());
                let old = kept.remove(&place);
                if let Some(noted) = update.apply(old) {
                    fits &= bytes_of(&noted) <= limits::METADATA_BYTES_MAX;
                    kept.insert(place, noted);
                }
            }
            let bytes: usize = kept.values().map(bytes_of).sum();
            fits &= kept.len() <= limits::METADATA_PER_RUN_MAX
                && bytes <= limits::METADATA_PER_RUN_BYTES_MAX;
            Ok(Some(fits))
        })
        .await?;
    match fits {
        None => return Err(unknown_run(run)),
        Some(false) => {
            let message = format!(
                "Metadata of the run exceeds maximum size of {}KB, {}KB in one entry, or {} entries",
                limits::METADATA_PER_RUN_BYTES_MAX / 1024,
                limits::METADATA_BYTES_MAX / 1024,
                limits::METADATA_PER_RUN_MAX
            );
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        Some(true) => {}
    }
    let at = shared.handle.now();
    let rows = updates.into_iter().map(|(target, update)| MetadataRow {
        run,
        target,
        update,
        at,
    });
    Ok(shared.handle.note(rows.collect(), Vec::new()).await?)
}

/// What became of an export of spans.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Exported {
    /// What was not taken, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_success: Option<PartialSuccess>,
}

/// What was not taken of an export.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PartialSuccess {
    rejected_spans: String,
    error_message: String,
}

/// Takes spans that an app made within its runs, as OpenTelemetry exports them (OTLP, JSON or protobuf). Each says which run
/// it is of by the attribute `inngest.traceref` or `sdk.run.id`.
#[utoipa::path(post, path = "/v1/traces/userland", tag = "SDKs", request_body = Object,
    responses((status = 200, body = Exported), (status = 400, body = Failure), (status = 415, body = Failure)))]
pub(super) async fn userland(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Body<SPANS_BODY_BYTES_MAX>,
) -> Result<axum::response::Response, ApiError> {
    use axum::response::IntoResponse;
    let unsupported = |message: &str| ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
    {
        return Err(unsupported("expected spans without compression"));
    }
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let kind = content_type.and_then(|value| value.split(';').next());
    let is_binary = match kind.map(str::trim) {
        Some("application/x-protobuf") => true,
        Some("application/json") => false,
        _ => {
            return Err(unsupported(
                "expected application/json or application/x-protobuf",
            ));
        }
    };
    let read = match is_binary {
        true => otlp::from_protobuf(&body.bytes),
        false => otlp::from_json(&body.bytes),
    };
    let export = read.map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let mut of_runs: BTreeMap<RunId, Vec<otlp::UserSpan>> = BTreeMap::new();
    for (run, span) in export.spans {
        of_runs.entry(run).or_default().push(span);
    }
    if !of_runs.is_empty() {
        let rows = of_runs.into_iter();
        let rows = rows.map(|(run, spans)| UserSpansRow { run, spans });
        shared.handle.note(Vec::new(), rows.collect()).await?;
    }
    if is_binary {
        // An empty message: all was taken. What was not is of no run, which an exporter can do nothing about.
        return Ok(([(header::CONTENT_TYPE, "application/x-protobuf")], "").into_response());
    }
    let rejected = (export.rejected > 0).then(|| PartialSuccess {
        rejected_spans: export.rejected.to_string(),
        error_message: "spans that name no run, or are too large".to_owned(),
    });
    Ok(Json(Exported {
        partial_success: rejected,
    })
    .into_response())
}
