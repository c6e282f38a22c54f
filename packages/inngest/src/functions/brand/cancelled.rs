//! `mark-brand-cancelled`: a document whose reading was cancelled is not being read any more.
//!
//! Nothing of a run executes once it is cancelled, so another function has to say so: it listens to the server's
//! `inngest/function.cancelled`.
//!
//! | step | does |
//! |---|---|
//! | `end-indexing` | the document counts as given up; the workspace is IDLE or FAILED once no other is being read |

use super::ingestion;
use crate::APP_ID;
use crate::functions::Deps;
use crate::functions::failure::classify;
use serde::Deserialize;
use stepwell::{Context, Error, Function, State};
use studio233_db::{AssetId, DbError, Indexed, WorkspaceId};

/// The function's id.
pub const ID: &str = "mark-brand-cancelled";

/// What servers tell of a cancelled run, as far as it is needed.
#[derive(Deserialize)]
struct Cancelled {
    event: Started,
}

/// The event that had started it.
#[derive(Deserialize)]
struct Started {
    data: Document,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    workspace_id: String,
    asset_id: String,
}

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    let is_ours = format!("event.data.function_id == \"{APP_ID}-{}\"", ingestion::ID);
    Function::new(ID)
        .name("Mark Cancelled Brand Runs")
        .on_event_if("inngest/function.cancelled", is_ours)
        .state(deps.clone())
        .handler(mark)
}

async fn mark(ctx: Context, deps: State<Deps>) -> Result<(), Error> {
    // A payload that was never one of ours was never begun.
    let Ok(Cancelled { event }) = Cancelled::deserialize(ctx.data()) else {
        return Ok(());
    };
    let ended = ctx.step().run("end-indexing", || async {
        let workspace = WorkspaceId::new(&event.data.workspace_id);
        let asset = AssetId::new(&event.data.asset_id);
        let ended = deps
            .database
            .end_indexing(&workspace, &asset, Indexed::Done, deps.now_ms());
        match ended.await {
            Ok(_) | Err(DbError::NoSuchWorkspace { .. }) => Ok(()),
            Err(error) => Err(classify(error)),
        }
    });
    Ok(ended.await?)
}
