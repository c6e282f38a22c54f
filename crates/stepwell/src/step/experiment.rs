//! Experiments: a variant is picked once for each run, and what follows is recorded as part of it.
//!
//! ```
//! use stepwell::experiment::Choice;
//! # use stepwell::{Context, Error};
//! # async fn write(style: &str) -> Result<String, Error> { Ok(style.to_owned()) }
//!
//! async fn headline(ctx: Context) -> Result<String, Error> {
//!     let style = ctx
//!         .step()
//!         .experiment("headline-style", Choice::weighted([("plain", 3.0), ("bold", 1.0)]))
//!         .await?;
//!     // Steps that are made by the variant's own `step` are told apart by it.
//!     Ok(style.step().run("write", || write(style.name())).await?)
//! }
//! ```

use super::{RunStep, Slot, Step};
use crate::error::StepError;
use crate::execution::StepSpec;
use crate::{BoxFuture, Error};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use stepwell_protocol::StepId;
use stepwell_protocol::op::{Metadata, MetadataOp, MetadataScope, Opcode};

/// How one of several variants is picked.
pub struct Choice<'a> {
    names: Vec<String>,
    weights: Option<Vec<f64>>,
    strategy: &'static str,
    by: By<'a>,
}

enum By<'a> {
    Name(String),
    Run,
    Value(String),
    Code(Box<dyn FnOnce() -> BoxFuture<'a, Result<String, Error>> + Send + 'a>),
}

impl fmt::Debug for Choice<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Choice({} of {:?})", self.strategy, self.names)
    }
}

impl<'a> Choice<'a> {
    /// Always this variant, of these: to end an experiment, or to try one variant.
    pub fn fixed<N: Into<String>>(
        name: impl Into<String>,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            weights: None,
            strategy: "fixed",
            by: By::Name(name.into()),
        }
    }

    /// By chance, each variant as often as its weight says: the same for all attempts of a run.
    pub fn weighted<N: Into<String>>(variants: impl IntoIterator<Item = (N, f64)>) -> Self {
        Self::drawn("weighted", By::Run, variants)
    }

    /// By a value, each variant for as many values as its weight says: whoever has the same value, e.g. a user's id, gets
    /// the same variant in every run.
    pub fn bucket<N: Into<String>>(
        value: impl ToString,
        variants: impl IntoIterator<Item = (N, f64)>,
    ) -> Self {
        Self::drawn("bucket", By::Value(value.to_string()), variants)
    }

    fn drawn<N: Into<String>>(
        strategy: &'static str,
        by: By<'a>,
        variants: impl IntoIterator<Item = (N, f64)>,
    ) -> Self {
        let variants = variants.into_iter();
        let (names, weights) = variants.map(|(name, weight)| (name.into(), weight)).unzip();
        Self {
            names,
            weights: Some(weights),
            strategy,
            by,
        }
    }

    /// As this code says, which returns the name of one of the variants. It runs as a step does: once, but for retries.
    pub fn custom<N, F, Fut>(names: impl IntoIterator<Item = N>, code: F) -> Self
    where
        N: Into<String>,
        F: FnOnce() -> Fut + Send + 'a,
        Fut: Future<Output = Result<String, Error>> + Send + 'a,
    {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            weights: None,
            strategy: "custom",
            by: By::Code(Box::new(move || Box::pin(code()))),
        }
    }

    fn check(&self) -> Result<(), Error> {
        let mut sorted: Vec<&String> = self.names.iter().collect();
        sorted.sort();
        sorted.dedup();
        let weights = self.weights.as_deref().unwrap_or(&[1.0]);
        let problem = if self.names.is_empty() {
            "an experiment needs a variant"
        } else if sorted.len() != self.names.len() {
            "an experiment has each variant once"
        } else if !weights
            .iter()
            .all(|weight| weight.is_finite() && *weight >= 0.0)
        {
            "a variant's weight is a finite number, and not below zero"
        } else if weights.iter().all(|weight| *weight == 0.0) {
            "a variant's weight is above zero"
        } else {
            return Ok(());
        };
        Err(Error::new("InvalidExperiment", problem).non_retriable())
    }

    fn draw(&self, seed: &str) -> String {
        let weights = self.weights.iter().flatten().copied();
        let mut variants: Vec<(&String, f64)> = self.names.iter().zip(weights).collect();
        variants.sort_by_cached_key(|(name, _)| collated(name));
        let total: f64 = variants.iter().map(|(_, weight)| weight).sum();
        let drawn = share_of(seed);
        let mut sum = 0.0;
        let found = variants.iter().find(|(_, weight)| {
            sum += weight;
            drawn < sum / total
        });
        // The shares may add up to a little less than one.
        let (name, _) = found
            .or(variants.last())
            .expect("an experiment has a variant");
        (*name).clone()
    }
}

/// The order of names that all SDKs share: letters before their case.
fn collated(name: &str) -> (String, String) {
    let swapped = name.chars().map(|c| match c.is_uppercase() {
        true => c.to_lowercase().next().unwrap_or(c),
        false => c.to_uppercase().next().unwrap_or(c),
    });
    (name.to_lowercase(), swapped.collect())
}

/// A number from 0 to below 1, the same for the same text.
fn share_of(seed: &str) -> f64 {
    let digest = Sha256::digest(seed.as_bytes());
    let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    f64::from(first) / 4_294_967_296.0
}

impl Step {
    /// Picks a variant, and records it; see [the module](crate::experiment).
    ///
    /// # Errors
    /// [`StepError`] when there is no variant, a weight is not usable, or [`Choice::custom`] failed or picked none of the
    /// variants.
    pub fn experiment<'a>(&self, id: impl Into<String>, choice: Choice<'a>) -> Experiment<'a> {
        let id: String = id.into();
        let mut spec = StepSpec::new(id.clone(), Opcode::StepPlanned);
        spec.opts
            .insert("type".to_owned(), "group.experiment".into());
        let strategy = choice.strategy;
        let step = self.clone();
        let picked = self.code_step(spec, move |slot| {
            let execution = Arc::clone(slot.execution());
            Box::pin(async move {
                choice.check()?;
                let name = match &choice.by {
                    By::Name(name) => name.clone(),
                    By::Run => choice.draw(&execution.run.run_id.to_string()),
                    By::Value(value) => choice.draw(value),
                    By::Code(_) => String::new(),
                };
                let Choice {
                    names, weights, by, ..
                } = choice;
                let name = match by {
                    By::Code(code) => code().await?,
                    By::Name(_) | By::Run | By::Value(_) => name,
                };
                if !names.contains(&name) {
                    let message = format!(
                        "experiment \"{id}\" picked \"{name}\", which is none of its variants: {}",
                        names.join(", ")
                    );
                    return Err(Error::new("InvalidExperiment", message).non_retriable());
                }
                let mut values = Map::from_iter([
                    ("name".to_owned(), Value::from(id)),
                    ("variant".to_owned(), name.clone().into()),
                    ("selection_strategy".to_owned(), strategy.into()),
                    ("available_variants".to_owned(), json!(names)),
                ]);
                if let Some(weights) = weights {
                    let weights: Map<String, Value> = names
                        .into_iter()
                        .zip(weights.into_iter().map(Value::from))
                        .collect();
                    values.insert("variant_weights".to_owned(), weights.into());
                }
                execution.note(Metadata {
                    kind: "inngest.experiment".to_owned(),
                    op: MetadataOp::Set,
                    values,
                    scope: MetadataScope::Step,
                });
                Ok(name)
            })
        });
        Experiment {
            picked,
            step,
            strategy,
        }
    }
}

/// The future of [`Step::experiment`].
#[derive(Debug)]
#[must_use = "a step does nothing until it is awaited"]
pub struct Experiment<'a> {
    picked: RunStep<'a, String>,
    step: Step,
    strategy: &'static str,
}

impl Future for Experiment<'_> {
    type Output = Result<Variant, StepError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        Pin::new(&mut this.picked).poll(cx).map(|picked| {
            let name = picked?;
            Ok(Variant::new(
                this.picked.slot(),
                &this.step,
                this.strategy,
                name,
            ))
        })
    }
}

/// A variant that was picked.
#[derive(Debug, Clone)]
pub struct Variant {
    name: String,
    step: Step,
}

impl Variant {
    fn new(slot: &Slot, step: &Step, strategy: &str, name: String) -> Self {
        let id: StepId = slot.hash();
        let mut tags = step.tags.as_deref().cloned().unwrap_or_default();
        tags.extend([
            ("experimentStepID".to_owned(), id.to_string().into()),
            ("experimentName".to_owned(), slot.info().id.into()),
            ("variant".to_owned(), name.clone().into()),
            ("selectionStrategy".to_owned(), strategy.into()),
        ]);
        let step = Step {
            tags: Some(Arc::new(tags)),
            ..step.clone()
        };
        Self { name, step }
    }

    /// The variant's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes steps that are recorded as the variant's.
    #[must_use]
    pub fn step(&self) -> &Step {
        &self.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_gets_the_same_variant_and_weights_are_kept() {
        let pick = |value: usize| {
            Choice::bucket(value, [("b", 1.0), ("a", 3.0), ("never", 0.0)]).draw(&value.to_string())
        };
        let picked: Vec<String> = (0..1_000).map(pick).collect();
        assert_eq!(picked, (0..1_000).map(pick).collect::<Vec<_>>());
        let count = |name: &str| picked.iter().filter(|picked| *picked == name).count();
        assert!((700..800).contains(&count("a")), "{}", count("a"));
        assert_eq!(count("never"), 0);
    }

    #[test]
    fn hashes_are_those_of_the_other_sdks() {
        // The first eight hex digits of SHA-256("abc") are ba7816bf.
        assert!((share_of("abc") - f64::from(0xba78_16bf_u32) / 4_294_967_296.0).abs() < 1e-15);
        let mut names = ["b", "B", "a", "C", "A"];
        names.sort_by_key(|name| collated(name));
        assert_eq!(names, ["a", "A", "b", "B", "C"]);
    }

    #[test]
    fn what_cannot_be_picked_from_is_said() {
        let none: [(&str, f64); 0] = [];
        for (choice, problem) in [
            (Choice::weighted(none), "an experiment needs a variant"),
            (
                Choice::weighted([("a", f64::NAN)]),
                "a variant's weight is a finite number, and not below zero",
            ),
            (
                Choice::weighted([("a", 0.0)]),
                "a variant's weight is above zero",
            ),
            (
                Choice::fixed("a", ["a", "a"]),
                "an experiment has each variant once",
            ),
        ] {
            assert_eq!(choice.check().unwrap_err().to_string(), problem);
        }
    }
}
