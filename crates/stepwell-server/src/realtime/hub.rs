//! The hub: who is subscribed to what, and how a message finds them.

use super::herald::Herald;
use super::mailbox::{Backlog, Cut, Delivery, Mailbox};
use crate::answer::ApiError;
use axum::extract::ws::Utf8Bytes;
use axum::http::StatusCode;
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use stepwell_protocol::RunId;
use stepwell_protocol::realtime::{Message, STREAM_TOPIC, Topic, TopicKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Topics of one subscriber.
const TOPICS_MAX: usize = 1_000;

/// Why there is no subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The server has as many as it takes.
    #[error("too many subscribers; try again in a moment")]
    TooManySubscribers,
    /// The subscriber has as many as it may.
    #[error("too many topics: a subscriber may have {TOPICS_MAX}")]
    TooManyTopics,
    /// The server stops.
    #[error("the server is shutting down")]
    Closing,
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, refused.to_string())
    }
}

type Mailboxes = HashMap<u64, Arc<Mailbox>>;

/// Who is subscribed to what.
#[derive(Debug)]
pub(crate) struct Hub {
    directory: RwLock<Directory>,
    followed: Followed,
    slots: Arc<Semaphore>,
    subscribers_max: u32,
    backlog: Backlog,
    last: AtomicU64,
    closing: AtomicBool,
    pub(super) herald: Herald,
}

/// Where the mailboxes are.
#[derive(Debug, Default)]
struct Directory {
    /// By channel and topic.
    topics: HashMap<String, HashMap<String, Mailboxes>>,
    /// All of them, also those without any topic.
    all: Mailboxes,
}

/// How many topics follow which runs. It has a lock of its own, held for moments only: the engine asks.
#[derive(Debug, Default)]
struct Followed {
    runs: Mutex<HashMap<RunId, usize>>,
}

impl Followed {
    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, usize>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, run: RunId) {
        *self.runs().entry(run).or_default() += 1;
    }

    fn remove(&self, run: RunId) {
        let mut runs = self.runs();
        if let Some(count) = runs.get_mut(&run) {
            *count -= 1;
            if *count == 0 {
                runs.remove(&run);
            }
        }
    }
}

impl Hub {
    pub(crate) fn new(subscribers_max: u32) -> Arc<Self> {
        Arc::new_cyclic(|hub| Self {
            directory: RwLock::default(),
            followed: Followed::default(),
            slots: Arc::new(Semaphore::new(subscribers_max as usize)),
            subscribers_max,
            backlog: Backlog::default(),
            last: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            herald: Herald::new(hub.clone()),
        })
    }

    /// Subscribes to topics, from now until the subscription is dropped.
    pub(crate) fn subscribe(self: &Arc<Self>, topics: Vec<Topic>) -> Result<Subscription, Refused> {
        let slot = Arc::clone(&self.slots)
            .try_acquire_owned()
            .map_err(|_| Refused::TooManySubscribers)?;
        self.herald.start();
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        let mailbox = Arc::new(Mailbox::new(self.backlog.clone()));
        self.change().all.insert(id, Arc::clone(&mailbox));
        let mut subscription = Subscription {
            hub: Arc::clone(self),
            id,
            mailbox,
            topics: HashSet::new(),
            _slot: slot,
        };
        subscription.add(topics)?;
        // Whoever comes while all are told to leave is either told, too, or sees it here.
        if self.closing.load(Ordering::SeqCst) {
            return Err(Refused::Closing);
        }
        Ok(subscription)
    }

    /// Sends a message to the subscribers of its topic.
    pub(crate) fn publish(&self, message: &Message<'_>) {
        let mailboxes = self.mailboxes(message.channel, message.topic);
        if mailboxes.is_empty() {
            return;
        }
        let text = Utf8Bytes::from(message.to_json());
        for mailbox in mailboxes {
            mailbox.push(Delivery::Message(text.clone()));
        }
    }

    /// Sends a part of a stream to those who follow what the channel streams.
    pub(crate) fn forward(&self, channel: &str, bytes: &Bytes) {
        for mailbox in self.mailboxes(channel, STREAM_TOPIC) {
            mailbox.push(Delivery::Raw(bytes.clone()));
        }
    }

    /// Tells those who follow what a run streams that it has ended.
    pub(super) fn end_stream(&self, run: RunId) {
        for mailbox in self.mailboxes(&run.to_string(), STREAM_TOPIC) {
            mailbox.push(Delivery::StreamEnded);
        }
    }

    /// Whether anyone is subscribed to anything.
    pub(super) fn has_subscribers(&self) -> bool {
        self.subscribers() > 0
    }

    /// How many subscribers there are.
    pub(crate) fn subscribers(&self) -> usize {
        (self.subscribers_max as usize).saturating_sub(self.slots.available_permits())
    }

    /// What could not be told since the start: messages to subscribers that were cut off, and reports of runs.
    pub(crate) fn dropped(&self) -> u64 {
        self.backlog.dropped() + self.herald.dropped()
    }

    pub(super) fn follows(&self, run: RunId) -> bool {
        self.followed.runs().contains_key(&run)
    }

    /// Cuts off everyone who follows a run.
    pub(super) fn cut_followers(&self) {
        for (channel, names) in &self.look().topics {
            for (name, mailboxes) in names {
                let topic = Topic::new(channel.as_str(), name.as_str());
                if topic.followed_run().is_some() {
                    mailboxes
                        .values()
                        .for_each(|mailbox| mailbox.cut(Cut::Missed));
                }
            }
        }
    }

    /// Tells all subscribers to leave, and takes no more; ready when they have left.
    pub(super) async fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        for mailbox in self.look().all.values() {
            mailbox.cut(Cut::Closing);
        }
        // All slots are free when the last subscriber has left. The semaphore is never closed.
        drop(self.slots.acquire_many(self.subscribers_max).await);
    }

    fn mailboxes(&self, channel: &str, topic: &str) -> Vec<Arc<Mailbox>> {
        let directory = self.look();
        let names = directory.topics.get(channel);
        let mailboxes = names.and_then(|names| names.get(topic));
        mailboxes.map_or_else(Vec::new, |found| found.values().map(Arc::clone).collect())
    }

    fn add(&self, topic: &Topic, id: u64, mailbox: &Arc<Mailbox>) {
        let mut directory = self.change();
        let names = directory.topics.entry(topic.channel.clone()).or_default();
        let mailboxes = names.entry(topic.name.clone()).or_default();
        mailboxes.insert(id, Arc::clone(mailbox));
        drop(directory);
        if let Some(run) = topic.followed_run() {
            self.followed.add(run);
        }
    }

    fn remove(&self, topic: &Topic, id: u64) {
        if let Some(run) = topic.followed_run() {
            self.followed.remove(run);
        }
        let topics = &mut self.change().topics;
        let Some(names) = topics.get_mut(&topic.channel) else {
            return;
        };
        if let Some(mailboxes) = names.get_mut(&topic.name) {
            mailboxes.remove(&id);
            if mailboxes.is_empty() {
                names.remove(&topic.name);
            }
        }
        if names.is_empty() {
            topics.remove(&topic.channel);
        }
    }

    fn look(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        let directory = self.look();
        directory.topics.is_empty()
            && directory.all.is_empty()
            && self.followed.runs().is_empty()
            && !self.has_subscribers()
    }
}

/// Someone's subscription to topics. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Subscription {
    hub: Arc<Hub>,
    id: u64,
    mailbox: Arc<Mailbox>,
    topics: HashSet<Topic>,
    _slot: OwnedSemaphorePermit,
}

impl Subscription {
    /// Adds topics: all of them or, if those are too many, none.
    pub(crate) fn add(&mut self, topics: Vec<Topic>) -> Result<(), Refused> {
        let mut topics: HashSet<Topic> = topics.into_iter().filter_map(local).collect();
        topics.retain(|topic| !self.topics.contains(topic));
        if self.topics.len() + topics.len() > TOPICS_MAX {
            return Err(Refused::TooManyTopics);
        }
        for topic in topics {
            self.hub.add(&topic, self.id, &self.mailbox);
            self.topics.insert(topic);
        }
        Ok(())
    }

    /// Takes topics away; those that it does not have do not matter.
    pub(crate) fn remove(&mut self, topics: Vec<Topic>) {
        for topic in topics.into_iter().filter_map(local) {
            if self.topics.remove(&topic) {
                self.hub.remove(&topic, self.id);
            }
        }
    }

    /// What is there to send.
    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Whether all that it is for is what one run streams.
    pub(crate) fn follows_one_stream(&self) -> bool {
        self.topics.len() == 1 && self.topics.iter().all(|topic| topic.name == STREAM_TOPIC)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for topic in self.topics.drain() {
            self.hub.remove(&topic, self.id);
        }
        self.hub.change().all.remove(&self.id);
    }
}

/// A topic as this server knows it, which has one environment; nothing if nothing is ever published there.
fn local(topic: Topic) -> Option<Topic> {
    let env_id = String::new();
    (topic.kind == TopicKind::Run).then_some(Topic { env_id, ..topic })
}

#[cfg(test)]
mod tests;
