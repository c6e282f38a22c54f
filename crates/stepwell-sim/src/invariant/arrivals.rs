//! Each event starts each function that it matches once, unless flow control says otherwise.
//!
//! A model of its own says which: triggers, 24 hours of duplicates, rate limits, debounce windows, batches.

use super::Resting;
use super::gathered::{Batches, Closing, Windows};
use super::gcra::{Buckets, Verdict};
use crate::ledger::{Cause, Decided, Drafts, Ledger, Sent, tells_of_an_end};
use crate::plan::flow::{Flow, Key, KeyValue};
use crate::plan::gather::Gather;
use std::collections::{BTreeMap, HashMap};
use stepwell_engine::{
    Answer, Change, ItemKind, RunRow, RunStatus, Timestamp, Verdict as Told, WaitFor,
};
use stepwell_protocol::{EventId, FunctionId, limits};

#[derive(Default)]
pub(super) struct Arrivals {
    /// When the last run of a function for an identity was scheduled.
    seen: HashMap<(FunctionId, String), Timestamp>,
    rates: Buckets,
    windows: Windows,
    batches: Batches,
}

/// Whether something is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Yes,
    No,
    /// The clock has gone back to before something that was forgotten when it was ahead.
    Either,
}

/// The runs that a decision makes, by their first events and functions, until they are accounted for.
struct Made<'d> {
    rows: BTreeMap<(EventId, FunctionId), Vec<&'d RunRow>>,
    decided: &'d Decided,
}

impl<'d> Made<'d> {
    fn of(decided: &'d Decided) -> Self {
        let mut rows: BTreeMap<_, Vec<&RunRow>> = BTreeMap::new();
        for change in &decided.changes {
            if let Change::RunPut(row) = change {
                let made = rows.entry((row.events[0], row.function)).or_default();
                made.push(row);
            }
        }
        Self { rows, decided }
    }

    fn take(&mut self, event: EventId, function: FunctionId) -> Option<&'d RunRow> {
        let rows = self.rows.get_mut(&(event, function))?;
        (!rows.is_empty()).then(|| rows.remove(0))
    }

    fn has(&self, event: EventId, function: FunctionId) -> bool {
        let rows = self.rows.get(&(event, function));
        rows.is_some_and(|rows| !rows.is_empty())
    }

    /// Whether an event was turned away from a function, by what was noted of it.
    fn refused(&self, event: EventId, function: FunctionId) -> bool {
        self.decided.changes.iter().any(|change| match change {
            Change::VerdictPut(row) if (row.event, row.function) == (event, function) => {
                matches!(
                    row.verdict,
                    Told::Duplicate { .. } | Told::RateLimited { .. }
                )
            }
            _ => false,
        })
    }
}

impl Arrivals {
    /// Looks at a decision before the ledger takes in the runs that it makes: by which variants they were drafted.
    pub(super) fn check(
        &mut self,
        ledger: &Ledger<'_>,
        decided: &Decided,
        ticks: &[(&Sent, FunctionId)],
    ) -> Result<Drafts, String> {
        let mut made = Made::of(decided);
        let mut drafts = Drafts::new();
        if matches!(decided.cause, Cause::Timers | Cause::Resumed) {
            self.close(ledger, decided, &mut made, &mut drafts)?;
        }
        let events: &[Sent] = match &decided.cause {
            Cause::Events(events) => events,
            Cause::Announced {
                announcement,
                events,
            } if ledger.announcements.contains_key(&announcement.item) => events,
            _ => &[],
        };
        for event in events {
            for function in ledger.listeners(event.name, event.data) {
                self.arrive(ledger, event, function, &mut made, &mut drafts)?;
            }
        }
        for (event, function) in ticks.iter().copied().chain(invocations(ledger, decided)) {
            // Its target is known by its id, whatever its triggers.
            self.arrive(ledger, event, function, &mut made, &mut drafts)?;
        }
        if let Cause::EdgeStarted { run, event, .. } = &decided.cause {
            let function = made.rows.keys().next().map(|(_, function)| *function);
            let row = function.and_then(|function| made.take(event.id, function));
            let started = matches!(decided.answer, Some(Answer::EndpointStarted(Ok(_))));
            if started != row.is_some_and(|row| row.id == *run) {
                return Err(format!(
                    "the report of a request was answered {:?}, and made {row:?}",
                    decided.answer
                ));
            }
        }
        if let Cause::Repeated(_) = decided.cause {
            self.repeat(ledger, decided, &mut made)?;
        }
        match made.rows.values().flatten().next() {
            Some(row) => Err(format!(
                "a run of {} for event {} that nothing asked for",
                ledger.title(row.function),
                row.events[0]
            )),
            None => Ok(drafts),
        }
    }

    /// Looks at an engine that has dealt with all that is due: nothing that was gathered waits on.
    pub(super) fn check_times(
        &self,
        ledger: &Ledger<'_>,
        resting: &Resting<'_>,
    ) -> Result<(), String> {
        let mut due = self.windows.due(resting.now);
        due.extend(self.batches.due(resting.now));
        match due.first() {
            Some(closing) => Err(format!(
                "{} was to start by {:?} for event {}",
                ledger.title(closing.function),
                closing.at,
                closing.events[0]
            )),
            None => Ok(()),
        }
    }

    /// Whether an event waits for others.
    pub(super) fn gathers(&self, event: EventId) -> bool {
        self.windows.holds(event) || self.batches.holds(event)
    }

    /// An event comes to a function.
    fn arrive(
        &mut self,
        ledger: &Ledger<'_>,
        event: &Sent,
        function: FunctionId,
        made: &mut Made<'_>,
        drafts: &mut Drafts,
    ) -> Result<(), String> {
        let variant = ledger.variant(function).expect("it listens");
        let draft = ledger.functions[&function].variant;
        let now = made.decided.now;
        let title = ledger.title(function);
        let unless_refused = |expected: Expected, made: &Made<'_>| match expected {
            Expected::Either => !made.refused(event.id, function),
            expected => expected == Expected::Yes,
        };
        let is_new = self.is_new(event.identity.as_ref(), function, made.decided);
        if let Gather::Batch(rule) = variant.gather
            && rule
                .condition
                .is_none_or(|condition| condition.met(event.data))
        {
            if rule.key.value(event.data) == KeyValue::Broken {
                return Ok(());
            }
            if !unless_refused(is_new, made) {
                return Ok(());
            }
            if let Some(identity) = &event.identity {
                self.seen.insert((function, identity.clone()), now);
            }
            let full = self.batches.add(function, rule, event, draft, now);
            return match full {
                Some(closing) => self.closes(ledger, closing, made, drafts),
                None => Ok(()),
            };
        }
        let gathers = matches!(variant.gather, Gather::Debounce(_));
        let happens = |made: &Made<'_>| match gathers {
            true => !made.refused(event.id, function),
            false => made.has(event.id, function),
        };
        let expected = self.is_let_through(&variant.flow, event, function, is_new, made, happens);
        if let Gather::Debounce(rule) = variant.gather {
            if unless_refused(expected, made) {
                self.windows.add(function, rule, event, draft, now);
            }
            return Ok(());
        }
        let row = made.take(event.id, function);
        match (expected, row) {
            (Expected::Yes, None) => Err(format!(
                "event {} ({}) did not start {title}",
                event.id, event.name
            )),
            (Expected::No, Some(_)) => Err(format!(
                "event {} ({}) started {title} though it must not",
                event.id, event.name
            )),
            (Expected::Yes | Expected::Either, Some(row)) => {
                drafts.insert(row.id, draft);
                let due = event.ts.max(now);
                let announces = !tells_of_an_end(event.name);
                self.scheduled(made.decided, row, event.identity.as_ref(), due, announces)
            }
            (Expected::No | Expected::Either, None) => Ok(()),
        }
    }

    /// A repetition is held back by nothing.
    fn repeat(
        &mut self,
        ledger: &Ledger<'_>,
        decided: &Decided,
        made: &mut Made<'_>,
    ) -> Result<(), String> {
        let Some((event, function)) = made.rows.keys().next().copied() else {
            return Ok(());
        };
        let (row, sent) = (made.take(event, function), ledger.events.get(&event));
        match (row, sent) {
            (Some(row), Some(sent)) => {
                let announces = !tells_of_an_end(sent.name);
                self.scheduled(decided, row, None, decided.now, announces)
            }
            _ => Err(format!("a repetition is of event {event}")),
        }
    }

    /// Starts what has been gathered for long enough.
    fn close(
        &mut self,
        ledger: &Ledger<'_>,
        decided: &Decided,
        made: &mut Made<'_>,
        drafts: &mut Drafts,
    ) -> Result<(), String> {
        let mut due = self.windows.due(decided.now);
        due.extend(self.batches.due(decided.now));
        // Of two that close at the same moment either may go first.
        due.sort_by_key(|closing| (closing.at, !made.has(closing.events[0], closing.function)));
        for closing in due {
            self.windows.remove(&closing);
            self.batches.remove(&closing);
            self.closes(ledger, closing, made, drafts)?;
        }
        Ok(())
    }

    fn closes(
        &mut self,
        ledger: &Ledger<'_>,
        closing: Closing,
        made: &mut Made<'_>,
        drafts: &mut Drafts,
    ) -> Result<(), String> {
        let known = &ledger.functions[&closing.function];
        let is_new = self.is_new(closing.identity.as_ref(), closing.function, made.decided);
        let expected = if known.archived { Expected::No } else { is_new };
        let row = made.take(closing.events[0], closing.function);
        let title = ledger.title(closing.function);
        match (expected, row) {
            (Expected::Yes, None) | (Expected::No, Some(_)) => Err(format!(
                "what was gathered for {title}, from event {} on, is to start it: {expected:?}; it did: {}",
                closing.events[0],
                row.is_some()
            )),
            (_, Some(row)) => {
                if row.events.as_slice() != closing.events {
                    return Err(format!(
                        "a run of {title} is for {:?}, not for {:?}",
                        row.events, closing.events
                    ));
                }
                drafts.insert(row.id, closing.variant);
                let now = made.decided.now;
                let due = closing.ts.map_or(now, |ts| ts.max(now));
                let announces = match closing.announces {
                    Some(announces) => announces,
                    None => !ledger.hears_of_ends(closing.function),
                };
                let identity = closing.identity.as_ref();
                self.scheduled(made.decided, row, identity, due, announces)
            }
            (_, None) => Ok(()),
        }
    }

    /// Whether nothing of this identity has started the function in the last 24 hours.
    fn is_new(
        &self,
        identity: Option<&String>,
        function: FunctionId,
        decided: &Decided,
    ) -> Expected {
        let before = identity.and_then(|identity| self.seen.get(&(function, identity.clone())));
        let until = before.map(|before| before.after_ms(limits::IDEMPOTENCY_MS));
        match until {
            Some(until) if until > decided.latest => Expected::No,
            Some(until) if until > decided.now => Expected::Either,
            _ => Expected::Yes,
        }
    }

    /// Whether an event passes the rate limit, too; `happens` is what the engine did, where the model cannot know.
    fn is_let_through(
        &mut self,
        flow: &Flow,
        event: &Sent,
        function: FunctionId,
        is_new: Expected,
        made: &Made<'_>,
        happens: impl Fn(&Made<'_>) -> bool,
    ) -> Expected {
        let mut expected = is_new;
        if expected == Expected::No {
            return expected;
        }
        let (now, latest) = (made.decided.now, made.decided.latest);
        match rate(flow, event) {
            Rate::Unlimited => {}
            Rate::Untold => return Expected::No,
            Rate::Limited {
                emission_us,
                burst,
                value,
            } => {
                let key = (function, value);
                match self.rates.ask(&key, emission_us, burst, now, latest) {
                    Verdict::Refused => return Expected::No,
                    Verdict::Either => expected = Expected::Either,
                    Verdict::Admitted => {}
                }
                if expected == Expected::Yes || happens(made) {
                    self.rates.take(key, emission_us, now, latest);
                }
            }
        }
        expected
    }

    /// Takes in a new run, which is to start then and to be announced at its end, unless it is skipped.
    fn scheduled(
        &mut self,
        decided: &Decided,
        row: &RunRow,
        identity: Option<&String>,
        due: Timestamp,
        announces: bool,
    ) -> Result<(), String> {
        if row.announces != announces {
            return Err(format!("run {} is announced: {}", row.id, row.announces));
        }
        let skipped = decided.changes.iter().any(|change| {
            matches!(change, Change::RunEnd(end) if end.id == row.id && end.status == RunStatus::Skipped)
        });
        if skipped {
            return Ok(());
        }
        if let Some(identity) = identity {
            self.seen
                .insert((row.function, identity.clone()), decided.now);
        }
        let starts = decided.changes.iter().find_map(|change| match change {
            Change::ItemPut(item) if item.run == row.id && item.kind == ItemKind::Start => {
                Some(item.due)
            }
            _ => None,
        });
        if starts != Some(due) {
            return Err(format!(
                "run {} of event {} is to start at {starts:?}, not at {due:?}",
                row.id, row.events[0]
            ));
        }
        Ok(())
    }
}

/// The events by which steps invoke functions, and whom.
fn invocations<'a>(
    ledger: &'a Ledger<'_>,
    decided: &'a Decided,
) -> impl Iterator<Item = (&'a Sent, FunctionId)> {
    decided.changes.iter().filter_map(|change| {
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
