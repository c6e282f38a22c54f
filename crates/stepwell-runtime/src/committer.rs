//! The committer: writes batches, then lets their effects happen.

use crate::cache::Cache;
use crate::decider::Message;
use crate::dispatcher::Dispatcher;
use crate::handle::{Unavailable, Vitals};
use crate::news::News;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use stepwell_engine::{Answer, Change, Effect};
use stepwell_store::{StoreError, Writer};
use tokio::sync::{broadcast, oneshot};

/// How often a store that refuses writes is tried again.
const PROBE_EVERY: Duration = Duration::from_secs(1);

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
}

pub(crate) struct Committer {
    pub(crate) writer: Box<dyn Writer>,
    pub(crate) orders: Receiver<Order>,
    pub(crate) decider: Sender<Message>,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) news: broadcast::Sender<Arc<News>>,
    pub(crate) dispatcher: Dispatcher,
}

impl Committer {
    /// Runs until the decider is gone.
    pub(crate) fn run(mut self) {
        while let Ok(order) = self.orders.recv() {
            let told = match order {
                Order::Commit(batch) => self.commit(batch),
                Order::Recover => match self.recover() {
                    Some(recovered) => recovered,
                    None => return,
                },
            };
            if self.decider.send(told).is_err() {
                return;
            }
        }
    }

    fn commit(&mut self, batch: Batch) -> Message {
        if let Err(error) = self.writer.commit(&batch.changes) {
            let reason = describe(&error);
            // Whoever is refused finds the whole server refusing.
            self.vitals.fail(reason.clone());
            batch.refuse(&Unavailable::Store(reason));
            return Message::CommitFailed(error);
        }
        self.cache.apply(&batch.changes);
        if self.news.receiver_count() > 0 {
            for news in batch.changes.iter().filter_map(News::of) {
                // No receiver left is no loss.
                drop(self.news.send(Arc::new(news)));
            }
        }
        for (asker, answer) in batch.answers {
            drop(asker.send(Ok(answer)));
        }
        for effect in batch.effects {
            self.dispatcher.carry_out(effect);
        }
        Message::Committed
    }

    /// Waits for the store; `None` when the decider has gone meanwhile, so that a full disk keeps nobody from stopping.
    fn recover(&mut self) -> Option<Message> {
        self.cache.clear();
        loop {
            match self
                .writer
                .probe()
                .and_then(|()| self.writer.load(self.dispatcher.now()))
            {
                Ok(snapshot) => return Some(Message::Recovered(Box::new(snapshot))),
                Err(error) => {
                    tracing::warn!(error = describe(&error), "the store still refuses writes")
                }
            }
            match self.orders.recv_timeout(PROBE_EVERY) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
                Ok(order) => unreachable!("the decider waits for the recovery, yet sent {order:?}"),
            }
        }
    }
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
