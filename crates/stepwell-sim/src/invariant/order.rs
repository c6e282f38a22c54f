//! Of the runs of a function that share all limits, the first in line starts first: by priority, then by age.

use crate::ledger::{Decided, Ledger, Run};
use stepwell_engine::Effect;

#[derive(Default)]
pub(super) struct Line {
    /// The clock has gone back: what is due when is anyone's guess from then on.
    confused: bool,
}

impl Line {
    /// Looks at a decision before the ledger takes in what it calls.
    pub(super) fn check(&mut self, ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
        self.confused |= decided.latest > decided.now;
        if self.confused {
            return Ok(());
        }
        let starting: Vec<&Run> = decided
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Call(call) if call.starts => ledger.runs.get(&call.run),
                _ => None,
            })
            .collect();
        // Within one decision they start in the order of its effects.
        for (place, run) in starting.iter().enumerate() {
            let started = &starting[..place];
            let passed_over = ledger.runs.values().find(|other| {
                let waits = !other.started && other.ended.is_none() && !other.delayed;
                waits
                    && other.function == run.function
                    && other.gates == run.gates
                    && other.bucket == run.bucket
                    && (other.score, other.number) < (run.score, run.number)
                    && !started.iter().any(|started| started.number == other.number)
            });
            if let Some(other) = passed_over {
                return Err(format!(
                    "run {} starts before run {}, whose turn it is",
                    run.number, other.number
                ));
            }
        }
        Ok(())
    }
}
