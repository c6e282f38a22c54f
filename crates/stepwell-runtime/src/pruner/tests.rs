use super::{Pruner, Retention};
use crate::clock::{Clock, ManualClock};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use stepwell_engine::{Change, Snapshot, Timestamp};
use stepwell_protocol::RunId;
use stepwell_store::{Mark, Pruned, Slice, StoreError, Writer};

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
const DAY: u64 = 24 * 60 * 60 * 1_000;
const HOUR: u64 = 60 * 60 * 1_000;

/// A store that does as it is told and remembers what was asked for.
#[derive(Debug, Default)]
struct Script {
    /// What the next slices find; then nothing.
    finds: VecDeque<Result<Pruned, StoreError>>,
    /// How much it holds, from one look to the next; then nothing.
    bytes: VecDeque<u64>,
    /// How often there is more to give back.
    surplus: usize,
    slices: Vec<Slice>,
    given_back: usize,
}

impl Writer for Script {
    fn commit(&mut self, _changes: &[Change]) -> Result<(), StoreError> {
        unreachable!("pruning commits nothing")
    }

    fn probe(&mut self, _bytes: usize) -> Result<(), StoreError> {
        unreachable!("pruning probes nothing")
    }

    fn load(&mut self, _now: Timestamp) -> Result<Snapshot, StoreError> {
        unreachable!("pruning loads nothing")
    }

    fn prune(&mut self, slice: &Slice) -> Result<Pruned, StoreError> {
        self.slices.push(*slice);
        self.finds.pop_front().unwrap_or(Ok(Pruned::default()))
    }

    fn bytes_used(&mut self) -> Result<u64, StoreError> {
        Ok(self.bytes.pop_front().unwrap_or(0))
    }

    fn give_back(&mut self) -> Result<bool, StoreError> {
        self.given_back += 1;
        self.surplus = self.surplus.saturating_sub(1);
        Ok(self.surplus > 0)
    }
}

struct Setup {
    pruner: Pruner,
    clock: Arc<ManualClock>,
    store: Script,
}

impl Setup {
    fn new(retention: Retention) -> Self {
        let clock = ManualClock::new(NOW);
        Self {
            pruner: Pruner::new(retention, Clock::Manual(Arc::clone(&clock))),
            clock,
            store: Script::default(),
        }
    }

    /// Works until nothing is due, and returns the slices taken. Rests are cut short.
    fn slices(&mut self) -> Vec<Slice> {
        self.pruner.rested_at = std::time::Instant::now();
        for _ in 0..100 {
            if !self.pruner.is_due() {
                return std::mem::take(&mut self.store.slices);
            }
            self.pruner.work(&mut self.store);
            self.pruner.rested_at = std::time::Instant::now();
        }
        panic!("it does not come to rest: {:?}", self.pruner);
    }
}

fn found(next: Option<u8>) -> Result<Pruned, StoreError> {
    Ok(Pruned {
        runs: 1,
        events: 1,
        next: next.map(mark),
        torn: None,
    })
}

/// A slice that stops within the run `run`, right after `next`.
fn torn(next: u8, run: u8) -> Result<Pruned, StoreError> {
    Ok(Pruned {
        torn: Some(mark(run)),
        ..found(Some(next))?
    })
}

fn mark(number: u8) -> Mark {
    Mark::from(RunId::from_bytes([number; 16]))
}

fn afters(slices: &[Slice]) -> Vec<Option<Mark>> {
    slices.iter().map(|slice| slice.after).collect()
}

#[test]
fn a_sweep_comes_at_the_start_and_every_hour() {
    let mut setup = Setup::new(Retention::default());
    for _ in 0..3 {
        let now = setup.pruner.clock.now();
        let slices = setup.slices();
        assert_eq!(slices.len(), 1);
        assert_eq!(slices[0].now, now);
        assert_eq!(now.ms_since(slices[0].before), 7 * DAY);
        assert_eq!(slices[0].after, None);
        setup.clock.advance_ms(HOUR - 1);
        assert_eq!(setup.slices(), []);
        setup.clock.advance_ms(1);
    }
}

#[test]
fn a_sweep_goes_on_where_the_last_slice_stopped_and_rests_in_between() {
    let mut setup = Setup::new(Retention::default());
    setup.store.finds = [found(Some(1)), found(Some(2)), found(None)].into();
    setup.store.surplus = 3;
    assert!(setup.pruner.is_due());
    setup.pruner.work(&mut setup.store);
    assert!(!setup.pruner.is_due(), "commits come first");
    assert!(setup.pruner.patience() > Duration::ZERO);
    assert_eq!(setup.store.slices.len(), 1);
    let slices = setup.slices();
    assert_eq!(afters(&slices), [None, Some(mark(1)), Some(mark(2))]);
    assert_eq!(setup.store.given_back, 3, "until there is no more to give");
}

#[test]
fn what_is_younger_than_a_day_is_old_for_nobody() {
    let mut setup = Setup::new(Retention {
        age: Some(Duration::from_secs(1)),
        ..Retention::default()
    });
    assert_eq!(NOW.ms_since(setup.slices()[0].before), DAY);
}

#[test]
fn what_is_kept_for_ever_is_not_looked_for() {
    let mut setup = Setup::new(Retention {
        age: None,
        bytes_max: None,
    });
    assert_eq!(setup.slices(), []);
    setup.clock.advance_ms(400 * DAY);
    assert_eq!(setup.slices(), []);
}

#[test]
fn what_is_too_large_loses_its_oldest_until_it_is_not() {
    let mut setup = Setup::new(Retention {
        age: None,
        bytes_max: Some(1_000),
    });
    setup.store.bytes = [1_002, 1_001, 1_000].into();
    setup.store.finds = [found(Some(1)), found(Some(2))].into();
    let slices = setup.slices();
    assert_eq!(afters(&slices), [None, Some(mark(1))]);
    assert!(slices.iter().all(|slice| slice.before > NOW), "of any age");

    // It is looked at again before the hour is over, and goes on from there.
    setup.clock.advance_ms(9_999);
    setup.store.bytes = [1_001, 1_000].into();
    setup.store.finds = [found(Some(3))].into();
    assert_eq!(setup.slices(), []);
    setup.clock.advance_ms(1);
    assert_eq!(afters(&setup.slices()), [Some(mark(2))]);

    // Once an hour all is looked at anew: what was unfinished may have ended.
    setup.clock.advance_ms(HOUR);
    setup.store.bytes = [1_001, 1_000].into();
    assert_eq!(afters(&setup.slices()), [None]);
}

#[test]
fn a_run_that_is_partly_gone_goes_whole_and_nothing_with_it() {
    let mut setup = Setup::new(Retention {
        age: None,
        bytes_max: Some(1_000),
    });
    setup.store.bytes = [1_001, 1_000].into();
    setup.store.finds = [torn(1, 2), torn(1, 2), found(None)].into();
    let slices = setup.slices();
    assert_eq!(afters(&slices), [None, Some(mark(1)), Some(mark(1))]);
    let untils: Vec<_> = slices.iter().map(|slice| slice.until).collect();
    assert_eq!(untils, [None, Some(mark(2)), Some(mark(2))]);

    // A failure in its midst is made good by the next sweep.
    setup.clock.advance_ms(HOUR);
    setup.store.bytes = [1_001].into();
    setup.store.finds = [torn(3, 4), Err(StoreError::Full), found(None)].into();
    assert_eq!(setup.slices().len(), 2);
    setup.clock.advance_ms(HOUR);
    let slices = setup.slices();
    assert_eq!(
        (slices.len(), slices[0].after, slices[0].until),
        (1, Some(mark(3)), Some(mark(4)))
    );
}

#[test]
fn what_cannot_be_made_smaller_is_not_tried_all_the_time() {
    let mut setup = Setup::new(Retention {
        age: None,
        bytes_max: Some(1_000),
    });
    let full = || VecDeque::from([2_000; 20]);
    setup.store.bytes = full();
    setup.store.finds = [found(Some(1)), found(None)].into();
    assert_eq!(setup.slices().len(), 2);
    setup.store.bytes = full();
    setup.clock.advance_ms(59_999);
    assert_eq!(setup.slices(), []);
    setup.clock.advance_ms(1);
    assert_eq!(afters(&setup.slices()), [None]);
}

#[test]
fn a_slice_that_fails_is_tried_again_with_the_next_sweep() {
    let mut setup = Setup::new(Retention {
        bytes_max: Some(1_000),
        ..Retention::default()
    });
    setup.store.finds = [found(Some(1)), Err(StoreError::Full), found(None)].into();
    assert_eq!(setup.slices().len(), 2);
    setup.clock.advance_ms(HOUR - 1);
    assert_eq!(setup.slices(), []);
    setup.clock.advance_ms(1);
    assert_eq!(afters(&setup.slices()), [None]);
}
