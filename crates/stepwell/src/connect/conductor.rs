//! What keeps a worker going: one loop that owns its connections, calls and replies.

use super::api::{self, EXCLUDED_MAX, Failure, Flushed};
use super::backoff;
use super::calls::{self, Calls};
use super::link::{self, Incoming, Link, Opened, What};
use super::replies::Replies;
use super::worker::{Setup, Status};
use super::{ConnectError, State};
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::connect::{
    ExecutorRequest, ExtendLeaseAck, Frame, FrameKind, Message as _, ReplyAck, SdkResponse,
    WorkerStatus,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// What links have read and nobody has looked at yet.
const INBOX_MAX: usize = 1_024;
/// Heartbeats without an answer before a connection is given up.
const UNANSWERED_MAX: u32 = 2;
/// A connection that ended sooner counts as one that failed.
const STABLE: Duration = Duration::from_secs(10);
/// How long a connection that was replaced is kept for what is still on its way over it.
const DRAIN_MAX: Duration = Duration::from_secs(25);
/// Tries to bring one reply, in one round.
const FLUSH_TRIES: u32 = 5;
/// Before the second of them; twice as long before each one after.
const FLUSH_PAUSE: Duration = Duration::from_millis(250);
/// How long the last replies get when the time to shut down is over.
const LAST_FLUSH_MAX: Duration = Duration::from_secs(5);
/// Nothing to do until something happens.
const IDLE: Duration = Duration::from_secs(60);

/// The loop and what it owns.
pub(super) struct Conductor {
    setup: Arc<Setup>,
    /// Where functions run and requests are made.
    runtime: Handle,
    status: watch::Sender<Status>,
    /// Changes when the worker is to shut down; ends when it is to stop at once.
    orders: watch::Receiver<()>,
    to_inbox: mpsc::Sender<Incoming>,
    inbox: mpsc::Receiver<Incoming>,
    current: Option<Current>,
    draining: Vec<(Link, Instant)>,
    opening: Option<AbortOnDropHandle<Result<Opened, ConnectError>>>,
    flushing: Option<AbortOnDropHandle<Vec<(String, Flushed)>>>,
    calls: Calls,
    replies: Replies,
    /// Connections in a row that failed.
    failures: u32,
    /// Groups of gateways not to be sent to next time.
    excluded: Vec<String>,
    has_connected: bool,
    /// When shutting down must be over.
    closing: Option<Instant>,
    serial_last: u64,
}

/// The connection over which calls come.
struct Current {
    link: Link,
    since: Instant,
    /// Whether the gateway is going away.
    is_leaving: bool,
    heartbeat_at: Instant,
    unanswered: u32,
    extend_at: Instant,
    status_at: Option<Instant>,
}

impl Conductor {
    pub(super) fn new(
        setup: Arc<Setup>,
        runtime: Handle,
        status: watch::Sender<Status>,
        orders: watch::Receiver<()>,
    ) -> Self {
        let (to_inbox, inbox) = mpsc::channel(INBOX_MAX);
        Self {
            calls: Calls::new(runtime.clone(), setup.concurrency_max),
            setup,
            runtime,
            status,
            orders,
            to_inbox,
            inbox,
            current: None,
            draining: Vec::new(),
            opening: None,
            flushing: None,
            replies: Replies::new(Instant::now()),
            failures: 0,
            excluded: Vec::new(),
            has_connected: false,
            closing: None,
            serial_last: 0,
        }
    }

    /// Works until it is told to shut down and has, or to stop.
    pub(super) async fn run(mut self) {
        let result = self.work().await;
        self.calls.give_up_all();
        self.status.send_modify(|status| {
            status.state = State::Closed;
            status.connection_id = None;
            status.error = result.err();
        });
    }

    async fn work(&mut self) -> Result<(), ConnectError> {
        loop {
            self.settle(Instant::now());
            if self.is_done() {
                self.say_goodbye().await;
                return Ok(());
            }
            let due = self.due();
            tokio::select! {
                order = self.orders.changed() => match order {
                    Ok(()) => self.shut_down(),
                    Err(_) => return Ok(()),
                },
                Some(Incoming { serial, what }) = self.inbox.recv() => match what {
                    What::Frame(frame) => self.hear(serial, &frame, Instant::now()),
                    What::Ended(reason) => self.lose(serial, &reason, Instant::now()),
                },
                opened = finished(&mut self.opening) => {
                    self.opening = None;
                    // It is lost when its task panicked; then it is tried again.
                    if let Ok(opened) = opened {
                        self.attach(opened?, Instant::now());
                    }
                }
                flushed = finished(&mut self.flushing) => {
                    self.flushing = None;
                    match flushed {
                        Ok(results) => self.replies.brought(results, Instant::now()),
                        Err(_) => self.replies.failed(Instant::now()),
                    }
                }
                Some(ended) = self.calls.next_ended() => {
                    if let Some(reply) = self.calls.reply(ended) {
                        self.deliver(Arc::new(reply), Instant::now());
                    }
                }
                () = sleep_until(due) => {}
            }
        }
    }

    /// When time alone gives something to do.
    fn due(&self) -> Instant {
        let current = self.current.iter().flat_map(|current| {
            let times = [
                Some(current.heartbeat_at),
                Some(current.extend_at),
                current.status_at,
            ];
            times.into_iter().flatten()
        });
        let draining = self.draining.iter().map(|(_, until)| *until);
        // While replies are being brought, its end is what is waited for.
        let replies = self.replies.due().filter(|_| self.flushing.is_none());
        let others = [replies, self.calls.due(), self.closing];
        let all = current.chain(draining).chain(others.into_iter().flatten());
        all.min().unwrap_or_else(|| Instant::now() + IDLE)
    }

    /// Does what is due.
    fn settle(&mut self, now: Instant) {
        self.keep_alive(now);
        self.calls.give_up_orphans(now);
        let replies = &self.replies;
        let is_over = |link: &Link, until: Instant| until <= now || !replies.awaits(link.serial);
        for (link, _) in self
            .draining
            .extract_if(.., |(link, until)| is_over(link, *until))
        {
            tokio::spawn(link.close());
        }
        if self.flushing.is_none() {
            let round = self.replies.round(now);
            if !round.is_empty() {
                self.flushing = Some(self.flush(round));
            }
        }
        let is_needed = self
            .current
            .as_ref()
            .is_none_or(|current| current.is_leaving);
        let is_wanted = self.closing.is_none() || !self.calls.is_empty();
        if !is_wanted {
            self.opening = None;
        } else if is_needed && self.opening.is_none() {
            self.opening = Some(self.open());
        }
    }

    /// Heartbeats, leases and reports, each in its time.
    fn keep_alive(&mut self, now: Instant) {
        let Some(current) = &mut self.current else {
            return;
        };
        let intervals = current.link.intervals;
        let mut is_sent = true;
        if current.heartbeat_at <= now {
            if current.unanswered >= UNANSWERED_MAX {
                let serial = current.link.serial;
                return self.lose(serial, "heartbeats are not answered", now);
            }
            current.heartbeat_at = now + intervals.heartbeat;
            current.unanswered += 1;
            is_sent &= current.link.send(&Frame::bare(FrameKind::WorkerHeartbeat));
        }
        if current.extend_at <= now {
            current.extend_at = now + intervals.extend;
            for extension in self.calls.extensions() {
                is_sent &= current
                    .link
                    .send(&Frame::of(FrameKind::WorkerRequestExtendLease, &extension));
            }
        }
        if current.status_at.is_some_and(|at| at <= now) {
            current.status_at = intervals.status.map(|every| now + every);
            let status = WorkerStatus {
                in_flight_request_ids: self.calls.ids(),
                shutdown_requested: self.closing.is_some(),
            };
            is_sent &= current
                .link
                .send(&Frame::of(FrameKind::WorkerStatus, &status));
        }
        if !is_sent {
            let serial = current.link.serial;
            self.lose(serial, "frames do not go out", now);
        }
    }

    /// Opens a connection, however often it takes.
    fn open(&self) -> AbortOnDropHandle<Result<Opened, ConnectError>> {
        let setup = Arc::clone(&self.setup);
        let runtime = self.runtime.clone();
        let mut excluded = self.excluded.clone();
        let mut failures = self.failures;
        let is_first = !self.has_connected;
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                tokio::time::sleep(backoff::delay(failures, crate::random::fraction())).await;
                let failure = match open_once(&setup, &runtime, &mut excluded).await {
                    Ok(opened) => return Ok(opened),
                    Err(failure) => failure,
                };
                failures = failures.saturating_add(1);
                match failure {
                    Failure::Lasting(error) if is_first => return Err(error),
                    Failure::Lasting(error) => {
                        tracing::error!(%error, "the worker cannot connect again")
                    }
                    Failure::Passing(reason) => {
                        tracing::warn!(reason, "the worker could not connect")
                    }
                }
            }
        }))
    }

    /// A new connection takes the place of the one before.
    fn attach(&mut self, opened: Opened, now: Instant) {
        self.serial_last += 1;
        let link = Link::start(opened, self.serial_last, self.to_inbox.clone());
        tracing::info!(
            connection = link.connection_id,
            group = link.group,
            "worker connected"
        );
        let greeting = match self.closing {
            None => FrameKind::WorkerReady,
            Some(_) => FrameKind::WorkerPause,
        };
        link.send(&Frame::bare(greeting));
        let connection_id = link.connection_id.clone();
        let intervals = link.intervals;
        let before = self.current.replace(Current {
            link,
            since: now,
            is_leaving: false,
            heartbeat_at: now + intervals.heartbeat,
            unanswered: 0,
            // The server learns at once where the calls are now.
            extend_at: now,
            status_at: intervals.status.map(|every| now + every),
        });
        if let Some(before) = before {
            before.link.send(&Frame::bare(FrameKind::WorkerPause));
            self.draining.push((before.link, now + DRAIN_MAX));
        }
        self.has_connected = true;
        self.excluded.clear();
        self.replies.hurry(now);
        self.status.send_modify(|status| {
            status.connection_id = Some(connection_id);
            if status.state != State::Closing {
                status.state = State::Active;
            }
        });
    }

    /// A connection is gone.
    fn lose(&mut self, serial: u64, reason: &str, now: Instant) {
        self.replies.unlink(serial);
        self.draining.retain(|(link, _)| link.serial != serial);
        let Some(lost) = self
            .current
            .take_if(|current| current.link.serial == serial)
        else {
            return;
        };
        tracing::warn!(
            connection = lost.link.connection_id,
            reason,
            "the worker's connection is lost"
        );
        self.failures = match now.duration_since(lost.since) < STABLE && !lost.is_leaving {
            true => self.failures.saturating_add(1),
            false => 0,
        };
        self.status.send_modify(|status| {
            status.connection_id = None;
            if status.state != State::Closing {
                status.state = State::Reconnecting;
            }
        });
    }

    fn hear(&mut self, serial: u64, frame: &Frame, now: Instant) {
        let payload = &*frame.payload;
        let heard = match FrameKind::try_from(frame.kind) {
            Ok(FrameKind::GatewayExecutorRequest) => {
                ExecutorRequest::decode(payload).map(|request| self.take(request, serial, now))
            }
            Ok(FrameKind::WorkerReplyAck) => {
                ReplyAck::decode(payload).map(|ack| self.replies.acknowledged(&ack.request_id))
            }
            Ok(FrameKind::WorkerRequestExtendLeaseAck) => {
                ExtendLeaseAck::decode(payload).map(|ack| self.calls.extended(ack, serial, now))
            }
            Ok(FrameKind::GatewayHeartbeat) => {
                if let Some(current) = self.current_of(serial) {
                    current.unanswered = 0;
                }
                Ok(())
            }
            Ok(FrameKind::GatewayClosing) => {
                if let Some(current) = self.current_of(serial) {
                    current.is_leaving = true;
                    let group = current.link.group.clone();
                    tracing::info!(group, "the gateway goes away: the worker connects anew");
                    self.failures = 0;
                    exclude(&mut self.excluded, group);
                }
                Ok(())
            }
            // What a newer gateway says besides.
            other => {
                tracing::debug!(kind = frame.kind, ?other, "a frame that means nothing here");
                Ok(())
            }
        };
        if let Err(error) = heard {
            self.lose(serial, &format!("a frame cannot be read: {error}"), now);
        }
    }

    fn current_of(&mut self, serial: u64) -> Option<&mut Current> {
        let current = self.current.as_mut();
        current.filter(|current| current.link.serial == serial)
    }

    /// A call has come. One that is not taken goes to another worker.
    fn take(&mut self, request: ExecutorRequest, serial: u64, now: Instant) {
        let ack = Frame::of(FrameKind::WorkerRequestAck, &calls::ack(&request));
        if self.calls.adopt(&request, serial) {
            self.send_over(serial, &ack);
            return;
        }
        if let Some(reply) = self.replies.get(&request.request_id) {
            self.send_over(serial, &ack);
            self.deliver(reply, now);
            return;
        }
        let Some(runner) = self.setup.runners.get(&request.app_name) else {
            tracing::warn!(
                app = request.app_name,
                "a call is for an app that this worker does not have"
            );
            return;
        };
        // A gateway that has just started does not know what the worker has from before: that waits for its turn.
        let room = self.setup.concurrency_max.saturating_mul(2);
        if self.closing.is_some() || self.calls.len() + self.replies.len() >= room {
            tracing::debug!(
                request = request.request_id,
                "a call is not taken: there is no room"
            );
            return;
        }
        let runner = runner.clone();
        // Whoever is not told that the call is taken gives it to another.
        if self.send_over(serial, &ack) {
            self.calls.start(runner, request, serial);
        }
    }

    fn send_over(&self, serial: u64, frame: &Frame) -> bool {
        let draining = self.draining.iter().map(|(link, _)| link);
        let mut links = self
            .current
            .iter()
            .map(|current| &current.link)
            .chain(draining);
        let link = links.find(|link| link.serial == serial);
        link.is_some_and(|link| link.send(frame))
    }

    /// Sends a reply, and keeps it until the server has it.
    fn deliver(&mut self, reply: Arc<SdkResponse>, now: Instant) {
        let frame = Frame::of(FrameKind::WorkerReply, &*reply);
        let link = self.current.as_ref().map(|current| &current.link);
        let sent = link
            .filter(|link| link.send(&frame))
            .map(|link| link.serial);
        self.replies.keep(reply, sent, now);
    }

    /// Brings replies over HTTP.
    fn flush(&self, replies: Vec<Arc<SdkResponse>>) -> AbortOnDropHandle<Vec<(String, Flushed)>> {
        let setup = Arc::clone(&self.setup);
        AbortOnDropHandle::new(self.runtime.spawn(async move {
            let mut results = Vec::new();
            for reply in replies {
                let flushed = flush(&setup, &reply).await;
                results.push((reply.request_id.clone(), flushed));
                if flushed == Flushed::Failed {
                    // The others would not fare better.
                    break;
                }
            }
            results
        }))
    }

    /// Takes nothing new from now on.
    fn shut_down(&mut self) {
        if self.closing.is_some() {
            return;
        }
        tracing::info!(calls = self.calls.len(), "the worker shuts down");
        self.calls.close();
        self.closing = Some(Instant::now() + self.setup.shutdown_timeout);
        self.status
            .send_modify(|status| status.state = State::Closing);
        let draining = self.draining.iter().map(|(link, _)| link);
        for link in self
            .current
            .iter()
            .map(|current| &current.link)
            .chain(draining)
        {
            link.send(&Frame::bare(FrameKind::WorkerPause));
        }
        if let Some(current) = &mut self.current {
            // The report says so now rather than in its time.
            current.status_at = current.status_at.map(|_| Instant::now());
        }
    }

    fn is_done(&self) -> bool {
        self.closing.is_some_and(|deadline| {
            let is_idle = self.calls.is_empty() && self.replies.is_empty();
            is_idle || deadline <= Instant::now()
        })
    }

    async fn say_goodbye(&mut self) {
        let given_up = self.calls.give_up_all();
        if given_up > 0 {
            tracing::warn!(
                calls = given_up,
                "the time to shut down is over: calls are given up"
            );
        }
        self.opening = None;
        self.flushing = None;
        self.replies.hurry(Instant::now());
        let links = self.current.take().map(|current| current.link);
        let links: Vec<Link> = links
            .into_iter()
            .chain(self.draining.drain(..).map(|(link, _)| link))
            .collect();
        for link in &links {
            self.replies.unlink(link.serial);
        }
        let left = self.replies.round(Instant::now());
        if !left.is_empty() {
            let flush = self.flush(left);
            if tokio::time::timeout(LAST_FLUSH_MAX, flush).await.is_err() {
                tracing::warn!(
                    "replies could not be brought to the server before the worker's end"
                );
            }
        }
        for link in links {
            link.close().await;
        }
    }
}

async fn open_once(
    setup: &Arc<Setup>,
    runtime: &Handle,
    excluded: &mut Vec<String>,
) -> Result<Opened, Failure> {
    let start = {
        let setup = Arc::clone(setup);
        let excluded = excluded.clone();
        runtime.spawn(async move { api::start(&setup.client, &excluded).await })
    };
    let started = AbortOnDropHandle::new(start).await;
    let started = started.map_err(|error| Failure::Passing(error.to_string()))??;
    let group = started.gateway_group.clone();
    let opened = link::open(setup, started).await;
    if opened.is_err() {
        exclude(excluded, group);
    }
    opened
}

fn exclude(excluded: &mut Vec<String>, group: String) {
    if !group.is_empty() && !excluded.contains(&group) {
        if excluded.len() == EXCLUDED_MAX {
            excluded.remove(0);
        }
        excluded.push(group);
    }
}

async fn flush(setup: &Setup, reply: &SdkResponse) -> Flushed {
    let mut pause = FLUSH_PAUSE;
    for _ in 1..FLUSH_TRIES {
        match api::flush(&setup.client, reply).await {
            Flushed::Failed => tokio::time::sleep(pause).await,
            done => return done,
        }
        pause *= 2;
    }
    api::flush(&setup.client, reply).await
}

/// The end of a task; never, when there is none.
async fn finished<T>(task: &mut Option<AbortOnDropHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}
