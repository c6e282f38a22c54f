//! Each event starts each function that it matches once, unless flow control says otherwise.
//!
//! A model of its own says which: triggers, 24 hours of duplicates, rate limits.

use super::gcra::{Buckets, Verdict};
use crate::ledger::{Cause, Decided, Ledger, Sent, tells_of_an_end};
use crate::plan::flow::{Flow, Key, KeyValue};
use std::collections::HashMap;
use stepwell_engine::{Change, ItemKind, RunRow, Timestamp, WaitFor};
use stepwell_protocol::{EventId, FunctionId, limits};

#[derive(Default)]
pub(super) struct Arrivals {
    /// When the last run of a function for an identity was scheduled.
    seen: HashMap<(FunctionId, String), Timestamp>,
    rates: Buckets,
}

/// Whether an event is to start a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Run,
    None,
    /// The clock has gone back to before something that was forgotten when it was ahead.
    Either,
}

impl Arrivals {
    pub(super) fn check(&mut self, ledger: &Ledger<'_>, decided: &Decided) -> Result<(), String> {
        let mut made: HashMap<(EventId, FunctionId), Vec<&RunRow>> = HashMap::new();
        for change in &decided.changes {
            if let Change::RunPut(row) = change {
                let made = made.entry((row.events[0], row.function)).or_default();
                made.push(row);
            }
        }
        let none = Vec::new();
        let events = match &decided.cause {
            Cause::Events(events) => events,
            Cause::Announced {
                announcement,
                events,
            } if ledger.announcements.contains_key(&announcement.item) => events,
            _ => &none,
        };
        for event in events {
            for function in ledger.listeners(event.name, event.data) {
                let rows = made.get_mut(&(event.id, function));
                let row = rows
                    .filter(|rows| !rows.is_empty())
                    .map(|rows| rows.remove(0));
                let expected = self.expect(ledger, decided, event, function, row.is_some());
                let title = ledger.title(function);
                match (expected, row) {
                    (Expected::Run, None) => {
                        return Err(format!(
                            "event {} ({}) did not start {title}",
                            event.id, event.name
                        ));
                    }
                    (Expected::None, Some(_)) => {
                        return Err(format!(
                            "event {} ({}) started {title} though it must not",
                            event.id, event.name
                        ));
                    }
                    (Expected::Run | Expected::Either, Some(row)) => {
                        check_row(decided, event, row)?
                    }
                    (Expected::None | Expected::Either, None) => {}
                }
            }
        }
        for event in invocations(ledger, decided) {
            // Its target is known by its id, whatever its triggers.
            let Some((event, function)) = event else {
                continue;
            };
            let rows = made.get_mut(&(event.id, function));
            let row = rows
                .filter(|rows| !rows.is_empty())
                .map(|rows| rows.remove(0));
            let expected = self.expect(ledger, decided, event, function, row.is_some());
            match (expected, row) {
                (Expected::Run, None) | (Expected::None, Some(_)) => {
                    let title = ledger.title(function);
                    return Err(format!(
                        "invocation {} of {title} is to give {expected:?}, and gave {row:?}",
                        event.id
                    ));
                }
                (_, Some(row)) => check_row(decided, event, row)?,
                (_, None) => {}
            }
        }
        match made.values().flatten().next() {
            Some(row) => Err(format!(
                "a run of {} for event {} that nothing asked for",
                ledger.title(row.function),
                row.events[0]
            )),
            None => Ok(()),
        }
    }

    /// What the model says; `started` is what the engine did, where the model cannot know.
    fn expect(
        &mut self,
        ledger: &Ledger<'_>,
        decided: &Decided,
        event: &Sent,
        function: FunctionId,
        started: bool,
    ) -> Expected {
        let mut expected = Expected::Run;
        let identity = event.identity.clone().map(|identity| (function, identity));
        let before = identity.as_ref().and_then(|key| self.seen.get(key));
        if let Some(before) = before {
            let until = before.after_ms(limits::IDEMPOTENCY_MS);
            if until > decided.now {
                if until > decided.latest {
                    return Expected::None;
                }
                expected = Expected::Either;
            }
        }
        let rate = ledger.flow(function).map(|flow| rate(flow, event));
        match rate.unwrap_or(Rate::Unlimited) {
            Rate::Unlimited => {}
            Rate::Untold => return Expected::None,
            Rate::Limited {
                emission_us,
                burst,
                value,
            } => {
                let key = (function, value);
                let verdict = self
                    .rates
                    .ask(&key, emission_us, burst, decided.now, decided.latest);
                match verdict {
                    Verdict::Refused => return Expected::None,
                    Verdict::Either => expected = Expected::Either,
                    Verdict::Admitted => {}
                }
                if expected == Expected::Run || started {
                    self.rates
                        .take(key, emission_us, decided.now, decided.latest);
                }
            }
        }
        if let Some(key) = identity
            && (expected == Expected::Run || started)
        {
            self.seen.insert(key, decided.now);
        }
        expected
    }
}

/// The events by which steps invoke functions, and whom.
fn invocations<'a>(
    ledger: &'a Ledger<'_>,
    decided: &'a Decided,
) -> impl Iterator<Item = Option<(&'a Sent, FunctionId)>> {
    decided.changes.iter().map(|change| {
        let Change::ItemPut(item) = change else {
            return None;
        };
        let Some(WaitFor::Invoke { event, function }) = item.wait.as_deref() else {
            return None;
        };
        let sent = ledger.events.get(event)?;
        Some((sent, function.parse().ok()?))
    })
}

/// What a function's rate limit makes of an event.
enum Rate {
    Unlimited,
    /// The key cannot be told, which drops the start.
    Untold,
    Limited {
        emission_us: u64,
        burst: u64,
        value: String,
    },
}

fn rate(flow: &Flow, event: &Sent) -> Rate {
    let (emission_us, burst, key) = match (flow.idempotency, flow.rate_limit) {
        (Some(key), _) if key != Key::None => (limits::IDEMPOTENCY_MS * 1_000, 0, key),
        (_, Some(rate)) => {
            let emission_us = rate.period_s * 1_000_000 / rate.limit;
            (emission_us, rate.limit / 10, rate.key)
        }
        _ => return Rate::Unlimited,
    };
    match key.value(event.data) {
        KeyValue::False => Rate::Unlimited,
        KeyValue::Broken => Rate::Untold,
        KeyValue::Text(value) => Rate::Limited {
            emission_us,
            burst,
            value,
        },
    }
}

/// Whether a new run is as its event wants it.
fn check_row(decided: &Decided, event: &Sent, row: &RunRow) -> Result<(), String> {
    let due = decided.changes.iter().find_map(|change| match change {
        Change::ItemPut(item) if item.run == row.id && item.kind == ItemKind::Start => {
            Some(item.due)
        }
        _ => None,
    });
    let expected = event.ts.max(decided.now);
    if due != Some(expected) {
        return Err(format!(
            "run {} of event {} is to start at {due:?}, not at {expected:?}",
            row.id, event.id
        ));
    }
    if row.announces == tells_of_an_end(event.name) {
        return Err(format!(
            "run {} of {} is announced: {}",
            row.id, event.name, row.announces
        ));
    }
    Ok(())
}
