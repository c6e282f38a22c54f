//! Workers as tools see them: each of their apps for itself.

use super::Gateway;
use super::workers::{Group, Status, Worker};
use std::time::{SystemTime, UNIX_EPOCH};
use stepwell_engine::Timestamp;
use stepwell_protocol::AppId;
use ulid::Ulid;

/// An app of a worker that is connected.
#[derive(Debug, Clone)]
pub(crate) struct SeenWorker {
    /// The connection.
    pub(crate) id: Ulid,
    pub(crate) instance: String,
    pub(crate) standing: Standing,
    /// Calls that it takes at once, if it says so.
    pub(crate) calls_max: Option<usize>,
    pub(crate) connected_at: Timestamp,
    pub(crate) heartbeat_at: Timestamp,
    pub(crate) app: AppId,
    pub(crate) app_name: String,
    pub(crate) app_version: Option<String>,
    /// Of all that the app registers.
    pub(crate) hash: String,
    pub(crate) functions: usize,
    pub(crate) sdk_language: String,
    pub(crate) sdk_version: String,
    pub(crate) sdk_platform: String,
    pub(crate) cpu_cores: i32,
    pub(crate) mem_bytes: i64,
    pub(crate) os: String,
}

/// How a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its apps are registered.
    Connected,
    /// It takes calls.
    Ready,
    /// It finishes what it has.
    Draining,
}

impl Gateway {
    /// All apps of all workers, in no order.
    pub(crate) fn seen(&self) -> Vec<SeenWorker> {
        let switchboard = self.switchboard();
        let workers = switchboard.workers.iter();
        workers
            .flat_map(|worker| worker.groups.iter().map(|group| seen(worker, group)))
            .collect()
    }
}

fn seen(worker: &Worker, group: &Group) -> SeenWorker {
    SeenWorker {
        id: worker.id,
        instance: worker.instance.clone(),
        standing: match worker.status {
            Status::Connected => Standing::Connected,
            Status::Ready => Standing::Ready,
            Status::Draining => Standing::Draining,
        },
        calls_max: worker.calls_max,
        // The id is made when a worker asks where to connect.
        connected_at: Timestamp::from_ms(worker.id.timestamp_ms()),
        heartbeat_at: timestamp(worker.heartbeat_at),
        app: group.app,
        app_name: group.app_name.clone(),
        app_version: group.app_version.clone(),
        hash: group.hash.clone(),
        functions: group.functions.len(),
        sdk_language: worker.sdk_language.clone(),
        sdk_version: worker.sdk_version.clone(),
        sdk_platform: group.sdk_platform.clone(),
        cpu_cores: worker.attributes.cpu_cores,
        mem_bytes: worker.attributes.mem_bytes,
        os: worker.attributes.os.clone(),
    }
}

fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
