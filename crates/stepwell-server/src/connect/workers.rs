//! Who is connected, with which apps, and who of them gets a call.

use super::outbox::Outbox;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use stepwell_protocol::connect::{SystemAttributes, WorkerStatus};
use stepwell_protocol::{AppId, FunctionId};
use tokio::time::Instant;
use ulid::Ulid;
use uuid::Uuid;

/// How much likelier a worker with the newest version of an app gets a call than one with an older version.
const NEWEST_WEIGHT: u32 = 9;
/// How long the apps of a worker that is suddenly gone stay known: when it comes back, they need not be registered again,
/// which would undo a newer version's registration.
const GROUP_KEPT: Duration = Duration::from_secs(2 * 60);

/// Workers with the same version of the same app.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) app: AppId,
    pub(super) app_name: String,
    pub(super) app_version: Option<String>,
    /// Of all that the app registers.
    pub(super) hash: String,
    pub(super) sync_id: Uuid,
    pub(super) functions: HashSet<FunctionId>,
    pub(super) sdk_language: String,
    pub(super) sdk_version: String,
    pub(super) sdk_platform: String,
    pub(super) synced_at: Instant,
}

/// How a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Its apps are registered.
    Connected = 0,
    /// It takes calls.
    Ready = 1,
    /// It finishes what it has.
    Draining = 2,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: Ulid,
    pub(super) instance: String,
    pub(super) outbox: Outbox,
    pub(super) status: Status,
    pub(super) groups: Vec<Arc<Group>>,
    /// Calls that it may have at once.
    pub(super) calls_max: Option<usize>,
    /// Calls that it has.
    pub(super) calls: usize,
    pub(super) heard_at: Instant,
    pub(super) heartbeat_at: SystemTime,
    pub(super) sdk_language: String,
    pub(super) sdk_version: String,
    pub(super) attributes: SystemAttributes,
    /// What it said of itself last.
    pub(super) said: Option<WorkerStatus>,
}

impl Worker {
    fn has_room(&self, bytes: usize) -> bool {
        self.calls_max.is_none_or(|most| self.calls < most) && self.outbox.has_room(bytes)
    }

    fn group_of(&self, function: FunctionId) -> Option<&Arc<Group>> {
        let mut groups = self.groups.iter();
        groups.find(|group| group.functions.contains(&function))
    }
}

/// All workers.
#[derive(Debug)]
pub(super) struct Workers {
    by_id: HashMap<Ulid, Worker>,
    by_function: HashMap<FunctionId, Vec<Ulid>>,
    groups: HashMap<String, Known>,
    /// When a function's last worker left, or came without being ready yet.
    left: HashMap<FunctionId, Instant>,
    opened: Instant,
    /// After this long without being heard a worker gets no calls.
    stale: Duration,
    absence: Duration,
    opening: Duration,
}

#[derive(Debug)]
struct Known {
    group: Arc<Group>,
    workers: HashSet<Ulid>,
    /// Until when it is known without workers.
    until: Option<Instant>,
}

/// Who may take a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This worker.
    Worker(Ulid),
    /// There are some of this app, and none has room.
    Full(AppId),
    /// There is none; one may come back any moment.
    Awaited,
    /// There is none.
    Nobody,
}

impl Workers {
    pub(super) fn new(times: &super::ConnectTimes, opened: Instant) -> Self {
        Self {
            by_id: HashMap::new(),
            by_function: HashMap::new(),
            groups: HashMap::new(),
            left: HashMap::new(),
            opened,
            stale: 2 * times.heartbeat,
            absence: times.absence,
            opening: times.opening,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Worker> {
        self.by_id.values()
    }

    pub(super) fn get(&self, id: Ulid) -> Option<&Worker> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: Ulid) -> Option<&mut Worker> {
        self.by_id.get_mut(&id)
    }

    /// The group of this hash, if it has been registered and not been forgotten since.
    pub(super) fn group(&self, hash: &str) -> Option<&Arc<Group>> {
        self.groups.get(hash).map(|known| &known.group)
    }

    /// The workers of a group.
    pub(super) fn of_group(&self, hash: &str) -> Vec<Ulid> {
        let known = self.groups.get(hash);
        let mut ids: Vec<Ulid> = known
            .map(|known| known.workers.iter().copied().collect())
            .unwrap_or_default();
        ids.sort_unstable();
        ids
    }

    pub(super) fn add(&mut self, worker: Worker, now: Instant) {
        self.groups
            .retain(|_, known| known.until.is_none_or(|until| now < until));
        for group in &worker.groups {
            let known = self
                .groups
                .entry(group.hash.clone())
                .or_insert_with(|| Known {
                    group: Arc::clone(group),
                    workers: HashSet::new(),
                    until: None,
                });
            known.until = None;
            known.workers.insert(worker.id);
            for function in &group.functions {
                self.by_function
                    .entry(*function)
                    .or_default()
                    .push(worker.id);
            }
        }
        self.await_functions_of(&worker, now);
        self.by_id.insert(worker.id, worker);
    }

    /// Takes a worker out. `on_purpose`: it said so, and will not come back as it was.
    pub(super) fn remove(&mut self, id: Ulid, on_purpose: bool, now: Instant) -> Option<Worker> {
        let worker = self.by_id.remove(&id)?;
        for group in &worker.groups {
            for function in &group.functions {
                if let Some(ids) = self.by_function.get_mut(function) {
                    ids.retain(|other| *other != id);
                    if ids.is_empty() {
                        self.by_function.remove(function);
                    }
                }
            }
            if let Some(known) = self.groups.get_mut(&group.hash) {
                known.workers.remove(&id);
                if known.workers.is_empty() {
                    if on_purpose {
                        self.groups.remove(&group.hash);
                    } else {
                        known.until = Some(now + GROUP_KEPT);
                    }
                }
            }
        }
        if worker.status == Status::Ready {
            self.await_functions_of(&worker, now);
        }
        Some(worker)
    }

    /// The worker takes no more calls.
    pub(super) fn drain(&mut self, id: Ulid, now: Instant) {
        let Some(mut worker) = self.by_id.remove(&id) else {
            return;
        };
        if worker.status == Status::Ready {
            self.await_functions_of(&worker, now);
        }
        worker.status = Status::Draining;
        self.by_id.insert(id, worker);
    }

    fn await_functions_of(&mut self, worker: &Worker, now: Instant) {
        let absence = self.absence;
        self.left
            .retain(|_, since| now.duration_since(*since) < absence);
        for group in &worker.groups {
            for function in &group.functions {
                self.left.insert(*function, now);
            }
        }
    }

    /// Chooses a worker for a call of this size: at random, those with the newest version of the app rather than others.
    pub(super) fn choose(
        &self,
        function: FunctionId,
        bytes: usize,
        tried: &[Ulid],
        now: Instant,
        dice: impl FnOnce(u32) -> u32,
    ) -> Choice {
        let ids = self
            .by_function
            .get(&function)
            .map_or(&[][..], Vec::as_slice);
        let takers: Vec<(&Worker, &Arc<Group>)> = ids
            .iter()
            .filter_map(|id| self.by_id.get(id))
            .filter(|worker| {
                worker.status == Status::Ready
                    && now.duration_since(worker.heard_at) < self.stale
                    && !tried.contains(&worker.id)
            })
            .filter_map(|worker| Some((worker, worker.group_of(function)?)))
            .collect();
        let Some((_, some_group)) = takers.first() else {
            let awaited = now.duration_since(self.opened) < self.opening
                || self
                    .left
                    .get(&function)
                    .is_some_and(|since| now.duration_since(*since) < self.absence);
            return if awaited {
                Choice::Awaited
            } else {
                Choice::Nobody
            };
        };
        let app = some_group.app;
        let free: Vec<(&Worker, &Arc<Group>)> = takers
            .into_iter()
            .filter(|(worker, _)| worker.has_room(bytes))
            .collect();
        let Some(newest) = free.iter().map(|(_, group)| *group).reduce(newer) else {
            return Choice::Full(app);
        };
        let weight_of = |group: &Group| {
            if group.app_version == newest.app_version {
                NEWEST_WEIGHT
            } else {
                1
            }
        };
        let total: u32 = free.iter().map(|(_, group)| weight_of(group)).sum();
        let mut roll = dice(total);
        for (worker, group) in &free {
            let weight = weight_of(group);
            if roll < weight {
                return Choice::Worker(worker.id);
            }
            roll -= weight;
        }
        // Dice that show more than they have.
        Choice::Worker(free[0].0.id)
    }
}

/// The newer of two versions of an app: by their numbers where they are such, else the one that came later.
fn newer<'g>(one: &'g Arc<Group>, other: &'g Arc<Group>) -> &'g Arc<Group> {
    let numbers = |group: &Group| {
        let version = group.app_version.as_deref()?.trim_start_matches('v');
        let numbers: Result<Vec<u64>, _> = version.split('.').map(str::parse).collect();
        numbers.ok()
    };
    let other_is_newer = match (numbers(one), numbers(other)) {
        (Some(one), Some(other)) => other > one,
        _ => other.synced_at > one.synced_at,
    };
    if other_is_newer { other } else { one }
}

#[cfg(test)]
mod tests;
