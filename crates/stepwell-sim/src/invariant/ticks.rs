//! A schedule's ticks each start its function once. Of those that were missed the last does, or none.

use super::Resting;
use crate::ledger::{Cause, Decided, Ledger, Sent};
use crate::plan::cron::Cron;
use std::collections::BTreeMap;
use stepwell_engine::{CatchUp, Change};
use stepwell_protocol::event::SCHEDULED_TIMER;
use stepwell_protocol::{FunctionId, span};

/// A tick that comes later than this was missed, in milliseconds.
const LATE_MS: u64 = 60_000;

/// How far schedules have come, in milliseconds since the Unix epoch.
#[derive(Default)]
pub(super) struct Ticks {
    after_ms: BTreeMap<(FunctionId, &'static str), u64>,
}

impl Ticks {
    /// Looks at a decision once the ledger has taken in what caused it: the ticks that start functions by it.
    pub(super) fn check<'l>(
        &mut self,
        ledger: &'l Ledger<'_>,
        decided: &Decided,
        catch_up: CatchUp,
    ) -> Result<Vec<(&'l Sent, FunctionId)>, String> {
        let now_ms = decided.now.ms();
        if let Cause::Registered { .. } = decided.cause {
            self.arrange(ledger, now_ms);
        }
        let mut expected = Vec::new();
        if matches!(decided.cause, Cause::Timers | Cause::Resumed) {
            let schedules: Vec<_> = self.schedules(ledger).collect();
            for ((function, cron), after_ms) in schedules {
                let mut after_ms = after_ms;
                while cron.next_after(after_ms) <= now_ms {
                    let mut tick_ms = cron.next_after(after_ms);
                    if tick_ms + LATE_MS < now_ms {
                        tick_ms = cron.last_at_or_before(now_ms);
                    }
                    after_ms = tick_ms;
                    if tick_ms + LATE_MS >= now_ms || catch_up == CatchUp::One {
                        expected.push((function, cron, tick_ms));
                    }
                }
                self.after_ms.insert((function, cron.expression), after_ms);
            }
        }
        let mut found = Vec::new();
        for change in &decided.changes {
            let Change::EventPut(row) = change else {
                continue;
            };
            let Some(sent) = ledger
                .events
                .get(&row.id)
                .filter(|_| row.name == SCHEDULED_TIMER)
            else {
                continue;
            };
            let place = expected.iter().position(|(function, cron, tick_ms)| {
                let late_ms = sent.ts.ms().checked_sub(*tick_ms);
                let in_time = late_ms.is_some_and(|late_ms| match cron.jitter_ms {
                    0 => late_ms == 0,
                    // A jitter of exactly one second leaves nothing to choose from.
                    most => late_ms >= 1_000 && late_ms < most.max(1_001),
                });
                in_time
                    && row.external_id == moment(*tick_ms)
                    && row.body.get().contains(cron.expression)
                    && is_for(decided, sent, *function)
            });
            match place {
                Some(place) => {
                    let (function, _, _) = expected.remove(place);
                    found.push((sent, function));
                }
                None => return Err(format!("a tick of {} comes unasked", row.external_id)),
            }
        }
        match expected.first() {
            Some((function, cron, tick_ms)) => Err(format!(
                "{} does not run for the tick of {} at {}",
                ledger.title(*function),
                cron.expression,
                moment(*tick_ms)
            )),
            None => Ok(found),
        }
    }

    /// Looks at an engine that has dealt with all that is due: no tick is.
    pub(super) fn check_times(
        &self,
        ledger: &Ledger<'_>,
        resting: &Resting<'_>,
    ) -> Result<(), String> {
        let due = self
            .schedules(ledger)
            .find(|((_, cron), after_ms)| cron.next_after(*after_ms) <= resting.now.ms());
        match due {
            Some(((function, cron), _)) => Err(format!(
                "a tick of {} is due, for {}",
                cron.expression,
                ledger.title(function)
            )),
            None => Ok(()),
        }
    }

    /// Brings the schedules in line with what is registered. A new one ticks from now on.
    fn arrange(&mut self, ledger: &Ledger<'_>, now_ms: u64) {
        let mut wanted = BTreeMap::new();
        for function in ledger.functions.keys() {
            for cron in ledger.crons(*function) {
                let key = (*function, cron.expression);
                let after_ms = self.after_ms.get(&key).copied();
                wanted.insert(key, after_ms.unwrap_or(now_ms));
            }
        }
        self.after_ms = wanted;
    }

    fn schedules<'a>(
        &'a self,
        ledger: &'a Ledger<'_>,
    ) -> impl Iterator<Item = ((FunctionId, Cron), u64)> + use<'a> {
        let known = self.after_ms.iter();
        known.filter_map(|((function, expression), after_ms)| {
            let mut crons = ledger.crons(*function).iter();
            let cron = crons.find(|cron| cron.expression == *expression)?;
            Some(((*function, *cron), *after_ms))
        })
    }
}

/// Whether the tick's event went to this function.
fn is_for(decided: &Decided, sent: &Sent, function: FunctionId) -> bool {
    decided.changes.iter().any(|change| match change {
        Change::RunPut(row) => row.events[0] == sent.id && row.function == function,
        Change::VerdictPut(row) => row.event == sent.id && row.function == function,
        _ => false,
    })
}

/// A tick as its event is known by.
fn moment(tick_ms: u64) -> String {
    let text = span::format_moment_ms(i64::try_from(tick_ms).expect("a moment of this era"));
    text.replace(".000Z", "Z")
}
