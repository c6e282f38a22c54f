//! Time: how much has passed, and what the machine's clock makes of it.

use stepwell_engine::Timestamp;

/// 2026-01-01, midnight: the clock when a scenario begins.
const START_MS: i64 = 1_767_225_600_000;

/// The clock of the simulated machine. Time only passes; the clock may jump.
#[derive(Debug)]
pub(crate) struct Clock {
    passed_ms: u64,
    offset_ms: i64,
    latest: Timestamp,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let mut clock = Self {
            passed_ms: 0,
            offset_ms: START_MS,
            latest: Timestamp::default(),
        };
        clock.latest = clock.wall();
        clock
    }

    /// Milliseconds since the scenario began.
    pub(crate) fn passed_ms(&self) -> u64 {
        self.passed_ms
    }

    pub(crate) fn pass_until(&mut self, passed_ms: u64) {
        self.passed_ms = self.passed_ms.max(passed_ms);
        self.latest = self.latest.max(self.wall());
    }

    /// What the clock shows.
    pub(crate) fn wall(&self) -> Timestamp {
        let ms = i64::try_from(self.passed_ms).expect("scenarios end before that") + self.offset_ms;
        Timestamp::from_ms(u64::try_from(ms).expect("clocks jump by days, not by decades"))
    }

    /// The latest moment that the clock has ever shown.
    pub(crate) fn latest(&self) -> Timestamp {
        self.latest
    }

    /// When the clock will show this moment, in milliseconds since the scenario began: now, if it shows a later one.
    pub(crate) fn passed_at(&self, wall: Timestamp) -> u64 {
        self.passed_ms + wall.ms_since(self.wall())
    }

    pub(crate) fn jump(&mut self, by_ms: i64) {
        self.offset_ms += by_ms;
        self.latest = self.latest.max(self.wall());
    }
}
