//! Replies that the server does not have yet, as far as this worker knows.

use super::api::Flushed;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::connect::SdkResponse;
use tokio::time::Instant;

/// How long the gateway gets to acknowledge a reply, before it is brought over HTTP.
const ACK_MAX: Duration = Duration::from_secs(5);
/// How long a reply is kept: servers know as long that they wait for it.
const KEPT_MAX: Duration = Duration::from_secs(10 * 60);
/// Between rounds in which not all replies could be brought.
const ROUND_PAUSE: Duration = Duration::from_secs(10);

/// The replies.
#[derive(Debug)]
pub(super) struct Replies {
    by_request: HashMap<String, Pending>,
    /// Not before then is the next tried over HTTP.
    next_round: Instant,
}

#[derive(Debug)]
struct Pending {
    reply: Arc<SdkResponse>,
    since: Instant,
    /// Over which link it was sent, and until when it may be acknowledged.
    sent: Option<(u64, Instant)>,
}

impl Replies {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            by_request: HashMap::new(),
            next_round: now,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_request.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_request.is_empty()
    }

    pub(super) fn get(&self, request_id: &str) -> Option<Arc<SdkResponse>> {
        let pending = self.by_request.get(request_id)?;
        Some(Arc::clone(&pending.reply))
    }

    /// Keeps a reply, which was sent over this link, if over any.
    pub(super) fn keep(&mut self, reply: Arc<SdkResponse>, link: Option<u64>, now: Instant) {
        let pending = Pending {
            since: now,
            sent: link.map(|serial| (serial, now + ACK_MAX)),
            reply,
        };
        self.by_request
            .insert(pending.reply.request_id.clone(), pending);
    }

    /// The server has it.
    pub(super) fn acknowledged(&mut self, request_id: &str) {
        self.by_request.remove(request_id);
    }

    /// What was sent over this link is not acknowledged any more.
    pub(super) fn unlink(&mut self, serial: u64) {
        for pending in self.by_request.values_mut() {
            if pending.sent.is_some_and(|(link, _)| link == serial) {
                pending.sent = None;
            }
        }
    }

    /// Whether replies over this link may yet be acknowledged.
    pub(super) fn awaits(&self, serial: u64) -> bool {
        let mut sent = self.by_request.values().filter_map(|pending| pending.sent);
        sent.any(|(link, _)| link == serial)
    }

    /// The server can be reached again.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.next_round = now;
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = |pending: &Pending| match pending.sent {
            Some((_, until)) => until,
            None => self.next_round,
        };
        self.by_request.values().map(due).min()
    }

    /// What is to be brought over HTTP now. What is too old is dropped.
    pub(super) fn round(&mut self, now: Instant) -> Vec<Arc<SdkResponse>> {
        self.by_request.retain(|request, pending| {
            let is_fresh = now.duration_since(pending.since) < KEPT_MAX;
            if !is_fresh {
                tracing::warn!(
                    request,
                    run = pending.reply.run_id,
                    "a reply could not be brought to the server"
                );
            }
            is_fresh
        });
        for pending in self.by_request.values_mut() {
            if pending.sent.is_some_and(|(_, until)| until <= now) {
                pending.sent = None;
            }
        }
        if now < self.next_round {
            return Vec::new();
        }
        let unsent = self
            .by_request
            .values()
            .filter(|pending| pending.sent.is_none());
        unsent.map(|pending| Arc::clone(&pending.reply)).collect()
    }

    /// A round came to nothing: the runtime that was to make the requests is shutting down, say.
    pub(super) fn failed(&mut self, now: Instant) {
        self.next_round = now + ROUND_PAUSE;
    }

    /// What became of a round.
    pub(super) fn brought(&mut self, results: Vec<(String, Flushed)>, now: Instant) {
        for (request_id, flushed) in results {
            match flushed {
                Flushed::Taken | Flushed::Refused => {
                    self.by_request.remove(&request_id);
                }
                Flushed::Failed => self.failed(now),
            }
        }
    }
}
