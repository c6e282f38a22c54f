//! A run's history as spans of OpenTelemetry.

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};
use stepwell_engine::Timestamp;
use stepwell_protocol::RunId;
use stepwell_store::history::{self, Span, SpanStatus, Trace};
use stepwell_store::{Reader, StoreError};

static SCOPE: LazyLock<InstrumentationScope> = LazyLock::new(|| {
    InstrumentationScope::builder("stepwell")
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
});

/// Adds the spans of a run that has ended. Whether it is there: it may have been pruned meanwhile.
pub(super) fn spans_of(
    reader: &dyn Reader,
    run: RunId,
    spans: &mut Vec<SpanData>,
) -> Result<bool, StoreError> {
    let Some(trace) = history::trace(reader, run, &[])? else {
        return Ok(false);
    };
    let function = reader.function(trace.function)?;
    let slug = function.map_or_else(String::new, |function| function.slug);
    trace.root.each(&mut |span| {
        // An app's own spans are exported by the app.
        if span.userland.is_none() {
            spans.push(span_data(&trace, span, &slug));
        }
    });
    Ok(true)
}

fn span_data(trace: &Trace, span: &Span, slug: &str) -> SpanData {
    let began = span.started_at.unwrap_or(span.queued_at);
    let ended = span.ended_at.unwrap_or(began).max(began);
    let id = |hex: &str| SpanId::from_hex(hex).unwrap_or(SpanId::INVALID);
    let parent = span.parent.as_deref().map_or(SpanId::INVALID, id);
    let name = if span.is_root() && !slug.is_empty() {
        slug.to_owned()
    } else {
        span.name.clone()
    };
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_hex(&trace.id).unwrap_or(TraceId::INVALID),
            id(&span.id),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: parent,
        parent_span_is_remote: false,
        span_kind: if span.is_root() {
            SpanKind::Consumer
        } else {
            SpanKind::Internal
        },
        name: name.into(),
        start_time: moment(began),
        end_time: moment(ended),
        attributes: attributes(trace, span, slug),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: match span.status {
            SpanStatus::Completed => Status::Ok,
            // Errors are payload: the run's history has them.
            SpanStatus::Failed => Status::error("failed"),
            _ => Status::Unset,
        },
        instrumentation_scope: SCOPE.clone(),
    }
}

fn attributes(trace: &Trace, span: &Span, slug: &str) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("stepwell.run.id", trace.run.to_string()),
        KeyValue::new("stepwell.function.id", slug.to_owned()),
        KeyValue::new("stepwell.status", span.status.as_str()),
    ];
    if let Some(began) = span.started_at {
        let waited = i64::try_from(began.ms_since(span.queued_at)).unwrap_or(i64::MAX);
        attributes.push(KeyValue::new("stepwell.queued_ms", waited));
    }
    if let Some(step) = &span.step {
        attributes.push(KeyValue::new("stepwell.step.id", step.to_string()));
    }
    if let Some(op) = span.op {
        attributes.push(KeyValue::new("stepwell.step.op", op.as_str()));
    }
    attributes
}

fn moment(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.ms())
}
