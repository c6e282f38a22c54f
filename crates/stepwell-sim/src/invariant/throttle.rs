//! Starts keep to their function's throttle, also across crashes and lost commits.

use super::gcra::{Buckets, Verdict};
use crate::ledger::{Decided, Ledger};
use stepwell_engine::Effect;

#[derive(Default)]
pub(super) struct Starts(Buckets);

impl Starts {
    /// Looks at a decision after the ledger has taken in what it changes.
    pub(super) fn check(&mut self, ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
        for effect in &decided.effects {
            let Effect::Call(call) = effect else {
                continue;
            };
            if !call.starts {
                continue;
            }
            let throttle = ledger.flow(call.function).and_then(|flow| flow.throttle);
            let value = ledger
                .runs
                .get(&call.run)
                .and_then(|run| run.bucket.clone());
            let (Some(throttle), Some(value)) = (throttle, value) else {
                continue;
            };
            let key = (call.function, value);
            let emission_us = throttle.period_s * 1_000_000 / throttle.limit;
            let (now, latest) = (decided.now, decided.latest);
            if self.0.ask(&key, emission_us, throttle.burst, now, latest) == Verdict::Refused {
                return Err(format!(
                    "{} starts too early for the throttle's bucket '{}'",
                    ledger.name_of(call.run),
                    key.1
                ));
            }
            self.0.take(key, emission_us, now, latest);
        }
        Ok(())
    }
}
