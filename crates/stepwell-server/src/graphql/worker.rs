//! Workers that are connected. Those that have left are not known any more.

use super::app::{App, find};
use super::asked::Asked;
use super::event::PageInfo;
use super::run_list::RunsOrderByDirection;
use super::scalar::{Time, Ulid, Uuid};
use super::unreadable;
use crate::connect::{GROUP, Gateway, SeenWorker, Standing};
use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject};
use stepwell_engine::Timestamp;

/// Workers of a page at most.
pub(super) const WORKERS_MAX: usize = 400;

/// How a worker stands.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(name = "ConnectV1ConnectionStatus")]
pub(super) enum WorkerStatus {
    /// Its apps are registered.
    Connected,
    /// It takes calls.
    Ready,
    /// It finishes what it has.
    Draining,
    /// It is about to leave; nobody is seen so.
    Disconnecting,
    /// It has left; nobody is seen so.
    Disconnected,
}

/// A moment in the life of a connection.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(name = "ConnectV1WorkerConnectionsOrderByField")]
pub(super) enum WorkerTime {
    #[graphql(name = "CONNECTED_AT")]
    Connected,
    #[graphql(name = "LAST_HEARTBEAT_AT")]
    LastHeartbeat,
    /// Of those that are seen there is none.
    #[graphql(name = "DISCONNECTED_AT")]
    Disconnected,
}

/// What a list is ordered by.
#[derive(InputObject)]
#[graphql(name = "ConnectV1WorkerConnectionsOrderBy")]
pub(super) struct WorkersOrderBy {
    field: WorkerTime,
    direction: RunsOrderByDirection,
}

/// Which workers.
#[derive(InputObject, Default)]
#[graphql(name = "ConnectV1WorkerConnectionsFilter")]
pub(super) struct WorkersFilter {
    #[graphql(name = "appIDs")]
    app_ids: Option<Vec<Uuid>>,
    #[graphql(name = "instanceIDs")]
    instance_ids: Option<Vec<String>>,
    status: Option<Vec<WorkerStatus>>,
    from: Option<Time>,
    until: Option<Time>,
    time_field: Option<WorkerTime>,
}

/// An app of a worker that is connected.
#[derive(Clone)]
pub(super) struct Worker(SeenWorker);

#[Object(name = "ConnectV1WorkerConnection")]
impl Worker {
    /// The connection's, which several apps may share.
    async fn id(&self) -> Ulid {
        Ulid(self.0.id)
    }

    async fn gateway_id(&self) -> &'static str {
        GROUP
    }

    async fn instance_id(&self) -> &str {
        &self.0.instance
    }

    /// It is not kept.
    async fn worker_ip(&self) -> &'static str {
        ""
    }

    /// Calls that it takes at once; 0 when it does not say.
    async fn max_worker_concurrency(&self) -> usize {
        self.0.calls_max.unwrap_or(0)
    }

    async fn app_name(&self) -> &str {
        &self.0.app_name
    }

    #[graphql(name = "appID")]
    async fn app_id(&self) -> Uuid {
        Uuid(self.0.app.0)
    }

    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn app(&self, context: &Context<'_>) -> Result<Option<App>> {
        let id = self.0.app;
        let read = context
            .data::<Asked>()?
            .read(move |reader| find(reader, id));
        Ok(read.await.map_err(unreadable)?.map(App::of))
    }

    async fn connected_at(&self) -> Time {
        Time(self.0.connected_at)
    }

    async fn last_heartbeat_at(&self) -> Option<Time> {
        Some(Time(self.0.heartbeat_at))
    }

    async fn disconnected_at(&self) -> Option<Time> {
        None
    }

    async fn disconnect_reason(&self) -> Option<String> {
        None
    }

    async fn status(&self) -> WorkerStatus {
        self.standing()
    }

    async fn group_hash(&self) -> &str {
        &self.0.hash
    }

    async fn sdk_lang(&self) -> &str {
        &self.0.sdk_language
    }

    async fn sdk_version(&self) -> &str {
        &self.0.sdk_version
    }

    async fn sdk_platform(&self) -> &str {
        &self.0.sdk_platform
    }

    async fn build_id(&self) -> Option<&str> {
        self.0.app_version.as_deref()
    }

    async fn app_version(&self) -> Option<&str> {
        self.0.app_version.as_deref()
    }

    async fn function_count(&self) -> usize {
        self.0.functions
    }

    async fn cpu_cores(&self) -> i32 {
        self.0.cpu_cores
    }

    async fn mem_bytes(&self) -> i64 {
        self.0.mem_bytes
    }

    async fn os(&self) -> &str {
        &self.0.os
    }
}

impl Worker {
    fn standing(&self) -> WorkerStatus {
        match self.0.standing {
            Standing::Connected => WorkerStatus::Connected,
            Standing::Ready => WorkerStatus::Ready,
            Standing::Draining => WorkerStatus::Draining,
        }
    }

    /// The moment that a list is ordered by; of those that are here none has left.
    fn moment(&self, time: WorkerTime) -> Option<Timestamp> {
        match time {
            WorkerTime::Connected => Some(self.0.connected_at),
            WorkerTime::LastHeartbeat => Some(self.0.heartbeat_at),
            WorkerTime::Disconnected => None,
        }
    }

    /// What a client sends back to go on after it.
    fn cursor(&self) -> String {
        format!("{}-{}", self.0.id, self.0.app)
    }
}

impl WorkersFilter {
    fn admits(&self, worker: &Worker) -> bool {
        let moment = worker.moment(self.time_field.unwrap_or(WorkerTime::Connected));
        let within = match (&self.from, &self.until) {
            (None, None) => true,
            (from, until) => moment.is_some_and(|moment| {
                from.as_ref().is_none_or(|from| moment >= from.0)
                    && until.as_ref().is_none_or(|until| moment < until.0)
            }),
        };
        let app_ids = self.app_ids.as_ref();
        let instances = self.instance_ids.as_ref();
        let status = self.status.as_ref();
        within
            && app_ids.is_none_or(|ids| ids.iter().any(|id| id.0 == worker.0.app.0))
            && instances.is_none_or(|names| names.contains(&worker.0.instance))
            && status.is_none_or(|status| status.contains(&worker.standing()))
    }
}

/// A list of workers.
#[derive(SimpleObject)]
#[graphql(name = "ConnectV1WorkerConnectionsConnection")]
pub(super) struct WorkersConnection {
    edges: Vec<WorkerEdge>,
    page_info: PageInfo,
    total_count: usize,
}

/// A worker in a list.
#[derive(SimpleObject)]
#[graphql(name = "ConnectV1WorkerConnectionEdge")]
struct WorkerEdge {
    node: Worker,
    cursor: String,
}

fn all(asked: &Asked) -> Vec<Worker> {
    let gateway = asked.options.connect.as_ref();
    let seen = gateway.map(Gateway::seen).unwrap_or_default();
    seen.into_iter().map(Worker).collect()
}

/// The worker of a connection, with the first of its apps by name.
pub(super) fn find_worker(asked: &Asked, connection: ulid::Ulid) -> Option<Worker> {
    let all = all(asked).into_iter();
    let its = all.filter(|worker| worker.0.id == connection);
    its.min_by(|a, b| a.0.app_name.cmp(&b.0.app_name))
}

/// A page of workers.
pub(super) fn list(
    asked: &Asked,
    first: usize,
    after: Option<&str>,
    order_by: &[WorkersOrderBy],
    filter: &WorkersFilter,
) -> Result<WorkersConnection> {
    let mut workers = all(asked);
    workers.retain(|worker| filter.admits(worker));
    let order = order_by.first();
    let time = order.map_or(WorkerTime::Connected, |order| order.field);
    let newest_first = order.is_none_or(|order| order.direction == RunsOrderByDirection::Desc);
    // Those of one moment are told apart by their ids, the apps of one by their names.
    workers.sort_by(|a, b| {
        let place = |worker: &Worker| (worker.moment(time), worker.0.id);
        let by_time = place(a).cmp(&place(b));
        let by_time = if newest_first {
            by_time.reverse()
        } else {
            by_time
        };
        by_time.then_with(|| a.0.app_name.cmp(&b.0.app_name))
    });
    let total_count = workers.len();
    let begin = match after.filter(|after| !after.is_empty()) {
        None => 0,
        Some(after) => {
            let at = workers.iter().position(|worker| worker.cursor() == after);
            at.ok_or("after: the worker that the page is to come after is not connected any more")?
                + 1
        }
    };
    let end = total_count.min(begin + first.clamp(1, WORKERS_MAX));
    let edges: Vec<WorkerEdge> = workers[begin..end]
        .iter()
        .map(|worker| WorkerEdge {
            cursor: worker.cursor(),
            node: worker.clone(),
        })
        .collect();
    Ok(WorkersConnection {
        page_info: PageInfo {
            has_next_page: end < total_count,
            has_previous_page: begin > 0,
            start_cursor: edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: edges.last().map(|edge| edge.cursor.clone()),
        },
        edges,
        total_count,
    })
}
