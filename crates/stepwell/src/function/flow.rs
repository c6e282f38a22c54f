//! Flow control: how many runs and steps of a function there are, and when.
//!
//! Keys and conditions are expressions over `event` (`event.data.userId`), evaluated by the server.

use std::time::Duration;
use stepwell_protocol::config;
use stepwell_protocol::span::format_ms;

/// A duration as servers take it everywhere: milliseconds, rounded up, in units up to hours.
pub(super) fn time_string(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    let (hours, rest) = (ms / 3_600_000, ms % 3_600_000);
    match (hours, rest) {
        (0, rest) => format_ms(rest),
        (hours, 0) => format!("{hours}h"),
        (hours, rest) => format!("{hours}h{}", format_ms(rest)),
    }
}

macro_rules! keyed {
    ($($type:ident: $doc:literal),*) => {$(
        impl $type {
            #[doc = $doc]
            #[must_use]
            pub fn key(mut self, expression: impl Into<String>) -> Self {
                self.0.key = Some(expression.into());
                self
            }
        }
    )*};
}

keyed! {
    Concurrency: "A separate limit for each value of this expression.",
    Throttle: "A separate rate for each value of this expression.",
    RateLimit: "A separate rate for each value of this expression.",
    Debounce: "A separate window for each value of this expression.",
    Batch: "A separate batch for each value of this expression.",
    Singleton: "One run for each value of this expression."
}

/// Limits how many steps execute at once. Sleeping and waiting do not count.
#[derive(Debug, Clone)]
pub struct Concurrency(pub(super) config::ConcurrencyLimit);

impl Concurrency {
    /// At most `limit` at once.
    #[must_use]
    pub fn limit(limit: u32) -> Self {
        Self(config::ConcurrencyLimit {
            limit,
            ..Default::default()
        })
    }

    /// Shares the limit with other functions of the environment that use the same key value. Needs a key.
    #[must_use]
    pub fn across_environment(mut self) -> Self {
        self.0.scope = Some("env".to_owned());
        self
    }

    /// Shares the limit with other functions of the account that use the same key value. Needs a key.
    #[must_use]
    pub fn across_account(mut self) -> Self {
        self.0.scope = Some("account".to_owned());
        self
    }
}

impl From<u32> for Concurrency {
    fn from(limit: u32) -> Self {
        Self::limit(limit)
    }
}

/// Spaces the starts of runs out; none is lost.
#[derive(Debug, Clone)]
pub struct Throttle(pub(super) config::Throttle);

impl Throttle {
    /// At most `limit` starts in `period`, evenly spaced.
    #[must_use]
    pub fn new(limit: u32, period: Duration) -> Self {
        Self(config::Throttle {
            limit,
            period: time_string(period),
            ..Default::default()
        })
    }

    /// This many more starts may come at once.
    #[must_use]
    pub fn burst(mut self, burst: u32) -> Self {
        self.0.burst = burst;
        self
    }
}

/// Drops events over a rate.
#[derive(Debug, Clone)]
pub struct RateLimit(pub(super) config::RateLimit);

impl RateLimit {
    /// At most `limit` runs in `period`, up to 24 hours.
    #[must_use]
    pub fn new(limit: u32, period: Duration) -> Self {
        Self(config::RateLimit {
            limit,
            period: time_string(period),
            ..Default::default()
        })
    }
}

/// Waits until events stop coming, and runs for the last one.
#[derive(Debug, Clone)]
pub struct Debounce(pub(super) config::Debounce);

impl Debounce {
    /// Runs once no event has come for `period`: a second to seven days.
    #[must_use]
    pub fn new(period: Duration) -> Self {
        Self(config::Debounce {
            period: time_string(period),
            ..Default::default()
        })
    }

    /// Runs at the latest this long after the first event.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = Some(time_string(timeout));
        self
    }
}

/// Collects events, and runs for all of them at once.
#[derive(Debug, Clone)]
pub struct Batch(pub(super) config::Batch);

impl Batch {
    /// Runs once there are `max_size` events, or `timeout` after the first.
    #[must_use]
    pub fn new(max_size: u32, timeout: Duration) -> Self {
        Self(config::Batch {
            max_size,
            timeout: time_string(timeout),
            ..Default::default()
        })
    }

    /// Only events for which this expression is true are collected; others run alone.
    #[must_use]
    pub fn when(mut self, expression: impl Into<String>) -> Self {
        self.0.condition = Some(expression.into());
        self
    }
}

/// At most one run at a time.
#[derive(Debug, Clone)]
pub struct Singleton(pub(super) config::Singleton);

impl Singleton {
    /// While there is a run, events start none.
    #[must_use]
    pub fn skip() -> Self {
        Self::of("skip")
    }

    /// An event cancels the run there is, and starts one.
    #[must_use]
    pub fn cancel() -> Self {
        Self::of("cancel")
    }

    fn of(mode: &str) -> Self {
        Self(config::Singleton {
            mode: mode.to_owned(),
            key: None,
        })
    }
}

/// An event that cancels runs.
#[derive(Debug, Clone)]
pub struct CancelOn(pub(super) config::CancelOn);

impl CancelOn {
    /// This event cancels.
    #[must_use]
    pub fn event(name: impl Into<String>) -> Self {
        Self(config::CancelOn {
            event: name.into(),
            ..Default::default()
        })
    }

    /// Only if this field is the same in the event that started the run: `data.orderId`.
    #[must_use]
    pub fn matching(self, field: &str) -> Self {
        let expression = format!("event.{field} == async.{field}");
        self.when(expression)
    }

    /// Only if this expression is true, over `event` (what started the run) and `async` (what cancels it).
    #[must_use]
    pub fn when(mut self, expression: impl Into<String>) -> Self {
        self.0.condition = Some(expression.into());
        self
    }

    /// Only within this time from the start.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.0.timeout = Some(time_string(timeout));
        self
    }
}

/// How long a run may take before it is cancelled.
#[derive(Debug, Clone, Default)]
pub struct Timeouts(pub(super) config::Timeouts);

impl Timeouts {
    /// No limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From its scheduling to its first call.
    #[must_use]
    pub fn start(mut self, timeout: Duration) -> Self {
        self.0.start = Some(time_string(timeout));
        self
    }

    /// From its first call to its end.
    #[must_use]
    pub fn finish(mut self, timeout: Duration) -> Self {
        self.0.finish = Some(time_string(timeout));
        self
    }
}
