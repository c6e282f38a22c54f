//! Ops: what an SDK reports from a call.

use crate::decode::null_as_default;
pub use crate::metadata::Op as MetadataOp;
use crate::{SharedJson, StepId, UserError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt;

/// What an op asks for or reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// Nothing.
    None,
    /// A step has run; its data is wrapped by the server.
    StepRun,
    /// A step has run; its data is wrapped by the SDK (legacy).
    Step,
    /// A step failed and may be tried again.
    StepError,
    /// A step failed for good.
    StepFailed,
    /// A step wants a call of its own.
    StepPlanned,
    /// Sleep.
    Sleep,
    /// Wait for an event.
    WaitForEvent,
    /// Wait for a signal.
    WaitForSignal,
    /// Run another function and wait for its end.
    InvokeFunction,
    /// Have the server make a request to an AI provider.
    AiGateway,
    /// Have the server make an HTTP request.
    Gateway,
    /// The function has returned.
    RunComplete,
    /// A durable endpoint has answered.
    SyncRunComplete,
    /// Call again.
    DiscoveryRequest,
    /// Schedule a run for when this one ends.
    DeferAdd,
    /// Unschedule it.
    DeferAbort,
}

const OPCODES: [(Opcode, &str); 17] = [
    (Opcode::None, "None"),
    (Opcode::StepRun, "StepRun"),
    (Opcode::Step, "Step"),
    (Opcode::StepError, "StepError"),
    (Opcode::StepFailed, "StepFailed"),
    (Opcode::StepPlanned, "StepPlanned"),
    (Opcode::Sleep, "Sleep"),
    (Opcode::WaitForEvent, "WaitForEvent"),
    (Opcode::WaitForSignal, "WaitForSignal"),
    (Opcode::InvokeFunction, "InvokeFunction"),
    (Opcode::AiGateway, "AIGateway"),
    (Opcode::Gateway, "Gateway"),
    (Opcode::RunComplete, "RunComplete"),
    (Opcode::SyncRunComplete, "SyncRunComplete"),
    (Opcode::DiscoveryRequest, "DiscoveryRequest"),
    (Opcode::DeferAdd, "DeferAdd"),
    (Opcode::DeferAbort, "DeferAbort"),
];

impl Opcode {
    /// The op's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        OPCODES
            .iter()
            .find(|(opcode, _)| *opcode == self)
            .map_or("None", |(_, name)| name)
    }

    /// The op of this name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        OPCODES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(opcode, _)| *opcode)
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for Opcode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Opcode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&name).ok_or_else(|| serde::de::Error::custom(format!("unknown op '{name}'")))
    }
}

/// One op.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Op {
    /// The step; empty for ops that concern none.
    #[serde(default = "no_id")]
    pub id: StepId,
    /// What it is.
    pub op: Opcode,
    /// The step's name; for a sleep, how long.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// The step's name for people.
    #[serde(
        default,
        rename = "displayName",
        skip_serializing_if = "Option::is_none"
    )]
    pub display_name: Option<String>,
    /// What depends on the op.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opts: Option<Map<String, Value>>,
    /// A result.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub data: Option<SharedJson>,
    /// An error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<UserError>,
    /// When it ran and for how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// The step's id as the user wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userland: Option<Userland>,
    /// What the SDK notes of the step or its run. What does not read is left out: it is no reason to refuse an answer.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "readable"
    )]
    pub metadata: Vec<Metadata>,
}

/// Something that an SDK notes of a step or a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// What it is: `inngest.…` by agreement of SDKs and servers, `userland.…` by the user's.
    pub kind: String,
    /// What becomes of what was noted before under the kind.
    #[serde(default)]
    pub op: MetadataOp,
    /// What is noted.
    #[serde(default, deserialize_with = "null_as_default")]
    pub values: Map<String, Value>,
    /// What it is about.
    #[serde(default)]
    pub scope: MetadataScope,
}

/// What metadata of an op is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetadataScope {
    /// The step.
    #[default]
    Step,
    /// Its run.
    Run,
    /// The attempt at hand.
    StepAttempt,
}

/// When a step ran: nanoseconds since the Unix epoch, and its duration in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// The start.
    #[serde(default)]
    pub a: f64,
    /// The duration.
    #[serde(default)]
    pub b: f64,
}

/// A step's id as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Userland {
    /// The id.
    #[serde(default, deserialize_with = "null_as_default")]
    pub id: String,
    /// Which use of it, from 0.
    #[serde(default, deserialize_with = "null_as_default")]
    pub index: u64,
}

fn no_id() -> StepId {
    StepId::parse("")
}

/// The entries of a list that read.
fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Metadata>, D::Error> {
    let Value::Array(entries) = Value::deserialize(deserializer)? else {
        return Ok(Vec::new());
    };
    let entries = entries.into_iter().map(serde_json::from_value);
    Ok(entries.filter_map(Result::ok).collect())
}

/// Keeps an explicit `null` apart from an absent field.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SharedJson>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(|raw| Some(SharedJson::from(raw)))
}

impl Op {
    /// An op of this kind for this step, with nothing else set.
    #[must_use]
    pub fn new(op: Opcode, id: StepId, name: impl Into<String>) -> Self {
        Self {
            id,
            op,
            name: name.into(),
            display_name: None,
            opts: None,
            data: None,
            error: None,
            timing: None,
            userland: None,
            metadata: Vec::new(),
        }
    }

    /// A text option.
    #[must_use]
    pub fn option(&self, key: &str) -> Option<&str> {
        self.opts.as_ref()?.get(key)?.as_str()
    }

    /// The name to show: the display name, else the user's id, else the name.
    #[must_use]
    pub fn title(&self) -> &str {
        let named = self.display_name.as_deref().filter(|name| !name.is_empty());
        named
            .or_else(|| self.userland.as_ref().map(|userland| userland.id.as_str()))
            .unwrap_or(&self.name)
    }
}

/// Decodes an answer's ops: an array, or a single op.
///
/// # Errors
/// [`crate::DecodeError`] with the path of the first op that does not fit.
pub fn parse_ops(body: &[u8]) -> Result<Vec<Op>, crate::DecodeError> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
        return crate::decode::from_slice::<Op>(body).map(|op| vec![op]);
    }
    crate::decode::from_slice(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_are_read_in_any_case_and_form() {
        let ops = parse_ops(br#" {"op":"steprun","id":"x","data":null}"#).unwrap();
        assert_eq!(ops[0].op, Opcode::StepRun);
        assert_eq!(ops[0].data.as_ref().map(|data| data.get()), Some("null"));
        assert_eq!(parse_ops(b"[]").unwrap().len(), 0);
        let error = parse_ops(br#"[{"op":"Sleep"},{"op":"StepNotFound"}]"#).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("[1].op: unknown op 'StepNotFound'"),
            "{error}"
        );
    }

    #[test]
    fn metadata_that_does_not_read_is_left_out() {
        let ops = parse_ops(
            br#"[{"op":"StepRun","id":"x","metadata":[
            {"kind":"userland.a","op":"set","scope":"run","values":{"a":1}},
            {"kind":"userland.b","values":null},
            {"kind":"userland.c","scope":"somewhere"}, 5]},
            {"op":"StepRun","id":"y","metadata":null}]"#,
        );
        let ops = ops.unwrap();
        let read: Vec<_> = ops[0]
            .metadata
            .iter()
            .map(|one| (&*one.kind, one.op, one.scope, one.values.len()))
            .collect();
        assert_eq!(
            read,
            [
                ("userland.a", MetadataOp::Set, MetadataScope::Run, 1),
                ("userland.b", MetadataOp::Merge, MetadataScope::Step, 0)
            ]
        );
        assert!(ops[1].metadata.is_empty());
    }

    #[test]
    fn every_opcode_reads_back() {
        for (opcode, name) in OPCODES {
            assert_eq!(Opcode::parse(name), Some(opcode));
            assert_eq!(opcode.to_string(), name);
        }
    }
}
