//! What happens to runs, as it happens.

use super::record::Names;
use super::{RunStatus, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::{RunId, UserError};
use stepwell_runtime::News;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// Something that has happened to a run, and is recorded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Progress {
    /// It was scheduled.
    Queued {
        /// The run.
        run: RunId,
        /// The public id of its function.
        function_id: String,
    },
    /// It was called for the first time.
    Started {
        /// The run.
        run: RunId,
    },
    /// A step has ended.
    StepEnded {
        /// The run.
        run: RunId,
        /// The step's name.
        step: String,
        /// Whether it failed for good.
        failed: bool,
        /// How long its last attempt took.
        took: Duration,
    },
    /// An attempt has failed.
    AttemptFailed {
        /// The run.
        run: RunId,
        /// The step's name; empty when the function itself failed.
        step: String,
        /// Which attempt, from 0.
        attempt: u32,
        /// The error.
        error: Box<UserError>,
        /// When the next attempt is due; `None` when there is none.
        retry_at: Option<Timestamp>,
    },
    /// It has ended.
    Ended {
        /// The run.
        run: RunId,
        /// How.
        status: RunStatus,
    },
    /// The watcher was too slow, and this much was left out: read the run instead.
    Missed {
        /// How much.
        count: u64,
    },
}

/// A stream of [`Progress`].
#[derive(Debug)]
pub struct Watch {
    news: Receiver<Arc<News>>,
    only: Option<RunId>,
    names: Arc<Names>,
    over: bool,
}

impl Watch {
    pub(super) fn new(news: Receiver<Arc<News>>, only: Option<RunId>, names: Arc<Names>) -> Self {
        Self {
            news,
            only,
            names,
            over: false,
        }
    }

    /// Waits for what happens next; `None` once the engine has stopped, or the run that is watched has ended.
    pub async fn next(&mut self) -> Option<Progress> {
        while !self.over {
            match self.news.recv().await {
                Ok(news) if self.only.is_some_and(|only| only != news.run()) => {}
                Ok(news) => {
                    self.over = self.only.is_some() && matches!(*news, News::Ended { .. });
                    return Some(self.translate(&news));
                }
                Err(RecvError::Lagged(count)) => return Some(Progress::Missed { count }),
                Err(RecvError::Closed) => self.over = true,
            }
        }
        None
    }

    fn translate(&self, news: &News) -> Progress {
        match news {
            News::Queued { run, function } => Progress::Queued {
                run: *run,
                function_id: self.names.of(*function),
            },
            News::Started { run } => Progress::Started { run: *run },
            News::StepEnded {
                run,
                name,
                failed,
                took_ms,
            } => Progress::StepEnded {
                run: *run,
                step: name.clone(),
                failed: *failed,
                took: Duration::from_millis(*took_ms),
            },
            News::AttemptFailed {
                run,
                name,
                attempt,
                error,
                retry_at,
            } => Progress::AttemptFailed {
                run: *run,
                step: name.clone(),
                attempt: *attempt,
                error: Box::new(UserError::from_body(error.as_bytes())),
                retry_at: *retry_at,
            },
            News::Ended { run, status } => Progress::Ended {
                run: *run,
                status: *status,
            },
        }
    }
}
