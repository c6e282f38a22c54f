//! How a running function reports its steps.

use super::flow::time_string;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a function runs on in one call, when it says nothing. Over HTTP, proxies and platforms end longer requests.
const RUNTIME_MAX: Duration = Duration::from_secs(10);
/// The same where there is no request that could be ended: over a worker's connection, and in the process of the engine.
const RUNTIME_MAX_HELD: Duration = Duration::from_secs(5 * 60);

/// How a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// In a request of its own, or nobody knows how.
    Http,
    /// Over the connection of a worker.
    #[cfg_attr(
        not(feature = "connect"),
        expect(dead_code, reason = "there are no workers")
    )]
    Connect,
}

/// How a function reports steps that it runs one after another: ahead of its answer, so that it goes on at once instead
/// of being called anew for each. Each step is recorded before the next one begins, unless more are
/// [buffered](Checkpointing::buffered_steps).
///
/// It is on unless it is turned [off](Checkpointing::off), for an [app](crate::App::checkpointing) or a
/// [function](crate::FunctionBuilder::checkpointing). A report that fails costs nothing but time: the steps go along with
/// the answer then.
///
/// ```
/// # use stepwell::Checkpointing;
/// # use std::time::Duration;
/// let fewer_reports = Checkpointing::on().buffered_steps(10).max_interval(Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpointing {
    is_on: bool,
    buffered_steps: usize,
    max_interval: Option<Duration>,
    max_runtime: Option<Duration>,
}

impl Default for Checkpointing {
    fn default() -> Self {
        Self::on()
    }
}

impl Checkpointing {
    /// Each step is reported when it has run.
    #[must_use]
    pub const fn on() -> Self {
        Self {
            is_on: true,
            buffered_steps: 1,
            max_interval: None,
            max_runtime: None,
        }
    }

    /// The function is called anew after each step.
    #[must_use]
    pub const fn off() -> Self {
        Self {
            is_on: false,
            ..Self::on()
        }
    }

    /// Reports once this many steps have run. Those that were not reported run again if the program dies.
    #[must_use]
    pub const fn buffered_steps(mut self, steps: usize) -> Self {
        self.buffered_steps = steps;
        self
    }

    /// Reports steps that have waited for this long, though they are not as many.
    #[must_use]
    pub const fn max_interval(mut self, interval: Duration) -> Self {
        self.max_interval = Some(interval);
        self
    }

    /// How long the function runs on in one call: 10 seconds over HTTP when nothing is given, five minutes over a worker's
    /// connection and in the process of the engine. A step that is under way by then is finished; what comes next is a call of its own.
    #[must_use]
    pub const fn max_runtime(mut self, runtime: Duration) -> Self {
        self.max_runtime = Some(runtime);
        self
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    pub(crate) fn steps_max(&self) -> usize {
        self.buffered_steps.max(1)
    }

    pub(crate) fn interval(&self) -> Option<Duration> {
        self.max_interval.filter(|interval| !interval.is_zero())
    }

    /// `is_local`: whether the engine is in this process.
    pub(crate) fn runtime_max(&self, transport: Transport, is_local: bool) -> Duration {
        let default = match (transport, is_local) {
            (Transport::Http, false) => RUNTIME_MAX,
            (Transport::Connect, _) | (_, true) => RUNTIME_MAX_HELD,
        };
        self.max_runtime.unwrap_or(default)
    }

    /// As it is registered, for people to see.
    pub(super) fn to_wire(self) -> Option<Value> {
        self.is_on.then(|| {
            json!({
                "batch_steps": self.steps_max(),
                "batch_interval": time_string(self.max_interval.unwrap_or_default()),
                "max_runtime": time_string(self.max_runtime.unwrap_or(RUNTIME_MAX)),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_runs_on_for_longer_where_no_request_waits() {
        let seconds = |config: Checkpointing, transport, is_local| {
            config.runtime_max(transport, is_local).as_secs()
        };
        let (on, minute) = (Checkpointing::on(), Duration::from_secs(60));
        assert_eq!(seconds(on, Transport::Http, false), 10);
        assert_eq!(seconds(on, Transport::Http, true), 300);
        assert_eq!(seconds(on, Transport::Connect, false), 300);
        assert_eq!(
            seconds(on.max_runtime(minute), Transport::Connect, false),
            60
        );
    }
}
