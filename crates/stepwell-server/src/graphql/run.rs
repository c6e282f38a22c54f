//! Runs.

use super::app::{App, find};
use super::asked::Asked;
use super::event::first_event;
use super::function::{Function, by_id};
use super::scalar::{Bytes, Time, Ulid, Uuid};
use super::span::RunTraceSpan;
use super::unreadable;
use async_graphql::{Context, Enum, Object, Result, SimpleObject};
use serde_json::Value;
use std::sync::Arc;
use stepwell_engine::RunStatus;
use stepwell_protocol::{EventId, RunId};
use stepwell_store::history;
use stepwell_store::{DeferRecord, RunRecord};

/// The name of the event that starts a deferred run.
const DEFERRED: &str = "inngest/deferred.schedule";

/// Where a run stands.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FunctionRunStatus {
    Completed,
    Failed,
    Cancelled,
    Running,
    Queued,
    Skipped,
}

impl FunctionRunStatus {
    pub(super) fn of(status: RunStatus) -> Self {
        match status {
            RunStatus::Scheduled => Self::Queued,
            RunStatus::Running => Self::Running,
            RunStatus::Completed => Self::Completed,
            RunStatus::Failed => Self::Failed,
            RunStatus::Cancelled => Self::Cancelled,
            RunStatus::Skipped => Self::Skipped,
        }
    }

    pub(super) fn status(self) -> RunStatus {
        match self {
            Self::Queued => RunStatus::Scheduled,
            Self::Running => RunStatus::Running,
            Self::Completed => RunStatus::Completed,
            Self::Failed => RunStatus::Failed,
            Self::Cancelled => RunStatus::Cancelled,
            Self::Skipped => RunStatus::Skipped,
        }
    }
}

/// A run. What is told of it is of one moment, but for what is asked for besides.
#[derive(Clone)]
pub(super) struct Run(pub(super) Arc<RunRecord>);

impl Run {
    pub(super) fn of(record: RunRecord) -> Self {
        Self(Arc::new(record))
    }

    fn cron(&self) -> Option<String> {
        let origin = self.0.origin.as_ref();
        origin.and_then(|origin| origin.cron.as_deref().map(str::to_owned))
    }

    fn batch(&self) -> Option<u64> {
        self.0.origin.as_ref().and_then(|origin| origin.batch)
    }

    async fn event_name(&self, asked: &Asked) -> Result<Option<String>> {
        let events: Vec<EventId> = self.0.events.first().copied().into_iter().collect();
        let read = asked.read(move |reader| reader.event_names(&events));
        Ok(read.await.map_err(unreadable)?.pop().flatten())
    }
}

#[Object(name = "FunctionRunV2")]
impl Run {
    async fn id(&self) -> Ulid {
        Ulid(self.0.id.0)
    }

    #[graphql(name = "functionID")]
    async fn function_id(&self) -> Uuid {
        Uuid(self.0.function.0)
    }

    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn function(&self, context: &Context<'_>) -> Result<Option<Function>> {
        by_id(context.data::<Asked>()?, self.0.function).await
    }

    #[graphql(name = "appID", complexity = "super::cost(1, 0, 0)")]
    async fn app_id(&self, context: &Context<'_>) -> Result<Option<Uuid>> {
        let function = by_id(context.data::<Asked>()?, self.0.function).await?;
        Ok(function.map(|function| Uuid(function.0.app.0)))
    }

    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn app(&self, context: &Context<'_>) -> Result<Option<App>> {
        let function = self.0.function;
        let read = context.data::<Asked>()?.read(move |reader| {
            let function = reader.function(function)?;
            function.map_or(Ok(None), |function| find(reader, function.app))
        });
        Ok(read.await.map_err(unreadable)?.map(App::of))
    }

    #[graphql(name = "traceID")]
    async fn trace_id(&self) -> String {
        history::trace_id(self.0.id)
    }

    async fn queued_at(&self) -> Time {
        Time(self.0.queued_at)
    }

    async fn started_at(&self) -> Option<Time> {
        self.0.started_at.map(Time)
    }

    async fn ended_at(&self) -> Option<Time> {
        self.0.ended_at.map(Time)
    }

    async fn status(&self) -> FunctionRunStatus {
        FunctionRunStatus::of(self.0.status)
    }

    #[graphql(name = "sourceID")]
    async fn source_id(&self) -> Option<String> {
        None
    }

    /// The events that started it.
    #[graphql(name = "triggerIDs")]
    async fn trigger_ids(&self) -> Vec<Ulid> {
        self.0.events.iter().map(|event| Ulid(event.0)).collect()
    }

    #[graphql(name = "eventName", complexity = "super::cost(1, 0, 0)")]
    async fn first_event_name(&self, context: &Context<'_>) -> Result<Option<String>> {
        self.event_name(context.data::<Asked>()?).await
    }

    async fn is_batch(&self) -> bool {
        self.batch().is_some()
    }

    /// When its batch closed.
    async fn batch_created_at(&self) -> Option<Time> {
        self.batch().map(|_| Time(self.0.queued_at))
    }

    async fn cron_schedule(&self) -> Option<String> {
        self.cron()
    }

    /// What it returned, or its error.
    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn output(&self) -> Option<Bytes> {
        let output = self.0.output.as_ref();
        output.map(|output| Bytes(output.get().to_owned()))
    }

    /// The run's span, above all others.
    #[graphql(complexity = "super::cost(5, 1, child_complexity)")]
    async fn trace(
        &self,
        context: &Context<'_>,
        #[graphql(name = "preview")] _preview: Option<bool>,
    ) -> Result<Option<RunTraceSpan>> {
        RunTraceSpan::root(context.data::<Asked>()?, self.0.id).await
    }

    /// Whether a step of it asked an AI provider.
    #[graphql(name = "hasAI", complexity = "super::cost(5, 0, 0)")]
    async fn has_ai(&self, context: &Context<'_>) -> Result<bool> {
        let root = RunTraceSpan::root(context.data::<Asked>()?, self.0.id).await?;
        Ok(root.is_some_and(|root| root.asks_ai()))
    }

    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn is_deferred(&self, context: &Context<'_>) -> Result<bool> {
        let name = self.event_name(context.data::<Asked>()?).await?;
        Ok(name.as_deref() == Some(DEFERRED))
    }

    /// The runs that it has deferred.
    #[graphql(complexity = "super::cost(1, 20, child_complexity)")]
    async fn defers(&self, context: &Context<'_>) -> Result<Vec<RunDefer>> {
        defers_of(context.data::<Asked>()?, self.0.id).await
    }

    /// The run that deferred it, and what that deferred besides.
    #[graphql(complexity = "super::cost(1, 20, child_complexity)")]
    async fn sibling_defers(&self, context: &Context<'_>) -> Result<Vec<RunDefer>> {
        let asked = context.data::<Asked>()?;
        match deferred_from(asked, &self.0).await? {
            Some(from) => defers_of(asked, from.run).await,
            None => Ok(Vec::new()),
        }
    }

    /// The run that deferred it.
    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn deferred_from(&self, context: &Context<'_>) -> Result<Option<RunDeferredFrom>> {
        deferred_from(context.data::<Asked>()?, &self.0).await
    }
}

/// A deferred run.
#[derive(SimpleObject)]
struct RunDefer {
    /// The step that asked for it.
    id: String,
    fn_slug: String,
    /// `AFTER_RUN`, `ABORTED` or `REJECTED`.
    status: String,
    /// What it gets.
    input: Option<Bytes>,
}

impl RunDefer {
    fn of(record: DeferRecord) -> Self {
        Self {
            id: record.step.to_string(),
            fn_slug: record.slug,
            status: record.status.as_str().to_uppercase(),
            input: record.input.map(|input| Bytes(input.get().to_owned())),
        }
    }
}

/// Where a deferred run comes from.
#[derive(SimpleObject)]
struct RunDeferredFrom {
    #[graphql(name = "parentRunID")]
    parent_run_id: Ulid,
    #[graphql(name = "parentFnSlug")]
    parent_fn_slug: String,
    #[graphql(skip)]
    run: RunId,
}

async fn defers_of(asked: &Asked, run: RunId) -> Result<Vec<RunDefer>> {
    let read = asked.read(move |reader| reader.defers(run)).await;
    let defers = read.map_err(unreadable)?.into_iter();
    Ok(defers.map(RunDefer::of).collect())
}

async fn deferred_from(asked: &Asked, run: &RunRecord) -> Result<Option<RunDeferredFrom>> {
    let event = first_event(asked, run).await?;
    let Some(event) = event.filter(|event| event.name == DEFERRED) else {
        return Ok(None);
    };
    let body: Value = serde_json::from_str(event.body.get()).unwrap_or_default();
    let from = &body["data"]["_inngest"];
    let parent: Option<RunId> = from["parent_run_id"]
        .as_str()
        .and_then(|id| id.parse().ok());
    Ok(parent.map(|run| RunDeferredFrom {
        parent_run_id: Ulid(run.0),
        parent_fn_slug: from["parent_fn_slug"].as_str().unwrap_or("").to_owned(),
        run,
    }))
}
