//! What cuts runs off besides people: events that cancel them, and time.

use super::App;
use super::wait::Which;
use crate::dice::Dice;
use serde_json::{Value, json};
use stepwell_protocol::event::FUNCTION_FINISHED;
use stepwell_protocol::span::format_ms;

/// How long a run listens when nobody says.
const LISTENS_MS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// What cuts off the runs of one variant of a function.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cutoff {
    pub(crate) events: Vec<CancelOn>,
    /// From scheduling to the first call.
    pub(crate) start_ms: Option<u64>,
    /// From the first call to the end.
    pub(crate) finish_ms: Option<u64>,
}

/// An event that cancels runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CancelOn {
    pub(crate) event: &'static str,
    pub(crate) which: Which,
    lasts_ms: Option<u64>,
}

impl CancelOn {
    /// How long a run listens from its scheduling.
    pub(crate) fn lasts_ms(&self) -> u64 {
        self.lasts_ms.unwrap_or(LISTENS_MS)
    }
}

impl Cutoff {
    /// Adds it to a function's configuration.
    pub(super) fn write(&self, config: &mut Value) {
        if !self.events.is_empty() {
            let events = self.events.iter().map(|cancel| {
                json!({
                    "event": cancel.event,
                    "if": cancel.which.expression(),
                    "timeout": cancel.lasts_ms.map(|ms| format!("{ms}ms")),
                })
            });
            config["cancel"] = events.collect();
        }
        let text = |ms: u64| format!("{ms}ms");
        if self.start_ms.or(self.finish_ms).is_some() {
            config["timeouts"] =
                json!({"start": self.start_ms.map(text), "finish": self.finish_ms.map(text)});
        }
    }

    pub(super) fn describe(&self) -> Vec<String> {
        let events = self.events.iter().map(|cancel| {
            let lasts = cancel.lasts_ms;
            let lasts = lasts.map_or_else(String::new, |ms| format!(" within {}", format_ms(ms)));
            format!("cancelled by {}, {:?}{lasts}", cancel.event, cancel.which)
        });
        let start = self.start_ms;
        let start = start.map(|ms| format!("starts within {}", format_ms(ms)));
        let finish = self.finish_ms;
        let finish = finish.map(|ms| format!("ends within {}", format_ms(ms)));
        events.chain(start).chain(finish).collect()
    }
}

/// Cuts off runs of some variants of some functions.
pub(crate) fn add(dice: &mut Dice, apps: &mut [App], span_ms: u64) {
    let functions = apps.iter_mut().flat_map(|app| &mut app.functions);
    for variant in functions.flat_map(|function| &mut function.variants) {
        for _ in 0..dice.pick(&[0, 0, 1, 2]) {
            variant.cutoff.events.push(CancelOn {
                event: dice.pick(&["x/a", "x/b", "x/b", "x/deep.c", FUNCTION_FINISHED]),
                which: match Which::draw(dice) {
                    // Registrations with such a condition are refused.
                    Which::Broken => Which::Any,
                    which => which,
                },
                lasts_ms: dice.chance(40).then(|| dice.between(1, span_ms)),
            });
        }
        if dice.chance(25) {
            variant.cutoff.start_ms = Some(dice.between(1, span_ms));
        }
        if dice.chance(25) {
            variant.cutoff.finish_ms = Some(dice.between(1, span_ms));
        }
    }
}
