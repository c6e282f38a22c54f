//! A subscriber's queue. Whoever publishes never waits for it: when it is full its subscriber is cut off.

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stepwell_protocol::realtime::CHUNK_BYTES_MAX;
use tokio::sync::Notify;

/// What waits for one subscriber, in bytes: several of the largest messages.
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The same as a number: as many chunks of streams.
const QUEUE_MAX: usize = QUEUE_BYTES_MAX / CHUNK_BYTES_MAX;
/// What waits for all subscribers, in bytes. Beyond it those are cut off for whom something waits already; messages to
/// many are shared and counted for each, so it is less in truth.
const ALL_QUEUES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What a subscriber is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// A message, in JSON.
    Message(Utf8Bytes),
    /// A part of a stream, as it came.
    Raw(Bytes),
    /// The run that streams has ended.
    StreamEnded,
}

impl Delivery {
    fn bytes(&self) -> usize {
        match self {
            Self::Message(text) => text.len(),
            Self::Raw(bytes) => bytes.len(),
            Self::StreamEnded => 0,
        }
    }
}

/// Why nothing more is sent to a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It reads more slowly than others publish.
    TooSlow,
    /// So much happened to runs at once that some of it could not be told.
    Missed,
    /// The server stops.
    Closing,
}

impl Cut {
    /// What a client is told, in at most 123 bytes (RFC 6455, 5.5).
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::TooSlow => "too slow: messages came faster than they were read; subscribe again",
            Self::Missed => "some messages could not be sent; subscribe again, and read the run",
            Self::Closing => "closing",
        }
    }
}

/// What waits for all subscribers of a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backlog(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    bytes: AtomicUsize,
    /// Messages that were not sent, since the start.
    dropped: AtomicU64,
}

impl Backlog {
    /// Messages to subscribers that were cut off, since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    fn drop_messages(&self, count: usize) {
        self.0.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// The queue of one subscriber.
#[derive(Debug)]
pub(crate) struct Mailbox {
    queue: Mutex<Queue>,
    changed: Notify,
    backlog: Backlog,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Delivery>,
    bytes: usize,
    cut: Option<Cut>,
}

impl Mailbox {
    pub(crate) fn new(backlog: Backlog) -> Self {
        Self {
            queue: Mutex::default(),
            changed: Notify::new(),
            backlog,
        }
    }

    /// Puts something in the queue, or cuts its subscriber off.
    pub(crate) fn push(&self, delivery: Delivery) {
        let bytes = delivery.bytes();
        let mut queue = self.queue();
        if queue.cut.is_some() {
            return self.backlog.drop_messages(1);
        }
        let others = self.backlog.0.bytes.load(Ordering::Relaxed);
        let behind = !queue.waiting.is_empty();
        if queue.waiting.len() >= QUEUE_MAX
            || queue.bytes + bytes > QUEUE_BYTES_MAX
            || (behind && others + bytes > ALL_QUEUES_BYTES_MAX)
        {
            drop(queue);
            self.backlog.drop_messages(1);
            return self.cut(Cut::TooSlow);
        }
        queue.bytes += bytes;
        self.backlog.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        queue.waiting.push_back(delivery);
        drop(queue);
        self.changed.notify_one();
    }

    /// Cuts its subscriber off. When the server stops it gets what waits; else that is forgotten, whether it reads on or not.
    pub(crate) fn cut(&self, why: Cut) {
        let mut queue = self.queue();
        if queue.cut.is_none() {
            queue.cut = Some(why);
            if why != Cut::Closing {
                self.backlog.drop_messages(queue.waiting.len());
                self.empty(&mut queue);
            }
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// The next thing to send. There is one reader, which may give up waiting at any time.
    pub(crate) async fn next(&self) -> Result<Delivery, Cut> {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            self.changed.notified().await;
        }
    }

    fn try_next(&self) -> Option<Result<Delivery, Cut>> {
        let mut queue = self.queue();
        match queue.waiting.pop_front() {
            Some(delivery) => {
                let bytes = delivery.bytes();
                queue.bytes -= bytes;
                self.backlog.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
                Some(Ok(delivery))
            }
            None => queue.cut.map(Err),
        }
    }

    /// Is ready when the subscriber is cut off and need not be sent what it is being sent. For the reader, too.
    pub(crate) async fn severed(&self) -> Cut {
        loop {
            match self.queue().cut {
                Some(Cut::Closing) | None => {}
                Some(cut) => return cut,
            }
            self.changed.notified().await;
        }
    }

    fn empty(&self, queue: &mut Queue) {
        self.backlog
            .0
            .bytes
            .fetch_sub(queue.bytes, Ordering::Relaxed);
        queue.bytes = 0;
        queue.waiting = VecDeque::new();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let mut queue = std::mem::take(&mut *self.queue());
        self.empty(&mut queue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Delivery {
        Delivery::Message("x".repeat(bytes).into())
    }

    #[tokio::test]
    async fn what_was_put_in_comes_out_in_order() {
        let mailbox = Mailbox::new(Backlog::default());
        for bytes in 1..=3 {
            mailbox.push(message(bytes));
        }
        for bytes in 1..=3 {
            assert_eq!(mailbox.next().await, Ok(message(bytes)));
        }
        assert_eq!(mailbox.backlog.0.bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_queue_that_is_full_cuts_its_subscriber_off_and_is_forgotten() {
        for (bytes, room) in [(0, QUEUE_MAX), (512 * 1024, 16)] {
            let backlog = Backlog::default();
            let mailbox = Mailbox::new(backlog.clone());
            let message = message(bytes);
            (0..room).for_each(|_| mailbox.push(message.clone()));
            assert_eq!(mailbox.queue().cut, None, "{bytes}");
            mailbox.push(message);
            assert_eq!(backlog.0.bytes.load(Ordering::Relaxed), 0);
            assert_eq!(mailbox.next().await, Err(Cut::TooSlow));
            assert_eq!(mailbox.severed().await, Cut::TooSlow);
            assert_eq!(backlog.dropped(), room as u64 + 1);
            mailbox.push(Delivery::StreamEnded);
            assert_eq!(mailbox.next().await, Err(Cut::TooSlow));
        }
    }

    #[tokio::test]
    async fn when_all_queues_together_are_full_those_are_cut_off_that_lag() {
        let backlog = Backlog::default();
        let large = message(1024 * 1024);
        let mailbox = |waiting| {
            let mailbox = Mailbox::new(backlog.clone());
            (0..waiting).for_each(|_| mailbox.push(large.clone()));
            mailbox
        };
        let full: Vec<Mailbox> = (0..32).map(|_| mailbox(8)).collect();
        let (lags, keeps_up) = (mailbox(2), mailbox(1));
        assert_eq!(lags.next().await, Err(Cut::TooSlow));
        assert_eq!(keeps_up.next().await, Ok(large.clone()));
        drop(full);
        assert_eq!(backlog.0.bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_server_that_stops_sends_what_waits() {
        let mailbox = Mailbox::new(Backlog::default());
        mailbox.push(message(1));
        mailbox.cut(Cut::Closing);
        mailbox.push(message(2));
        assert_eq!(mailbox.next().await, Ok(message(1)));
        assert_eq!(mailbox.next().await, Err(Cut::Closing));
    }
}
