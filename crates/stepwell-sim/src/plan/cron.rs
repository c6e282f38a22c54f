//! Functions that run by the clock. Their schedules are simple, so that a model of them needs no calendar.

use super::flow::{Key, Scope};
use super::gather::Gather;
use super::program::Node;
use super::wait::{Awaited, Which};
use super::{App, Body, Variant};
use crate::dice::Dice;
use serde_json::{Value, json};

const MINUTE_MS: u64 = 60 * 1_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// A schedule: ticks at a fixed distance, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cron {
    pub(crate) expression: &'static str,
    period_ms: u64,
    /// The first tick of a day.
    offset_ms: u64,
    /// How far runs are spread; 0 when they are not.
    pub(crate) jitter_ms: u64,
}

const fn cron(expression: &'static str, period_ms: u64, offset_ms: u64) -> Cron {
    Cron {
        expression,
        period_ms,
        offset_ms,
        jitter_ms: 0,
    }
}

const CRONS: [Cron; 7] = [
    cron("* * * * *", MINUTE_MS, 0),
    cron("*/5 * * * *", 5 * MINUTE_MS, 0),
    cron("7/30 * * * *", 30 * MINUTE_MS, 7 * MINUTE_MS),
    cron("0 */3 * * *", 3 * HOUR_MS, 0),
    cron("0 * * * *", HOUR_MS, 0),
    cron("15 */12 * * *", 12 * HOUR_MS, 15 * MINUTE_MS),
    cron("30 4 * * *", 24 * HOUR_MS, 4 * HOUR_MS + 30 * MINUTE_MS),
];

/// Ticks of one schedule in a script, about.
const TICKS_MAX: u64 = 15;

impl Cron {
    /// The first tick after a moment, in milliseconds since the Unix epoch.
    pub(crate) fn next_after(&self, ms: u64) -> u64 {
        self.last_at_or_before(ms) + self.period_ms
    }

    /// The last tick until a moment.
    pub(crate) fn last_at_or_before(&self, ms: u64) -> u64 {
        (ms - self.offset_ms) / self.period_ms * self.period_ms + self.offset_ms
    }

    /// It as a trigger of a function's configuration.
    pub(super) fn trigger(&self) -> Value {
        match self.jitter_ms {
            0 => json!({"cron": self.expression}),
            ms => json!({"cron": self.expression, "jitter": format!("{ms}ms")}),
        }
    }

    pub(super) fn describe(&self) -> String {
        let jitter = match self.jitter_ms {
            0 => String::new(),
            ms => format!(" within {ms} ms"),
        };
        format!("at {}{jitter}", self.expression)
    }
}

/// Has some variants of some functions run by the clock.
pub(crate) fn add(dice: &mut Dice, apps: &mut [App], span_ms: u64) {
    let fitting: Vec<Cron> = CRONS
        .into_iter()
        .filter(|cron| (1..=TICKS_MAX).contains(&(span_ms / cron.period_ms)))
        .collect();
    if fitting.is_empty() {
        return;
    }
    for function in apps.iter_mut().flat_map(|app| &mut app.functions) {
        if dice.chance(50) {
            continue;
        }
        for variant in &mut function.variants {
            for _ in 0..dice.below(3) {
                let mut cron = dice.pick(&fitting);
                if dice.chance(25) {
                    cron.jitter_ms = dice.between(1_000, 5 * MINUTE_MS);
                }
                let known = |other: &Cron| other.expression == cron.expression;
                if !variant.crons.iter().any(known) {
                    variant.crons.push(cron);
                }
            }
            forget_data(variant);
        }
        if let Body::Program(program) = &mut function.body {
            forget_data_in(&mut program.body);
        }
    }
}

/// A tick carries nothing that keys and conditions could look at.
fn forget_data(variant: &mut Variant) {
    let flow = &mut variant.flow;
    flow.concurrency
        .retain(|limit| limit.scope == Scope::Function);
    for limit in &mut flow.concurrency {
        limit.key = Key::None;
    }
    flow.concurrency.truncate(1);
    if let Some(throttle) = &mut flow.throttle {
        throttle.key = Key::None;
    }
    if let Some(rate) = &mut flow.rate_limit {
        rate.key = Key::None;
    }
    if let Some(singleton) = &mut flow.singleton {
        singleton.key = Key::None;
    }
    flow.idempotency = None;
    flow.priority = None;
    variant.gather = Gather::Nothing;
    for cancel in &mut variant.cutoff.events {
        cancel.which = Which::Any;
    }
}

fn forget_data_in(nodes: &mut [Node]) {
    for node in nodes {
        match node {
            Node::Wait(wait) => {
                if let Awaited::Event { which, .. } = &mut wait.what {
                    *which = Which::Any;
                }
            }
            Node::All(branches) | Node::Race(branches) => {
                for branch in branches {
                    forget_data_in(branch);
                }
            }
            Node::Step(_) | Node::Sleep(_) | Node::Stumble(_) | Node::Defer(_) => {}
        }
    }
}
