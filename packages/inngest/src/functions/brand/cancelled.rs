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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::brand::{Classification, KnowledgeIngested};
    use crate::functions::fixture::{Fixture, make_workspace};
    use async_trait::async_trait;
    use std::sync::Arc;
    use studio233_ai::{Answer, EmbedError, Embedder, Purpose};
    use studio233_db::IndexingStatus;

    /// Is away.
    struct Away;

    #[async_trait]
    impl Embedder for Away {
        fn provider(&self) -> &str {
            "away"
        }

        fn batch_max(&self) -> usize {
            1_000
        }

        async fn embed(
            &self,
            _: &[String],
            _: Purpose,
        ) -> Result<Answer<Vec<Vec<f32>>>, EmbedError> {
            Err(EmbedError::Provider {
                provider: "away".to_owned(),
                transient: true,
                source: "come back later".into(),
            })
        }
    }

    #[tokio::test]
    async fn a_workspace_whose_document_was_cancelled_is_not_indexing() {
        let sample = include_bytes!("../../../../../samples/brand-guidelines.pdf");
        let mut fixture = Fixture::new().await;
        make_workspace(&fixture.deps).await;
        fixture
            .put("uploads/doc.pdf", &sample[..], "application/pdf")
            .await;
        fixture.deps.embedder = Arc::new(Away);
        let database = fixture.deps.database.clone();
        let status = async || {
            let workspace = database.workspace(&WorkspaceId::new("w")).await;
            workspace.unwrap().unwrap().indexing_status
        };
        let app = fixture.builder().start().await.unwrap();
        let sent = app.send(KnowledgeIngested {
            workspace_id: "w".to_owned(),
            asset_id: "a".to_owned(),
            url: "blob:uploads/doc.pdf".to_owned(),
            filename: "brand.pdf".to_owned(),
            classification: Classification::CoreBrandMark,
        });
        let sent = sent.await.unwrap();
        app.run_due().await.unwrap();
        assert_eq!(status().await, IndexingStatus::Indexing);

        let run = app.runs_of_event(sent).unwrap()[0].id();
        assert!(app.cancel(run).await.unwrap());
        app.settle().await.unwrap();
        assert_eq!(status().await, IndexingStatus::Idle);
        app.runs_of(ID).unwrap()[0]
            .assert_steps(["end-indexing"])
            .assert_completed();
    }
}
