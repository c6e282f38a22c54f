//! Which steps are executing now, for whoever watches. What has ended stands in the engine's store; this is what
//! the store does not know yet.

use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use stepwell::middleware::{Middleware, RunInfo, StepInfo};
use stepwell::{Error, RunId};
use tokio::sync::broadcast;

/// Starts that a slow watcher may fall behind; it then asks for what is executing.
const STARTS_MAX: usize = 256;

/// A step at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Executing {
    /// Its id.
    pub(crate) step: String,
    /// Which attempt, from 0.
    pub(crate) attempt: u32,
}

/// Follows the steps that execute in this process. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    executing: Mutex<HashMap<RunId, Vec<Executing>>>,
    starts: broadcast::Sender<RunId>,
}

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(Inner {
            executing: Mutex::default(),
            starts: broadcast::channel(STARTS_MAX).0,
        }))
    }
}

impl Progress {
    /// Runs in which a step starts, from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<RunId> {
        self.0.starts.subscribe()
    }

    /// The steps of a run that execute now.
    pub(crate) fn executing(&self, run: RunId) -> Vec<Executing> {
        self.with(|executing| executing.get(&run).cloned().unwrap_or_default())
    }

    fn with<T>(&self, look: impl FnOnce(&mut HashMap<RunId, Vec<Executing>>) -> T) -> T {
        let executing = &self.0.executing;
        look(&mut executing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end(&self, run: RunId, step: &str) {
        self.with(|executing| {
            let Some(steps) = executing.get_mut(&run) else {
                return;
            };
            steps.retain(|executing| executing.step != step);
            if steps.is_empty() {
                executing.remove(&run);
            }
        });
    }
}

impl Middleware for Progress {
    fn on_step_start(&self, run: &RunInfo, step: &StepInfo) {
        let started = Executing {
            step: step.id.clone(),
            attempt: run.attempt,
        };
        self.with(|executing| executing.entry(run.run_id).or_default().push(started));
        // Nobody may be watching.
        let _ = self.0.starts.send(run.run_id);
    }

    fn on_step_complete(&self, run: &RunInfo, step: &StepInfo, _: &RawValue) {
        self.end(run.run_id, &step.id);
    }

    fn on_step_error(&self, run: &RunInfo, step: &StepInfo, _: &Error, _: bool) {
        self.end(run.run_id, &step.id);
    }
}
