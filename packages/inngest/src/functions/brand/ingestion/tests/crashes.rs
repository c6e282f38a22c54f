//! Crashes at every commit.

use super::*;
use crate::functions::brand::synthesize;
use crate::functions::fixture::Fixture;
use std::sync::atomic::AtomicU32;
use stepwell::testing::{TestError, assert_survives_crashes};

/// One page of text.
const SHORT: &[u8] = include_bytes!("../../../../../../rag/tests/files/generated.pdf");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_survives_crashes_on_sqlite() {
    survives_crashes(Fixture::new().await, SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_survives_crashes_on_postgres() {
    survives_crashes(Fixture::on_postgres().await, SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_survives_crashes() {
    let picture = pdf_of("1 0 0 rg 10 10 100 100 re f");
    survives_crashes(Fixture::new().await, &picture).await;
}

/// Reads a document of one piece.
async fn survives_crashes(fixture: Fixture, file: &[u8]) {
    fixture
        .put("uploads/doc.pdf", file.to_vec(), "application/pdf")
        .await;
    let database = &fixture.deps.database;
    // Each play has a workspace of its own, in one database: the virtual time of all begins alike.
    let plays = AtomicU32::new(0);
    let crashes = assert_survives_crashes(
        || fixture.builder().real_time_max(Duration::from_secs(300)),
        async |app| {
            let id = format!("w{}", plays.fetch_add(1, Ordering::Relaxed));
            fixture::make_workspace_named(&fixture.deps, &id).await;
            let event = KnowledgeIngested {
                workspace_id: id.clone(),
                asset_id: format!("asset-of-{id}"),
                ..event("blob:uploads/doc.pdf")
            };
            let run = app.run(event).await?;
            run.assert_completed();
            app.settle().await?;
            assert_eq!(app.runs_of(synthesize::ID)?.len(), 1);
            let id = WorkspaceId::new(id);
            let workspace = database.workspace(&id).await.unwrap().unwrap();
            assert_eq!(workspace.indexing_status, IndexingStatus::Idle);
            let known = database.knowledge_count(&id, None).await.unwrap();
            assert_eq!(known, 1, "a repeated step stores the same");
            Ok::<_, TestError>(())
        },
    )
    .await;
    assert!(crashes >= 20, "{crashes}");
}
