//! How a running function reports its steps.

use super::flow::time_string;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a function runs on in one call, when it says nothing: over HTTP, and in the process of the engine.
const RUNTIME_MAX: Duration = Duration::from_secs(10);
const RUNTIME_MAX_LOCAL: Duration = Duration::from_secs(5 * 60);

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

    /// How long the function runs on in one call: 10 seconds over HTTP when nothing is given, five minutes in the
    /// process of the engine. A step that is under way by then is finished; what comes next is a call of its own.
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

    pub(crate) fn runtime_max(&self, is_local: bool) -> Duration {
        let default = match is_local {
            true => RUNTIME_MAX_LOCAL,
            false => RUNTIME_MAX,
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
