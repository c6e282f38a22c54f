//! Spans around calls and steps.

use super::{Middleware, Outcome, RawReply, RunInfo, StepInfo};
use crate::BoxFuture;
use std::fmt;
use std::sync::Arc;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

/// Opens a `tracing` span around each call (`stepwell.call`) and each step that executes (`stepwell.step`), for
/// OpenTelemetry and the like.
///
/// A run takes several calls, often on several machines; each call is the root of its spans. What joins them is the
/// field `run_id`, and a parent that [`joined_by`](Self::joined_by) gives the span of each call: the server's trace, when
/// the call carries one ([`RunInfo::trace`]), or a trace of the run's own id ([`RunInfo::trace_id`]).
///
/// | Span | Fields |
/// |---|---|
/// | `stepwell.call` | `run_id`, `function_id`, `event`, `attempt`, `request_id`, `status`; `otel.name`, `otel.kind`, `otel.status_code` |
/// | `stepwell.step` | `run_id`, `function_id`, `step_id`, `step_index`, `step_kind`, `attempt`, `error`; `otel.name`, `otel.status_code` |
///
/// ```
/// # mod opentelemetry_of_the_program {
/// #     pub fn set_parent(_: &tracing::Span, _: Option<&str>, _: u128) {}
/// # }
/// # use opentelemetry_of_the_program::set_parent;
/// use stepwell::middleware::Tracing;
///
/// // With the crate tracing-opentelemetry: extract a context from `traceparent`, or make one of the trace id, and give
/// // it to `span.set_parent(..)`.
/// let tracing = Tracing::new()
///     .joined_by(|span, run| set_parent(span, run.trace.traceparent.as_deref(), run.trace_id()));
/// ```
#[derive(Clone, Default)]
pub struct Tracing {
    join: Option<Arc<Join>>,
}

type Join = dyn Fn(&Span, &RunInfo) + Send + Sync;

impl fmt::Debug for Tracing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tracing")
            .field("joins", &self.join.is_some())
            .finish()
    }
}

impl Tracing {
    /// Spans that are joined by their fields alone.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `join` give the span of each call its parent, before the span is entered.
    #[must_use]
    pub fn joined_by(mut self, join: impl Fn(&Span, &RunInfo) + Send + Sync + 'static) -> Self {
        self.join = Some(Arc::new(join));
        self
    }
}

impl RunInfo {
    /// The run's id as a trace id of 128 bits: the same in all its calls.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        u128::from_be_bytes(self.run_id.to_bytes())
    }
}

impl Middleware for Tracing {
    fn wrap_request<'a>(
        &'a self,
        run: &'a RunInfo,
        next: BoxFuture<'a, RawReply>,
    ) -> BoxFuture<'a, RawReply> {
        let span = info_span!(
            parent: None,
            "stepwell.call",
            otel.name = %run.function_id,
            otel.kind = "server",
            otel.status_code = Empty,
            run_id = %run.run_id,
            function_id = %run.function_id,
            event = %run.event_name,
            attempt = run.attempt,
            request_id = %run.request_id,
            status = Empty,
        );
        if let Some(join) = &self.join {
            join(&span, run);
        }
        let call = async move {
            let reply = next.await;
            let span = Span::current();
            span.record("status", reply.status);
            let is_error = reply.status >= 400 || reply.headers.no_retry.is_some();
            span.record("otel.status_code", if is_error { "ERROR" } else { "OK" });
            reply
        };
        Box::pin(call.instrument(span))
    }

    fn wrap_step<'a>(
        &'a self,
        run: &'a RunInfo,
        step: &'a StepInfo,
        next: Outcome<'a>,
    ) -> Outcome<'a> {
        let span = info_span!(
            "stepwell.step",
            otel.name = %step.display_name,
            otel.status_code = Empty,
            run_id = %run.run_id,
            function_id = %run.function_id,
            step_id = %step.id,
            step_index = step.index,
            step_kind = step.kind.as_str(),
            attempt = run.attempt,
            error = Empty,
        );
        let code = async move {
            let output = next.await;
            let span = Span::current();
            match &output {
                Ok(_) => span.record("otel.status_code", "OK"),
                Err(error) => span
                    .record("otel.status_code", "ERROR")
                    .record("error", tracing::field::display(error)),
            };
            output
        };
        Box::pin(code.instrument(span))
    }
}
