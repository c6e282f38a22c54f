use super::*;
use crate::events::vision::ArchiveRequested;
use crate::functions::brand::synthesize;
use crate::functions::fixture::{Fixture, make_workspace};
use crate::functions::vision;
use bytes::Bytes;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;
use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use stepwell::embedded::RunStatus;
use studio233_ai::local::{LocalEmbedder, LocalVision};
use studio233_ai::vision::{
    Analyzer, ImageHash, KnownAnalysis, Vision, VisionCache, VisionError, VisionRequest,
};
use studio233_ai::{Answer, Embedder, LanguageError, ProviderError, Usage};
use studio233_db::{Budget, BudgetScope, Period};

mod crashes;

const STEPS: [&str; 5] = [
    "budget",
    "extract-visual-dna",
    "index-visual-knowledge",
    "sync-core-palette",
    "trigger-synthesis",
];

/// Two colours, the orange one on most of it.
fn picture() -> Bytes {
    let pixels = RgbImage::from_fn(60, 60, |x, _| match x < 40 {
        true => Rgb([0xE4, 0x57, 0x2E]),
        false => Rgb([0x17, 0x32, 0x4D]),
    });
    let mut file = Cursor::new(Vec::new());
    pixels.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner().into()
}

/// A workspace `w`, and a picture in the studio's blobs.
async fn studio(fixture: &Fixture) {
    make_workspace(&fixture.deps).await;
    fixture
        .put("uploads/mark.png", picture(), "image/png")
        .await;
}

fn event(asset_id: &str) -> AssetVisionSync {
    AssetVisionSync {
        workspace_id: "w".to_owned(),
        asset_id: asset_id.to_owned(),
        url: "blob:uploads/mark.png".to_owned(),
        filename: "mark.png".to_owned(),
        classification: Classification::CoreBrandMark,
    }
}

async fn profile(fixture: &Fixture) -> Option<Value> {
    let workspace = fixture
        .deps
        .database
        .workspace(&WorkspaceId::new("w"))
        .await;
    workspace.unwrap().unwrap().brand_profile
}

async fn fragments(fixture: &Fixture) -> Vec<studio233_db::Knowledge> {
    let workspace = WorkspaceId::new("w");
    let known = fixture.deps.database.newest_knowledge(&workspace, 50).await;
    known.unwrap()
}

/// The local provider, which refuses at first, and sends a bill.
#[derive(Default)]
struct Looking {
    refusals: Mutex<VecDeque<VisionError>>,
    calls: AtomicUsize,
}

#[async_trait]
impl Vision for Looking {
    fn provider(&self) -> &str {
        "looking"
    }

    async fn analyse(
        &self,
        request: &VisionRequest,
    ) -> Result<Answer<VisionAnalysis>, VisionError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if let Some(refusal) = self.refusals.lock().unwrap().pop_front() {
            return Err(refusal);
        }
        let answer = LocalVision.analyse(request).await?;
        let usage = Usage {
            provider: "looking".to_owned(),
            input_tokens: 90,
            output_tokens: 10,
            ..Usage::default()
        };
        Ok(Answer::new(answer.value, usage))
    }
}

fn refused(status: u16, transient: bool, wait: Option<Duration>) -> VisionError {
    VisionError::Model {
        source: LanguageError::Call {
            provider: "looking".to_owned(),
            source: ProviderError::Status {
                status,
                message: "not now".to_owned(),
                transient,
                retry_after: wait,
            },
        },
    }
}

/// Has `Looking` look, with these refusals first, and with what is archived.
fn have_looking(fixture: &mut Fixture, refusals: Vec<VisionError>) -> Arc<Looking> {
    let looking = Arc::new(Looking {
        refusals: Mutex::new(refusals.into()),
        calls: AtomicUsize::new(0),
    });
    let archived = crate::ArchivedAnalyses::new(fixture.deps.blobs.clone());
    fixture.deps.vision = Analyzer::new(looking.clone(), Arc::new(fixture.deps.images.clone()))
        .with_cache(Arc::new(archived));
    looking
}

async fn an_image_becomes_knowledge_and_colours(fixture: Fixture) {
    studio(&fixture).await;
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event("a")).await.unwrap();

    run.assert_output(json!({"status": "synchronized", "assetId": "a"}))
        .assert_steps(STEPS)
        .assert_step("index-visual-knowledge", json!({"chunkCount": 1}))
        .assert_step(
            "sync-core-palette",
            json!({"primary": "#E4572E", "accent": "#17324D"}),
        )
        .assert_sent(&IntelligenceSyncRequested {
            workspace_id: "w".to_owned(),
        });
    let seen: Seen = run.step("extract-visual-dna").output();
    assert_eq!(seen.provider, "local");
    let profile = profile(&fixture).await.unwrap();
    assert_eq!(
        profile["coreIdentity"]["colors"],
        json!(["#E4572E", "#17324D"])
    );

    let known = fragments(&fixture).await;
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].metadata["source"], "Vision_Analysis");
    assert_eq!(known[0].metadata["type"], "visual_dna");
    assert_eq!(known[0].metadata["classification"], "CORE_BRAND_MARK");
    assert!(
        known[0].text.contains("Identity: mark.png"),
        "{}",
        known[0].text
    );
    assert!(known[0].text.contains("#E4572E"), "{}", known[0].text);

    // What was asked for goes on: the image is archived, and the brand summed up.
    app.settle().await.unwrap();
    let archived = app.runs_of(vision::archive::ID).unwrap();
    assert_eq!(archived.len(), 1);
    archived[0].assert_completed();
    let asked: ArchiveRequested = archived[0].events()[0].decode().unwrap();
    assert_eq!(asked.image_hash, seen.image_hash);
    let mut expected = serde_json::to_value(&seen.analysis).unwrap();
    expected["provider"] = "local".into();
    assert_eq!(Value::Object(asked.metadata), expected);
    let summed_up = app.runs_of(synthesize::ID).unwrap();
    assert_eq!(summed_up.len(), 1);
}

#[tokio::test]
async fn an_image_becomes_knowledge_and_colours_on_sqlite() {
    an_image_becomes_knowledge_and_colours(Fixture::new().await).await;
}

#[tokio::test]
async fn an_image_becomes_knowledge_and_colours_on_postgres() {
    an_image_becomes_knowledge_and_colours(Fixture::on_postgres().await).await;
}

#[tokio::test]
async fn a_document_and_an_image_of_one_asset_are_both_known() {
    let fixture = Fixture::new().await;
    studio(&fixture).await;
    let page = NewChunk {
        text: "A page.".to_owned(),
        embedding: Embedding::new(vec![0.0; 768]).unwrap(),
        metadata: json!({}),
    };
    let source = KnowledgeSource {
        workspace_id: WorkspaceId::new("w"),
        asset_id: AssetId::new("a"),
    };
    let database = &fixture.deps.database;
    database
        .replace_knowledge(&source, &[page], 1)
        .await
        .unwrap();
    let app = fixture.builder().start().await.unwrap();
    for _ in 0..2 {
        app.run(event("a")).await.unwrap().assert_completed();
        assert_eq!(fragments(&fixture).await.len(), 2);
    }
}

#[tokio::test]
async fn an_inspiration_is_found_and_gives_no_colour() {
    let fixture = Fixture::new().await;
    studio(&fixture).await;
    let app = fixture.builder().start().await.unwrap();
    let mut event = event("a");
    event.classification = Classification::IndexAsInspiration;
    let run = app.run(event).await.unwrap();

    run.assert_completed()
        .assert_not_reached("sync-core-palette")
        .assert_sent_event("brand.intelligence.sync_requested");
    assert_eq!(profile(&fixture).await, None);
    assert_eq!(
        fragments(&fixture).await[0].metadata["classification"],
        "INDEX_AS_INSPIRATION"
    );
}

#[tokio::test]
async fn a_brand_with_colours_of_its_own_keeps_them() {
    let fixture = Fixture::new().await;
    studio(&fixture).await;
    let own = json!({"coreIdentity": {"colors": ["#ABCDEF"]}});
    let workspace = WorkspaceId::new("w");
    let (database, summary) = (&fixture.deps.database, json!({}));
    database
        .set_brand_profile(&workspace, &own, &summary, 1)
        .await
        .unwrap();
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event("a")).await.unwrap();

    run.assert_step(
        "sync-core-palette",
        json!({"primary": "#ABCDEF", "accent": null}),
    );
    assert_eq!(profile(&fixture).await, Some(own));
}

#[tokio::test]
async fn what_is_no_image_or_must_not_be_reached_is_refused_at_once() {
    let fixture = Fixture::new().await;
    studio(&fixture).await;
    fixture.put("uploads/page.png", "<html>", "image/png").await;
    let app = fixture.builder().start().await.unwrap();
    for (url, told) in [
        ("blob:uploads/page.png", "there is nothing to analyse"),
        ("blob:uploads/gone.png", "there is nothing to analyse"),
        ("http://127.0.0.1:9/a.png", "there is nothing to analyse"),
        ("file:///etc/passwd", "there is nothing to analyse"),
        ("data:text/html,hello", "the data: URL holds no image"),
    ] {
        let mut event = event("a");
        event.url = url.to_owned();
        let run = app.run(event).await.unwrap();
        run.assert_failed_with(told)
            .assert_attempts("extract-visual-dna", 1)
            .assert_not_sent("brand.intelligence.sync_requested")
            .assert_not_sent("vision.archive.requested");
    }
    assert!(fragments(&fixture).await.is_empty());
}

#[tokio::test]
async fn a_workspace_that_is_gone_ends_the_run() {
    let fixture = Fixture::new().await;
    fixture
        .put("uploads/mark.png", picture(), "image/png")
        .await;
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event("a")).await.unwrap();
    run.assert_failed_with("there is no workspace w")
        .assert_attempts("index-visual-knowledge", 1);
}

#[tokio::test]
async fn a_model_is_asked_again_when_it_says_and_what_it_refuses_is_not() {
    let mut fixture = Fixture::new().await;
    studio(&fixture).await;
    let wait = Duration::from_secs(37);
    let busy = refused(429, true, Some(wait));
    let looking = have_looking(&mut fixture, vec![busy]);
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event("a")).await.unwrap();
    run.assert_completed()
        .assert_attempts("extract-visual-dna", 2)
        .assert_took(wait);
    assert_eq!(looking.calls.load(Ordering::SeqCst), 2);

    let looking = have_looking(&mut fixture, vec![refused(400, false, None)]);
    let app = fixture.builder().start().await.unwrap();
    let mut other = event("a");
    other.url =
        "data:image/gif;base64,R0lGODlhAQABAIAAAP8AAP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw=="
            .to_owned();
    let run = app.run(other).await.unwrap();
    run.assert_failed_with("looking did not analyse the image")
        .assert_attempts("extract-visual-dna", 1);
    assert_eq!(looking.calls.load(Ordering::SeqCst), 1);
}

/// Refuses twice.
struct Faltering(AtomicUsize);

#[async_trait]
impl Embedder for Faltering {
    fn provider(&self) -> &str {
        "faltering"
    }

    fn batch_max(&self) -> usize {
        1
    }

    async fn embed(
        &self,
        texts: &[String],
        purpose: Purpose,
    ) -> Result<Answer<Vec<Vec<f32>>>, EmbedError> {
        if self.0.fetch_add(1, Ordering::SeqCst) < 2 {
            return Err(EmbedError::Provider {
                provider: "faltering".to_owned(),
                transient: true,
                source: "overloaded".into(),
            });
        }
        LocalEmbedder.embed(texts, purpose).await
    }
}

#[tokio::test]
async fn a_step_that_fails_for_a_moment_is_tried_again_alone() {
    let mut fixture = Fixture::new().await;
    studio(&fixture).await;
    fixture.deps.embedder = Arc::new(Faltering(AtomicUsize::new(0)));
    let looking = have_looking(&mut fixture, Vec::new());
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event("a")).await.unwrap();
    run.assert_completed()
        .assert_attempts("index-visual-knowledge", 3);
    assert_eq!(looking.calls.load(Ordering::SeqCst), 1);
}

/// What the archive held when it was last asked for, at hand at once: a disk may answer after the model.
#[derive(Default)]
struct Remembered(Mutex<Option<KnownAnalysis>>);

#[async_trait]
impl VisionCache for Remembered {
    async fn lookup(&self, _: &ImageHash) -> Result<Option<KnownAnalysis>, BoxError> {
        Ok(self.0.lock().unwrap().clone())
    }
}

#[tokio::test]
async fn what_the_archive_knows_is_not_looked_at_or_paid_for_again() {
    let mut fixture = Fixture::new().await;
    studio(&fixture).await;
    let looking = have_looking(&mut fixture, Vec::new());
    let remembered = Arc::new(Remembered::default());
    fixture.deps.vision = fixture.deps.vision.with_cache(remembered.clone());
    let app = fixture.builder().start().await.unwrap();
    let first = app.run(event("a")).await.unwrap();
    app.settle().await.unwrap();
    let archived = crate::ArchivedAnalyses::new(fixture.deps.blobs.clone());
    let hash = ImageHash::of_url(&event("a").url);
    *remembered.0.lock().unwrap() = archived.lookup(&hash).await.unwrap();
    let second = app.run(event("b")).await.unwrap();
    app.settle().await.unwrap();

    let (first, second): (Seen, Seen) = (
        first.step("extract-visual-dna").output(),
        second.step("extract-visual-dna").output(),
    );
    assert_eq!(
        (&*first.provider, &*second.provider),
        ("looking", "archive")
    );
    assert_eq!(first.analysis, second.analysis);
    assert_eq!(app.runs_of(vision::archive::ID).unwrap().len(), 1);
    assert_eq!(looking.calls.load(Ordering::SeqCst), 1);
    let workspace = BudgetScope::Workspace(WorkspaceId::new("w"));
    let used = fixture
        .deps
        .database
        .usage_since(&workspace, UsageKind::Tokens, 0);
    assert_eq!(used.await.unwrap(), 100);
}

#[tokio::test]
async fn a_raised_budget_is_overdrawn_by_few_of_those_that_it_held() {
    overdraw(0).await;
}

#[tokio::test]
async fn so_it_is_when_the_provider_refuses_all_of_them_first() {
    overdraw(8).await;
}

/// Holds 8 runs, raises their budget by less than one spends, and has the provider refuse so many times first.
async fn overdraw(refusals: usize) {
    let mut fixture = Fixture::new().await;
    make_workspace(&fixture.deps).await;
    let looking = have_looking(
        &mut fixture,
        (0..refusals)
            .map(|_| refused(429, true, Some(Duration::from_secs(5))))
            .collect(),
    );
    let app = fixture.builder().start().await.unwrap();
    let (client, database) = (app.client(), &fixture.deps.database);
    let budget = |limit| Budget {
        scope: BudgetScope::Workspace(WorkspaceId::new("w")),
        kind: UsageKind::Tokens,
        period: Period::Day,
        limit,
    };
    budget::set(client, database, &budget(0)).await.unwrap();
    let images = 8_u32;
    for number in 0..images {
        let key = format!("uploads/{number}.png");
        fixture.put(&key, picture(), "image/png").await;
        let mut event = event(&number.to_string());
        event.url = format!("blob:{key}");
        app.send(event).await.unwrap();
    }
    app.run_for(THROTTLE_PERIOD * (images + 1)).await.unwrap();
    assert_eq!(looking.calls.load(Ordering::SeqCst), 0, "all are held");

    // Enough for one of them.
    budget::set(client, database, &budget(50)).await.unwrap();
    app.run_for(Duration::from_secs(60)).await.unwrap();
    let looked = looking.calls.load(Ordering::SeqCst) - refusals;
    assert!((1..=2).contains(&looked), "{looked} have spent");
    let runs = app.runs_of(ID).unwrap();
    let held = runs.iter().filter(|run| run.status() == RunStatus::Running);
    assert_eq!(held.count(), images as usize - looked);
}

#[tokio::test]
async fn a_workspaces_images_start_a_minute_apart() {
    let fixture = Fixture::new().await;
    studio(&fixture).await;
    let app = fixture.builder().start().await.unwrap();
    let (first, second) = (
        app.send(event("a")).await.unwrap(),
        app.send(event("b")).await.unwrap(),
    );
    let mut elsewhere = event("c");
    elsewhere.workspace_id = "gone".to_owned();
    let other = app.send(elsewhere).await.unwrap();
    let status = |event| app.runs_of_event(event).unwrap()[0].status();

    app.run_for(Duration::from_secs(59)).await.unwrap();
    assert_eq!(status(first), RunStatus::Completed);
    assert_eq!(status(other), RunStatus::Failed, "it had its turn");
    assert_eq!(status(second), RunStatus::Scheduled);
    app.run_for(Duration::from_secs(2)).await.unwrap();
    assert_eq!(status(second), RunStatus::Completed);
}
