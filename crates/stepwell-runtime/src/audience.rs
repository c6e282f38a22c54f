//! Audiences: whoever wants to hear of certain runs, with results and all, as soon as something of them is committed.
//!
//! [`crate::News`] is for watchers of everything and carries no payload. An audience is asked first which runs it follows, so
//! that nothing is done for the others, and nothing at all while nobody is there.

use futures::future::BoxFuture;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;
use stepwell_engine::{Change, Effect, RunStatus, Timestamp};
use stepwell_protocol::gateway::{self, Publish, Request};
use stepwell_protocol::{RunId, SharedJson, StepId};

/// How long an audience gets to leave when the runtime stops.
const LEAVING: Duration = Duration::from_secs(2);

/// Hears of runs. All of this is called on threads that must go on: it returns at once, whatever it takes.
pub trait Audience: Send + Sync + fmt::Debug {
    /// Whether there is anyone who could hear anything.
    fn is_present(&self) -> bool;

    /// Whether someone wants to hear of this run.
    fn follows(&self, run: RunId) -> bool;

    /// Something has been committed, of a run that is followed or for a topic that was named. What cannot be taken in at once
    /// is to be dropped.
    fn hear(&self, report: Report);

    /// Nothing more will be heard: ready when everyone has left. Whoever has not after a short time is left behind.
    fn leave(self: Arc<Self>) -> BoxFuture<'static, ()>;
}

/// What an audience is told.
#[derive(Debug, Clone)]
pub enum Report {
    /// The run has begun or ended.
    Run {
        /// The run.
        run: RunId,
        /// Where it stands now.
        status: RunStatus,
        /// What it returned, or its error.
        output: Option<SharedJson>,
        /// When it did.
        at: Timestamp,
    },
    /// A step has ended.
    Step {
        /// The run.
        run: RunId,
        /// The step.
        step: StepId,
        /// Its name for people.
        name: String,
        /// The op that reported it, e.g. `StepRun`.
        op: &'static str,
        /// What the function gets for it.
        value: SharedJson,
        /// Whether it failed for good.
        failed: bool,
        /// When it ended.
        at: Timestamp,
    },
    /// A request that a function had the server make was answered, and the answer is to be published.
    Answer {
        /// The run.
        run: RunId,
        /// Which step asked.
        kind: gateway::Kind,
        /// Where to.
        to: Publish,
        /// What is recorded for the step.
        value: SharedJson,
        /// When that was.
        at: Timestamp,
    },
}

impl Report {
    fn of_change(change: &Change) -> Option<(RunId, impl FnOnce() -> Self)> {
        let run = match change {
            Change::StepPut(row) => row.run,
            Change::RunEnd(row) => row.id,
            _ => return None,
        };
        // Built only for runs that are followed.
        let build = move || match change {
            Change::StepPut(row) => Self::Step {
                run,
                step: row.step.clone(),
                name: row.name.clone(),
                op: row.op,
                value: Arc::clone(&row.value),
                failed: row.failed,
                at: row.ended_at,
            },
            Change::RunEnd(row) => Self::Run {
                run,
                status: row.status,
                output: row.output.clone(),
                at: row.ended_at,
            },
            other => unreachable!("{other:?} is of no run's report"),
        };
        Some((run, build))
    }
}

/// The audiences of a runtime.
#[derive(Debug, Default)]
pub(crate) struct Audiences(RwLock<Vec<Weak<dyn Audience>>>);

impl Audiences {
    pub(crate) fn admit(&self, audience: &Arc<dyn Audience>) {
        let mut audiences = self.0.write().unwrap_or_else(PoisonError::into_inner);
        audiences.retain(|there| there.strong_count() > 0);
        audiences.push(Arc::downgrade(audience));
    }

    fn all(&self) -> Vec<Arc<dyn Audience>> {
        let audiences = self.0.read().unwrap_or_else(PoisonError::into_inner);
        audiences.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn are_present(&self) -> bool {
        let audiences = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut there = audiences.iter().filter_map(Weak::upgrade);
        there.any(|audience| audience.is_present())
    }

    /// Tells what a batch did to runs that are followed, in order.
    pub(crate) fn tell(&self, changes: &[Change], effects: &[Effect], now: Timestamp) {
        if !self.are_present() {
            return;
        }
        for audience in self.all() {
            // First: whatever else a batch does to a run that it starts comes after its start.
            for effect in effects {
                if let Effect::Call(call) = effect
                    && call.starts
                    && audience.follows(call.run)
                {
                    audience.hear(Report::Run {
                        run: call.run,
                        status: RunStatus::Running,
                        output: None,
                        at: now,
                    });
                }
            }
            for change in changes {
                if let Some((run, build)) = Report::of_change(change)
                    && audience.follows(run)
                {
                    audience.hear(build());
                }
            }
        }
    }

    /// Tells what was answered to a request, if that is to be published.
    pub(crate) fn tell_answer(
        &self,
        run: RunId,
        request: &Request,
        value: &SharedJson,
        at: Timestamp,
    ) {
        let Some(to) = &request.publish else {
            return;
        };
        for audience in self.all() {
            if audience.is_present() {
                audience.hear(Report::Answer {
                    run,
                    kind: request.kind,
                    to: to.clone(),
                    value: Arc::clone(value),
                    at,
                });
            }
        }
    }

    /// Has all leave.
    pub(crate) async fn leave(&self) {
        let leaving = futures::future::join_all(self.all().into_iter().map(Audience::leave));
        if tokio::time::timeout(LEAVING, leaving).await.is_err() {
            tracing::debug!("stopped with subscribers that do not read");
        }
    }
}
