use super::*;
use crate::events::brand::{Classification, KnowledgeIngested};
use crate::functions::fixture::{Fixture, make_workspace};
use async_trait::async_trait;
use serde_json::json;
use std::sync::Arc;
use stepwell::testing::TestApp;
use stepwell::{Event, NonRetriable, OutgoingEvent};
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

    async fn embed(&self, _: &[String], _: Purpose) -> Result<Answer<Vec<Vec<f32>>>, EmbedError> {
        Err(EmbedError::Provider {
            provider: "away".to_owned(),
            transient: true,
            source: "come back later".into(),
        })
    }
}

/// The workspace `w` with a document, and an embedder that is away.
async fn studio() -> Fixture {
    let sample = include_bytes!("../../../../../../samples/brand-guidelines.pdf");
    let mut fixture = Fixture::new().await;
    make_workspace(&fixture.deps).await;
    fixture
        .put("uploads/doc.pdf", &sample[..], "application/pdf")
        .await;
    fixture.deps.embedder = Arc::new(Away);
    fixture
}

fn event() -> KnowledgeIngested {
    KnowledgeIngested {
        workspace_id: "w".to_owned(),
        asset_id: "a".to_owned(),
        url: "blob:uploads/doc.pdf".to_owned(),
        filename: "brand.pdf".to_owned(),
        classification: Classification::CoreBrandMark,
    }
}

async fn status(fixture: &Fixture) -> IndexingStatus {
    let database = &fixture.deps.database;
    let workspace = database.workspace(&WorkspaceId::new("w")).await;
    workspace.unwrap().unwrap().indexing_status
}

/// Begins to read the document, and cancels that.
async fn cancel(app: &TestApp) {
    let sent = app.send(event()).await.unwrap();
    app.run_due().await.unwrap();
    let run = app.runs_of_event(sent).unwrap()[0].id();
    assert!(app.cancel(run).await.unwrap());
}

#[tokio::test]
async fn a_workspace_whose_document_was_cancelled_is_not_indexing() {
    let fixture = studio().await;
    let app = fixture.builder().start().await.unwrap();
    cancel(&app).await;
    assert_eq!(status(&fixture).await, IndexingStatus::Indexing);
    app.settle().await.unwrap();
    assert_eq!(status(&fixture).await, IndexingStatus::Idle);
    app.runs_of(ID).unwrap()[0]
        .assert_steps(["end-indexing"])
        .assert_completed();
}

#[tokio::test]
async fn a_document_that_cannot_be_read_for_its_payload_shows_as_failed() {
    let fixture = studio().await;
    let app = fixture.builder().start().await.unwrap();
    let event = json!({"workspaceId": "w", "assetId": "a", "url": 7, "filename": "brand.pdf"});
    let event = OutgoingEvent::untyped(KnowledgeIngested::NAME, event);
    let run = app.run(event).await.unwrap();
    run.assert_failed_with("data.url").assert_steps([]);
    app.settle().await.unwrap();
    assert_eq!(status(&fixture).await, IndexingStatus::Failed);
}

#[tokio::test]
async fn a_failure_that_a_run_could_not_note_shows_all_the_same() {
    let fixture = studio().await;
    fixture
        .put("uploads/doc.pdf", "no PDF", "application/pdf")
        .await;
    let failed = || NonRetriable::new("the database is away");
    let app = fixture
        .builder()
        .fail_step("mark-failed", u32::MAX, failed());
    let app = app.start().await.unwrap();
    let run = app.run(event()).await.unwrap();
    run.assert_failed_with("brand.pdf is not a PDF")
        .assert_step_failed("mark-failed");
    app.settle().await.unwrap();
    assert_eq!(status(&fixture).await, IndexingStatus::Failed);
}

#[tokio::test]
async fn what_a_newer_run_reads_goes_on_being_read_when_an_older_one_is_cancelled() {
    let fixture = studio().await;
    let app = fixture.builder().start().await.unwrap();
    cancel(&app).await;
    let newer = IndexingRun {
        workspace_id: &WorkspaceId::new("w"),
        asset_id: &AssetId::new("a"),
        run_id: "newer",
    };
    let database = &fixture.deps.database;
    database.begin_indexing(newer, 1).await.unwrap();
    app.settle().await.unwrap();
    app.runs_of(ID).unwrap()[0].assert_completed();
    assert_eq!(status(&fixture).await, IndexingStatus::Indexing);
    let ended = database.end_indexing(newer, Indexed::Done, 2).await;
    assert_eq!(ended.unwrap(), IndexingStatus::Idle);
}
