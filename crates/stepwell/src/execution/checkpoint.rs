//! Checkpoints: steps that a running function reports ahead of its answer, so that it goes on at once.

use crate::client::{Checkpoint, CheckpointError, Client};
use crate::function::Transport;
use crate::moment::{Clock, Delay};
use crate::{BoxFuture, Checkpointing};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use stepwell_protocol::RunId;
use stepwell_protocol::op::Op;

/// Results that wait to be reported, in bytes: more are reported at once.
const BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// Where steps are reported. They are recorded once, however often they are reported; one report is made at a time.
pub(crate) trait Reports: Send + Sync {
    fn report(self: Arc<Self>, steps: Vec<Op>) -> Reported;
}

pub(crate) type Reported = BoxFuture<'static, Result<(), CheckpointError>>;

/// Reports of a call that a server has made.
struct OfCall {
    client: Client,
    call: Checkpoint,
}

impl Reports for OfCall {
    fn report(self: Arc<Self>, steps: Vec<Op>) -> Reported {
        Box::pin(async move { self.client.checkpoint(&self.call, &steps).await })
    }
}

/// Reports the steps of one call.
pub(crate) struct Checkpointer {
    reports: Arc<dyn Reports>,
    run: RunId,
    clock: Arc<dyn Clock>,
    config: Checkpointing,
    started: Instant,
    runtime_max: Duration,
    /// Whether the worker shuts down.
    closing: Option<Arc<AtomicBool>>,
    /// What is not known to be recorded.
    buffer: Vec<Op>,
    bytes: usize,
    /// Rings when steps have waited for long enough.
    alarm: Option<Delay>,
    /// The report that is made while the function goes on.
    under_way: Option<UnderWay>,
    /// Whether another call has taken this one's place.
    is_stale: bool,
}

/// A report of the buffer's first steps.
struct UnderWay {
    report: Reported,
    steps: usize,
}

impl fmt::Debug for Checkpointer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Checkpointer")
            .field("run", &self.run)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Checkpointer {
    /// For a call that came this way.
    pub(crate) fn new(
        client: Client,
        call: Checkpoint,
        config: Checkpointing,
        transport: Transport,
    ) -> Self {
        let (run, clock) = (call.run, Arc::clone(client.clock()));
        let runtime_max = config.runtime_max(transport, client.is_local());
        let reports = Arc::new(OfCall { client, call });
        Self::to(reports, run, clock, config, runtime_max)
    }

    /// For whatever takes the reports.
    pub(crate) fn to(
        reports: Arc<dyn Reports>,
        run: RunId,
        clock: Arc<dyn Clock>,
        config: Checkpointing,
        runtime_max: Duration,
    ) -> Self {
        Self {
            reports,
            run,
            clock,
            config,
            started: Instant::now(),
            runtime_max,
            closing: None,
            buffer: Vec::new(),
            bytes: 0,
            alarm: None,
            under_way: None,
            is_stale: false,
        }
    }

    /// Ends the call after a step, too, once this is set.
    pub(crate) fn until(mut self, closing: Option<Arc<AtomicBool>>) -> Self {
        self.closing = closing;
        self
    }

    /// Whether the server is to call the function anew for what comes next: it has run for so long, or its worker shuts down.
    pub(super) fn is_out_of_time(&self) -> bool {
        let closing = self.closing.as_ref();
        closing.is_some_and(|closing| closing.load(Ordering::Relaxed))
            || self.started.elapsed() >= self.runtime_max
    }

    /// Sees to steps that have waited for long enough, while the function goes on.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        // A clock whose delays are over at once is not to hold the function up.
        for _ in 0..2 {
            if let Some(under_way) = &mut self.under_way {
                let Poll::Ready(reported) = under_way.report.as_mut().poll(cx) else {
                    return;
                };
                // Should it have failed, the steps go along with what comes next.
                drop(self.settle(reported));
                self.set_alarm();
            }
            let Some(alarm) = &mut self.alarm else {
                return;
            };
            if alarm.as_mut().poll(cx).is_pending() {
                return;
            }
            self.alarm = None;
            self.begin();
        }
        cx.waker().wake_by_ref();
    }

    /// Has what waits reported in its time.
    fn set_alarm(&mut self) {
        let waits = !self.buffer.is_empty() && !self.is_stale;
        if waits
            && self.alarm.is_none()
            && let Some(interval) = self.config.interval()
        {
            self.alarm = Some(self.clock.delay(interval));
        }
    }

    /// Keeps a step that has executed; says whether it is time to report.
    pub(super) fn keep(&mut self, op: Op) -> bool {
        self.bytes += size(&op);
        self.buffer.push(op);
        let waiting = self.buffer.len() - self.under_way.as_ref().map_or(0, |it| it.steps);
        if waiting >= self.config.steps_max() || self.bytes >= BUFFER_BYTES_MAX || self.is_stale {
            return true;
        }
        self.set_alarm();
        self.is_out_of_time()
    }

    /// Reports what waits. What cannot be reported goes along with the answer. If that is as another call has taken this
    /// one's place, the answer does not count, unless it is brought to a server that was restarted meanwhile and waits
    /// for an answer to the same request.
    pub(super) async fn flush(&mut self) -> Result<(), CheckpointError> {
        self.alarm = None;
        if let Some(under_way) = &mut self.under_way {
            let reported = under_way.report.as_mut().await;
            drop(self.settle(reported));
        }
        if self.is_stale {
            return Err(CheckpointError::Stale);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let reported = self.begin().report.as_mut().await;
        self.settle(reported)
    }

    fn begin(&mut self) -> &mut UnderWay {
        let report = Arc::clone(&self.reports).report(self.buffer.clone());
        let steps = self.buffer.len();
        self.under_way.insert(UnderWay { report, steps })
    }

    /// Notes how the report that was under way has ended.
    fn settle(&mut self, reported: Result<(), CheckpointError>) -> Result<(), CheckpointError> {
        let steps = self.under_way.take().map_or(0, |it| it.steps);
        match &reported {
            Ok(()) => {
                drop(self.buffer.drain(..steps));
                self.bytes = self.buffer.iter().map(size).sum();
            }
            Err(CheckpointError::Stale) => {
                self.is_stale = true;
                self.alarm = None;
            }
            Err(CheckpointError::Failed(reason)) => tracing::warn!(
                run = %self.run, reason, steps,
                "steps could not be reported ahead of the answer; they go along with it"
            ),
        }
        reported
    }

    /// What waits, to go along with the answer.
    pub(crate) fn take(&mut self) -> Vec<Op> {
        // What a report under way may still bring is recorded once.
        self.under_way = None;
        std::mem::take(&mut self.buffer)
    }
}

fn size(op: &Op) -> usize {
    op.data.as_ref().map_or(0, |data| data.get().len())
}
