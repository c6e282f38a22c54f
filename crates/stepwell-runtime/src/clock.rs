//! Where the time comes from.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use stepwell_engine::Timestamp;

/// Where the time comes from.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// A clock that only moves when told to.
    Manual(Arc<ManualClock>),
}

impl Clock {
    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                Timestamp::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
            }
            Self::Manual(clock) => Timestamp::from_ms(clock.now_ms.load(Ordering::SeqCst)),
        }
    }

    /// Calls `wake` whenever the clock is moved by hand.
    pub(crate) fn on_move(&self, wake: impl Fn() + Send + 'static) {
        if let Self::Manual(clock) = self {
            clock
                .wakes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Box::new(wake));
        }
    }
}

/// A clock that only moves when told to, for tests.
pub struct ManualClock {
    now_ms: AtomicU64,
    wakes: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

impl ManualClock {
    /// A clock that stands at this moment.
    #[must_use]
    pub fn new(now: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            now_ms: AtomicU64::new(now.ms()),
            wakes: Mutex::new(Vec::new()),
        })
    }

    /// Moves the clock on and lets what has become due happen.
    pub fn advance_ms(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
        self.wake();
    }

    /// Moves the clock on to a moment, unless that has passed, and lets what has become due happen.
    pub fn advance_to(&self, moment: Timestamp) {
        self.now_ms.fetch_max(moment.ms(), Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        for wake in self
            .wakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            wake();
        }
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ManualClock")
            .field("now_ms", &self.now_ms)
            .finish_non_exhaustive()
    }
}
