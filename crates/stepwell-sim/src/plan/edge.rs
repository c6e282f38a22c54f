//! Durable endpoints: handlers that their app executes by itself, and reports as it goes.

use super::cutoff::Cutoff;
use super::draw;
use super::flow::Flow;
use super::gather::Gather;
use super::{App, Body, Function, Variant};
use crate::dice::Dice;
use stepwell_engine::AppRow;
use stepwell_engine::Timestamp;

/// The domain of the app with the endpoints.
const DOMAIN: &str = "http://edge.test";

/// An app with endpoints. It registers nothing.
pub(crate) fn app(dice: &mut Dice, span_ms: u64) -> App {
    let functions = (0..dice.between(1, 2)).map(|number| {
        let drawn = draw::function(dice, DOMAIN, &format!("e{number}"), span_ms);
        Function {
            checkpoints: Some(dice.pick(&[1, 1, 2])),
            body: match drawn.body {
                Body::Liar => Body::Program(draw::program(dice, span_ms)),
                program => program,
            },
            variants: vec![Variant {
                triggers: Vec::new(),
                crons: Vec::new(),
                flow: Flow::default(),
                cutoff: Cutoff::default(),
                gather: Gather::Nothing,
            }],
            ..drawn
        }
    });
    App {
        name: DOMAIN.to_owned(),
        functions: functions.collect(),
        versions: Vec::new(),
    }
}

impl App {
    /// Whether it executes its functions by itself.
    pub(crate) fn is_edge(&self) -> bool {
        self.name == DOMAIN
    }

    /// It as its endpoints bring it along.
    pub(crate) fn row(&self) -> AppRow {
        AppRow {
            id: self.id(),
            name: self.name.clone(),
            url: self.name.clone(),
            sdk: "sim".to_owned(),
            framework: String::new(),
            checksum: String::new(),
            synced_at: Timestamp::default(),
        }
    }
}
