//! Leases: which worker has which call, and until when it is believed to.

use super::ConnectTimes;
use std::collections::HashMap;
use std::sync::Arc;
use stepwell_protocol::connect::SdkResponse;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use ulid::Ulid;

/// All leases, by the id of their call.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_request: HashMap<String, Lease>,
    serial_last: u64,
}

/// A call that a worker has, or was sent.
#[derive(Debug)]
pub(super) struct Lease {
    /// Tells leases of the same call apart.
    serial: u64,
    /// Where the call is; nothing while its worker's connection is broken.
    pub(super) worker: Option<Ulid>,
    id: Ulid,
    /// The one before: an extension's answer may be lost with its connection.
    id_before: Option<Ulid>,
    /// Whether the worker has said that it has the call.
    taken: bool,
    /// When the call is given up, unless the worker is heard.
    ends: Instant,
    reply: oneshot::Sender<Box<SdkResponse>>,
    /// Tells the call to look at `ends` again.
    sooner: Arc<Notify>,
}

/// The calling side of a lease.
#[derive(Debug)]
pub(super) struct Leased {
    pub(super) request: String,
    pub(super) serial: u64,
    pub(super) id: Ulid,
    pub(super) worker: Ulid,
    pub(super) reply: oneshot::Receiver<Box<SdkResponse>>,
    pub(super) sooner: Arc<Notify>,
}

/// What the clock makes of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is good until then.
    Until(Instant),
    /// It ran out before the worker took the call.
    NotTaken,
    /// It ran out.
    Lost,
    /// There is none any more: its reply is here, or another call took its place.
    Over,
}

impl Leases {
    /// A new lease for a call that is about to be sent.
    pub(super) fn grant(
        &mut self,
        request: &str,
        worker: Ulid,
        times: &ConnectTimes,
        now: Instant,
    ) -> Leased {
        self.serial_last += 1;
        let (reply, answer) = oneshot::channel();
        let sooner = Arc::new(Notify::new());
        let id = new_id();
        let lease = Lease {
            serial: self.serial_last,
            worker: Some(worker),
            id,
            id_before: None,
            taken: false,
            ends: now + times.take,
            reply,
            sooner: Arc::clone(&sooner),
        };
        self.by_request.insert(request.to_owned(), lease);
        Leased {
            request: request.to_owned(),
            serial: self.serial_last,
            id,
            worker,
            reply: answer,
            sooner,
        }
    }

    /// The worker has the call.
    pub(super) fn take(&mut self, request: &str, worker: Ulid, times: &ConnectTimes, now: Instant) {
        // Another worker's word may be about a lease of the call that ran out.
        if let Some(lease) = self.by_request.get_mut(request)
            && lease.worker == Some(worker)
            && !lease.taken
        {
            lease.taken = true;
            lease.end_at(now + times.lease + times.lease_grace);
        }
    }

    /// The worker still has the call: the lease's new id, and where it was before; nothing when it has lost it.
    pub(super) fn extend(
        &mut self,
        request: &str,
        id: &str,
        worker: Ulid,
        times: &ConnectTimes,
        now: Instant,
    ) -> Option<(Ulid, Option<Ulid>)> {
        let id = Ulid::from_string(id).ok()?;
        let lease = self.by_request.get_mut(request)?;
        if now >= lease.ends || (lease.id != id && lease.id_before != Some(id)) {
            return None;
        }
        lease.id_before = Some(id);
        lease.id = new_id();
        lease.taken = true;
        lease.end_at(now + times.lease + times.lease_grace);
        Some((lease.id, lease.worker.replace(worker)))
    }

    /// The reply to the call is here.
    pub(super) fn finish(&mut self, request: &str) -> Option<Lease> {
        self.by_request.remove(request)
    }

    /// The call is given up.
    pub(super) fn release(&mut self, request: &str, serial: u64) -> Option<Lease> {
        if self.by_request.get(request)?.serial != serial {
            return None;
        }
        self.by_request.remove(request)
    }

    /// The worker's connection is gone: what it had not taken goes elsewhere at once, what it had it may come back for.
    pub(super) fn disconnect(&mut self, worker: Ulid, times: &ConnectTimes, now: Instant) {
        for lease in self.of(worker) {
            lease.worker = None;
            let patience = if lease.taken {
                now + times.reconnect
            } else {
                now
            };
            lease.end_by(patience);
        }
    }

    /// The worker takes no more calls.
    pub(super) fn drain(&mut self, worker: Ulid, times: &ConnectTimes, now: Instant) {
        for lease in self.of(worker).filter(|lease| !lease.taken) {
            lease.end_by(now + times.take_draining);
        }
    }

    pub(super) fn state(&self, request: &str, serial: u64, now: Instant) -> State {
        match self.by_request.get(request) {
            Some(lease) if lease.serial == serial => match (now < lease.ends, lease.taken) {
                (true, _) => State::Until(lease.ends),
                (false, false) => State::NotTaken,
                (false, true) => State::Lost,
            },
            _ => State::Over,
        }
    }

    fn of(&mut self, worker: Ulid) -> impl Iterator<Item = &mut Lease> {
        self.by_request
            .values_mut()
            .filter(move |lease| lease.worker == Some(worker))
    }
}

impl Lease {
    fn end_at(&mut self, end: Instant) {
        let sooner = end < self.ends;
        self.ends = end;
        // A call that looks too early looks again; one that looks too late does not.
        if sooner {
            self.sooner.notify_one();
        }
    }

    fn end_by(&mut self, latest: Instant) {
        self.end_at(self.ends.min(latest));
    }

    /// Hands the reply to the call; it comes back when nobody waits for it any more.
    pub(super) fn reply(self, reply: Box<SdkResponse>) -> Result<(), Box<SdkResponse>> {
        self.reply.send(reply)
    }
}

pub(super) fn new_id() -> Ulid {
    let now_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    Ulid::from_parts(u64::try_from(now_ms).unwrap_or(0), rand::random())
}
