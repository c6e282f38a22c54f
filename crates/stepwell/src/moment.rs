//! Moments and the clock.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stepwell_protocol::span;

/// A moment, in milliseconds since the Unix epoch. Made from `SystemTime` and `jiff::Timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

impl Moment {
    /// The moment of these milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_ms(unix_ms: i64) -> Self {
        Self(unix_ms)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_ms(self) -> i64 {
        self.0
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let to_ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(match time.duration_since(UNIX_EPOCH) {
            Ok(since) => to_ms(since),
            Err(before) => -to_ms(before.duration()),
        })
    }
}

impl From<jiff::Timestamp> for Moment {
    fn from(timestamp: jiff::Timestamp) -> Self {
        Self(timestamp.as_millisecond())
    }
}

/// Not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a moment; write one as RFC 3339, e.g. 2026-01-31T08:00:00Z")]
pub struct ParseMomentError(String);

/// RFC 3339, or the form of HTTP's headers.
impl FromStr for Moment {
    type Err = ParseMomentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        span::parse_moment_ms(text)
            .map(Self)
            .ok_or_else(|| ParseMomentError(text.chars().take(64).collect()))
    }
}

/// RFC 3339 in UTC, with milliseconds.
impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&span::format_moment_ms(self.0))
    }
}

/// As it is displayed.
impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// As it is parsed.
impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A future that waits for time to pass.
pub type Delay = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the time comes from; a test may give its own.
pub trait Clock: Send + Sync + 'static {
    /// The current moment.
    fn now(&self) -> Moment;
    /// A future that is ready after `duration`.
    fn delay(&self, duration: Duration) -> Delay;
}

/// The computer's clock. Delays are those of the tokio runtime they are made on, else a thread's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        SystemTime::now().into()
    }

    fn delay(&self, duration: Duration) -> Delay {
        #[cfg(feature = "tokio")]
        if tokio::runtime::Handle::try_current().is_ok() {
            return Box::pin(tokio::time::sleep(duration));
        }
        Box::pin(ThreadDelay::new(duration))
    }
}

/// A delay for programs on another runtime. They are rare: one per retry of a send, one per function that
/// awaits something outside its steps.
struct ThreadDelay {
    duration: Option<Duration>,
    shared: std::sync::Arc<std::sync::Mutex<(bool, Option<std::task::Waker>)>>,
}

impl ThreadDelay {
    fn new(duration: Duration) -> Self {
        Self {
            duration: Some(duration),
            shared: std::sync::Arc::default(),
        }
    }
}

impl Future for ThreadDelay {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let lock = |shared: &std::sync::Mutex<(bool, Option<std::task::Waker>)>| {
            let mut state = shared
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            state.1 = Some(cx.waker().clone());
            state.0
        };
        if lock(&self.shared) {
            return std::task::Poll::Ready(());
        }
        if let Some(duration) = self.duration.take() {
            let shared = std::sync::Arc::clone(&self.shared);
            std::thread::spawn(move || {
                std::thread::sleep(duration);
                let mut state = shared
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                state.0 = true;
                if let Some(waker) = state.1.take() {
                    waker.wake();
                }
            });
        }
        std::task::Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_end_without_a_runtime() {
        futures::executor::block_on(SystemClock.delay(Duration::from_millis(1)));
    }

    #[test]
    fn moments_are_json_strings() {
        let moment = Moment::from_unix_ms(1_767_323_045_000);
        let json = serde_json::to_string(&moment).unwrap();
        assert_eq!(json, r#""2026-01-02T03:04:05.000Z""#);
        for text in [
            &*json,
            r#""2026-01-02T03:04:05Z""#,
            r#""2026-01-02T04:04:05+01:00""#,
        ] {
            assert_eq!(serde_json::from_str::<Moment>(text).unwrap(), moment);
        }
        let error = serde_json::from_str::<Moment>(r#""tomorrow""#).unwrap_err();
        assert!(
            error.to_string().starts_with("'tomorrow' is not a moment"),
            "{error}"
        );
    }

    #[test]
    fn moments_come_from_both_kinds_of_time() {
        let time = UNIX_EPOCH + Duration::from_millis(1_767_323_045_678);
        assert_eq!(Moment::from(time).to_string(), "2026-01-02T03:04:05.678Z");
        let timestamp = jiff::Timestamp::from_millisecond(1_767_323_045_678).unwrap();
        assert_eq!(Moment::from(timestamp), Moment::from(time));
    }
}
