//! The first shape of runs and events, which some clients still read.

use super::asked::Asked;
use super::event::first_event;
use super::function::{Function, by_id};
use super::run::FunctionRunStatus;
use super::scalar::{Bytes, Time};
use super::unreadable;
use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use std::sync::Arc;
use stepwell_engine::Timestamp;
use stepwell_protocol::EventId;
use stepwell_store::{EventFilter, EventQuery, EventRecord, RunRecord};

/// Entries of the stream at most.
const STREAM_MAX: usize = 100;
/// Bytes of bodies in a list, beyond those of its first event.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Rows that are looked at for a list.
const ROWS_MAX: usize = 5_000;

/// A run by its id.
#[derive(InputObject)]
pub(super) struct FunctionRunQuery {
    pub(super) function_run_id: ID,
}

/// An event by its id.
#[derive(InputObject)]
pub(super) struct EventQueryInput {
    #[graphql(default_with = "ID::from(\"local\")")]
    pub(super) workspace_id: ID,
    pub(super) event_id: ID,
}

/// The newest events.
#[derive(InputObject)]
pub(super) struct EventsQuery {
    #[graphql(default_with = "ID::from(\"local\")")]
    pub(super) workspace_id: ID,
    pub(super) last_event_id: Option<ID>,
}

/// A part of the stream.
#[derive(InputObject)]
pub(super) struct StreamQuery {
    pub(super) after: Option<Time>,
    pub(super) before: Option<Time>,
    #[graphql(default = 20)]
    pub(super) limit: usize,
    #[graphql(default = true)]
    pub(super) include_internal_events: bool,
}

/// A run.
#[derive(Clone)]
pub(super) struct FunctionRun(Arc<RunRecord>);

impl FunctionRun {
    pub(super) fn of(record: RunRecord) -> Self {
        Self(Arc::new(record))
    }
}

#[Object]
impl FunctionRun {
    async fn id(&self) -> ID {
        ID::from(self.0.id.to_string())
    }

    #[graphql(name = "functionID")]
    async fn function_id(&self) -> String {
        self.0.function.to_string()
    }

    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn function(&self, context: &Context<'_>) -> Result<Option<Function>> {
        by_id(context.data::<Asked>()?, self.0.function).await
    }

    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn event(&self, context: &Context<'_>) -> Result<Option<Event>> {
        let event = first_event(context.data::<Asked>()?, &self.0).await?;
        Ok(event.map(Event))
    }

    #[graphql(complexity = "super::cost(5, 5, child_complexity)")]
    async fn events(&self, context: &Context<'_>) -> Result<Vec<Event>> {
        let ids = self.0.events.clone();
        let read = context.data::<Asked>()?.read(move |reader| {
            let events = ids.into_iter().map(|id| reader.event(id));
            events.collect::<Result<Vec<_>, _>>()
        });
        let events: Vec<_> = read.await.map_err(unreadable)?;
        let events: Vec<EventRecord> = events.into_iter().flatten().collect();
        context.data::<Asked>()?.charge_events(&events)?;
        Ok(events.into_iter().map(Event).collect())
    }

    #[graphql(name = "batchID")]
    async fn batch_id(&self) -> Option<String> {
        let batch = self.0.origin.as_ref().and_then(|origin| origin.batch);
        batch.map(|batch| batch.to_string())
    }

    async fn batch_created_at(&self) -> Option<Time> {
        let batch = self.0.origin.as_ref().and_then(|origin| origin.batch);
        batch.map(|_| Time(self.0.queued_at))
    }

    async fn status(&self) -> FunctionRunStatus {
        FunctionRunStatus::of(self.0.status)
    }

    async fn started_at(&self) -> Option<Time> {
        Some(Time(self.0.started_at.unwrap_or(self.0.queued_at)))
    }

    async fn finished_at(&self) -> Option<Time> {
        self.0.ended_at.map(Time)
    }

    /// What it returned, or its error, in JSON.
    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn output(&self) -> Option<Bytes> {
        let output = self.0.output.as_ref();
        output.map(|output| Bytes(output.get().to_owned()))
    }

    #[graphql(name = "eventID")]
    async fn event_id(&self) -> Option<ID> {
        let event = self.0.events.first();
        event.map(|event| ID::from(event.to_string()))
    }

    async fn cron(&self) -> Option<String> {
        let origin = self.0.origin.as_ref();
        origin.and_then(|origin| origin.cron.as_deref().map(str::to_owned))
    }
}

/// An event.
#[derive(Clone)]
pub(super) struct Event(pub(super) EventRecord);

#[Object]
impl Event {
    async fn id(&self) -> ID {
        ID::from(self.0.id.to_string())
    }

    #[graphql(name = "externalID")]
    async fn external_id(&self) -> &str {
        &self.0.external_id
    }

    async fn name(&self) -> &str {
        &self.0.name
    }

    async fn created_at(&self) -> Time {
        Time(Timestamp::from_ms(u64::try_from(self.0.ts_ms).unwrap_or(0)))
    }

    /// Its data, in JSON.
    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn payload(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(self.0.body.get()).unwrap_or_default();
        body.get("data")
            .map_or_else(|| "null".to_owned(), ToString::to_string)
    }

    /// The event, in JSON.
    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn raw(&self) -> &str {
        self.0.body.get()
    }

    #[graphql(complexity = "super::cost(1, 5, child_complexity)")]
    async fn function_runs(&self, context: &Context<'_>) -> Result<Vec<FunctionRun>> {
        runs_of(context.data::<Asked>()?, self.0.id).await
    }

    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn pending_runs(&self, context: &Context<'_>) -> Result<usize> {
        let runs = runs_of(context.data::<Asked>()?, self.0.id).await?;
        let pending = runs.iter().filter(|run| !run.0.status.has_ended());
        Ok(pending.count())
    }

    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn total_runs(&self, context: &Context<'_>) -> Result<usize> {
        Ok(runs_of(context.data::<Asked>()?, self.0.id).await?.len())
    }
}

async fn runs_of(asked: &Asked, event: EventId) -> Result<Vec<FunctionRun>> {
    let read = asked.read(move |reader| reader.runs_of_event(event));
    let runs = read.await.map_err(unreadable)?;
    asked.charge_runs(&runs)?;
    Ok(runs.into_iter().map(FunctionRun::of).collect())
}

/// What kind of thing came.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
enum StreamType {
    Event,
    Cron,
}

/// Something that came, and the runs that it started.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct StreamItem {
    id: ID,
    /// The event's name, or the schedule.
    trigger: String,
    r#type: StreamType,
    created_at: Time,
    in_batch: bool,
    #[graphql(skip)]
    started: Vec<FunctionRun>,
}

#[async_graphql::ComplexObject]
impl StreamItem {
    #[graphql(complexity = "super::cost(0, 5, child_complexity)")]
    async fn runs(&self) -> Vec<FunctionRun> {
        self.started.clone()
    }
}

/// What came last, newest first.
pub(super) async fn stream(asked: &Asked, wanted: StreamQuery) -> Result<Vec<StreamItem>> {
    const TICK: &str = "inngest/scheduled.timer";
    let query = EventQuery {
        filter: EventFilter {
            names: Vec::new(),
            no_internal: !wanted.include_internal_events,
            from: wanted.after.map(|after| after.0),
            until: wanted.before.map(|before| before.0),
        },
        after: None,
        limit: wanted.limit.clamp(1, STREAM_MAX),
        rows_max: ROWS_MAX,
        bytes_max: BYTES_MAX,
    };
    let read = asked.read(move |reader| {
        let events = reader.find_events(&query)?.events.into_iter();
        let items = events.map(|event| {
            let runs = reader.runs_of_event(event.id)?;
            let origin = runs.first().and_then(|run| run.origin.clone());
            let origin = origin.unwrap_or_default();
            let is_tick = event.name == TICK;
            let trigger = origin.cron.as_deref().filter(|_| is_tick);
            Ok(StreamItem {
                id: ID::from(event.id.to_string()),
                trigger: trigger.map_or_else(|| event.name.clone(), str::to_owned),
                r#type: if is_tick {
                    StreamType::Cron
                } else {
                    StreamType::Event
                },
                created_at: Time(event.received_at),
                in_batch: origin.batch.is_some(),
                started: runs.into_iter().map(FunctionRun::of).collect(),
            })
        });
        items.collect::<Result<Vec<_>, _>>()
    });
    let items = read.await.map_err(unreadable)?;
    let started = items.iter().flat_map(|item| &item.started);
    asked.charge_runs(started.map(|run| &*run.0))?;
    Ok(items)
}

/// The newest events, before one of them.
pub(super) async fn events(asked: &Asked, wanted: &EventsQuery) -> Result<Vec<Event>> {
    let last = wanted
        .last_event_id
        .as_ref()
        .map(|id| id.parse())
        .transpose();
    let query = EventQuery {
        filter: EventFilter::default(),
        after: last.map_err(|_| "lastEventId: expected a ULID")?,
        limit: STREAM_MAX / 2,
        rows_max: ROWS_MAX,
        bytes_max: BYTES_MAX,
    };
    let read = asked.read(move |reader| reader.find_events(&query));
    let events = read.await.map_err(unreadable)?.events;
    asked.charge_events(&events)?;
    Ok(events.into_iter().map(Event).collect())
}
