//! A call: what a server sends to run a function on.

use crate::{FunctionId, RunId, SharedJson, StepId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The target of a call that discovers what comes next, rather than running one planned step.
pub const DISCOVERY: &str = "step";

/// The body of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallRequest {
    /// Where the run stands.
    pub ctx: CallContext,
    /// The first of the events.
    pub event: SharedJson,
    /// The events that started the run; empty with [`CallRequest::use_api`].
    #[serde(default)]
    pub events: Vec<SharedJson>,
    /// What the steps so far gave.
    #[serde(default)]
    pub steps: MemoizedSteps,
    /// What the run has deferred so far: by step, `{"abortable": bool}`.
    #[serde(default)]
    pub defers: serde_json::Map<String, serde_json::Value>,
    /// The run's request version, -1 on its first call.
    #[serde(default = "unknown_version")]
    pub version: i32,
    /// Events and steps were left out for their size: fetch them from `/v0/runs/{run}/batch` and `/actions`.
    #[serde(default)]
    pub use_api: bool,
}

fn unknown_version() -> i32 {
    -1
}

/// Where a run stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallContext {
    /// The function.
    pub fn_id: FunctionId,
    /// The run.
    pub run_id: RunId,
    /// The environment's name; empty for the only one.
    #[serde(default)]
    pub env: String,
    /// The target step, or [`DISCOVERY`].
    #[serde(default = "discovery")]
    pub step_id: String,
    /// Which attempt of this queue item, from 0.
    #[serde(default)]
    pub attempt: u32,
    /// How many attempts there are.
    #[serde(default = "one")]
    pub max_attempts: u32,
    /// The order in which steps completed.
    #[serde(default)]
    pub stack: Stack,
    /// Names the queue item in checkpoints; opaque.
    #[serde(default)]
    pub qi_id: String,
    /// The request.
    #[serde(default)]
    pub request_id: String,
    /// The dispatch of the queue item, increasing.
    #[serde(default)]
    pub generation_id: u64,
    /// The queue item.
    #[serde(default)]
    pub job_id: String,
    /// Whether steps must be planned rather than run at once.
    #[serde(default)]
    pub disable_immediate_execution: bool,
    /// See [`CallRequest::use_api`].
    #[serde(default)]
    pub use_api: bool,
}

fn discovery() -> String {
    DISCOVERY.to_owned()
}

fn one() -> u32 {
    1
}

/// The order in which steps completed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stack {
    /// Step ids in completion order.
    #[serde(default)]
    pub stack: Vec<StepId>,
    /// One past the index of the step whose completion caused this call, else 0.
    #[serde(default)]
    pub current: usize,
}

/// Step id → memoised value, in completion order. The value is `{"data":…}`, `{"error":…}`, `{"input":…}`, or
/// the value itself (a finished sleep is `null`).
#[derive(Debug, Clone, Default)]
pub struct MemoizedSteps(pub Vec<(StepId, SharedJson)>);

impl Serialize for MemoizedSteps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(id, value)| (id, value)))
    }
}

impl<'de> Deserialize<'de> for MemoizedSteps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = MemoizedSteps;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object of step ids and values")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(MemoizedSteps::default())
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut steps = Vec::with_capacity(map.size_hint().unwrap_or(0));
                while let Some((id, value)) =
                    map.next_entry::<StepId, Box<serde_json::value::RawValue>>()?
                {
                    steps.push((id, SharedJson::from(value)));
                }
                Ok(MemoizedSteps(steps))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl CallRequest {
    /// The body's JSON text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a call has only string keys and finite numbers")
    }

    /// Decodes a body.
    ///
    /// # Errors
    /// [`crate::DecodeError`] with the path of what does not fit.
    pub fn parse(body: &[u8]) -> Result<Self, crate::DecodeError> {
        crate::decode::from_slice(body)
    }
}
