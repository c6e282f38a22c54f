//! Lists of runs.

use super::asked::Asked;
use super::event::PageInfo;
use super::run::{FunctionRunStatus, Run};
use super::scalar::{Time, Uuid};
use super::search::{Search, place};
use super::unreadable;
use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject};
use stepwell_protocol::{AppId, FunctionId};
use stepwell_store::{Reader, RunFilter, RunPlace, RunQuery, RunTime, StoreError};
use tokio::sync::OnceCell;

/// Runs of a page at most.
pub(super) const RUNS_MAX: usize = 400;
/// Rows that are looked at for a page.
const ROWS_MAX: usize = 5_000;
/// Rows that are counted; beyond, a count is of the newest.
const COUNTED_MAX: usize = 10_000;
/// Bytes of outputs in a page, beyond those of its first run.
const OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A moment in the life of a run.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunsV2OrderByField {
    #[graphql(name = "QUEUED_AT")]
    Queued,
    #[graphql(name = "STARTED_AT")]
    Started,
    #[graphql(name = "ENDED_AT")]
    Ended,
}

impl RunsV2OrderByField {
    fn time(self) -> RunTime {
        match self {
            Self::Queued => RunTime::Queued,
            Self::Started => RunTime::Started,
            Self::Ended => RunTime::Ended,
        }
    }
}

/// Which way a list goes.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunsOrderByDirection {
    Asc,
    Desc,
}

/// What a list is ordered by.
#[derive(InputObject)]
pub(super) struct RunsV2OrderBy {
    field: RunsV2OrderByField,
    direction: RunsOrderByDirection,
}

/// Which runs.
#[derive(InputObject)]
pub(super) struct RunsFilterV2 {
    from: Time,
    until: Option<Time>,
    #[graphql(default_with = "Some(RunsV2OrderByField::Queued)")]
    time_field: Option<RunsV2OrderByField>,
    status: Option<Vec<FunctionRunStatus>>,
    #[graphql(name = "functionIDs")]
    function_ids: Option<Vec<Uuid>>,
    #[graphql(name = "appIDs")]
    app_ids: Option<Vec<Uuid>>,
    is_deferred: Option<bool>,
    /// Expressions over `event`, `output` and `error`, one a line.
    query: Option<String>,
}

impl RunsFilterV2 {
    /// Whether it looks into what it finds.
    pub(super) fn is_search(&self) -> bool {
        let query = self.query.as_deref().unwrap_or("");
        !query.trim().is_empty()
    }
}

/// A list of runs.
pub(super) struct RunsV2Connection {
    runs: Vec<Run>,
    page_info: PageInfo,
    query: RunQuery,
    search: Option<String>,
    /// Counted once, by however many names it is asked for.
    total: OnceCell<usize>,
}

/// A run in a list.
#[derive(SimpleObject)]
#[graphql(name = "FunctionRunV2Edge")]
struct RunEdge {
    node: Run,
    cursor: String,
}

#[Object]
impl RunsV2Connection {
    async fn edges(&self) -> Vec<RunEdge> {
        let edges = self.runs.iter().map(|run| RunEdge {
            node: run.clone(),
            cursor: place(&run.0, self.query.order).to_string(),
        });
        edges.collect()
    }

    async fn page_info(&self) -> PageInfo {
        self.page_info.clone()
    }

    /// How many there are, as far as a few thousand of the newest tell.
    #[graphql(complexity = "super::cost(5, 0, 0)")]
    async fn total_count(
        &self,
        context: &Context<'_>,
        #[graphql(name = "preview")] _preview: Option<bool>,
    ) -> Result<usize> {
        let count = self.count(context.data::<Asked>()?);
        self.total.get_or_try_init(|| count).await.copied()
    }
}

impl RunsV2Connection {
    async fn count(&self, asked: &Asked) -> Result<usize> {
        let mut query = self.query.clone();
        let Some(search) = Search::of(self.search.as_deref(), asked.handle.now())? else {
            let read = asked.read(move |reader| reader.count_runs(&query.filter, COUNTED_MAX));
            return read.await.map_err(unreadable);
        };
        query.after = None;
        query.limit = usize::MAX;
        let read = asked.read(move |reader| Ok(search.runs(reader, &query)));
        Ok(read.await.map_err(unreadable)??.runs.len())
    }

    pub(super) async fn read(
        asked: &Asked,
        first: usize,
        after: Option<String>,
        order_by: Vec<RunsV2OrderBy>,
        wanted: RunsFilterV2,
    ) -> Result<Self> {
        let search = Search::of(wanted.query.as_deref(), asked.handle.now())?;
        let text = wanted.query.clone();
        let (mut query, apps) = query(first, after.as_deref(), &order_by, wanted)?;
        let read = asked.read(move |reader| {
            if let Some(apps) = apps {
                of_apps(reader, &mut query.filter, &apps)?;
            }
            let page = match search {
                Some(search) => search.runs(reader, &query),
                None => Ok(reader.find_runs(&query)?),
            };
            Ok(page.map(|page| (page, query)))
        });
        let (page, query) = read.await.map_err(unreadable)??;
        asked.charge_runs(&page.runs)?;
        let cursor = |run: &stepwell_store::RunRecord| place(run, query.order).to_string();
        let end = page.next.map(|next| next.to_string());
        Ok(Self {
            page_info: PageInfo {
                has_next_page: page.next.is_some(),
                has_previous_page: query.after.is_some(),
                start_cursor: page.runs.first().map(cursor),
                end_cursor: end.or_else(|| page.runs.last().map(cursor)),
            },
            runs: page.runs.into_iter().map(Run::of).collect(),
            query,
            search: text,
            total: OnceCell::new(),
        })
    }
}

/// What is asked for, and the apps whose functions it is asked of.
fn query(
    first: usize,
    after: Option<&str>,
    order_by: &[RunsV2OrderBy],
    wanted: RunsFilterV2,
) -> Result<(RunQuery, Option<Vec<AppId>>)> {
    // The first order decides; moments that are the same are told apart by ids.
    let order = order_by.first();
    let after: Option<RunPlace> = after
        .filter(|after| !after.is_empty())
        .map(str::parse)
        .transpose()
        .map_err(|_| "after: expected the endCursor of an earlier page")?;
    let statuses = wanted.status.unwrap_or_default();
    let functions = wanted.function_ids.filter(|ids| !ids.is_empty());
    let apps = wanted.app_ids.filter(|ids| !ids.is_empty());
    let query = RunQuery {
        filter: RunFilter {
            functions: functions.map(|ids| ids.into_iter().map(|id| FunctionId(id.0)).collect()),
            statuses: statuses
                .into_iter()
                .map(FunctionRunStatus::status)
                .collect(),
            deferred: wanted.is_deferred,
            time: wanted
                .time_field
                .map_or(RunTime::Queued, RunsV2OrderByField::time),
            from: Some(wanted.from.0),
            until: wanted.until.map(|until| until.0),
        },
        order: order.map_or(RunTime::Queued, |order| order.field.time()),
        oldest_first: order.is_some_and(|order| order.direction == RunsOrderByDirection::Asc),
        after,
        limit: first.clamp(1, RUNS_MAX),
        rows_max: ROWS_MAX,
        output_bytes_max: Some(OUTPUT_BYTES_MAX),
    };
    let apps = apps.map(|ids| ids.into_iter().map(|id| AppId(id.0)).collect());
    Ok((query, apps))
}

/// Narrows a filter to the functions of these apps.
fn of_apps(reader: &dyn Reader, filter: &mut RunFilter, apps: &[AppId]) -> Result<(), StoreError> {
    let all = reader.all_functions()?.into_iter();
    let of_apps = all.filter(|function| apps.contains(&function.app));
    let wanted = of_apps.map(|function| function.id).filter(|id| {
        let functions = filter.functions.as_ref();
        functions.is_none_or(|functions| functions.contains(id))
    });
    filter.functions = Some(wanted.collect());
    Ok(())
}
