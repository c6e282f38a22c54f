//! The pruner: forgets what is old, in slices so small that commits hardly wait for them.
//!
//! The committer owns the store's writer, so the pruner has no thread of its own: it works when no order waits.

use crate::clock::Clock;
use crate::committer::describe;
use std::time::{Duration, Instant};
use stepwell_engine::Timestamp;
use stepwell_protocol::limits;
use stepwell_store::{Mark, Pruned, Slice, StoreError, Writer};

/// Rows that a slice looks at or removes: about 1 ms of work, for which a commit waits that comes in its midst; a few
/// milliseconds more when SQLite folds its log into the file.
const SLICE_ROWS_MAX: usize = 500;
/// Bytes that a slice removes, so that large steps take no longer than many.
const SLICE_BYTES_MAX: usize = 1024 * 1024;
/// How long nothing is pruned after a slice: commits have nearly all the time, even of a file that is all old.
const PAUSE: Duration = Duration::from_millis(50);
/// How often all that is old is looked for.
const SWEEP_EVERY_MS: u64 = 60 * 60 * 1_000;
/// How often the size is looked at, if it is limited: it may grow by gigabytes in an hour.
const LOOK_EVERY_MS: u64 = 10 * 1_000;
/// The same for a store from which nothing more can go now.
const LOOK_AGAIN_MS: u64 = 60 * 1_000;
/// Longest wait without anything to do; only there because the wait needs some limit.
const IDLE: Duration = Duration::from_secs(60);

/// How long what is done and over is kept. What belongs to an unfinished run is kept in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long after its end a run is kept, with its steps and events, and after its arrival an event that started
    /// nothing; nothing for ever. Less than 24 hours counts as 24 hours: as long as duplicates are found.
    pub age: Option<Duration>,
    /// Bytes that the store's file may hold; above, the oldest finished runs and events go, whatever their age.
    /// A store in memory has limits of its own.
    pub bytes_max: Option<u64>,
}

impl Default for Retention {
    /// Seven days, whatever the size.
    fn default() -> Self {
        Self {
            age: Some(Duration::from_secs(7 * 24 * 60 * 60)),
            bytes_max: None,
        }
    }
}

/// What is being done.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Nothing until it is time again.
    Idle,
    /// What is over its age goes; where that has got to.
    ByAge(Option<Mark>),
    /// What is oldest goes until the size is within its limit.
    BySize,
    /// Room that has become free goes back to the file system.
    GiveBack,
}

/// What a sweep has removed.
#[derive(Debug, Clone, Copy, Default)]
struct Removed {
    runs: usize,
    events: usize,
    /// Runs and events of these that went before their age.
    early: usize,
}

#[derive(Debug)]
pub(crate) struct Pruner {
    retention: Retention,
    clock: Clock,
    stage: Stage,
    /// When the next slice may be taken.
    rested_at: Instant,
    /// When the next sweep begins, and the next look at the size.
    sweep_at: Timestamp,
    look_at: Timestamp,
    /// How far the oldest runs and events have been looked at for the size: those before are kept for other reasons,
    /// and looked at again only once a sweep.
    by_size: Option<Mark>,
    /// The run, right after `by_size`, of which a part is gone already.
    torn: Option<Mark>,
    /// Whether it has been said since the last sweep that the size cannot be kept.
    complained: bool,
    removed: Removed,
}

impl Pruner {
    /// Sweeps at once, then every hour.
    pub(crate) fn new(retention: Retention, clock: Clock) -> Self {
        Self {
            retention,
            clock,
            stage: Stage::Idle,
            rested_at: Instant::now(),
            sweep_at: Timestamp::default(),
            look_at: Timestamp::default(),
            by_size: None,
            torn: None,
            complained: false,
            removed: Removed::default(),
        }
    }

    /// Whether there is something to do now.
    pub(crate) fn is_due(&self) -> bool {
        match self.stage {
            Stage::Idle => self.next_at() <= self.clock.now(),
            _ => self.rested_at <= Instant::now(),
        }
    }

    /// How long there is nothing to do, unless the clock is moved by hand.
    pub(crate) fn patience(&self) -> Duration {
        match (self.stage, &self.clock) {
            (Stage::Idle, Clock::Manual(_)) => IDLE,
            (Stage::Idle, Clock::System) => {
                let wait_ms = self.next_at().ms_since(self.clock.now());
                Duration::from_millis(wait_ms).min(IDLE)
            }
            _ => self.rested_at.saturating_duration_since(Instant::now()),
        }
    }

    fn next_at(&self) -> Timestamp {
        match self.retention.bytes_max {
            Some(_) => self.sweep_at.min(self.look_at),
            None => self.sweep_at,
        }
    }

    /// Takes the next slice. One that fails ends the sweep; the next sweep tries again.
    pub(crate) fn work(&mut self, writer: &mut dyn Writer) {
        if let Err(error) = self.slice(writer) {
            tracing::warn!(
                error = describe(&error),
                "cannot prune; it is tried again with the next sweep"
            );
            self.look_at = self.sweep_at;
            self.finish();
        }
        self.rested_at = Instant::now() + PAUSE;
    }

    fn slice(&mut self, writer: &mut dyn Writer) -> Result<(), StoreError> {
        let now = self.clock.now();
        loop {
            match self.stage {
                Stage::Idle => self.begin(now),
                Stage::ByAge(after) => match self.oldest_kept(now) {
                    None => self.stage = Stage::BySize,
                    Some(before) => {
                        let pruned = self.prune(writer, before, after, None, now)?;
                        self.stage = match pruned.next {
                            Some(mark) => Stage::ByAge(Some(mark)),
                            None => Stage::BySize,
                        };
                        return Ok(());
                    }
                },
                Stage::BySize => match self.retention.bytes_max {
                    Some(bytes_max) if writer.bytes_used()? > bytes_max => {
                        return self.prune_for_size(writer, bytes_max, now);
                    }
                    // Half a run is of no use to anyone.
                    Some(_) if self.torn.is_some() => {
                        let pruned = self.prune_early(writer, self.torn, now)?;
                        self.by_size = pruned.next.or(self.by_size);
                        return Ok(());
                    }
                    _ => {
                        self.look_at = now.after_ms(LOOK_EVERY_MS);
                        self.stage = Stage::GiveBack;
                    }
                },
                Stage::GiveBack => {
                    if !writer.give_back()? {
                        self.finish();
                    }
                    return Ok(());
                }
            }
        }
    }

    fn begin(&mut self, now: Timestamp) {
        if now < self.sweep_at {
            self.stage = Stage::BySize;
            return;
        }
        self.sweep_at = now.after_ms(SWEEP_EVERY_MS);
        // A run that a failure left half removed is to be found first.
        if self.torn.is_none() {
            self.by_size = None;
        }
        self.complained = false;
        self.stage = Stage::ByAge(None);
    }

    /// What ended before is over its age.
    fn oldest_kept(&self, now: Timestamp) -> Option<Timestamp> {
        let age_ms = u64::try_from(self.retention.age?.as_millis()).unwrap_or(u64::MAX);
        let age_ms = age_ms.max(limits::IDEMPOTENCY_MS);
        Some(Timestamp::from_ms(now.ms().saturating_sub(age_ms)))
    }

    fn prune_for_size(
        &mut self,
        writer: &mut dyn Writer,
        bytes_max: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let pruned = self.prune_early(writer, None, now)?;
        self.by_size = pruned.next;
        if self.by_size.is_none() {
            self.look_at = now.after_ms(LOOK_AGAIN_MS);
            self.stage = Stage::GiveBack;
            let bytes = writer.bytes_used()?;
            if bytes > bytes_max && !self.complained {
                self.complained = true;
                tracing::warn!(
                    bytes,
                    bytes_max,
                    "the store is larger than it may be, but what is left belongs to unfinished runs"
                );
            }
        }
        Ok(())
    }

    /// Prunes what is oldest, whatever its age.
    fn prune_early(
        &mut self,
        writer: &mut dyn Writer,
        until: Option<Mark>,
        now: Timestamp,
    ) -> Result<Pruned, StoreError> {
        let before = Timestamp::from_ms(u64::MAX);
        let pruned = self.prune(writer, before, self.by_size, until, now)?;
        self.removed.early += pruned.runs + pruned.events;
        self.torn = pruned.torn;
        Ok(pruned)
    }

    fn prune(
        &mut self,
        writer: &mut dyn Writer,
        before: Timestamp,
        after: Option<Mark>,
        until: Option<Mark>,
        now: Timestamp,
    ) -> Result<Pruned, StoreError> {
        let pruned = writer.prune(&Slice {
            before,
            now,
            after,
            until,
            rows_max: SLICE_ROWS_MAX,
            bytes_max: SLICE_BYTES_MAX,
        })?;
        self.removed.runs += pruned.runs;
        self.removed.events += pruned.events;
        Ok(pruned)
    }

    fn finish(&mut self) {
        self.stage = Stage::Idle;
        let Removed {
            runs,
            events,
            early,
        } = std::mem::take(&mut self.removed);
        if runs + events > 0 {
            tracing::info!(runs, events, early, "pruned finished runs and events");
        }
    }
}

#[cfg(test)]
mod tests;
