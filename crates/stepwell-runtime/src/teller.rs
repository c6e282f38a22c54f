//! The teller: lets the effects of written batches happen, in the order in which they were written.
//!
//! It is a task among those that it wakes: telling them from the committer's thread would keep that from the next batch for
//! longer than the batch took to write.

use crate::audience::Audiences;
use crate::cache::Cache;
use crate::committer::Batch;
use crate::dispatcher::Dispatcher;
use crate::ends::Ends;
use crate::news::News;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use stepwell_engine::Timestamp;
use tokio::sync::broadcast;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// Those who are told before others get their turn.
const TOLD_AT_ONCE: usize = 256;

/// What there is to tell. What is sent here stays few: it comes of what tasks ask for, whom the teller is one of.
pub(crate) enum Telling {
    /// A batch was written.
    Committed {
        batch: Batch,
        /// When it was.
        at: Timestamp,
        /// How long that took.
        took: Duration,
    },
    /// A batch was not: nothing that calls carry is known for sure, and calls in flight mean nothing any more.
    Forget,
    /// To be done when all before has been told.
    Then(Box<dyn FnOnce() + Send>),
}

impl fmt::Debug for Telling {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Committed { .. } => "Committed",
            Self::Forget => "Forget",
            Self::Then(_) => "Then",
        })
    }
}

/// Where to send it. That the teller is gone, with the program's tasks, is no loss: so are those whom it told.
#[derive(Debug, Clone)]
pub(crate) struct ToTeller(pub(crate) UnboundedSender<Telling>);

impl ToTeller {
    pub(crate) fn send(&self, telling: Telling) {
        drop(self.0.send(telling));
    }

    /// Has this done when all that is written has been told.
    pub(crate) fn then(&self, action: impl FnOnce() + Send + 'static) {
        self.send(Telling::Then(Box::new(action)));
    }
}

pub(crate) struct Teller {
    pub(crate) cache: Arc<Cache>,
    pub(crate) news: broadcast::Sender<Arc<News>>,
    pub(crate) audiences: Arc<Audiences>,
    pub(crate) ends: Arc<Ends>,
    pub(crate) dispatcher: Dispatcher,
}

impl Teller {
    /// Runs until the committer and the decider are gone and everything is told.
    pub(crate) async fn run(mut self, mut tellings: UnboundedReceiver<Telling>) {
        while let Some(telling) = tellings.recv().await {
            match telling {
                Telling::Committed { batch, at, took } => self.tell(batch, at, took).await,
                Telling::Forget => {
                    self.cache.clear();
                    self.dispatcher.give_up_calls();
                }
                Telling::Then(action) => action(),
            }
        }
    }

    async fn tell(&self, batch: Batch, at: Timestamp, took: Duration) {
        let Batch {
            changes,
            effects,
            answers,
        } = batch;
        self.cache.apply(&changes);
        if self.news.receiver_count() > 0 {
            let started = effects.iter().filter_map(News::of_effect);
            for news in changes.iter().filter_map(News::of).chain(started) {
                // No receiver left is no loss.
                drop(self.news.send(Arc::new(news)));
            }
        }
        let metrics = &self.dispatcher.vitals.metrics;
        metrics.committed(&changes, &effects, took, at);
        self.audiences.tell(&changes, &effects, at);
        self.ends.tell(&changes);
        for (told, (asker, answer)) in answers.into_iter().enumerate() {
            // Someone who stopped waiting needs no answer.
            drop(asker.send(Ok(answer)));
            let_others(told).await;
        }
        for (told, effect) in effects.into_iter().enumerate() {
            self.dispatcher.carry_out(effect);
            let_others(told).await;
        }
    }
}

/// Gives others their turn after so many.
async fn let_others(told: usize) {
    if (told + 1).is_multiple_of(TOLD_AT_ONCE) {
        tokio::task::yield_now().await;
    }
}
