//! Events.

use super::asked::Asked;
use super::run::Run;
use super::scalar::{Bytes, Time, Ulid};
use super::search::Search;
use super::unreadable;
use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use serde_json::Value;
use stepwell_engine::Timestamp;
use stepwell_store::{EventFilter, EventQuery, EventRecord, RunRecord};
use tokio::sync::OnceCell;

/// Events of a page at most.
pub(super) const EVENTS_MAX: usize = 200;
/// Rows that are looked at for a page.
const ROWS_MAX: usize = 5_000;
/// Rows that are counted; beyond, a count is of the newest.
const COUNTED_MAX: usize = 10_000;
/// Bytes of bodies in a page, beyond those of its first event.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Which events.
#[derive(InputObject)]
pub(super) struct EventsFilter {
    event_names: Option<Vec<String>>,
    from: Time,
    until: Option<Time>,
    #[graphql(default = true)]
    include_internal_events: bool,
    /// Expressions over `event`, one a line.
    query: Option<String>,
}

impl EventsFilter {
    /// Whether it looks into what it finds.
    pub(super) fn is_search(&self) -> bool {
        let query = self.query.as_deref().unwrap_or("");
        !query.trim().is_empty()
    }
}

/// An event.
#[derive(Clone)]
pub(super) struct EventV2(pub(super) EventRecord);

#[Object]
impl EventV2 {
    async fn id(&self) -> Ulid {
        Ulid(self.0.id.0)
    }

    #[graphql(name = "envID")]
    async fn environment_id(&self) -> &'static str {
        crate::routes::ENVIRONMENT
    }

    /// The id that its sender gave it.
    async fn idempotency_key(&self) -> Option<&str> {
        let given = self.0.external_id != self.0.id.to_string();
        given.then_some(&*self.0.external_id)
    }

    async fn name(&self) -> &str {
        &self.0.name
    }

    async fn occurred_at(&self) -> Time {
        Time(Timestamp::from_ms(u64::try_from(self.0.ts_ms).unwrap_or(0)))
    }

    async fn received_at(&self) -> Time {
        Time(self.0.received_at)
    }

    /// The event in JSON.
    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn raw(&self) -> String {
        raw(&self.0)
    }

    async fn source(&self) -> Option<EventSource> {
        None
    }

    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn version(&self, context: &Context<'_>) -> Result<Option<String>> {
        // All of the event is read for it.
        context.data::<Asked>()?.charge(self.0.body.get().len())?;
        let body: Value = serde_json::from_str(self.0.body.get()).unwrap_or_default();
        Ok(body["v"].as_str().map(str::to_owned))
    }

    /// The runs that it started.
    #[graphql(complexity = "super::cost(1, 5, child_complexity)")]
    async fn runs(&self, context: &Context<'_>) -> Result<Vec<Run>> {
        let id = self.0.id;
        let read = context
            .data::<Asked>()?
            .read(move |reader| reader.runs_of_event(id));
        let runs = read.await.map_err(unreadable)?;
        context.data::<Asked>()?.charge_runs(&runs)?;
        Ok(runs.into_iter().map(Run::of).collect())
    }
}

/// Where an event came from.
#[derive(SimpleObject)]
struct EventSource {
    id: String,
    name: Option<String>,
    source_kind: String,
}

/// What clients read as the event: these keys, in this order.
fn raw(event: &EventRecord) -> String {
    let body: Value = serde_json::from_str(event.body.get()).unwrap_or_default();
    let field = |name: &str| body.get(name).cloned().unwrap_or_default();
    serde_json::json!({
        "data": field("data"),
        "id": event.external_id,
        "name": event.name,
        "ts": event.ts_ms,
        "v": field("v"),
    })
    .to_string()
}

/// A list of events.
pub(super) struct EventsConnection {
    events: Vec<EventV2>,
    page_info: PageInfo,
    filter: EventFilter,
    query: Option<String>,
    /// Counted once, by however many names it is asked for.
    total: OnceCell<usize>,
}

/// Where a list goes on.
#[derive(SimpleObject, Clone)]
pub(super) struct PageInfo {
    pub(super) has_next_page: bool,
    pub(super) has_previous_page: bool,
    pub(super) start_cursor: Option<String>,
    pub(super) end_cursor: Option<String>,
}

/// An event in a list.
#[derive(SimpleObject)]
struct EventsEdge {
    node: EventV2,
    cursor: String,
}

#[Object]
impl EventsConnection {
    async fn edges(&self) -> Vec<EventsEdge> {
        let edges = self.events.iter().map(|event| EventsEdge {
            cursor: event.0.id.to_string(),
            node: event.clone(),
        });
        edges.collect()
    }

    async fn page_info(&self) -> PageInfo {
        self.page_info.clone()
    }

    /// How many there are, as far as a few thousand of the newest tell.
    #[graphql(complexity = "super::cost(5, 0, 0)")]
    async fn total_count(&self, context: &Context<'_>) -> Result<usize> {
        let count = self.count(context.data::<Asked>()?);
        self.total.get_or_try_init(|| count).await.copied()
    }
}

impl EventsConnection {
    async fn count(&self, asked: &Asked) -> Result<usize> {
        let filter = self.filter.clone();
        let Some(search) = Search::of(self.query.as_deref(), asked.handle.now())? else {
            let read = asked.read(move |reader| reader.count_events(&filter, COUNTED_MAX));
            return read.await.map_err(unreadable);
        };
        let query = EventQuery {
            filter,
            after: None,
            limit: usize::MAX,
            rows_max: COUNTED_MAX,
            bytes_max: BYTES_MAX,
        };
        let read = asked.read(move |reader| Ok(search.events(reader, &query)));
        Ok(read.await.map_err(unreadable)??.events.len())
    }

    pub(super) async fn read(
        asked: &Asked,
        first: usize,
        after: Option<String>,
        wanted: EventsFilter,
    ) -> Result<Self> {
        let after = after.filter(|after| !after.is_empty());
        let after = after.map(|after| after.parse()).transpose();
        let query = EventQuery {
            filter: EventFilter {
                names: wanted.event_names.unwrap_or_default(),
                no_internal: !wanted.include_internal_events,
                from: Some(wanted.from.0),
                until: wanted.until.map(|until| until.0),
            },
            after: after.map_err(|_| "after: expected the endCursor of an earlier page")?,
            limit: first.clamp(1, EVENTS_MAX),
            rows_max: ROWS_MAX,
            bytes_max: BYTES_MAX,
        };
        let filter = query.filter.clone();
        let has_previous_page = query.after.is_some();
        let search = Search::of(wanted.query.as_deref(), asked.handle.now())?;
        let read = asked.read(move |reader| match search {
            Some(search) => Ok(search.events(reader, &query)),
            None => Ok(Ok(reader.find_events(&query)?)),
        });
        let page = read.await.map_err(unreadable)??;
        asked.charge_events(&page.events)?;
        let cursor = |event: Option<&EventRecord>| event.map(|event| event.id.to_string());
        let end = page.next.map(|next| next.to_string());
        Ok(Self {
            page_info: PageInfo {
                has_next_page: page.next.is_some(),
                has_previous_page,
                start_cursor: cursor(page.events.first()),
                end_cursor: end.or_else(|| cursor(page.events.last())),
            },
            events: page.events.into_iter().map(EventV2).collect(),
            filter,
            query: wanted.query,
            total: OnceCell::new(),
        })
    }
}

/// What started a run.
#[derive(SimpleObject)]
pub(super) struct RunTraceTrigger {
    event_name: Option<String>,
    #[graphql(name = "IDs")]
    ids: Vec<Ulid>,
    payloads: Vec<Bytes>,
    timestamp: Time,
    is_batch: bool,
    #[graphql(name = "batchID")]
    batch_id: Option<String>,
    cron: Option<String>,
}

impl RunTraceTrigger {
    pub(super) fn of(run: &RunRecord, events: &[EventRecord]) -> Self {
        let origin = run.origin.clone().unwrap_or_default();
        let name = events.first().map(|event| event.name.clone());
        Self {
            // A tick is no event of anybody's.
            event_name: name.filter(|_| origin.cron.is_none()),
            ids: run.events.iter().map(|id| Ulid(id.0)).collect(),
            payloads: events
                .iter()
                .map(|event| Bytes(event.body.get().to_owned()))
                .collect(),
            timestamp: Time(run.queued_at),
            is_batch: origin.batch.is_some(),
            batch_id: origin.batch.map(|batch| batch.to_string()),
            cron: origin.cron.as_deref().map(str::to_owned),
        }
    }
}

/// The first of a run's events.
pub(super) async fn first_event(asked: &Asked, run: &RunRecord) -> Result<Option<EventRecord>> {
    let Some(id) = run.events.first().copied() else {
        return Ok(None);
    };
    let read = asked.read(move |reader| reader.event(id));
    let event = read.await.map_err(unreadable)?;
    asked.charge_events(&event)?;
    Ok(event)
}
