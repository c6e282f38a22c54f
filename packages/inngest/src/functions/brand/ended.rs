//! `mark-brand-ended`: a document whose reading was cancelled, or failed where nothing of it executed, is not being read
//! any more.
//!
//! A run that fails in its handler says so itself. One that is cancelled, or whose payload cannot be read, that goes beyond
//! a limit of the server or whose app is gone, cannot: this function does it, told by the server.
//!
//! | step | does |
//! |---|---|
//! | `end-indexing` | the document counts as given up, or as failed; the workspace is IDLE or FAILED once nothing else is being read |
//!
//! What other runs read, of the same document too, goes on being read.

use super::ingestion;
use crate::functions::Deps;
use crate::functions::ending::{self, Ending, How};
use crate::functions::failure::classify;
use stepwell::{Context, Error, Function, State};
use studio233_db::{AssetId, DbError, Indexed, IndexingRun, WorkspaceId};

/// The function's id.
pub const ID: &str = "mark-brand-ended";

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    ending::function(ID, &[ingestion::ID])
        .name("Mark Ended Brand Runs")
        .state(deps.clone())
        .handler(mark)
}

async fn mark(ctx: Context, deps: State<Deps>) -> Result<(), Error> {
    let Some(ending) = Ending::of(&ctx) else {
        return Ok(());
    };
    // What names no document has begun to read none.
    let (Some(workspace), Some(asset)) = (ending.text("workspaceId"), ending.text("assetId"))
    else {
        return Ok(());
    };
    let ended = ctx.step().run("end-indexing", || async {
        let run = IndexingRun {
            workspace_id: &WorkspaceId::new(workspace),
            asset_id: &AssetId::new(asset),
            run_id: &ending.run_id,
        };
        let how = match ending.how {
            How::Cancelled => Indexed::GivenUp,
            How::Failed(_) => Indexed::Failed,
        };
        let ended = deps.database.end_indexing(run, how, deps.now_ms());
        match ended.await {
            Ok(_) | Err(DbError::NoSuchWorkspace { .. }) => Ok(()),
            Err(error) => Err(classify(error)),
        }
    });
    Ok(ended.await?)
}

#[cfg(test)]
mod tests;
