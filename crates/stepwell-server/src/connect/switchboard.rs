//! What the gateway knows: workers, the calls that they have, replies that came late. All is decided here, at a moment
//! that is an argument.

use super::late::LateReplies;
use super::leases::{Leased, Leases, State};
use super::lines::Lines;
use super::outbox::Outbox;
use super::shortage::Shortage;
use super::workers::{Choice, Status, Worker, Workers};
use super::{ConnectOptions, ConnectTimes};
use std::time::SystemTime;
use stepwell_protocol::connect::{CloseCode, SdkResponse, WorkerStatus};
use stepwell_protocol::{AppId, FunctionId};
use tokio::sync::Notify;
use tokio::time::Instant;
use ulid::Ulid;

/// What the gateway knows.
#[derive(Debug)]
pub(super) struct Switchboard {
    pub(super) workers: Workers,
    leases: Leases,
    late: LateReplies,
    pub(super) lines: Lines,
    pub(super) shortage: Shortage,
    times: ConnectTimes,
    connections_max: usize,
}

/// What became of a call that looks for a worker.
#[derive(Debug)]
pub(super) enum Placement {
    /// It goes to a worker.
    Placed(Leased, Outbox, String),
    /// Its reply is here already.
    Answered(Box<SdkResponse>),
    /// All workers of the app are full.
    Full(AppId),
    /// A worker may come any moment.
    Awaited,
    /// There is nobody.
    Nobody,
}

/// Why a worker cannot join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinError {
    /// There are as many as may be.
    TooMany,
    /// One of this connection id is here.
    Twice,
}

impl From<JoinError> for CloseCode {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::TooMany => Self::TooManyConnections,
            JoinError::Twice => Self::HelloInvalidPayload,
        }
    }
}

impl Switchboard {
    pub(super) fn new(options: &ConnectOptions, now: Instant) -> Self {
        Self {
            workers: Workers::new(&options.times, now),
            leases: Leases::default(),
            late: LateReplies::default(),
            lines: Lines::default(),
            shortage: Shortage::default(),
            times: options.times.clone(),
            connections_max: options.connections_max,
        }
    }

    /// Whether another worker may connect.
    pub(super) fn is_full(&self) -> bool {
        self.workers.len() >= self.connections_max
    }

    /// A worker is there; it gets calls once it is ready.
    pub(super) fn join(&mut self, worker: Worker, now: Instant) -> Result<(), JoinError> {
        if self.workers.get(worker.id).is_some() {
            return Err(JoinError::Twice);
        }
        if self.is_full() {
            return Err(JoinError::TooMany);
        }
        self.workers.add(worker, now);
        self.lines.forget_old(now);
        Ok(())
    }

    /// The worker takes calls, unless it has said that it takes no more.
    pub(super) fn ready(&mut self, id: Ulid) {
        if let Some(worker) = self.workers.get_mut(id)
            && worker.status == Status::Connected
        {
            worker.status = Status::Ready;
            self.tell_of_room(id, Notify::notify_waiters);
        }
    }

    /// The worker takes no more calls.
    pub(super) fn drain(&mut self, id: Ulid, now: Instant) {
        self.workers.drain(id, now);
        self.leases.drain(id, &self.times, now);
    }

    /// The worker's connection is gone.
    pub(super) fn leave(&mut self, id: Ulid, on_purpose: bool, now: Instant) {
        self.workers.remove(id, on_purpose, now);
        self.leases.disconnect(id, &self.times, now);
    }

    /// The worker was heard.
    pub(super) fn hear(&mut self, id: Ulid, now: Instant) {
        if let Some(worker) = self.workers.get_mut(id) {
            worker.heard_at = now;
        }
    }

    /// The worker sent a heartbeat.
    pub(super) fn heartbeat(&mut self, id: Ulid) {
        if let Some(worker) = self.workers.get_mut(id) {
            worker.heartbeat_at = SystemTime::now();
        }
    }

    /// The worker said how it is.
    pub(super) fn note_status(&mut self, id: Ulid, status: WorkerStatus) {
        if let Some(worker) = self.workers.get_mut(id) {
            worker.said = Some(status);
        }
    }

    /// Finds a worker for a call of this size, other than those tried. `in_line`: it has waited for room, and need not let
    /// those that wait go first.
    pub(super) fn place(
        &mut self,
        request: &str,
        function: FunctionId,
        bytes: usize,
        tried: &[Ulid],
        in_line: bool,
        now: Instant,
    ) -> Placement {
        if let Some(reply) = self.late.take(request, now) {
            return Placement::Answered(reply);
        }
        let dice = |sides| rand::random_range(0..sides);
        match self.workers.choose(function, bytes, tried, now, dice) {
            Choice::Worker(id) => {
                let worker = self.workers.get_mut(id).expect("a choice is among workers");
                let group = worker
                    .groups
                    .iter()
                    .find(|group| group.functions.contains(&function))
                    .expect("a choice has the function");
                let (app, app_name) = (group.app, group.app_name.clone());
                if !in_line && self.lines.is_waited_in(app) {
                    return Placement::Full(app);
                }
                worker.calls += 1;
                self.lines.note_placed(app, now);
                let outbox = worker.outbox.clone();
                let leased = self.leases.grant(request, id, &self.times, now);
                Placement::Placed(leased, outbox, app_name)
            }
            Choice::Full(app) => Placement::Full(app),
            Choice::Awaited => Placement::Awaited,
            Choice::Nobody => Placement::Nobody,
        }
    }

    /// The worker has taken a call.
    pub(super) fn take(&mut self, worker: Ulid, request: &str, now: Instant) {
        self.leases.take(request, worker, &self.times, now);
    }

    /// The worker still has a call: the lease's new id, or nothing when it is lost. The call is the worker's from now on,
    /// on whatever connection it was.
    pub(super) fn extend(
        &mut self,
        worker: Ulid,
        request: &str,
        lease: &str,
        now: Instant,
    ) -> Option<Ulid> {
        let (id, before) = self
            .leases
            .extend(request, lease, worker, &self.times, now)?;
        if before != Some(worker) {
            self.give_room(before);
            if let Some(worker) = self.workers.get_mut(worker) {
                worker.calls += 1;
            }
        }
        Some(id)
    }

    /// A reply is here.
    pub(super) fn reply(&mut self, reply: Box<SdkResponse>, now: Instant) {
        let Some(lease) = self.leases.finish(&reply.request_id) else {
            return self.late.put(reply, now);
        };
        self.give_room(lease.worker);
        if let Err(reply) = lease.reply(reply) {
            self.late.put(reply, now);
        }
    }

    /// The call waits for its reply no more.
    pub(super) fn release(&mut self, request: &str, serial: u64) {
        if let Some(lease) = self.leases.release(request, serial) {
            self.give_room(lease.worker);
        }
    }

    /// What the clock makes of a lease.
    pub(super) fn state(&self, request: &str, serial: u64, now: Instant) -> State {
        self.leases.state(request, serial, now)
    }

    fn give_room(&mut self, worker: Option<Ulid>) {
        if let Some(id) = worker
            && let Some(worker) = self.workers.get_mut(id)
        {
            worker.calls = worker.calls.saturating_sub(1);
            self.tell_of_room(id, Notify::notify_one);
        }
    }

    fn tell_of_room(&self, worker: Ulid, tell: fn(&Notify)) {
        let groups = self.workers.get(worker).map(|worker| &worker.groups);
        for group in groups.into_iter().flatten() {
            if let Some(room) = self.lines.room(group.app) {
                tell(room);
            }
        }
    }
}
