//! What a step is, before it is asked for.

use super::Execution;
use crate::Error;
use crate::middleware::{StepInput, StepKind};
use serde_json::{Map, Value};
use std::fmt;
use stepwell_protocol::op::Opcode;

/// What a step is, before it is asked for.
pub(crate) struct StepSpec {
    pub(crate) id: String,
    pub(crate) display_name: Option<String>,
    /// The op's name; the id when absent.
    pub(crate) name: Option<String>,
    pub(crate) opcode: Opcode,
    pub(crate) opts: Map<String, Value>,
    /// Why it cannot be asked for.
    pub(crate) problem: Option<Error>,
    /// Whether a middleware may have given it another input.
    pub(crate) has_other_input: bool,
}

impl fmt::Debug for StepSpec {
    /// Without its options: they may hold keys, and what is to be encrypted.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StepSpec")
            .field("id", &self.id)
            .field("opcode", &self.opcode)
            .finish_non_exhaustive()
    }
}

impl StepSpec {
    pub(crate) fn new(id: impl Into<String>, opcode: Opcode) -> Self {
        Self {
            id: id.into(),
            display_name: None,
            name: None,
            opcode,
            opts: Map::new(),
            problem: None,
            has_other_input: false,
        }
    }

    pub(super) fn kind(&self) -> StepKind {
        StepKind::of(self.opcode, self.opts.get("type").and_then(Value::as_str))
    }

    /// Lets middleware change it.
    pub(super) fn transform(&mut self, execution: &Execution) -> Result<(), Error> {
        if execution.middleware.is_empty() {
            return Ok(());
        }
        let mut input = StepInput::new(
            self.id.clone(),
            self.display_name.take(),
            self.kind(),
            std::mem::take(&mut self.opts),
        );
        let transformed = execution
            .middleware
            .transform_step_input(&execution.run, &mut input);
        self.id = std::mem::take(&mut input.id);
        self.display_name = input.display_name.take();
        self.has_other_input = input.is_changed() && input.options().contains_key("input");
        self.opts = input.into_options();
        transformed
    }
}
