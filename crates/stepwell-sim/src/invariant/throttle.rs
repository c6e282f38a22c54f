//! Starts keep to their function's throttle, also across crashes and lost commits.

use super::gcra::{Buckets, Verdict};
use crate::ledger::{Decided, Ledger, Run};
use stepwell_engine::{Effect, Timestamp};

#[derive(Default)]
pub(super) struct Starts(Buckets);

impl Starts {
    /// Looks at a decision after the ledger has taken in what it changes.
    pub(super) fn check(&mut self, ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
        let (now, latest) = (decided.now, decided.latest);
        for effect in &decided.effects {
            let Effect::Call(call) = effect else {
                continue;
            };
            let run = ledger.runs.get(&call.run).filter(|_| call.starts);
            let throttle = ledger.flow(call.function).and_then(|flow| flow.throttle);
            let (Some(throttle), Some(run)) = (throttle, run) else {
                continue;
            };
            let Some(value) = run.bucket.clone() else {
                continue;
            };
            if self.ask(ledger, run, now, latest) == Verdict::Refused {
                let name = ledger.name_of(call.run);
                return Err(format!(
                    "{name} starts too early for the throttle's bucket '{value}'"
                ));
            }
            let key = (call.function, value);
            self.0.take(key, throttle.emission_us(), now, latest);
        }
        Ok(())
    }

    /// Whether a run may start now; `Admitted` if nothing throttles it.
    pub(super) fn ask(
        &self,
        ledger: &Ledger<'_>,
        run: &Run,
        now: Timestamp,
        latest: Timestamp,
    ) -> Verdict {
        let throttle = ledger.flow(run.function).and_then(|flow| flow.throttle);
        let (Some(throttle), Some(value)) = (throttle, run.bucket.clone()) else {
            return Verdict::Admitted;
        };
        let key = (run.function, value);
        let emission_us = throttle.emission_us();
        self.0.ask(&key, emission_us, throttle.burst, now, latest)
    }
}
