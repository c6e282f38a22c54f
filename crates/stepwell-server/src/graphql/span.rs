//! The tree of a run's spans.

use super::asked::Asked;
use super::scalar::{Bytes, Time, Ulid, Uuid};
use super::unreadable;
use async_graphql::{ComplexObject, Enum, Object, Result, SimpleObject, Union};
use serde_json::{Map as JsonMap, Value};
use std::sync::Arc;
use stepwell_protocol::RunId;
use stepwell_protocol::otlp::UserSpan;
use stepwell_store::MetadataRecord;
use stepwell_store::history::{self, Output, Span, SpanStatus, StepInfo as Info, StepOp, Trace};

/// Where a span stands.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
enum RunTraceSpanStatus {
    Failed,
    Queued,
    Running,
    Completed,
    Waiting,
    Cancelled,
    Skipped,
}

/// What a step does.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(name = "StepOp")]
enum Op {
    Invoke,
    Run,
    Sleep,
    WaitForEvent,
    AiGateway,
    WaitForSignal,
}

/// A span, and those below it.
#[derive(Clone)]
pub(super) struct RunTraceSpan {
    trace: Arc<Trace>,
    span: Arc<Span>,
}

impl RunTraceSpan {
    /// The span of a run; nothing when there is no such run.
    pub(super) async fn root(asked: &Asked, run: RunId) -> Result<Option<Self>> {
        // What is in flight, no store knows. An engine that cannot say is no reason to hide the rest.
        let under_way = asked.handle.under_way(run).await.unwrap_or_default();
        let read = asked.read(move |reader| history::trace(reader, run, &under_way));
        let trace = read.await.map_err(unreadable)?;
        Ok(trace.map(|trace| Self {
            span: Arc::new(trace.root.clone()),
            trace: Arc::new(trace),
        }))
    }

    /// Whether a step below it asks an AI provider.
    pub(super) fn asks_ai(&self) -> bool {
        let mut found = false;
        self.span.each(&mut |span| {
            let kind = span.kind.as_deref().unwrap_or("");
            found |= span.op == Some(StepOp::Gateway) && !kind.ends_with("fetch");
        });
        found
    }
}

#[Object]
impl RunTraceSpan {
    #[graphql(name = "appID")]
    async fn app_id(&self) -> Option<Uuid> {
        self.trace.app.map(|app| Uuid(app.0))
    }

    #[graphql(name = "functionID")]
    async fn function_id(&self) -> Uuid {
        Uuid(self.trace.function.0)
    }

    #[graphql(name = "runID")]
    async fn run_id(&self) -> Ulid {
        Ulid(self.trace.run.0)
    }

    #[graphql(name = "spanID")]
    async fn span_id(&self) -> &str {
        &self.span.id
    }

    #[graphql(name = "traceID")]
    async fn trace_id(&self) -> &str {
        &self.trace.id
    }

    #[graphql(name = "groupID")]
    async fn group_id(&self) -> Option<String> {
        None
    }

    async fn name(&self) -> &str {
        &self.span.name
    }

    async fn status(&self) -> RunTraceSpanStatus {
        match self.span.status {
            SpanStatus::Queued => RunTraceSpanStatus::Queued,
            SpanStatus::Running => RunTraceSpanStatus::Running,
            SpanStatus::Waiting => RunTraceSpanStatus::Waiting,
            SpanStatus::Completed => RunTraceSpanStatus::Completed,
            SpanStatus::Failed => RunTraceSpanStatus::Failed,
            SpanStatus::Cancelled => RunTraceSpanStatus::Cancelled,
            SpanStatus::Skipped => RunTraceSpanStatus::Skipped,
        }
    }

    async fn attempts(&self) -> u32 {
        self.span.attempts
    }

    /// In milliseconds.
    async fn duration(&self) -> Option<u64> {
        self.span.duration_ms()
    }

    #[graphql(name = "outputID")]
    async fn output_id(&self) -> Option<String> {
        self.span.output.as_ref().map(ToString::to_string)
    }

    async fn queued_at(&self) -> Time {
        Time(self.span.queued_at)
    }

    async fn scheduled_at(&self) -> Time {
        Time(self.span.queued_at)
    }

    async fn started_at(&self) -> Option<Time> {
        self.span.started_at.map(Time)
    }

    async fn ended_at(&self) -> Option<Time> {
        self.span.ended_at.map(Time)
    }

    /// A trace has as many entries as its run has steps and attempts: those are bounded.
    #[graphql(complexity = "super::cost(0, 10, child_complexity)")]
    async fn children_spans(&self) -> Vec<Self> {
        let children = self.span.children.iter().map(|child| Self {
            trace: Arc::clone(&self.trace),
            span: Arc::new(child.clone()),
        });
        children.collect()
    }

    async fn step_op(&self) -> Option<Op> {
        self.span.op.map(|op| match op {
            StepOp::Run => Op::Run,
            StepOp::Sleep => Op::Sleep,
            StepOp::WaitForEvent => Op::WaitForEvent,
            StepOp::WaitForSignal => Op::WaitForSignal,
            StepOp::Invoke => Op::Invoke,
            StepOp::Gateway => Op::AiGateway,
        })
    }

    #[graphql(name = "stepID")]
    async fn step_id(&self) -> Option<String> {
        self.span.step.as_ref().map(ToString::to_string)
    }

    async fn step_info(&self) -> Option<StepInfo> {
        self.span.info.clone().map(StepInfo::of)
    }

    async fn step_type(&self) -> &str {
        self.span.kind.as_deref().unwrap_or("")
    }

    async fn is_root(&self) -> bool {
        self.span.is_root()
    }

    #[graphql(name = "parentSpanID")]
    async fn parent_span_id(&self) -> Option<&str> {
        self.span.parent.as_deref()
    }

    async fn is_userland(&self) -> bool {
        self.span.userland.is_some()
    }

    async fn userland_span(&self) -> Option<UserlandSpan> {
        self.span.userland.as_deref().map(UserlandSpan::of)
    }

    #[graphql(name = "debugRunID")]
    async fn debug_run_id(&self) -> Option<Ulid> {
        None
    }

    #[graphql(name = "debugSessionID")]
    async fn debug_session_id(&self) -> Option<Ulid> {
        None
    }

    async fn debug_paused(&self) -> bool {
        false
    }

    async fn skip_reason(&self) -> Option<&str> {
        self.span.skip.map(|skip| skip.reason)
    }

    #[graphql(name = "skipExistingRunID")]
    async fn skip_existing_run_id(&self) -> Option<String> {
        let run = self.span.skip.and_then(|skip| skip.existing_run);
        run.map(|run| run.to_string())
    }

    #[graphql(complexity = "super::cost(0, 10, child_complexity)")]
    async fn metadata(&self) -> Vec<SpanMetadata> {
        self.span.metadata.iter().map(SpanMetadata::of).collect()
    }

    /// How the call was answered that ended the function by failing; headers are not kept.
    async fn response(&self) -> Option<SpanResponse> {
        self.span.http_status.map(|status| SpanResponse {
            status_code: Some(status),
            headers: None,
        })
    }
}

/// A span that an app made.
#[derive(SimpleObject)]
struct UserlandSpan {
    span_name: Option<String>,
    span_kind: Option<String>,
    service_name: Option<String>,
    scope_name: Option<String>,
    scope_version: Option<String>,
    span_attrs: Option<Bytes>,
    resource_attrs: Option<Bytes>,
}

impl UserlandSpan {
    fn of(span: &UserSpan) -> Self {
        let text =
            |values: &JsonMap<String, Value>| Bytes(Value::Object(values.clone()).to_string());
        Self {
            span_name: Some(span.name.clone()),
            span_kind: Some(span.kind.clone()),
            service_name: span.service().map(str::to_owned),
            scope_name: span.scope.clone(),
            scope_version: span.scope_version.clone(),
            span_attrs: Some(text(&span.attributes)),
            resource_attrs: Some(text(&span.resource)),
        }
    }
}

/// What is noted of a span.
#[derive(SimpleObject)]
struct SpanMetadata {
    scope: String,
    kind: String,
    values: super::scalar::Map,
    updated_at: Time,
}

impl SpanMetadata {
    fn of(record: &MetadataRecord) -> Self {
        Self {
            scope: record.target.scope().to_owned(),
            kind: record.kind.clone(),
            values: super::scalar::Map(Value::Object(record.values.clone())),
            updated_at: Time(record.updated_at),
        }
    }
}

/// How a call was answered.
#[derive(SimpleObject)]
struct SpanResponse {
    status_code: Option<u16>,
    headers: Option<super::scalar::Map>,
}

/// What else there is to say of a step.
#[derive(Union)]
enum StepInfo {
    Invoke(InvokeStepInfo),
    Sleep(SleepStepInfo),
    WaitForEvent(WaitForEventStepInfo),
    WaitForSignal(WaitForSignalStepInfo),
    Run(RunStepInfo),
}

/// An invoked function.
#[derive(SimpleObject)]
struct InvokeStepInfo {
    #[graphql(name = "triggeringEventID")]
    triggering_event_id: Ulid,
    #[graphql(name = "functionID")]
    function_id: String,
    timeout: Time,
    #[graphql(name = "returnEventID")]
    return_event_id: Option<Ulid>,
    #[graphql(name = "runID")]
    run_id: Option<Ulid>,
    timed_out: Option<bool>,
}

/// A sleep.
#[derive(SimpleObject)]
struct SleepStepInfo {
    sleep_until: Time,
}

/// A wait for an event.
#[derive(SimpleObject)]
struct WaitForEventStepInfo {
    event_name: String,
    expression: Option<String>,
    timeout: Time,
    #[graphql(name = "foundEventID")]
    found_event_id: Option<Ulid>,
    timed_out: Option<bool>,
}

/// A wait for a signal.
#[derive(SimpleObject)]
struct WaitForSignalStepInfo {
    signal: String,
    timeout: Time,
    timed_out: Option<bool>,
}

/// A step that runs code of the function.
#[derive(SimpleObject)]
struct RunStepInfo {
    r#type: Option<String>,
}

impl StepInfo {
    fn of(info: Info) -> Self {
        match info {
            Info::Run { kind } => Self::Run(RunStepInfo { r#type: kind }),
            Info::Sleep { until } => Self::Sleep(SleepStepInfo {
                sleep_until: Time(until),
            }),
            Info::WaitForEvent {
                event,
                expression,
                timeout,
                found,
                timed_out,
            } => Self::WaitForEvent(WaitForEventStepInfo {
                event_name: event,
                expression,
                timeout: Time(timeout),
                found_event_id: found.map(|event| Ulid(event.0)),
                timed_out,
            }),
            Info::WaitForSignal {
                signal,
                timeout,
                timed_out,
            } => Self::WaitForSignal(WaitForSignalStepInfo {
                signal,
                timeout: Time(timeout),
                timed_out,
            }),
            Info::Invoke {
                event,
                function,
                timeout,
                returned,
                run,
                timed_out,
            } => Self::Invoke(InvokeStepInfo {
                triggering_event_id: Ulid(event.0),
                function_id: function,
                timeout: Time(timeout),
                return_event_id: returned.map(|event| Ulid(event.0)),
                run_id: run.map(|run| Ulid(run.0)),
                timed_out,
            }),
        }
    }
}

/// What a span has given.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct RunTraceSpanOutput {
    data: Option<Bytes>,
    error: Option<StepError>,
}

#[ComplexObject]
impl RunTraceSpanOutput {
    /// The arguments of a step; they are not kept.
    async fn input(&self) -> Option<Bytes> {
        None
    }
}

/// Why a step failed.
#[derive(SimpleObject)]
struct StepError {
    message: String,
    name: Option<String>,
    stack: Option<String>,
    cause: Option<Bytes>,
}

impl RunTraceSpanOutput {
    pub(super) fn of(output: Output) -> Self {
        match output {
            Output::Data(data) => Self {
                data: Some(Bytes(data.get().to_owned())),
                error: None,
            },
            Output::Error(error) => Self {
                data: None,
                error: Some(StepError {
                    cause: error
                        .cause
                        .as_ref()
                        .and_then(|cause| serde_json::to_string(cause).ok())
                        .map(Bytes),
                    message: error.message,
                    name: Some(error.name),
                    stack: error.stack,
                }),
            },
        }
    }
}
