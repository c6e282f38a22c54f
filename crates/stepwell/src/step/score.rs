//! Scores: how good a run was, as a number or a yes or no.

use super::{RunStep, Step};
use crate::execution::StepSpec;
use crate::{Client, Error};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use stepwell_protocol::RunId;
use stepwell_protocol::op::{Metadata, MetadataOp, MetadataScope, Opcode};

/// A score's name, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// A score: a name, and a number or a yes or no.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// What was judged.
    pub name: String,
    /// How good it was.
    pub value: ScoreValue,
}

/// How good something was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ScoreValue {
    /// Yes or no.
    Bool(bool),
    /// A number.
    Number(f64),
}

impl From<bool> for ScoreValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for ScoreValue {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl Score {
    /// A score.
    pub fn new(name: impl Into<String>, value: impl Into<ScoreValue>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }

    fn check(&self) -> Result<(), Error> {
        let name = &self.name;
        let problem = if name.trim().is_empty() {
            "a score needs a name".to_owned()
        } else if name.len() > NAME_BYTES_MAX {
            format!("a score's name has at most {NAME_BYTES_MAX} bytes")
        } else if name.chars().any(|c| c.is_control() || c == '\'') {
            "a score's name has no control characters and no single quotes".to_owned()
        } else if matches!(self.value, ScoreValue::Number(number) if !number.is_finite()) {
            format!("score '{name}' is not a finite number")
        } else {
            return Ok(());
        };
        Err(Error::new("InvalidScore", problem).non_retriable())
    }

    fn values(&self) -> Map<String, Value> {
        Map::from_iter([(self.name.clone(), json!({"value": self.value}))])
    }
}

impl Step {
    /// Records a score of this run, once.
    ///
    /// ```
    /// # use stepwell::{Context, Error, Score};
    /// # async fn handler(ctx: Context) -> Result<(), Error> {
    /// ctx.step().score("judge", Score::new("helpfulness", 0.8)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StepError`](crate::StepError) when the name is empty, has more than 128 bytes, a control character or a single
    /// quote, or the number is not finite.
    pub fn score(&self, id: impl Into<String>, score: Score) -> RunStep<'static, Score> {
        let mut spec = StepSpec::new(id, Opcode::StepPlanned);
        spec.name = Some("score".to_owned());
        self.code_step(spec, move |slot| {
            let execution = Arc::clone(slot.execution());
            Box::pin(async move {
                score.check()?;
                execution.note(Metadata {
                    kind: "inngest.score".to_owned(),
                    op: MetadataOp::Merge,
                    values: score.values(),
                    scope: MetadataScope::Run,
                });
                Ok(score)
            })
        })
    }
}

impl Client {
    /// Records a score of another run, also when it has ended.
    ///
    /// # Errors
    /// [`Error`] when the score is not valid, or the server does not take it.
    pub async fn score(&self, run: RunId, score: Score) -> Result<(), Error> {
        score.check()?;
        let note = json!({"kind": "inngest.score", "op": "merge", "values": score.values()});
        Ok(self.note_run(run, note).await?)
    }
}
