//! Forgetting what is old, a slice at a time, as the runtime's pruner does between commits.

use super::{Phase, World};
use crate::invariant::{Violation, broken};
use stepwell_engine::Timestamp;
use stepwell_store::Slice;

/// Slices of one walk, at most: far more than rows are ever made.
const SLICES_MAX: usize = 10_000;

impl World<'_> {
    /// What ended, or came in, so long ago goes.
    pub(super) fn prune(&mut self, older_ms: u64, rows_max: usize) -> Result<(), Violation> {
        if self.phase != Phase::Up {
            return Ok(());
        }
        let now = self.clock.wall();
        let before = Timestamp::from_ms(now.ms().saturating_sub(older_ms));
        let (kept, mut runs) = (self.load(now)?, 0);
        let mut slice = Slice {
            rows_max,
            ..Slice::whole(before, now)
        };
        for _ in 0..SLICES_MAX {
            let pruned = self.store.prune(&slice);
            let pruned = pruned.map_err(|error| broken("store")(error.to_string()))?;
            runs += pruned.runs;
            slice.after = pruned.next;
            if slice.after.is_none() {
                break;
            }
        }
        self.tell(|| format!("{runs} runs are pruned"));
        let stored = self.load(now)?;
        self.watch.pruned(
            &mut self.ledger,
            self.store.reader(),
            (&kept, &stored),
            before,
        )
    }
}
