//! One piece of work that many wait for.
//!
//! The work is a task of its own, so whoever started it may go away; it is aborted when the last one does.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::watch;
use tokio::task::AbortHandle;

type Table<K, T> = Mutex<HashMap<K, Weak<Flight<K, T>>>>;

/// The work that is under way, by key.
pub(super) struct Flights<K: Eq + Hash, T> {
    table: Arc<Table<K, T>>,
}

/// A piece of work, held by those who wait for it.
pub(super) struct Flight<K: Eq + Hash, T> {
    key: K,
    table: Weak<Table<K, T>>,
    outcome: watch::Receiver<Option<T>>,
    task: AbortHandle,
    claimed: AtomicBool,
}

impl<K, T> Flights<K, T>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Joins the work of this key, or starts it.
    pub(super) fn join<F>(&self, key: &K, work: impl FnOnce() -> F) -> Arc<Flight<K, T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        // Declared before the lock, so that it is dropped after it: the last one to let go of a flight locks the table.
        let existing;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        existing = table.get(key).and_then(Weak::upgrade);
        if let Some(flight) = &existing
            && !flight.is_over()
        {
            return Arc::clone(flight);
        }
        let (landed, outcome) = watch::channel(None);
        let work = work();
        let task = tokio::spawn(async move {
            let value = work.await;
            landed.send_replace(Some(value));
        });
        let flight = Arc::new(Flight {
            key: key.clone(),
            table: Arc::downgrade(&self.table),
            outcome,
            task: task.abort_handle(),
            claimed: AtomicBool::new(false),
        });
        table.insert(key.clone(), Arc::downgrade(&flight));
        flight
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.table.lock().unwrap().len()
    }
}

impl<K: Eq + Hash, T: Clone> Flight<K, T> {
    /// What came of it. None when the work panicked.
    pub(super) async fn outcome(&self) -> Option<T> {
        let mut outcome = self.outcome.clone();
        let landed = outcome.wait_for(Option::is_some).await.ok()?;
        landed.clone()
    }

    /// True once, for the first who asks.
    pub(super) fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    fn is_over(&self) -> bool {
        self.outcome.borrow().is_some() || self.outcome.has_changed().is_err()
    }
}

impl<K: Eq + Hash, T> Drop for Flight<K, T> {
    fn drop(&mut self) {
        self.task.abort();
        let Some(table) = self.table.upgrade() else {
            return;
        };
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        // Another one may have taken off under this key in between.
        if table
            .get(&self.key)
            .is_some_and(|flight| flight.strong_count() == 0)
        {
            table.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self {
            table: Arc::default(),
        }
    }
}

impl<K: Eq + Hash, T> fmt::Debug for Flights<K, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Flights")
    }
}
