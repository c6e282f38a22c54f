//! A call, from its events to how it ended.

use super::{
    Checkpointer, Ended, Execution, Known, Limits, Target, check_output, drive, is_final,
    panic_error,
};
use crate::function::FunctionCode;
use crate::middleware::{RunInfo, Stack};
use crate::{Client, Error};
use serde_json::{Map, Value};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use stepwell_protocol::SharedJson;
use stepwell_protocol::call::{MemoizedSteps, Stack as CompletionOrder};
use stepwell_protocol::op::Op;

/// What is to be run, of which run, and from where on.
pub(crate) struct Call<'c> {
    pub(crate) client: &'c Client,
    pub(crate) middleware: &'c Stack,
    pub(crate) handler: &'c FunctionCode,
    pub(crate) limits: Limits,
    pub(crate) run: &'c RunInfo,
    pub(crate) events: Vec<SharedJson>,
    pub(crate) steps: MemoizedSteps,
    pub(crate) completed: CompletionOrder,
    pub(crate) defers: Map<String, Value>,
    pub(crate) target: Target,
}

/// How a call ended, and what goes along with its answer.
pub(crate) struct Performed {
    pub(crate) ended: Ended,
    pub(crate) riders: Vec<Op>,
}

impl Call<'_> {
    /// Runs the function, within its middleware.
    pub(crate) async fn perform(self, checkpointer: Option<&mut Checkpointer>) -> Performed {
        let (middleware, run) = (self.middleware, self.run);
        let fail = |error: Error| {
            let is_final = is_final(&error, run);
            middleware.notify(|hooks| hooks.on_run_error(run, &error, is_final));
            Performed {
                ended: Ended::Failed(error),
                riders: Vec::new(),
            }
        };
        let sessions = crate::event::sessions::of_events(&self.events);
        let input = || middleware.transform_input(run, self.events);
        let (events, provided) = match catch_unwind(AssertUnwindSafe(input)) {
            Ok(Ok(input)) => input,
            Ok(Err(error)) => return fail(error),
            Err(payload) => return fail(panic_error(&*payload)),
        };
        // A run's first steps may be called for before any is recorded, each for itself.
        let is_first = run.attempt == 0
            && self.steps.0.is_empty()
            && matches!(self.target, Target::Discovery { .. });
        let execution = Execution::new(
            run.clone(),
            middleware.clone(),
            self.client.clone(),
            Arc::clone(self.client.clock()),
            Known {
                steps: self.steps,
                completed: self.completed,
                defers: self.defers,
                provided,
                sessions,
            },
        );
        if !execution.is_replaying() {
            middleware.notify(|hooks| hooks.on_memoization_end(run));
        }
        if is_first {
            middleware.notify(|hooks| hooks.on_run_start(run));
        }
        let called = || (self.handler)(Arc::clone(&execution), &events);
        let function = match catch_unwind(AssertUnwindSafe(called)) {
            Ok(Ok(function)) => middleware.wrap_function(run, function),
            Ok(Err(error)) => return fail(error),
            Err(payload) => return fail(panic_error(&*payload)),
        };
        let driven = Arc::clone(&execution);
        let ended = match drive(driven, function, self.target, self.limits, checkpointer).await {
            Ended::Returned(output) => match check_output(output) {
                Ok(output) => Ended::Returned(output),
                Err(error) => Ended::Failed(error),
            },
            other => other,
        };
        match &ended {
            Ended::Returned(output) => {
                middleware.notify(|hooks| hooks.on_run_complete(run, output));
            }
            Ended::Failed(error) => {
                let is_final = is_final(error, run);
                middleware.notify(|hooks| hooks.on_run_error(run, error, is_final));
            }
            Ended::Executed(_) | Ended::Asked(_) | Ended::TargetMissing(_) => {}
        }
        let riders = execution.take_riders();
        Performed { ended, riders }
    }
}
