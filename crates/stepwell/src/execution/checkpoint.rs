//! Checkpoints: steps that a running function reports ahead of its answer, so that it goes on at once.

use crate::Checkpointing;
use crate::client::{Checkpoint, CheckpointError, Client};
use crate::moment::Delay;
use std::time::{Duration, Instant};
use stepwell_protocol::op::Op;

/// Results that wait to be reported, in bytes: more are reported at once.
const BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// Reports the steps of one call.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    client: Client,
    /// Which call it is.
    call: Checkpoint,
    config: Checkpointing,
    started: Instant,
    runtime_max: Duration,
    buffer: Vec<Op>,
    bytes: usize,
    alarm: Option<AlarmClock>,
}

/// Rings when steps have waited for long enough.
struct AlarmClock(Delay);

impl std::fmt::Debug for AlarmClock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("AlarmClock")
    }
}

impl Checkpointer {
    pub(crate) fn new(client: Client, call: Checkpoint, config: Checkpointing) -> Self {
        let runtime_max = config.runtime_max(client.is_local());
        Self {
            client,
            call,
            config,
            started: Instant::now(),
            runtime_max,
            buffer: Vec::new(),
            bytes: 0,
            alarm: None,
        }
    }

    /// Whether the function has run for so long that the server is to call it anew for what comes next.
    pub(super) fn is_out_of_time(&self) -> bool {
        self.started.elapsed() >= self.runtime_max
    }

    /// When steps that wait have waited for long enough.
    pub(super) fn alarm(&mut self) -> Option<&mut Delay> {
        self.alarm.as_mut().map(|alarm| &mut alarm.0)
    }

    /// Keeps a step that has executed; says whether it is time to report.
    pub(super) fn keep(&mut self, op: Op) -> bool {
        self.bytes += op.data.as_ref().map_or(0, |data| data.get().len());
        self.buffer.push(op);
        if self.buffer.len() >= self.config.steps_max() || self.bytes >= BUFFER_BYTES_MAX {
            return true;
        }
        if self.alarm.is_none()
            && let Some(interval) = self.config.interval()
        {
            self.alarm = Some(AlarmClock(self.client.clock().delay(interval)));
        }
        self.is_out_of_time()
    }

    /// Reports what waits. What cannot be reported goes along with the answer. If that is as another call has taken this
    /// one's place, the answer does not count, unless it is brought to a server that was restarted meanwhile and waits
    /// for an answer to the same request.
    pub(super) async fn flush(&mut self) -> Result<(), CheckpointError> {
        self.alarm = None;
        if self.buffer.is_empty() {
            return Ok(());
        }
        let reported = self.client.checkpoint(&self.call, &self.buffer).await;
        match &reported {
            Ok(()) => {
                self.buffer.clear();
                self.bytes = 0;
            }
            Err(CheckpointError::Stale) => {}
            Err(CheckpointError::Failed(reason)) => tracing::warn!(
                run = %self.call.run, reason, steps = self.buffer.len(),
                "steps could not be reported ahead of the answer; they go along with it"
            ),
        }
        reported
    }

    /// What waits, to go along with the answer.
    pub(crate) fn take(&mut self) -> Vec<Op> {
        std::mem::take(&mut self.buffer)
    }
}
