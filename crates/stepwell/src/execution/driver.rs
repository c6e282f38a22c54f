//! Drives a function's future until nothing of it can move.

use super::{Checkpointer, Executed, Execution, Phase, State};
use crate::middleware::silently;
use crate::moment::Delay;
use crate::{BoxFuture, Error};
use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use stepwell_protocol::op::{Op, Opcode};
use stepwell_protocol::{SharedJson, StepId, limits};

/// More steps are not named in a warning.
const STRAYS_NAMED_MAX: usize = 10;

/// Polls in a row before the executor gets its turn.
const POLLS_MAX: usize = 256;

/// What a call is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// To find what comes next. A single new step may run at once, unless `plan_only`.
    Discovery { plan_only: bool },
    /// To run this step.
    Step(StepId),
}

/// How long a call may do what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long a function may await something that is not a step.
    pub(crate) outside_steps_max: Duration,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The function returned.
    Returned(SharedJson),
    /// The function failed.
    Failed(Error),
    /// A step executed.
    Executed(Box<Executed>),
    /// Steps are asked for.
    Asked(Vec<Op>),
    /// The target was not found; these steps were.
    TargetMissing(Vec<Op>),
}

enum Move {
    /// A step was released or may execute: poll again.
    Moved,
    /// A step executes: wait for it.
    Executing,
    /// All is known.
    Ended(Ended),
    /// The function waits for something else.
    Stuck,
}

/// Notes that the function was woken, and wakes the task that drives it.
struct Signal {
    woken: AtomicBool,
    task: Mutex<Waker>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        task.wake();
    }
}

/// Drives `function`, whose steps belong to `execution`. When this is dropped, so is the function.
pub(crate) async fn drive(
    execution: Arc<Execution>,
    function: BoxFuture<'static, Result<SharedJson, Error>>,
    target: Target,
    limits: Limits,
    mut checkpointer: Option<&mut Checkpointer>,
) -> Ended {
    let mut drive = Drive::new(&execution, function, target, limits);
    let ended = loop {
        let Some(checkpointer) = checkpointer.as_deref_mut() else {
            break drive.run(None).await;
        };
        let report = match drive.run(Some(checkpointer)).await {
            // A function that has ended in the same moment is called anew for what it gave.
            Ended::Executed(executed) if executed.failure.is_none() && drive.function.is_some() => {
                execution.state().record(&executed.op);
                checkpointer.keep(executed.op)
            }
            // What waits goes along with the result.
            Ended::Returned(output) => break Ended::Returned(output),
            // And so it does here, if it cannot be reported.
            ended => {
                drop(checkpointer.flush().await);
                break ended;
            }
        };
        if report && checkpointer.flush().await.is_err() {
            break Ended::Asked(Vec::new());
        }
        if checkpointer.is_out_of_time() {
            drive.target = Target::Discovery { plan_only: true };
        }
    };
    drive.finish();
    ended
}

/// A function that is driven.
struct Drive<'e> {
    execution: &'e Execution,
    function: Option<BoxFuture<'static, Result<SharedJson, Error>>>,
    target: Target,
    limits: Limits,
    signal: Arc<Signal>,
    patience: Option<Delay>,
}

impl<'e> Drive<'e> {
    fn new(
        execution: &'e Execution,
        function: BoxFuture<'static, Result<SharedJson, Error>>,
        target: Target,
        limits: Limits,
    ) -> Self {
        Self {
            execution,
            function: Some(function),
            target,
            limits,
            signal: Arc::new(Signal {
                woken: AtomicBool::new(false),
                task: Mutex::new(Waker::noop().clone()),
            }),
            patience: None,
        }
    }

    /// Drives it until something has ended. Steps that have waited for their report for long enough are reported meanwhile.
    async fn run(&mut self, mut checkpointer: Option<&mut Checkpointer>) -> Ended {
        poll_fn(|cx| {
            let polled = self.poll(cx);
            if polled.is_pending()
                && let Some(checkpointer) = &mut checkpointer
            {
                checkpointer.poll(cx);
            }
            polled
        })
        .await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let (execution, signal) = (self.execution, &self.signal);
        signal
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(cx.waker());
        let waker = Waker::from(Arc::clone(signal));
        for _ in 0..POLLS_MAX {
            signal.woken.store(false, Ordering::Release);
            let polled = poll_once(
                execution,
                &mut self.function,
                &mut Context::from_waker(&waker),
            );
            if let Some(ended) = execution.ended(polled, &self.target) {
                return Poll::Ready(ended);
            }
            let woken = signal.woken.load(Ordering::Acquire);
            match execution.advance(&self.target, woken) {
                Move::Moved => self.patience = None,
                Move::Ended(ended) => return Poll::Ready(ended),
                Move::Executing if woken => break,
                Move::Executing => return Poll::Pending,
                Move::Stuck if woken => {}
                Move::Stuck => {
                    let limit = self.limits.outside_steps_max;
                    let patience = self
                        .patience
                        .get_or_insert_with(|| execution.clock.delay(limit));
                    return match patience.as_mut().poll(cx) {
                        Poll::Ready(()) => {
                            Poll::Ready(execution.gave_up(&self.target, self.limits))
                        }
                        Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Drops what the function still holds, before the answer goes out; a destructor of its may panic.
    fn finish(&mut self) {
        if catch_unwind(AssertUnwindSafe(|| drop(self.function.take()))).is_err() {
            tracing::error!("a destructor panicked while the function was dropped");
        }
    }
}

/// Polls the function, quietly while recorded steps are replayed.
fn poll_once(
    execution: &Execution,
    function: &mut Option<BoxFuture<'static, Result<SharedJson, Error>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<SharedJson, Error>> {
    let Some(future) = function else {
        return Poll::Pending;
    };
    let mut poll = || catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
    let polled = if execution.is_replaying() {
        silently(poll)
    } else {
        poll()
    };
    match polled {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(result)) => {
            *function = None;
            Poll::Ready(result)
        }
        Err(payload) => {
            // Its state is unknown: nothing of it may run again but its destructors.
            if catch_unwind(AssertUnwindSafe(|| *function = None)).is_err() {
                tracing::error!("a destructor panicked while a panicked function was dropped");
            }
            Poll::Ready(Err(panic_error(&*payload)))
        }
    }
}

/// A panic as an error.
pub(crate) fn panic_error(payload: &(dyn Any + Send)) -> Error {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned());
    Error::new("Panic", message)
}

impl Execution {
    /// What a poll decides by itself.
    fn ended(&self, polled: Poll<Result<SharedJson, Error>>, target: &Target) -> Option<Ended> {
        let mut state = self.state();
        if let Some(misuse) = state.misuse.take() {
            let executing = state
                .found
                .iter()
                .find(|found| found.phase == Phase::Executing);
            let Some((op, info)) = executing.map(|found| (found.op.clone(), found.info.clone()))
            else {
                return Some(Ended::Failed(misuse));
            };
            drop(state);
            let executed = super::executed(op, Err(misuse), &self.run);
            if let Some((error, is_final)) = &executed.failure {
                self.middleware
                    .notify(|hooks| hooks.on_step_error(&self.run, &info, error, *is_final));
            }
            return Some(Ended::Executed(Box::new(executed)));
        }
        if let Some(executed) = state.executed.take() {
            return Some(Ended::Executed(Box::new(executed)));
        }
        let Poll::Ready(result) = polled else {
            return None;
        };
        Some(match (result, target) {
            (Err(error), _) => Ended::Failed(error),
            (Ok(_), Target::Step(_)) => Ended::TargetMissing(state.new_ops()),
            // Steps that outlive the function are still asked for; dropped ones were cancelled.
            (Ok(_), Target::Discovery { .. }) if state.new_steps().next().is_some() => {
                Ended::Asked(state.new_ops())
            }
            (Ok(output), Target::Discovery { .. }) => Ended::Returned(output),
        })
    }

    /// Moves what may move once the function has come to rest; `woken` means that it has not yet.
    fn advance(&self, target: &Target, woken: bool) -> Move {
        let mut state = self.state();
        match state.permitted.map(|position| state.found[position].phase) {
            Some(Phase::Executing) => return Move::Executing,
            Some(Phase::Permitted) => return Move::Stuck,
            _ if woken => return Move::Stuck,
            _ => {}
        }
        let was_replaying = state.replaying;
        let moved = match target {
            Target::Step(id) => state.advance_to(id),
            Target::Discovery { plan_only } => state.advance_all(*plan_only),
        };
        let memoization_ended = was_replaying && !state.replaying;
        drop(state);
        if memoization_ended {
            self.middleware
                .notify(|hooks| hooks.on_memoization_end(&self.run));
        }
        moved
    }

    /// The function awaited something that is not a step for too long.
    fn gave_up(&self, target: &Target, limits: Limits) -> Ended {
        let state = self.state();
        if matches!(target, Target::Step(_)) {
            return Ended::TargetMissing(state.new_ops());
        }
        let after = match state.found.last() {
            Some(found) => format!("after step \"{}\" ", found.info.id),
            None => String::new(),
        };
        let message = format!(
            "the function {after}has awaited something that is not a step for {:?}: do it inside ctx.step().run(..), so that it is done once and recorded, or allow more time with Function::outside_steps_max",
            limits.outside_steps_max
        );
        Ended::Failed(Error::new("AwaitOutsideStepError", message))
    }
}

impl State {
    fn new_ops(&self) -> Vec<Op> {
        self.new_steps()
            .map(|(_, found)| found.op.clone())
            .take(limits::OPS_PER_REPLY_MAX)
            .collect()
    }

    /// Towards one step: it runs as soon as it is asked for, before anything else is released, so that it
    /// still runs when a race will later drop it.
    fn advance_to(&mut self, id: &StepId) -> Move {
        let target = self.positions.get(id).copied();
        match target.filter(|position| self.found[*position].phase == Phase::Waiting) {
            Some(_) if self.memos.contains_key(id) => Move::Ended(Ended::Asked(Vec::new())),
            Some(position) if self.found[position].op.op == Opcode::StepPlanned => {
                self.permit(position);
                Move::Moved
            }
            Some(position) => Move::Ended(Ended::Asked(vec![self.found[position].op.clone()])),
            None if self.release_next() => Move::Moved,
            None => Move::Stuck,
        }
    }

    fn advance_all(&mut self, plan_only: bool) -> Move {
        if self.release_next() {
            return Move::Moved;
        }
        let new: Vec<usize> = self
            .new_steps()
            .map(|(position, _)| position)
            .take(2)
            .collect();
        match new[..] {
            [] => Move::Stuck,
            [position] if !plan_only && self.found[position].op.op == Opcode::StepPlanned => {
                self.warn_of_strays();
                self.permit(position);
                Move::Moved
            }
            _ => {
                self.warn_of_strays();
                Move::Ended(Ended::Asked(self.new_ops()))
            }
        }
    }

    /// Says so when the function asks for other steps than those that it once asked for. It goes on all the same: what
    /// is recorded counts when it is asked for, if it ever is.
    fn warn_of_strays(&self) {
        // One that was asked for and dropped, as a race does, is none.
        let strays = || {
            self.order
                .iter()
                .filter(|id| !self.positions.contains_key(*id))
        };
        if strays().next().is_none() {
            return;
        }
        let texts = |ids: &mut dyn Iterator<Item = String>| {
            let ids: Vec<String> = ids.take(STRAYS_NAMED_MAX).collect();
            ids.join(", ")
        };
        let new = texts(&mut self.new_steps().map(|(_, found)| found.info.id.clone()));
        let replayed = self.found.iter().filter(|found| found.phase == Phase::Over);
        tracing::warn!(
            new,
            after = texts(&mut replayed.map(|found| found.info.id.clone())),
            recorded = texts(&mut strays().map(ToString::to_string)),
            "the function asks for new steps before it has asked for all recorded ones (told by their hashes): it does \
             not do the same on every call, or was changed while the run was under way; it goes on with what is recorded"
        );
    }

    fn permit(&mut self, position: usize) {
        self.replaying = false;
        // One that was dropped while it ran may have left some.
        self.notes.clear();
        self.set_phase(position, Phase::Permitted);
        self.permitted = Some(position);
    }
}
