//! What can be asked.

use super::app::{self, App, AppsFilter};
use super::asked::Asked;
use super::event::{EVENTS_MAX, EventV2, EventsConnection, EventsFilter, RunTraceTrigger};
use super::function::{Function, FunctionQuery};
use super::legacy::{self, Event, EventQueryInput, EventsQuery, FunctionRun, FunctionRunQuery};
use super::legacy::{StreamItem, StreamQuery};
use super::run::Run;
use super::run_list::{RUNS_MAX, RunsFilterV2, RunsV2Connection, RunsV2OrderBy};
use super::scalar::{Ulid, Uuid};
use super::span::{RunTraceSpan, RunTraceSpanOutput};
use super::unreadable;
use super::worker::{self, WORKERS_MAX, Worker, WorkersConnection, WorkersFilter, WorkersOrderBy};
use async_graphql::{Context, Error, Object, Result};
use std::sync::Arc;
use stepwell_protocol::{AppId, EventId, RunId};
use stepwell_store::history::{self, Output, OutputId};
use stepwell_store::{EventRecord, Reader, RunRecord, StoreError};

/// Every question that has one answer gives null, and an error beside it, when it is not there: a nullable result, not a
/// result that is nullable.
pub(super) struct Query;

#[Object]
impl Query {
    /// Apps, by name.
    #[graphql(complexity = "super::cost(1, 20, child_complexity)")]
    async fn apps(&self, context: &Context<'_>, filter: Option<AppsFilter>) -> Result<Vec<App>> {
        let apps = read(context, |reader| reader.apps()).await?.into_iter();
        let apps = apps.filter(|app| !app.is_removed()).map(App::of);
        let Some(method) = filter.and_then(|filter| filter.method) else {
            return Ok(apps.collect());
        };
        let mut wanted = Vec::new();
        for app in apps {
            if app.method_of(context).await? == method {
                wanted.push(app);
            }
        }
        Ok(wanted)
    }

    /// An app.
    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn app(&self, context: &Context<'_>, id: Uuid) -> Option<Result<App>> {
        Some(
            async {
                let found = read(context, move |reader| app::find(reader, AppId(id.0))).await?;
                found.map(App::of).ok_or_else(|| missing("app"))
            }
            .await,
        )
    }

    /// Functions that are registered.
    #[graphql(complexity = "super::cost(1, 100, child_complexity)")]
    async fn functions(&self, context: &Context<'_>) -> Result<Option<Vec<Function>>> {
        let functions = read(context, |reader| reader.functions())
            .await?
            .into_iter();
        let functions = functions.map(|function| Function(Arc::new(function)));
        Ok(Some(functions.collect()))
    }

    /// A function by its public id.
    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn function_by_slug(
        &self,
        context: &Context<'_>,
        query: FunctionQuery,
    ) -> Option<Result<Function>> {
        Some(
            async {
                let functions = read(context, |reader| reader.functions()).await?;
                let slug = query.function_slug;
                let mut named = functions
                    .into_iter()
                    .filter(|function| function.slug == slug);
                let found = named.next().map(|function| Function(Arc::new(function)));
                found.ok_or_else(|| missing("function"))
            }
            .await,
        )
    }

    /// An event, in its first shape.
    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn event(&self, context: &Context<'_>, query: EventQueryInput) -> Option<Result<Event>> {
        Some(
            async {
                let id = query.event_id.parse();
                let id = id.map_err(|_| "eventId: expected a ULID")?;
                Ok(Event(event(context, id).await?))
            }
            .await,
        )
    }

    /// The newest events, in their first shape.
    #[graphql(complexity = "super::cost(1, 50, child_complexity)")]
    async fn events(
        &self,
        context: &Context<'_>,
        query: EventsQuery,
    ) -> Result<Option<Vec<Event>>> {
        let events = legacy::events(context.data::<Asked>()?, &query).await?;
        Ok(Some(events))
    }

    /// An event.
    #[graphql(name = "eventV2", complexity = "super::cost(1, 1, child_complexity)")]
    async fn event_v2(&self, context: &Context<'_>, id: Ulid) -> Option<Result<EventV2>> {
        Some(async { Ok(EventV2(event(context, EventId(id.0)).await?)) }.await)
    }

    /// Events, newest first.
    #[graphql(
        name = "eventsV2",
        complexity = "super::list_cost(filter.is_search(), first.min(EVENTS_MAX), child_complexity)"
    )]
    async fn events_v2(
        &self,
        context: &Context<'_>,
        #[graphql(default = 40)] first: usize,
        after: Option<String>,
        filter: EventsFilter,
    ) -> Result<EventsConnection> {
        EventsConnection::read(context.data::<Asked>()?, first, after, filter).await
    }

    /// A run, in its first shape.
    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn function_run(
        &self,
        context: &Context<'_>,
        query: FunctionRunQuery,
    ) -> Option<Result<FunctionRun>> {
        Some(
            async {
                let run = run(context, &query.function_run_id).await?;
                Ok(FunctionRun::of(run))
            }
            .await,
        )
    }

    /// Runs.
    #[graphql(
        complexity = "super::list_cost(filter.is_search(), first.min(RUNS_MAX), child_complexity)"
    )]
    async fn runs(
        &self,
        context: &Context<'_>,
        #[graphql(default = 100)] first: usize,
        after: Option<String>,
        order_by: Vec<RunsV2OrderBy>,
        filter: RunsFilterV2,
        #[graphql(name = "preview")] _preview: Option<bool>,
    ) -> Result<RunsV2Connection> {
        let asked = context.data::<Asked>()?;
        RunsV2Connection::read(asked, first, after, order_by, filter).await
    }

    /// A run.
    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn run(
        &self,
        context: &Context<'_>,
        #[graphql(name = "runID")] run_id: String,
    ) -> Option<Result<Run>> {
        Some(async { Ok(Run::of(run(context, &run_id).await?)) }.await)
    }

    /// A run's span, above all others.
    #[graphql(complexity = "super::cost(5, 1, child_complexity)")]
    async fn run_trace(
        &self,
        context: &Context<'_>,
        #[graphql(name = "runID")] run_id: String,
    ) -> Option<Result<RunTraceSpan>> {
        Some(
            async {
                let root =
                    RunTraceSpan::root(context.data::<Asked>()?, parse_run(&run_id)?).await?;
                root.ok_or_else(|| missing("run"))
            }
            .await,
        )
    }

    /// What started a run.
    #[graphql(complexity = "super::cost(5, 1, child_complexity)")]
    async fn run_trigger(
        &self,
        context: &Context<'_>,
        #[graphql(name = "runID")] run_id: String,
    ) -> Option<Result<RunTraceTrigger>> {
        Some(
            async {
                let run = run(context, &run_id).await?;
                let ids = run.events.clone();
                let events = read(context, move |reader| {
                    let events = ids.into_iter().map(|id| reader.event(id));
                    events.collect::<Result<Vec<_>, _>>()
                });
                let events: Vec<EventRecord> = events.await?.into_iter().flatten().collect();
                context.data::<Asked>()?.charge_events(&events)?;
                Ok(RunTraceTrigger::of(&run, &events))
            }
            .await,
        )
    }

    /// What a span has given.
    #[graphql(
        name = "runTraceSpanOutputByID",
        complexity = "super::cost(5, 1, child_complexity)"
    )]
    async fn run_trace_span_output_by_id(
        &self,
        context: &Context<'_>,
        #[graphql(name = "outputID")] output_id: String,
    ) -> Option<Result<RunTraceSpanOutput>> {
        Some(
            async {
                let id: OutputId = output_id
                    .parse()
                    .map_err(|error| Error::new(format!("{error}")))?;
                let output = read(context, move |reader| history::output(reader, &id)).await?;
                let bytes = output.as_ref().map_or(0, Output::bytes);
                context.data::<Asked>()?.charge_held(bytes)?;
                let output = output.map(RunTraceSpanOutput::of);
                output.ok_or_else(|| missing("output"))
            }
            .await,
        )
    }

    /// Workers that are connected, each of their apps for itself; those that connected last first.
    #[graphql(complexity = "super::cost(1, first.min(WORKERS_MAX), child_complexity)")]
    async fn worker_connections(
        &self,
        context: &Context<'_>,
        #[graphql(default = 40)] first: usize,
        after: Option<String>,
        filter: Option<WorkersFilter>,
        order_by: Option<Vec<WorkersOrderBy>>,
    ) -> Result<WorkersConnection> {
        let asked = context.data::<Asked>()?;
        let filter = filter.unwrap_or_default();
        let order_by = order_by.unwrap_or_default();
        worker::list(asked, first, after.as_deref(), &order_by, &filter)
    }

    /// A worker that is connected.
    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn worker_connection(
        &self,
        context: &Context<'_>,
        connection_id: Ulid,
    ) -> Option<Result<Worker>> {
        Some(
            async {
                let found = worker::find_worker(context.data::<Asked>()?, connection_id.0);
                found.ok_or_else(|| missing("worker connection"))
            }
            .await,
        )
    }

    /// What came last, and the runs that it started.
    #[graphql(complexity = "super::cost(1, 40, child_complexity)")]
    async fn stream(&self, context: &Context<'_>, query: StreamQuery) -> Result<Vec<StreamItem>> {
        legacy::stream(context.data::<Asked>()?, query).await
    }
}

fn missing(what: &str) -> Error {
    Error::new(format!("{what} not found"))
}

fn parse_run(text: &str) -> Result<RunId> {
    let run = text.parse();
    run.map_err(|_| Error::new("The run ID specified is invalid"))
}

async fn run(context: &Context<'_>, id: &str) -> Result<RunRecord> {
    let id = parse_run(id)?;
    let run = read(context, move |reader| reader.run(id)).await?;
    context.data::<Asked>()?.charge_runs(&run)?;
    run.ok_or_else(|| missing("run"))
}

async fn event(context: &Context<'_>, id: EventId) -> Result<EventRecord> {
    let event = read(context, move |reader| reader.event(id)).await?;
    context.data::<Asked>()?.charge_events(&event)?;
    event.ok_or_else(|| missing("event"))
}

/// Puts a question to the store.
async fn read<T: Send + 'static>(
    context: &Context<'_>,
    question: impl FnOnce(&dyn Reader) -> Result<T, StoreError> + Send + 'static,
) -> Result<T> {
    let asked = context.data::<Asked>()?;
    asked.read(question).await.map_err(unreadable)
}
