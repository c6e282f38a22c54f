//! Functions that gather events before they start: debounce and batches.

use super::flow::{Flow, Key};
use super::{App, Condition};
use crate::dice::Dice;
use serde_json::{Value, json};
use stepwell_protocol::span::format_ms;

/// What a variant of a function makes of events before one starts it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Gather {
    /// Each starts it on its own.
    #[default]
    Nothing,
    Debounce(Debounce),
    Batch(Batch),
}

/// The last event starts the function when no other has come for a while.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Debounce {
    pub(crate) period_ms: u64,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) key: Key,
}

/// Several events start the function together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) size: usize,
    pub(crate) timeout_ms: u64,
    pub(crate) key: Key,
    /// Events that do not meet it start the function alone.
    pub(crate) condition: Option<Condition>,
}

impl Gather {
    /// Adds it to a function's configuration.
    pub(super) fn write(&self, config: &mut Value) {
        let text = |ms: u64| format!("{ms}ms");
        match self {
            Self::Nothing => {}
            Self::Debounce(debounce) => {
                config["debounce"] = json!({
                    "period": text(debounce.period_ms),
                    "timeout": debounce.timeout_ms.map(text),
                    "key": debounce.key.expression(),
                });
            }
            Self::Batch(batch) => {
                config["batchEvents"] = json!({
                    "maxSize": batch.size,
                    "timeout": text(batch.timeout_ms),
                    "key": batch.key.expression(),
                    "if": batch.condition.map(Condition::expression),
                });
            }
        }
    }

    pub(super) fn describe(&self) -> Option<String> {
        let by = |key: Key| {
            key.expression()
                .map_or_else(String::new, |key| format!(" by {key}"))
        };
        match self {
            Self::Nothing => None,
            Self::Debounce(debounce) => {
                let most = debounce.timeout_ms;
                let most = most.map_or_else(String::new, |ms| format!(" or {}", format_ms(ms)));
                Some(format!(
                    "debounced {}{most}{}",
                    format_ms(debounce.period_ms),
                    by(debounce.key)
                ))
            }
            Self::Batch(batch) => {
                let only = batch.condition.map(Condition::expression);
                let only = only.map_or_else(String::new, |only| format!(" if {only}"));
                Some(format!(
                    "in batches of {} or {}{}{only}",
                    batch.size,
                    format_ms(batch.timeout_ms),
                    by(batch.key)
                ))
            }
        }
    }
}

/// Has some variants of some functions gather their events.
pub(crate) fn add(dice: &mut Dice, apps: &mut [App], span_ms: u64) {
    // Both gather for a second at least.
    let while_ms = |dice: &mut Dice| dice.between(1_000, (span_ms / 4).max(1_000));
    let functions = apps.iter_mut().flat_map(|app| &mut app.functions);
    for variant in functions.flat_map(|function| &mut function.variants) {
        match dice.below(10) {
            0..=3 => {
                variant.gather = Gather::Debounce(Debounce {
                    period_ms: while_ms(dice),
                    timeout_ms: dice.chance(40).then(|| while_ms(dice)),
                    key: dice.pick(&Key::ALL),
                });
            }
            4..=6 => {
                variant.gather = Gather::Batch(Batch {
                    size: dice.pick(&[2, 2, 3, 5]),
                    timeout_ms: while_ms(dice),
                    key: dice.pick(&Key::ALL),
                    condition: dice
                        .chance(30)
                        .then(|| dice.pick(&[Condition::NumberAbove(3), Condition::Broken])),
                });
                // What batches do not go with.
                variant.cutoff.events.clear();
                variant.flow = Flow {
                    singleton: None,
                    priority: None,
                    ..std::mem::take(&mut variant.flow)
                };
            }
            _ => {}
        }
    }
}
