//! The committer: writes batches, then has their effects happen.

use crate::clock::Clock;
use crate::decider::Message;
use crate::handle::{Unavailable, Vitals};
use crate::pruner::Pruner;
use crate::teller::{Telling, ToTeller};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};
use stepwell_engine::{Answer, Change, Effect};
use stepwell_protocol::metadata::bytes_of;
use stepwell_protocol::otlp::UserSpan;
use stepwell_store::{StoreError, Writer};
use tokio::sync::oneshot;

/// How often a store that refuses writes is tried again.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// The same for one that has refused again soon after it took writes.
const PROBE_EVERY_MAX: Duration = Duration::from_secs(60);
/// How soon that is.
const RELAPSE: Duration = Duration::from_secs(60);
/// Room that a probe asks for beyond what was refused.
const PROBE_SLACK_BYTES: usize = 64 * 1024;
/// What a row costs besides its payload, about.
const ROW_BYTES: usize = 256;

/// Whoever waits for an answer.
pub(crate) type Asker = oneshot::Sender<Result<Answer, Unavailable>>;

/// Decisions that are written together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) changes: Vec<Change>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) answers: Vec<(Asker, Answer)>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.effects.is_empty() && self.answers.is_empty()
    }

    /// Tells everyone who waits for this batch that it will not be.
    pub(crate) fn refuse(self, reason: &Unavailable) {
        for (asker, _) in self.answers {
            // Someone who stopped waiting needs no answer.
            drop(asker.send(Err(reason.clone())));
        }
    }
}

/// What the decider tells the committer to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Write this batch.
    Commit(Batch),
    /// Wait until the store accepts writes, then load the live rows.
    Recover,
    /// Something may be due: the clock was moved by hand.
    ClockMoved,
}

pub(crate) struct Committer {
    pub(crate) writer: Box<dyn Writer>,
    pub(crate) orders: Receiver<Order>,
    pub(crate) decider: Sender<Message>,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) teller: ToTeller,
    /// How many batches are written.
    pub(crate) written: Arc<AtomicU64>,
    pub(crate) clock: Clock,
    pub(crate) pruner: Pruner,
    /// Bytes of the batch that was refused last.
    pub(crate) refused_bytes: usize,
    pub(crate) recovered_at: Option<Instant>,
    pub(crate) wait: Duration,
}

impl Committer {
    /// Runs until the decider is gone.
    pub(crate) fn run(mut self) {
        while let Some(order) = self.next_order() {
            let told = match order {
                Order::Commit(batch) => self.commit(batch),
                Order::Recover => match self.recover() {
                    Some(recovered) => recovered,
                    None => return,
                },
                Order::ClockMoved => continue,
            };
            if self.decider.send(told).is_err() {
                return;
            }
        }
    }

    /// Waits for an order, and prunes while none is there; `None` when the decider is gone.
    fn next_order(&mut self) -> Option<Order> {
        loop {
            match self.orders.try_recv() {
                Ok(order) => return Some(order),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            if self.pruner.is_due() {
                self.pruner.work(&mut *self.writer);
                continue;
            }
            match self.orders.recv_timeout(self.pruner.patience()) {
                Ok(order) => return Some(order),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn commit(&mut self, batch: Batch) -> Message {
        let begun = Instant::now();
        let written = self.writer.commit(&batch.changes);
        let took = begun.elapsed();
        if let Err(error) = written {
            self.vitals.metrics.commit_failed();
            let reason = describe(&error);
            // Whoever is refused finds the whole server refusing.
            self.vitals.fail(reason.clone());
            self.refused_bytes = weight(&batch.changes);
            batch.refuse(&Unavailable::Store(reason));
            return Message::CommitFailed(error);
        }
        // Before the decider can know: what that has told comes after this.
        let at = self.clock.now();
        self.teller.send(Telling::Committed { batch, at, took });
        self.written.fetch_add(1, Ordering::Release);
        Message::Committed
    }

    /// Waits for the store; `None` when the decider has gone meanwhile, so that a full disk keeps nobody from stopping.
    fn recover(&mut self) -> Option<Message> {
        self.teller.send(Telling::Forget);
        // A store that fails again and again is tried less and less often: each recovery makes calls again.
        let relapsed = self.recovered_at.is_some_and(|at| at.elapsed() < RELAPSE);
        self.wait = if relapsed {
            (self.wait * 2).min(PROBE_EVERY_MAX)
        } else {
            PROBE_EVERY
        };
        loop {
            match self.orders.recv_timeout(self.wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
                Ok(Order::ClockMoved) => continue,
                Ok(order) => unreachable!("the decider waits for the recovery, yet sent {order:?}"),
            }
            // What was refused must fit, or it is refused again at once.
            let probed = self.writer.probe(self.refused_bytes + PROBE_SLACK_BYTES);
            match probed.and_then(|()| self.writer.load(self.clock.now())) {
                Ok(snapshot) => {
                    self.recovered_at = Some(Instant::now());
                    return Some(Message::Recovered(Box::new(snapshot)));
                }
                Err(error) => {
                    tracing::warn!(error = describe(&error), "the store still refuses writes");
                }
            }
        }
    }
}

/// About how many bytes a batch writes.
fn weight(changes: &[Change]) -> usize {
    let payload = |change: &Change| match change {
        Change::EventPut(row) => row.body.get().len(),
        Change::StepPut(row) => row.value.get().len(),
        Change::RunEnd(row) => row.output.as_ref().map_or(0, |output| output.get().len()),
        Change::AttemptPut(row) => row.error.as_ref().map_or(0, String::len),
        Change::FunctionPut(row) => row.config.len(),
        Change::MetadataPut(row) => bytes_of(&row.update.values),
        Change::UserSpansPut(row) => row.spans.iter().map(UserSpan::bytes).sum(),
        _ => 0,
    };
    changes
        .iter()
        .map(|change| payload(change) + ROW_BYTES)
        .sum()
}

/// An error with everything that led to it.
pub(crate) fn describe(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
