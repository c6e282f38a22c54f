//! Those who wait for the end of one run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stepwell_engine::Change;
use stepwell_protocol::RunId;
use tokio::sync::oneshot;

/// Whoever waits, by run: an end costs nothing for those who wait for others.
#[derive(Debug, Default)]
pub(crate) struct Ends(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    by_run: HashMap<RunId, Vec<oneshot::Sender<()>>>,
    /// Nothing ends any more.
    over: bool,
}

impl Ends {
    /// Begins to wait; an end that is committed from now on is not missed.
    pub(crate) fn wait_for(self: &Arc<Self>, run: RunId) -> End {
        let (sender, told) = oneshot::channel();
        let mut waiting = self.waiting();
        if !waiting.over {
            waiting.by_run.entry(run).or_default().push(sender);
        }
        drop(waiting);
        let ends = Arc::clone(self);
        End { ends, run, told }
    }

    /// Tells of the ends in a committed batch.
    pub(crate) fn tell(&self, changes: &[Change]) {
        let ended = changes.iter().filter_map(|change| match change {
            Change::RunEnd(row) => Some(row.id),
            _ => None,
        });
        let mut waiting = self.waiting();
        if waiting.by_run.is_empty() {
            return;
        }
        for sender in ended
            .filter_map(|run| waiting.by_run.remove(&run))
            .flatten()
        {
            // Whoever waited may have stopped.
            sender.send(()).unwrap_or_default();
        }
    }

    /// Lets everyone go: the engine has stopped.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.over = true;
        waiting.by_run.clear();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a run that someone waits for.
#[derive(Debug)]
pub struct End {
    ends: Arc<Ends>,
    run: RunId,
    told: oneshot::Receiver<()>,
}

impl End {
    /// Waits for it; `false` when the engine stops before.
    pub async fn wait(mut self) -> bool {
        (&mut self.told).await.is_ok()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.told.close();
        let mut waiting = self.ends.waiting();
        if let Some(senders) = waiting.by_run.get_mut(&self.run) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                waiting.by_run.remove(&self.run);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u8) -> RunId {
        RunId::from_bytes([n; 16])
    }

    #[test]
    fn whoever_stops_waiting_leaves_nothing_behind() {
        let ends = Arc::new(Ends::default());
        let (first, second) = (ends.wait_for(run(1)), ends.wait_for(run(1)));
        drop(first);
        assert_eq!(ends.waiting().by_run[&run(1)].len(), 1);
        drop(second);
        assert!(ends.waiting().by_run.is_empty());
    }

    #[tokio::test]
    async fn an_engine_that_stops_lets_everyone_go() {
        let ends = Arc::new(Ends::default());
        let before = ends.wait_for(run(1));
        ends.close();
        assert!(!before.wait().await);
        assert!(!ends.wait_for(run(2)).wait().await);
    }
}
