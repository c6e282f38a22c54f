//! Events as functions get them.

use super::{Event, ValidationIssue, list, shape};
use crate::moment::Moment;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::ops::Deref;
use stepwell_protocol::event::{
    DEFERRED_SCHEDULE, Event as WireEvent, FUNCTION_FAILED, FUNCTION_INVOKED,
};
use stepwell_protocol::{RunId, UserError};

/// The event that a function runs for.
#[derive(Debug, Clone)]
pub struct Received<E> {
    /// The sender's id, or the server's when it gave none.
    pub id: String,
    /// The event's name.
    pub name: String,
    /// When it happened.
    pub at: Moment,
    /// The version of the data's shape, as sent.
    pub version: Option<String>,
    /// What happened.
    pub data: E,
    /// The run that invoked or [deferred](crate::Step::defer) this one.
    pub parent: Option<Parent>,
}

/// The run that invoked or deferred another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The public id of its function, `<app>-<function>`.
    pub function_id: String,
    /// The run.
    pub run_id: RunId,
}

impl Parent {
    /// What the server adds to the data of events by which runs start runs.
    fn take(wire: &mut WireEvent) -> Option<Self> {
        if ![FUNCTION_INVOKED, DEFERRED_SCHEDULE].contains(&&*wire.name) {
            return None;
        }
        let added = wire.data.as_object_mut()?.remove("_inngest")?;
        let text = |key: &str| added.get(key).and_then(Value::as_str);
        // An invocation names its run within the id by which it is answered: `<run>.<step>`.
        let run = text("parent_run_id").or_else(|| text("correlation_id")?.split('.').next())?;
        Some(Self {
            function_id: text("parent_fn_slug")
                .or_else(|| text("source_fn_id"))?
                .to_owned(),
            run_id: run.parse().ok()?,
        })
    }
}

/// An event's data is not what the function takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event '{name}' is not valid: {}", list(issues))]
pub struct InvalidEvent {
    /// The event's name.
    pub name: String,
    /// All that is wrong, as far as it can be told.
    pub issues: Vec<ValidationIssue>,
}

/// What a handler may take as its event's data: any [`Event`], a family of them (an enum that derives [`Event`]),
/// [`Json<T>`] for any other type, or [`serde_json::Value`] for data of any shape.
///
/// [`Event`]: macro@crate::Event
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a function takes as its event's data",
    label = "derive `stepwell::Event` for it, or write `Json<{Self}>`"
)]
pub trait Payload: Sized + Send + Sync + 'static {
    /// Decodes and checks an event's data.
    ///
    /// # Errors
    /// Every value that is not as it must be.
    fn from_event(name: &str, data: Value) -> Result<Self, Vec<ValidationIssue>>;
}

impl Payload for Value {
    fn from_event(_: &str, data: Value) -> Result<Self, Vec<ValidationIssue>> {
        Ok(data)
    }
}

impl<E: Event> Payload for E {
    fn from_event(_: &str, data: Value) -> Result<Self, Vec<ValidationIssue>> {
        // Decoding stops at its first error; the schema then finds the others.
        match stepwell_protocol::decode::from_value::<E>(data.clone()) {
            Ok(event) => {
                event.validate()?;
                Ok(event)
            }
            Err(error) => {
                let mut issues = shape::check(&data, E::schema().as_value());
                let path = if error.path == "." { "" } else { &error.path };
                if !issues.iter().any(|issue| issue.path.starts_with(path)) {
                    let first = ValidationIssue {
                        path: path.to_owned(),
                        message: error.message,
                    };
                    issues.insert(0, first);
                }
                Err(issues)
            }
        }
    }
}

/// Data of any type that serde reads, where no event's name goes with it: what a function takes that is only
/// [invoked](crate::FunctionBuilder::on_invoke_with) or [deferred](crate::FunctionBuilder::on_deferred).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json<T>(pub T);

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Payload for Json<T> {
    fn from_event(_: &str, data: Value) -> Result<Self, Vec<ValidationIssue>> {
        stepwell_protocol::decode::from_value(data)
            .map(Self)
            .map_err(|error| {
                let path = if error.path == "." { "" } else { &error.path };
                vec![ValidationIssue {
                    path: path.to_owned(),
                    message: error.message,
                }]
            })
    }
}

impl<E: Payload> Received<E> {
    /// Decodes one event of a call.
    pub(crate) fn decode(raw: &RawValue) -> Result<Self, InvalidEvent> {
        let invalid = |name: &str, issues| InvalidEvent {
            name: name.to_owned(),
            issues,
        };
        let mut wire: WireEvent = stepwell_protocol::decode::from_slice(raw.get().as_bytes())
            .map_err(|error| {
                let issue = ValidationIssue {
                    path: String::new(),
                    message: format!("not an event: {error}"),
                };
                invalid("?", vec![issue])
            })?;
        let parent = Parent::take(&mut wire);
        let data =
            E::from_event(&wire.name, wire.data).map_err(|issues| invalid(&wire.name, issues))?;
        Ok(Self {
            id: wire.id.unwrap_or_default(),
            name: wire.name,
            at: Moment::from_unix_ms(wire.ts.unwrap_or_default()),
            version: wire.v,
            data,
            parent,
        })
    }
}

/// The event of a schedule: what a function with [`cron`](crate::FunctionBuilder::cron) triggers gets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CronTick {
    /// The cron expression.
    #[serde(default)]
    pub cron: String,
    /// When it was due.
    #[serde(default, rename = "scheduledAt")]
    pub scheduled_at: Option<Moment>,
    /// When it was started: later than due by the schedule's jitter.
    #[serde(default, rename = "fireAt")]
    pub fire_at: Option<Moment>,
}

impl Event for CronTick {
    const NAME: &'static str = "inngest/scheduled.timer";
    const VERSION: Option<&'static str> = None;

    fn validate(&self) -> Result<(), Vec<ValidationIssue>> {
        Ok(())
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "object"})
    }
}

/// The event of a run that failed: what an [`on_failure`](crate::FunctionBuilder::on_failure) handler gets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FunctionFailed {
    /// The public id of the function that failed.
    pub function_id: String,
    /// The run that failed.
    pub run_id: String,
    /// Its error.
    pub error: UserError,
    /// The event that it ran for.
    #[serde(default)]
    pub event: Value,
}

impl Event for FunctionFailed {
    const NAME: &'static str = FUNCTION_FAILED;
    const VERSION: Option<&'static str> = None;

    fn validate(&self) -> Result<(), Vec<ValidationIssue>> {
        Ok(())
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "object"})
    }
}
