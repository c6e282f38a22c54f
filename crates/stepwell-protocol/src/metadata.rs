//! Metadata: what an app notes of its runs, their steps and attempts, besides what the steps give.

use crate::decode::null_as_default;
use crate::op::MetadataScope;
use crate::{StepId, event, limits};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// The kind of scores.
pub const SCORE: &str = "inngest.score";
/// The kind that says which variant of an experiment a run has tried.
pub const EXPERIMENT: &str = "inngest.experiment";
/// What the protocol's own kinds begin with.
const RESERVED: &str = "inngest.";
/// Those of them that SDKs write.
const OF_SDKS: [&str; 4] = ["inngest.ai", EXPERIMENT, SCORE, "inngest.warnings"];
/// The longest kind, in bytes.
const KIND_BYTES_MAX: usize = 255;
/// Levels of what is noted: it is wrapped in a tree of spans, and parsers stop at 128.
const DEPTH_MAX: usize = 32;

/// What becomes of what was noted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Values of the same names are replaced, others stay.
    #[default]
    Merge,
    /// All is replaced.
    Set,
    /// Values of these names go.
    Delete,
    /// Numbers are added to those of the same names; other values replace them.
    Add,
}

/// What is noted at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// What it is about; one of its kind is kept for a target.
    pub kind: String,
    /// What becomes of what was there.
    #[serde(default)]
    pub op: Op,
    /// What is noted.
    #[serde(default, deserialize_with = "null_as_default")]
    pub values: Map<String, Value>,
}

/// What something is noted of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The run.
    Run,
    /// A step.
    Step(StepId),
    /// An attempt of a step, from 0.
    Attempt(StepId, u32),
    /// A span that the app made.
    Span(String),
}

impl Target {
    /// What it is on the wire.
    #[must_use]
    pub fn scope(&self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Step(_) => "step",
            Self::Attempt(..) => "step_attempt",
            Self::Span(_) => "extended_trace",
        }
    }

    /// What an op's metadata is of.
    #[must_use]
    pub fn of(scope: MetadataScope, step: &StepId, attempt: u32) -> Self {
        match scope {
            MetadataScope::Run => Self::Run,
            MetadataScope::Step => Self::Step(step.clone()),
            MetadataScope::StepAttempt => Self::Attempt(step.clone(), attempt),
        }
    }
}

/// Why something is not noted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The kind is missing or too long.
    #[error("Invalid metadata kind: expected 1 to {KIND_BYTES_MAX} bytes")]
    Kind,
    /// The kind is one of the protocol's own that apps do not write.
    #[error("Metadata kind '{0}' is reserved")]
    Reserved(String),
    /// It is nested too deep.
    #[error("Metadata is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// It is too large.
    #[error("Metadata span exceeds maximum size of {}KB", limits::METADATA_BYTES_MAX / 1024)]
    TooLarge,
}

impl Update {
    /// Whether it may be noted.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn check(&self) -> Result<(), MetadataError> {
        if self.kind.is_empty() || self.kind.len() > KIND_BYTES_MAX {
            return Err(MetadataError::Kind);
        }
        if self.kind.starts_with(RESERVED) && !OF_SDKS.contains(&&*self.kind) {
            return Err(MetadataError::Reserved(self.kind.clone()));
        }
        let text = Value::Object(self.values.clone()).to_string();
        if text.len() > limits::METADATA_BYTES_MAX {
            return Err(MetadataError::TooLarge);
        }
        match event::depth(&text) > DEPTH_MAX {
            true => Err(MetadataError::TooDeep),
            false => Ok(()),
        }
    }

    /// What is noted in the end, given what was there; nothing when nothing is left.
    #[must_use]
    pub fn apply(self, old: Option<Map<String, Value>>) -> Option<Map<String, Value>> {
        let mut noted = old.unwrap_or_default();
        match self.op {
            Op::Set => noted = self.values,
            Op::Merge => noted.extend(self.values),
            Op::Delete => noted.retain(|name, _| !self.values.contains_key(name)),
            Op::Add => {
                for (name, value) in self.values {
                    let sum = noted.get(&name).and_then(|old| add(old, &value));
                    noted.insert(name, sum.unwrap_or(value));
                }
            }
        }
        (!noted.is_empty()).then_some(noted)
    }
}

/// How large values are, as JSON text.
#[must_use]
pub fn bytes_of(values: &Map<String, Value>) -> usize {
    serde_json::to_string(values).map_or(usize::MAX, |text| text.len())
}

fn add(old: &Value, new: &Value) -> Option<Value> {
    if let (Some(old), Some(new)) = (old.as_i64(), new.as_i64())
        && let Some(sum) = old.checked_add(new)
    {
        return Some(sum.into());
    }
    let sum = old.as_f64()? + new.as_f64()?;
    Number::from_f64(sum).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn update(kind: &str, op: &str, values: Value) -> Update {
        serde_json::from_value(json!({"kind": kind, "op": op, "values": values})).expect("it reads")
    }

    #[test]
    fn what_was_noted_is_merged_replaced_counted_and_removed() {
        let old = || match json!({"a": 1, "b": "x"}) {
            Value::Object(old) => Some(old),
            _ => None,
        };
        let cases = [
            (
                "merge",
                json!({"b": 2, "c": 3}),
                json!({"a": 1, "b": 2, "c": 3}),
            ),
            ("set", json!({"c": 3}), json!({"c": 3})),
            ("delete", json!({"b": null}), json!({"a": 1})),
            (
                "add",
                json!({"a": 2, "b": 1, "c": 0.5}),
                json!({"a": 3, "b": 1, "c": 0.5}),
            ),
            ("add", json!({"a": 0.5}), json!({"a": 1.5, "b": "x"})),
        ];
        for (op, values, expected) in cases {
            let noted = update("k", op, values).apply(old());
            assert_eq!(noted.map(Value::Object), Some(expected), "{op}");
        }
        assert_eq!(
            update("k", "delete", json!({"a": 0, "b": 0})).apply(old()),
            None
        );
        assert_eq!(update("k", "add", json!({})).apply(None), None);
    }

    #[test]
    fn reserved_and_large_kinds_are_refused() {
        let check = |kind: &str, values| update(kind, "set", values).check();
        assert_eq!(check("userland.default", json!({"a": 1})), Ok(()));
        assert_eq!(check(SCORE, json!({})), Ok(()));
        assert_eq!(
            check("inngest.http", json!({})),
            Err(MetadataError::Reserved("inngest.http".to_owned()))
        );
        assert_eq!(check("", json!({})), Err(MetadataError::Kind));
        let large = check("k", json!({"a": "x".repeat(65_536)}));
        assert_eq!(large, Err(MetadataError::TooLarge));
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        let deep: Value = serde_json::from_str(&deep).expect("it is JSON");
        assert_eq!(check("k", json!({"a": deep})), Err(MetadataError::TooDeep));
        let text = MetadataError::TooLarge.to_string();
        assert_eq!(text, "Metadata span exceeds maximum size of 64KB");
    }
}
