//! Crashes at every commit, and in the middle of the step that spends most.

use super::*;
use crate::functions::fixture::make_workspace_named;
use crate::middleware::Meter;
use std::sync::atomic::AtomicBool;
use stepwell::testing::{TestApp, TestError, assert_survives_crashes};
use studio233_db::{Database, DbError, NewUsage, Standing};
use tokio::sync::Notify;

/// Never answers.
struct Blind;

#[async_trait]
impl Vision for Blind {
    fn provider(&self) -> &str {
        "blind"
    }

    async fn analyse(&self, _: &VisionRequest) -> Result<Answer<VisionAnalysis>, VisionError> {
        std::future::pending().await
    }
}

fn seen() -> VisionAnalysis {
    let seen = json!({
        "global_context": {"scene_description": "A mark."},
        "color_palette": {"dominant_hex_estimates": ["#E4572E", "#17324D"]}
    });
    serde_json::from_value(seen).unwrap()
}

#[tokio::test]
async fn it_survives_crashes_on_sqlite() {
    survives_crashes(Fixture::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_survives_crashes_on_postgres() {
    survives_crashes(Fixture::on_postgres().await).await;
}

async fn survives_crashes(mut fixture: Fixture) {
    let archived = crate::ArchivedAnalyses::new(fixture.deps.blobs.clone());
    let images = Arc::new(fixture.deps.images.clone());
    fixture.deps.vision = Analyzer::new(Arc::new(Blind), images).with_cache(Arc::new(archived));
    // Each play has a workspace and an image of its own, in one database.
    let plays = AtomicUsize::new(0);
    let crashes = assert_survives_crashes(
        || fixture.builder(),
        async |app: &TestApp| {
            let id = format!("w{}", plays.fetch_add(1, Ordering::Relaxed));
            make_workspace_named(&fixture.deps, &id).await;
            let mut event = event("a");
            event.workspace_id = id.clone();
            event.url = format!("blob:uploads/{id}.png");
            // The archive answers, so that nothing is sent from within a step: that is sent again by a step that is executed
            // again, under the same id, and starts nothing, but it is an event more.
            let known = serde_json::to_vec(&seen()).unwrap();
            let hash = ImageHash::of_url(&event.url);
            let key = format!("vision/metadata/{hash}/latest.json");
            fixture.put(&key, known, "application/json").await;
            app.run(event).await?.assert_completed();
            app.settle().await?;
            assert_eq!(app.runs_of(synthesize::ID)?.len(), 1);
            Ok::<_, TestError>(())
        },
    )
    .await;
    assert!(crashes >= 20, "{crashes}");
}

/// Stops the first step that has spent something, for good: it has done its work, and is not recorded.
struct Stopping {
    database: Database,
    has_stopped: AtomicBool,
    stopped: Notify,
}

#[async_trait]
impl Meter for Stopping {
    async fn record(&self, used: &[NewUsage], now_ms: i64) -> Result<(), DbError> {
        self.database.record(used, now_ms).await?;
        if !used.is_empty() && !self.has_stopped.swap(true, Ordering::SeqCst) {
            self.stopped.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn standings(
        &self,
        workspace: &WorkspaceId,
        function: &str,
        now_ms: i64,
    ) -> Result<Vec<Standing>, DbError> {
        self.database.standings(workspace, function, now_ms).await
    }
}

async fn a_crash_between_the_archive_and_the_record_archives_once(mut fixture: Fixture) {
    studio(&fixture).await;
    let looking = have_looking(&mut fixture, Vec::new());
    // Nothing is known at once, so that both executions of the step are told by the model.
    fixture.deps.vision = fixture
        .deps
        .vision
        .with_cache(Arc::new(Remembered::default()));
    let stopping = Arc::new(Stopping {
        database: fixture.deps.database.clone(),
        has_stopped: AtomicBool::new(false),
        stopped: Notify::new(),
    });
    fixture.deps.meter = stopping.clone();
    let app = fixture.builder().start().await.unwrap();
    let sent = app.send(event("a")).await.unwrap();
    let stopped = async {
        stopping.stopped.notified().await;
        // The model has answered, and the archive was asked.
        app.crash().await.unwrap();
    };
    let (settled, ()) = tokio::join!(app.settle(), stopped);
    settled.unwrap();
    app.settle().await.unwrap();

    let run = app.runs_of_event(sent).unwrap().remove(0);
    run.assert_completed()
        .assert_steps(STEPS)
        .assert_attempts("extract-visual-dna", 1);
    assert_eq!(looking.calls.load(Ordering::SeqCst), 2);
    assert_eq!(app.runs_of(vision::archive::ID).unwrap().len(), 1);
    assert_eq!(app.runs_of(synthesize::ID).unwrap().len(), 1);
    assert_eq!(fragments(&fixture).await.len(), 1);
    // Both answers have to be paid for.
    let workspace = BudgetScope::Workspace(WorkspaceId::new("w"));
    let database = &fixture.deps.database;
    let used = database.usage_since(&workspace, UsageKind::Tokens, 0);
    assert_eq!(used.await.unwrap(), 200);
}

#[tokio::test]
async fn a_crash_between_the_archive_and_the_record_archives_once_on_sqlite() {
    a_crash_between_the_archive_and_the_record_archives_once(Fixture::new().await).await;
}

#[tokio::test]
async fn a_crash_between_the_archive_and_the_record_archives_once_on_postgres() {
    a_crash_between_the_archive_and_the_record_archives_once(Fixture::on_postgres().await).await;
}
