//! Waiting for the ends of runs: one listener for all who wait, so that each piece of news is looked at once.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use stepwell_protocol::RunId;
use stepwell_runtime::{Handle, News};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;

/// Who waits for the end of which run.
#[derive(Debug, Clone)]
pub(crate) struct Endings {
    waiting: Arc<Mutex<Waiting>>,
    /// Requests that wait at once; each holds a connection for minutes.
    waiting_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    runs: HashMap<RunId, Vec<oneshot::Sender<()>>>,
    count: usize,
    listening: bool,
}

/// Is ready when the run has ended, or may have: look again then.
#[derive(Debug)]
pub(crate) struct Ending {
    run: RunId,
    told: oneshot::Receiver<()>,
    endings: Endings,
}

impl Endings {
    /// Nobody waits yet.
    pub(crate) fn new(waiting_max: usize) -> Self {
        Self {
            waiting: Arc::default(),
            waiting_max,
        }
    }

    /// Waits for a run's end from now on, so that one who looks afterwards misses nothing; `None` when too many wait.
    pub(crate) fn of(&self, run: RunId, handle: &Handle) -> Option<Ending> {
        let mut waiting = self.waiting();
        if waiting.count >= self.waiting_max {
            return None;
        }
        let (tell, told) = oneshot::channel();
        waiting.runs.entry(run).or_default().push(tell);
        waiting.count += 1;
        if !waiting.listening {
            waiting.listening = true;
            tokio::spawn(self.clone().listen(handle.watch()));
        }
        let endings = self.clone();
        Some(Ending { run, told, endings })
    }

    async fn listen(self, mut news: Receiver<Arc<News>>) {
        loop {
            let heard = news.recv().await;
            let mut waiting = self.waiting();
            match &heard {
                Ok(news) => {
                    if let News::Ended { run, .. } = &**news {
                        waiting.tell(*run);
                    }
                }
                // The end of any run may be among what was missed.
                Err(RecvError::Lagged(_) | RecvError::Closed) => waiting.tell_all(),
            }
            if waiting.runs.is_empty() || matches!(heard, Err(RecvError::Closed)) {
                waiting.listening = false;
                return;
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        let waiting = self.waiting();
        waiting.runs.is_empty() && waiting.count == 0
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn tell(&mut self, run: RunId) {
        for teller in self.runs.remove(&run).into_iter().flatten() {
            self.count -= 1;
            // One who no longer waits needs no word.
            teller.send(()).unwrap_or_default();
        }
    }

    fn tell_all(&mut self) {
        let runs: Vec<RunId> = self.runs.keys().copied().collect();
        for run in runs {
            self.tell(run);
        }
    }
}

impl Future for Ending {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.told).poll(context).map(|_| ())
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.told.close();
        let mut waiting = self.endings.waiting();
        let Some(tellers) = waiting.runs.get_mut(&self.run) else {
            return;
        };
        let before = tellers.len();
        tellers.retain(|teller| !teller.is_closed());
        let gone = before - tellers.len();
        if tellers.is_empty() {
            waiting.runs.remove(&self.run);
        }
        waiting.count -= gone;
    }
}
