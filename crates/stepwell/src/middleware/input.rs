//! What middleware may change before a function or a step gets it.

use super::StepKind;
use crate::Error;
use http::Extensions;
use serde_json::{Map, Value};
use stepwell_protocol::SharedJson;

/// What a function is about to get; middleware may change it.
#[derive(Debug)]
pub struct FunctionInput {
    raw: Vec<SharedJson>,
    parsed: Option<Vec<Value>>,
    provided: Extensions,
}

impl FunctionInput {
    pub(crate) fn new(raw: Vec<SharedJson>) -> Self {
        Self {
            raw,
            parsed: None,
            provided: Extensions::new(),
        }
    }

    /// The events, each with `id`, `name`, `data` and `ts`. They are parsed when this is first called.
    ///
    /// # Errors
    /// An event is not JSON.
    pub fn events(&mut self) -> Result<&mut Vec<Value>, Error> {
        if self.parsed.is_none() {
            let events: Result<Vec<Value>, _> = self
                .raw
                .iter()
                .map(|raw| serde_json::from_str(raw.get()))
                .collect();
            self.parsed = Some(events?);
        }
        Ok(self.parsed.as_mut().expect("it was just filled"))
    }

    /// The text of the events as they came, to look at before they are parsed: parsing is the larger part of what a
    /// middleware costs.
    pub fn raw_events(&self) -> impl Iterator<Item = &str> {
        self.raw.iter().map(|raw| raw.get())
    }

    /// Gives the handler a value, which it takes with [`Context::provided`](crate::Context::provided): one of each
    /// type, the last one given.
    pub fn provide<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.provided.insert(value);
    }

    pub(crate) fn into_parts(self) -> (Vec<SharedJson>, Extensions) {
        let Some(parsed) = self.parsed else {
            return (self.raw, self.provided);
        };
        let texts = parsed.iter().map(Value::to_string);
        let events = texts
            .map(|text| stepwell_protocol::shared_json(text).expect("a JSON value's text is JSON"))
            .collect();
        (events, self.provided)
    }
}

/// A step that a function asks for; middleware may change it.
#[derive(Debug)]
pub struct StepInput {
    /// Its id, as the function wrote it. Its results are recorded under this: another id is another step.
    pub id: String,
    /// Its name for people.
    pub display_name: Option<String>,
    kind: StepKind,
    options: Map<String, Value>,
    changed: bool,
}

impl StepInput {
    pub(crate) fn new(
        id: String,
        display_name: Option<String>,
        kind: StepKind,
        options: Map<String, Value>,
    ) -> Self {
        Self {
            id,
            display_name,
            kind,
            options,
            changed: false,
        }
    }

    /// What the step does.
    #[must_use]
    pub fn kind(&self) -> StepKind {
        self.kind
    }

    /// Its options as the protocol has them: `payload` of an invocation, `input` (an array) of a step with an input,
    /// `event`, `if` and `timeout` of a wait, and so on.
    #[must_use]
    pub fn options(&self) -> &Map<String, Value> {
        &self.options
    }

    /// Its options, to change.
    pub fn options_mut(&mut self) -> &mut Map<String, Value> {
        self.changed = true;
        &mut self.options
    }

    /// Whether the options may differ from what the function gave.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    pub(crate) fn into_options(self) -> Map<String, Value> {
        self.options
    }
}
