//! Deferring: a run of another function when this one ends.

use super::{Step, json_of};
use crate::execution::Execution;
use crate::function::FunctionRef;
use serde::Serialize;
use serde_json::Map;
use std::sync::Arc;
use stepwell_protocol::StepId;
use stepwell_protocol::op::{Op, Opcode, Userland};

/// A run that is scheduled when the one at hand ends, however it ends.
#[derive(Debug, Clone)]
pub struct Deferral {
    execution: Arc<Execution>,
    id: StepId,
}

impl Step {
    /// Has another function run when this run ends, however it ends. The function is one with
    /// [`on_deferred`](crate::FunctionBuilder::on_deferred).
    ///
    /// Nothing is awaited, and nothing fails: what cannot be deferred (an id that was used before, more than 20 in a run,
    /// data that is no JSON object) is left out, and that is logged.
    ///
    /// ```
    /// # use stepwell::{Context, Error, FunctionRef};
    /// const SCORE: FunctionRef<serde_json::Value, ()> = FunctionRef::new("score-answer");
    ///
    /// async fn answer(ctx: Context) -> Result<String, Error> {
    ///     let answer = ctx.step().run("answer", || async { Ok("42".to_owned()) }).await?;
    ///     ctx.step().defer("score", SCORE, serde_json::json!({"answer": answer}));
    ///     Ok(answer)
    /// }
    /// ```
    pub fn defer<I: Serialize, O>(
        &self,
        id: impl Into<String>,
        function: FunctionRef<I, O>,
        data: I,
    ) -> Deferral {
        let (id, execution) = (id.into(), &self.execution);
        let hash = StepId::of(&id, 0);
        let mut op = Op::new(Opcode::DeferAdd, hash.clone(), "defer");
        op.display_name = Some(id.clone());
        op.userland = Some(Userland {
            id: id.clone(),
            index: 0,
        });
        let input = match json_of("the data", &data) {
            Ok(input) if input.is_object() => Ok(input),
            Ok(_) => Err("the data is not a JSON object".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let deferred = input.and_then(|input| {
            let slug = function.public_id(execution.client.app_id());
            op.opts = Some(Map::from_iter([
                ("fn_slug".to_owned(), slug.into()),
                ("input".to_owned(), input),
            ]));
            execution.defer(op)
        });
        if let Err(problem) = deferred {
            tracing::error!(run = %execution.run.run_id, id, "nothing is deferred: {problem}");
        }
        Deferral {
            execution: Arc::clone(execution),
            id: hash,
        }
    }
}

impl Deferral {
    /// Takes it back: nothing runs.
    pub fn abort(&self) {
        self.execution.abort_deferral(&self.id);
    }
}
