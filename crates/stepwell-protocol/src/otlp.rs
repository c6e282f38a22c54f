//! Spans that an app made, as OpenTelemetry exports them: `ExportTraceServiceRequest` in its JSON or its binary form, of
//! which what is of use here is read. (opentelemetry.io, OTLP 1.x)

#[cfg(feature = "otlp")]
mod binary;
mod text;

use crate::{RunId, StepId, limits};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The run that a span is of, as the server told the SDK along with the call.
const TRACE_REF: &str = "inngest.traceref";
/// The same from SDKs that do not pass that on.
const RUN_ID: &str = "sdk.run.id";
const STEP_HASH: &str = "inngest.step.hash";
const STEP_ATTEMPT: &str = "inngest.step.attempt";
const STEP_PARENT: &str = "inngest.step.parentSpanId";
/// What SDKs write on spans for the server alone.
const CONSUMED: [&str; 11] = [
    TRACE_REF,
    RUN_ID,
    STEP_HASH,
    STEP_ATTEMPT,
    STEP_PARENT,
    "inngest.traceparent",
    "inngest.step.id",
    "inngest.step.index",
    "sdk.app.id",
    "sys.app.id",
    "sys.function.id",
];
/// Spans of one export that are read.
const SPANS_MAX: usize = 10_000;
/// Their bytes, as they are kept, after which no more are read.
const EXPORT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of what an app says of itself, each of whose spans carries it.
const RESOURCE_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a name that spans share.
const NAME_BYTES_MAX: usize = 1_024;
/// The span that SDKs make around a call: it says nothing that the run's own spans do not.
const EXECUTION: &str = "inngest.execution";

/// A span that an app made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserSpan {
    /// Its id: 16 hex digits.
    pub id: String,
    /// The span above it in the app, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Its name.
    pub name: String,
    /// `INTERNAL`, `SERVER`, `CLIENT`, `PRODUCER`, `CONSUMER` or `UNSPECIFIED`.
    pub kind: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
    /// Whether it says that it failed.
    pub failed: bool,
    /// What made it, e.g. the name of a library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope_version: Option<String>,
    /// What it says of itself.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// What the app says of itself.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub resource: Map<String, Value>,
    /// The step within which it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// The attempt of the step, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Whether it is right below its step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_top: bool,
}

impl UserSpan {
    /// How large it is, as it is kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        serde_json::to_string(self).map_or(usize::MAX, |text| text.len())
    }

    /// The app's name, as it tells it.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.resource.get("service.name")?.as_str()
    }
}

/// What an export holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Export {
    /// Spans, and the runs that they are of.
    pub spans: Vec<(RunId, UserSpan)>,
    /// How many say of no run that they are of it, are too large, or are beyond what one export may hold.
    pub rejected: usize,
    bytes: usize,
}

/// An export that does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an export of spans: {0}")]
pub struct ExportError(String);

/// Reads an export in its JSON form.
///
/// # Errors
/// [`ExportError`] with what does not read.
pub fn from_json(body: &[u8]) -> Result<Export, ExportError> {
    text::read(body)
}

/// Reads an export in its binary form (protobuf).
///
/// # Errors
/// [`ExportError`] with what does not read.
#[cfg(feature = "otlp")]
pub fn from_protobuf(body: &[u8]) -> Result<Export, ExportError> {
    binary::read(body)
}

/// The reference to a run and the step that is called, which an SDK writes on the spans of the call.
#[must_use]
pub fn trace_ref(run: RunId, step: Option<&StepId>) -> String {
    match step {
        // Other ids may hold what a `tracestate` may not.
        Some(step @ StepId::Hash(_)) => format!("{run}.{step}"),
        _ => run.to_string(),
    }
}

/// A span as it came in, of either form.
struct Raw {
    id: String,
    parent: Option<String>,
    name: String,
    kind: i64,
    started_ns: u64,
    ended_ns: u64,
    failed: bool,
    scope: Option<String>,
    scope_version: Option<String>,
    attributes: Map<String, Value>,
    resource: Map<String, Value>,
}

impl Export {
    /// Adds a span, unless there are too many; then it is not even made.
    fn add(&mut self, raw: impl FnOnce() -> Raw) {
        if self.spans.len() >= SPANS_MAX || self.bytes >= EXPORT_BYTES_MAX {
            self.rejected += 1;
            return;
        }
        let raw = raw();
        if raw.name == EXECUTION {
            return;
        }
        match span(raw) {
            Some((run, span)) => {
                self.bytes += span.bytes();
                self.spans.push((run, span));
            }
            None => self.rejected += 1,
        }
    }
}

/// What an app says of itself, which goes with each of its spans: if it is much, its name alone.
fn bounded(mut resource: Map<String, Value>) -> Map<String, Value> {
    let text = serde_json::to_string(&resource);
    if text.map_or(usize::MAX, |text| text.len()) > RESOURCE_BYTES_MAX {
        resource.retain(|name, value| {
            let is_short = value
                .as_str()
                .is_some_and(|text| text.len() <= NAME_BYTES_MAX);
            name == "service.name" && is_short
        });
    }
    resource
}

/// The name of what made spans, unless it is too long for one.
fn short(name: Option<String>) -> Option<String> {
    name.filter(|name| name.len() <= NAME_BYTES_MAX)
}

fn span(mut raw: Raw) -> Option<(RunId, UserSpan)> {
    let text = |name: &str| raw.attributes.get(name).and_then(Value::as_str);
    let (run, of_call) = match text(TRACE_REF).map(|traced| traced.split_once('.')) {
        Some(Some((run, step))) => (run.parse().ok(), Some(StepId::parse(step))),
        Some(None) => (text(TRACE_REF).and_then(|run| run.parse().ok()), None),
        None => (None, None),
    };
    let run = run.or_else(|| text(RUN_ID)?.parse().ok())?;
    let hash = text(STEP_HASH).filter(|hash| !hash.is_empty());
    let step = hash.map(StepId::parse).or(of_call);
    let attempt = raw.attributes.get(STEP_ATTEMPT).and_then(Value::as_u64);
    let is_top = raw.attributes.contains_key(STEP_PARENT);
    for name in CONSUMED {
        raw.attributes.remove(name);
    }
    let is_id = raw.id.len() == 16 && raw.id.bytes().all(|digit| digit.is_ascii_hexdigit());
    let mut span = UserSpan {
        id: is_id.then(|| raw.id.to_ascii_lowercase())?,
        parent: raw.parent.map(|parent| parent.to_ascii_lowercase()),
        name: raw.name,
        kind: kind(raw.kind).to_owned(),
        started_ms: raw.started_ns / 1_000_000,
        ended_ms: raw.ended_ns.max(raw.started_ns) / 1_000_000,
        failed: raw.failed,
        scope: raw.scope.filter(|scope| !scope.is_empty()),
        scope_version: raw.scope_version.filter(|version| !version.is_empty()),
        attributes: raw.attributes,
        resource: raw.resource,
        step,
        attempt: attempt.and_then(|attempt| u32::try_from(attempt).ok()),
        is_top,
    };
    if span.bytes() > limits::USER_SPAN_BYTES_MAX {
        span.attributes.clear();
        span.resource.retain(|name, _| name == "service.name");
    }
    (span.bytes() <= limits::USER_SPAN_BYTES_MAX).then_some((run, span))
}

fn kind(number: i64) -> &'static str {
    match number {
        1 => "INTERNAL",
        2 => "SERVER",
        3 => "CLIENT",
        4 => "PRODUCER",
        5 => "CONSUMER",
        _ => "UNSPECIFIED",
    }
}

#[cfg(test)]
mod tests;
