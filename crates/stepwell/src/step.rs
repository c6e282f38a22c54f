//! Steps: the parts of a function whose results are recorded.

pub mod ai;
mod defer;
pub mod experiment;
mod fetch;
mod invoke;
mod publish;
mod run;
mod score;
mod signal;
mod sleep;
mod wait_for_event;

pub use defer::Deferral;
pub use fetch::{Fetch, FetchRequest, Fetched};
pub use invoke::Invoke;
pub use publish::Topic;
pub use run::{RunStep, Sent};
pub(crate) use run::{decode, to_json};
pub use score::{Score, ScoreValue};
pub use signal::WaitForSignal;
pub use sleep::Sleep;
pub use wait_for_event::WaitForEvent;

use crate::Error;
use crate::execution::{Execution, Slot, StepSpec};
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::op::{Metadata, MetadataOp, MetadataScope};
use stepwell_protocol::span;

/// What may be noted at once, in bytes.
const NOTE_BYTES_MAX: usize = 64 * 1024;

/// Makes steps. Get it from [`Context::step`](crate::Context::step).
///
/// A step is a future: nothing happens until it is awaited (or polled by `join!`, `select!` and the like), and
/// dropping it before its result is there cancels it, as in any async Rust. Several steps awaited together run
/// in parallel, each in a call of its own.
///
/// An id names a step in the run's record; using one again is another step, told apart by how often it was
/// used. Between steps, a function must do the same on every call: put whatever reads the world into a step.
#[derive(Debug, Clone)]
pub struct Step {
    execution: Arc<Execution>,
    /// What every step made by this says besides its own options.
    tags: Option<Arc<Map<String, Value>>>,
}

impl Step {
    pub(crate) fn new(execution: Arc<Execution>) -> Self {
        Self {
            execution,
            tags: None,
        }
    }

    pub(crate) fn execution(&self) -> &Arc<Execution> {
        &self.execution
    }

    fn slot(&self, mut spec: StepSpec) -> Slot {
        if let Some(tags) = &self.tags {
            spec.opts.extend((**tags).clone());
        }
        Slot::new(Arc::clone(&self.execution), spec)
    }

    /// Notes something about the step that executes, for people who look at the run: `kind` and a JSON object of at
    /// most 64 KiB. Call it in a step's code.
    ///
    /// It never fails the step: what cannot be noted is left out, and that is logged.
    ///
    /// ```
    /// # use stepwell::{Context, Error};
    /// # async fn handler(ctx: Context) -> Result<(), Error> {
    /// let step = ctx.step();
    /// step.run("resize", || async {
    ///     step.note("image", &serde_json::json!({"pixels": 1_200_000}));
    ///     Ok(())
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn note<T: Serialize>(&self, kind: &str, values: &T) {
        let problem = match serde_json::to_value(values) {
            Ok(Value::Object(values))
                if Value::Object(values.clone()).to_string().len() <= NOTE_BYTES_MAX =>
            {
                let noted = self.execution.note(Metadata {
                    kind: format!("userland.{kind}"),
                    op: MetadataOp::Merge,
                    values,
                    scope: MetadataScope::Step,
                });
                match noted {
                    true => return,
                    false => "it is not made in a step's code".to_owned(),
                }
            }
            Ok(Value::Object(_)) => format!("it has more than {NOTE_BYTES_MAX} bytes"),
            Ok(_) => "it is not a JSON object".to_owned(),
            Err(error) => format!("it cannot be written as JSON: {error}"),
        };
        tracing::warn!(kind, "a note is left out: {problem}");
    }
}

/// A value as JSON for an option of a step.
fn json_of<T: Serialize>(what: &str, value: &T) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|error| {
        let message = format!("{what} cannot be written as JSON: {error}");
        Error::new("SerializeError", message).non_retriable()
    })
}

/// A duration as ops carry it: whole milliseconds, rounded up.
fn time_string(duration: Duration) -> String {
    let ms = duration.as_nanos().div_ceil(1_000_000);
    span::format_ms(u64::try_from(ms).unwrap_or(u64::MAX))
}

macro_rules! step_options {
    ($(impl[$($generics:tt)*] $name:ty;)*) => {$(
        impl<$($generics)*> $name {
            /// A name for people; the id when none is given.
            pub fn named(mut self, name: impl Into<String>) -> Self {
                if let Some(spec) = self.slot.spec_mut() {
                    spec.display_name = Some(name.into());
                }
                self
            }

            /// The step takes part in a race (`select!`): the function goes on as soon as this step ends,
            /// rather than when all steps that were found with it have.
            pub fn in_race(mut self) -> Self {
                if let Some(spec) = self.slot.spec_mut() {
                    spec.opts.insert("parallelMode".to_owned(), serde_json::Value::from("race"));
                }
                self
            }
        }
    )*};
}

use step_options;
