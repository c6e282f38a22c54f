//! A function's configuration as an app registers it.
//!
//! Keys are matched without regard to case, since SDKs differ there; unknown keys are ignored. Durations and
//! expressions are still text here: checking them is the server's business.

use crate::decode::null_as_default;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One function of a registration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FunctionConfig {
    /// The public id, `<app>-<function>`.
    #[serde(default)]
    pub id: String,
    /// The name for people; the id when absent.
    #[serde(default)]
    pub name: String,
    /// What starts it; none means that it can only be invoked.
    #[serde(default, deserialize_with = "null_as_default")]
    pub triggers: Vec<Trigger>,
    /// Exactly one, under the key `step`: where the function is called.
    #[serde(default, deserialize_with = "null_as_default")]
    pub steps: BTreeMap<String, StepConfig>,
    /// Retries, when the step does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// An expression whose value lets an event through once in 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<String>,
    /// Runs for several events at once.
    #[serde(
        default,
        rename(serialize = "batchEvents", deserialize = "batchevents"),
        skip_serializing_if = "Option::is_none"
    )]
    pub batch_events: Option<Batch>,
    /// Drops starts over a rate.
    #[serde(
        default,
        rename(serialize = "rateLimit", deserialize = "ratelimit"),
        skip_serializing_if = "Option::is_none"
    )]
    pub rate_limit: Option<RateLimit>,
    /// Delays starts over a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Throttle>,
    /// Waits until events stop coming.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounce: Option<Debounce>,
    /// How much may execute at once.
    #[serde(default, skip_serializing_if = "Concurrency::is_empty")]
    pub concurrency: Concurrency,
    /// Which runs go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// At most one run at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub singleton: Option<Singleton>,
    /// Events that end a run.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub cancel: Vec<CancelOn>,
    /// How long a run may wait and take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Informational.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Value>,
}

/// What starts a function: an event or a schedule.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Trigger {
    /// An event name, or a pattern that ends in `/*` or `.*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Which of the events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// A five-field cron expression, optionally with `TZ=Area/City ` in front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Spreads a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
}

/// Where a function is called.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StepConfig {
    /// `step`.
    #[serde(default)]
    pub id: String,
    /// `step`.
    #[serde(default)]
    pub name: String,
    /// The address.
    #[serde(default)]
    pub runtime: Runtime,
    /// Retries of each step and of the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
}

/// The address of a function.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Runtime {
    /// `http` or `ws`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// The SDK's URL with `fnId` and `stepId`.
    #[serde(default)]
    pub url: String,
}

/// Retries, despite the field's name: attempts are one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retries {
    /// Retries after the first attempt.
    #[serde(default)]
    pub attempts: u32,
}

/// Runs for several events at once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Batch {
    /// Events of a full batch.
    #[serde(default, rename(serialize = "maxSize", deserialize = "maxsize"))]
    pub max_size: u32,
    /// How long after its first event a batch closes anyway.
    #[serde(default)]
    pub timeout: String,
    /// A batch for each value of this expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Events for which this is not true start a run alone.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// Drops starts over a rate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RateLimit {
    /// Starts in a period.
    #[serde(default)]
    pub limit: u32,
    /// The period.
    #[serde(default)]
    pub period: String,
    /// A bucket for each value of this expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Delays starts over a rate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Throttle {
    /// Starts in a period.
    #[serde(default)]
    pub limit: u32,
    /// The period.
    #[serde(default)]
    pub period: String,
    /// Starts that may come at once on top.
    #[serde(default)]
    pub burst: u32,
    /// A bucket for each value of this expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Waits until events stop coming.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Debounce {
    /// The quiet time.
    #[serde(default)]
    pub period: String,
    /// A window for each value of this expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The longest delay from the first event on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// How much of a function may execute at once: runs, and steps.
///
/// Limits on steps alone are written as a list, the form that every server reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Concurrency {
    /// Limits on whole runs.
    pub runs: Vec<ConcurrencyLimit>,
    /// Limits on executing steps.
    pub steps: Vec<ConcurrencyLimit>,
}

impl Serialize for Concurrency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Split<'a> {
            #[serde(rename = "fn")]
            runs: &'a [ConcurrencyLimit],
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            step: &'a [ConcurrencyLimit],
        }
        if self.runs.is_empty() {
            return self.steps.serialize(serializer);
        }
        let split = Split {
            runs: &self.runs,
            step: &self.steps,
        };
        split.serialize(serializer)
    }
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConcurrencyLimit {
    /// How many at once; 0 means the server's default.
    #[serde(default)]
    pub limit: u32,
    /// A separate limit for each value of this expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `fn`, `env` or `account`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl Concurrency {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.steps.is_empty()
    }
}

impl<'de> Deserialize<'de> for Concurrency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "expected a number, a limit, a list of limits, or {fn, step}"
        )]
        enum Limits {
            Number(u32),
            List(Vec<ConcurrencyLimit>),
            One(ConcurrencyLimit),
        }
        #[derive(Deserialize)]
        struct Split {
            #[serde(default, rename = "fn")]
            runs: Option<Limits>,
            #[serde(default)]
            step: Option<Limits>,
        }
        fn list(limits: Limits) -> Vec<ConcurrencyLimit> {
            match limits {
                Limits::Number(limit) => vec![ConcurrencyLimit {
                    limit,
                    ..ConcurrencyLimit::default()
                }],
                Limits::One(limit) => vec![limit],
                Limits::List(limits) => limits,
            }
        }
        let value = Value::deserialize(deserializer)?;
        let custom = serde::de::Error::custom::<serde_json::Error>;
        match &value {
            Value::Null => Ok(Self::default()),
            Value::Object(fields) if fields.contains_key("fn") || fields.contains_key("step") => {
                let split: Split = serde_json::from_value(value).map_err(custom)?;
                Ok(Self {
                    runs: split.runs.map(list).unwrap_or_default(),
                    steps: split.step.map(list).unwrap_or_default(),
                })
            }
            _ => {
                let limits: Limits = serde_json::from_value(value).map_err(custom)?;
                Ok(Self {
                    runs: Vec::new(),
                    steps: list(limits),
                })
            }
        }
    }
}

/// Which runs go first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Priority {
    /// An expression that gives seconds of head start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// At most one run at a time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Singleton {
    /// One for each value of this expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `skip` or `cancel`.
    #[serde(default)]
    pub mode: String,
}

/// An event that ends a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CancelOn {
    /// The event's exact name.
    #[serde(default)]
    pub event: String,
    /// Which of the events, over `event` (what started the run) and `async` (what ends it).
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Until when, as a duration or a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// How long a run may wait and take.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timeouts {
    /// From scheduling to the first call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// From the first call to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<String>,
}

/// Lower-cases every key of an object, deeply: SDKs write `batchEvents`, `BatchEvents` and `batchevents`.
#[must_use]
pub fn lower_keys(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(key, value)| (key.to_lowercase(), lower_keys(value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(lower_keys).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn concurrency(value: Value) -> Concurrency {
        crate::decode::from_value(value).unwrap()
    }

    #[test]
    fn concurrency_comes_in_four_forms() {
        let limit = |limit| ConcurrencyLimit {
            limit,
            ..ConcurrencyLimit::default()
        };
        assert_eq!(concurrency(json!(5)).steps, [limit(5)]);
        assert_eq!(concurrency(json!({"limit": 5})).steps, [limit(5)]);
        assert_eq!(
            concurrency(json!([{"limit": 5}, {"limit": 1}])).steps,
            [limit(5), limit(1)]
        );
        let split = concurrency(json!({"fn": [{"limit": 2}], "step": 3}));
        assert_eq!((split.runs, split.steps), (vec![limit(2)], vec![limit(3)]));
        assert!(concurrency(json!({"fn": [], "step": []})).is_empty());
        assert!(crate::decode::from_value::<Concurrency>(json!("five")).is_err());
    }

    #[test]
    fn concurrency_is_written_in_the_simplest_form_and_reads_back() {
        for text in [
            r#"[{"limit":5}]"#,
            r#"{"fn":[{"limit":2}],"step":[{"limit":3}]}"#,
            r#"{"fn":[{"limit":2}]}"#,
        ] {
            let read: Concurrency = crate::decode::from_slice(text.as_bytes()).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }

    #[test]
    fn keys_match_in_any_case() {
        let config: FunctionConfig = crate::decode::from_value(lower_keys(
            json!({"ID": "a-f", "BatchEvents": {"MaxSize": 3}, "Singleton": {"mode": "skip"}}),
        ))
        .unwrap();
        assert_eq!(config.batch_events.unwrap().max_size, 3);
        assert_eq!(config.singleton.unwrap().mode, "skip");
    }
}
