//! `mark-studio-cancelled`: what a cancelled run was for shows that it was cancelled.
//!
//! Nothing of a run executes any more once it is cancelled, so another function has to say so: it listens to the server's
//! `inngest/function.cancelled`.
//!
//! | step | does |
//! |---|---|
//! | `mark-canceled` | the workflow run with its nodes, or the job of a batch, becomes CANCELED, unless it has ended |

use super::{dry_run, fashion_item, process_workflow};
use crate::APP_ID;
use crate::events::studio::{ProcessFashionItem, WorkflowRequested};
use crate::functions::Deps;
use crate::functions::failure::classify;
use serde::Deserialize;
use serde_json::Value;
use stepwell::{Context, Error, Event, Function, State};
use studio233_db::{BatchJobId, BatchOutcome, DbError, WorkflowRunId};

/// The function's id.
pub const ID: &str = "mark-studio-cancelled";

/// What servers tell of a cancelled run, as far as it is needed.
#[derive(Deserialize)]
struct Cancelled {
    event: Started,
}

/// The event that had started it.
#[derive(Deserialize)]
struct Started {
    name: String,
    data: Value,
}

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    let ids = [process_workflow::ID, dry_run::ID, fashion_item::ID];
    let is_ours = ids.map(|id| format!("event.data.function_id == \"{APP_ID}-{id}\""));
    Function::new(ID)
        .name("Mark Cancelled Studio Runs")
        .on_event_if("inngest/function.cancelled", is_ours.join(" || "))
        .state(deps.clone())
        .handler(mark)
}

async fn mark(ctx: Context, deps: State<Deps>) -> Result<(), Error> {
    // A payload that was never one of ours has nothing to mark.
    let Ok(Cancelled { event }) = Cancelled::deserialize(ctx.data()) else {
        return Ok(());
    };
    let id = |key: &str| event.data.get(key).and_then(Value::as_str);
    let marked = ctx.step().run("mark-canceled", || async {
        let now_ms = deps.now_ms();
        let marked = if event.name == WorkflowRequested::NAME
            && let Some(run) = id("runId")
        {
            let run = WorkflowRunId::new(run);
            deps.database.cancel_run(&run, now_ms).await.map(drop)
        } else if event.name == ProcessFashionItem::NAME
            && let Some(job) = id("jobId")
        {
            let (job, canceled) = (BatchJobId::new(job), BatchOutcome::Canceled);
            let ended = deps.database.end_batch_job(&job, canceled, now_ms);
            ended.await.map(drop)
        } else {
            Ok(())
        };
        match marked {
            Ok(()) | Err(DbError::NoSuchRun { .. } | DbError::NoSuchBatchJob { .. }) => Ok(()),
            Err(error) => Err(classify(error)),
        }
    });
    Ok(marked.await?)
}
