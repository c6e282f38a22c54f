//! `mark-studio-ended`: what a run was for shows that it was cancelled, or that it failed where nothing of it executed.
//!
//! A run that fails in its handler marks what it was for itself. One that is cancelled, or whose payload cannot be read,
//! that goes beyond a limit of the server or whose app is gone, cannot: this function does it, told by the server.
//!
//! | step | does |
//! |---|---|
//! | `mark-canceled` | the workflow run with its nodes, or the job of a batch, becomes CANCELED |
//! | `mark-failed` | it becomes FAILED, with the error |
//!
//! What has ended stays as it is.

use super::{dry_run, fashion_item, process_workflow};
use crate::functions::Deps;
use crate::functions::ending::{self, Ending, How};
use crate::functions::failure::classify;
use stepwell::{Context, Error, Function, State};
use studio233_db::{BatchJobId, BatchOutcome, DbError, WorkflowRunId};

/// The function's id.
pub const ID: &str = "mark-studio-ended";

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    let ended = [process_workflow::ID, dry_run::ID, fashion_item::ID];
    ending::function(ID, &ended)
        .name("Mark Ended Studio Runs")
        .state(deps.clone())
        .handler(mark)
}

async fn mark(ctx: Context, deps: State<Deps>) -> Result<(), Error> {
    let Some(ending) = Ending::of(&ctx) else {
        return Ok(());
    };
    let step = match ending.how {
        How::Cancelled => "mark-canceled",
        How::Failed(_) => "mark-failed",
    };
    let marked = ctx.step().run(step, || async {
        match mark_ended(&deps, &ending).await {
            // What is not there shows nothing.
            Ok(()) | Err(DbError::NoSuchRun { .. } | DbError::NoSuchBatchJob { .. }) => Ok(()),
            Err(error) => Err(classify(error)),
        }
    });
    Ok(marked.await?)
}

async fn mark_ended(deps: &Deps, ending: &Ending) -> Result<(), DbError> {
    let (database, now_ms) = (&deps.database, deps.now_ms());
    if ending.function_id == fashion_item::ID {
        let Some(job) = ending.text("jobId").map(BatchJobId::new) else {
            return Ok(());
        };
        let outcome = match &ending.how {
            How::Cancelled => BatchOutcome::Canceled,
            How::Failed(message) => BatchOutcome::Failed(message),
        };
        let ended = database.end_batch_job(&job, outcome, now_ms).await;
        return ended.map(drop);
    }
    let Some(run) = ending.text("runId").map(WorkflowRunId::new) else {
        return Ok(());
    };
    let ended = match &ending.how {
        How::Cancelled => database.cancel_run(&run, now_ms).await,
        How::Failed(message) => database.fail_run(&run, message, now_ms).await,
    };
    ended.map(drop)
}

#[cfg(test)]
mod tests;
