mod stand_ins;

use self::stand_ins::{Closing, Faltering};
use super::*;
use crate::events::brand::Classification;
use crate::functions::app;
use crate::functions::fixture;
use crate::middleware::ErrorReport;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use stepwell::embedded::{
    Backoff, Embedded, EngineClock, EngineConfig, ManualClock, Run, RunStatus, Timestamp,
};
use stepwell::{Config, OutgoingEvent};
use studio233_ai::BrandExtraction;
use studio233_blob::{BlobStore, ContentType, Key, Put};
use studio233_db::IndexingStatus;
use studio233_rag::blob_url;

mod crashes;
mod spending;

const SAMPLE: &[u8] = include_bytes!("../../../../../../samples/brand-guidelines.pdf");

/// Two pages.
const SCANNED: &[u8] = include_bytes!("../../../../../rag/tests/files/scanned.pdf");

/// A workspace `w` with a document, an engine in memory, and everything real behind it.
struct Studio {
    _folder: tempfile::TempDir,
    blobs: BlobStore,
    deps: Deps,
    reports: Arc<Mutex<Vec<ErrorReport>>>,
}

impl Studio {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let deps = fixture::deps(folder.path()).await;
        fixture::make_workspace(&deps).await;
        Self {
            _folder: folder,
            blobs: deps.blobs.clone(),
            deps,
            reports: Arc::default(),
        }
    }

    /// Stores a document; gives its URL.
    async fn document(&self, bytes: impl Into<Bytes>) -> String {
        let key = Key::parse("uploads/doc.pdf").unwrap();
        let pdf = ContentType::pdf();
        let put = self.blobs.put(&key, bytes.into(), &pdf, Put::Overwrite);
        put.await.unwrap();
        blob_url(&key)
    }

    async fn engine(&self, clock: Option<EngineClock>) -> Embedded {
        let reports = Arc::clone(&self.reports);
        let report = move |report: ErrorReport| reports.lock().unwrap().push(report);
        let app = app(crate::client(Config::dev()), &self.deps, report);
        let engine = EngineConfig {
            backoff: Backoff::Constant(1),
            ..EngineConfig::default()
        };
        let builder = Embedded::builder().app(app).memory().engine(engine);
        let builder = match clock {
            Some(clock) => builder.clock(clock),
            None => builder,
        };
        builder.start().await.unwrap()
    }

    /// Sends an event and waits for the end of its run.
    async fn ingest(&self, event: impl Into<OutgoingEvent>) -> Ingested {
        let engine = self.engine(None).await;
        let sent = engine.send(event).await.unwrap();
        let mut runs = engine.finished_runs(sent).await.unwrap();
        assert_eq!(runs.len(), 1);
        let run = runs.remove(0);
        let (id, steps) = (run.id, engine.steps(run.id).await.unwrap());
        let handle = engine.handle();
        let attempts = handle
            .read(move |reader| reader.attempts(id))
            .await
            .unwrap();
        let requests = handle
            .read(|reader| reader.events(Some("brand.intelligence.sync_requested"), None, 10))
            .await
            .unwrap();
        let values = steps.iter().map(|step| {
            let value = serde_json::from_str(step.value_json()).unwrap();
            (step.name.clone(), value)
        });
        Ingested {
            run,
            values: values.collect(),
            steps: steps
                .into_iter()
                .map(|step| (step.name, step.failed))
                .collect(),
            failed_attempts: attempts
                .iter()
                .filter(|attempt| attempt.step.is_some())
                .count(),
            synthesis_requests: requests.len(),
        }
    }

    async fn status(&self) -> IndexingStatus {
        let workspace = self.deps.database.workspace(&WorkspaceId::new("w")).await;
        workspace.unwrap().unwrap().indexing_status
    }

    async fn fragments(&self) -> u64 {
        let workspace = WorkspaceId::new("w");
        let count = self.deps.database.knowledge_count(&workspace, None).await;
        count.unwrap()
    }
}

struct Ingested {
    run: Run,
    /// Names, and whether they failed.
    steps: Vec<(String, bool)>,
    /// What steps recorded, by their names.
    values: HashMap<String, Value>,
    /// Of steps.
    failed_attempts: usize,
    synthesis_requests: usize,
}

impl Ingested {
    fn error(&self) -> String {
        self.run.error().expect("the run failed").message
    }

    fn steps(&self) -> Vec<(&str, bool)> {
        let steps = self.steps.iter();
        steps
            .map(|(name, failed)| (name.as_str(), *failed))
            .collect()
    }
}

fn event(url: &str) -> KnowledgeIngested {
    KnowledgeIngested {
        workspace_id: "w".to_owned(),
        asset_id: "a".to_owned(),
        url: url.to_owned(),
        filename: "brand.pdf".to_owned(),
        classification: Classification::CoreBrandMark,
    }
}

#[tokio::test]
async fn a_guideline_becomes_knowledge_and_a_profile() {
    let studio = Studio::new().await;
    let url = studio.document(SAMPLE).await;
    let ingested = studio.ingest(event(&url)).await;

    assert_eq!(
        ingested.run.output::<Value>().unwrap(),
        json!({"status": "completed", "workspaceId": "w"})
    );
    assert_eq!(
        ingested.steps(),
        [
            ("budget", false),
            ("index-and-store", false),
            ("extract-brand-dna", false),
            ("trigger-synthesis", false),
        ]
    );
    assert_eq!(ingested.synthesis_requests, 1);
    assert_eq!(studio.status().await, IndexingStatus::Idle);
    assert!(studio.fragments().await > 5);
    let workspace = studio.deps.database.workspace(&WorkspaceId::new("w")).await;
    let workspace = workspace.unwrap().unwrap();
    let profile = workspace.brand_profile.unwrap();
    assert_eq!(profile["coreIdentity"]["colors"][0], "#E4572E");
    assert!(workspace.brand_summary.unwrap()["generatedBy"].is_string());
    assert!(studio.reports.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_fails_at_once_and_the_workspace_shows_it() {
    for (file, told) in [
        (Bytes::new(), "brand.pdf is empty"),
        (
            Bytes::from_static(b"<html></html>"),
            "brand.pdf is not a PDF",
        ),
        (
            Bytes::from_static(b"%PDF-1.7\nnothing"),
            "brand.pdf is damaged",
        ),
    ] {
        let studio = Studio::new().await;
        let url = studio.document(file).await;
        let ingested = studio.ingest(event(&url)).await;

        assert!(ingested.error().starts_with(told), "{}", ingested.error());
        assert_eq!(
            ingested.steps(),
            [
                ("budget", false),
                ("index-and-store", true),
                ("mark-failed", false)
            ]
        );
        assert_eq!(ingested.failed_attempts, 1, "{told} is not tried again");
        assert_eq!(studio.status().await, IndexingStatus::Failed);
        assert_eq!(studio.fragments().await, 0);
        assert_eq!(ingested.synthesis_requests, 0);
        let reports = studio.reports.lock().unwrap();
        assert_eq!(reports.len(), 1, "reported once");
        assert!(reports[0].is_final && reports[0].error.message.starts_with(told));
    }
}

#[tokio::test]
async fn places_that_must_not_be_reached_are_refused_at_once() {
    for (url, told) in [
        (
            "http://127.0.0.1:9/a.pdf",
            "only public addresses are fetched",
        ),
        (
            "http://169.254.169.254/latest",
            "only public addresses are fetched",
        ),
        ("file:///etc/passwd", "file: URLs are not fetched"),
        (
            "blob:uploads/nothing.pdf",
            "cannot read blob:uploads/nothing.pdf",
        ),
    ] {
        let studio = Studio::new().await;
        let ingested = studio.ingest(event(url)).await;
        assert!(ingested.error().contains(told), "{}", ingested.error());
        assert_eq!(ingested.failed_attempts, 1);
        assert_eq!(studio.status().await, IndexingStatus::Failed);
    }
}

#[tokio::test]
async fn a_workspace_that_is_gone_ends_the_run() {
    let studio = Studio::new().await;
    let url = studio.document(SAMPLE).await;
    let mut event = event(&url);
    event.workspace_id = "gone".to_owned();
    let ingested = studio.ingest(event).await;
    assert_eq!(ingested.error(), "there is no workspace gone");
    assert_eq!(ingested.failed_attempts, 1);
}

#[tokio::test]
async fn a_payload_of_another_producer_is_checked_before_anything_runs() {
    let studio = Studio::new().await;
    let event = OutgoingEvent::untyped(
        "brand.knowledge.ingested",
        json!({"workspaceId": "w", "assetId": 7}),
    );
    let ingested = studio.ingest(event).await;
    let error = ingested.error();
    for place in ["data.assetId", "data.url", "data.filename"] {
        assert!(error.contains(place), "{error}");
    }
    assert!(ingested.steps.is_empty());
    assert_eq!(studio.status().await, IndexingStatus::Idle);
}

#[tokio::test]
async fn a_scan_is_looked_at_and_what_it_shows_is_found() {
    let studio = Studio::new().await;
    let url = studio.document(SCANNED).await;
    let ingested = studio.ingest(event(&url)).await;

    assert_eq!(
        ingested.run.output::<Value>().unwrap(),
        json!({"status": "completed", "workspaceId": "w"})
    );
    assert_eq!(
        ingested.values["index-and-store"]["data"],
        json!({"chunkCount": 0})
    );
    let read: Extracted =
        serde_json::from_value(ingested.values["extract-brand-dna"]["data"].clone()).unwrap();
    assert_eq!((read.path.as_str(), read.score), ("vision", 0.25));
    assert_eq!(studio.status().await, IndexingStatus::Idle);
    let workspace = WorkspaceId::new("w");
    let known = studio.deps.database.newest_knowledge(&workspace, 5).await;
    let known = known.unwrap();
    assert_eq!(known.len(), 1);
    assert!(known[0].text.contains("landscape"), "{}", known[0].text);
    assert_eq!(known[0].metadata["filename"], "brand.pdf");
    let shown = studio.deps.database.workspace(&workspace).await;
    let profile = shown.unwrap().unwrap().brand_profile.unwrap();
    assert!(
        profile["coreIdentity"]["colors"][1].is_string(),
        "{profile}"
    );
}

#[tokio::test]
async fn a_scan_with_a_stamp_is_looked_at() {
    let studio = Studio::new().await;
    let page = "q 300 0 0 200 0 0 cm /I Do Q 1 0 0 rg 10 10 100 100 re f \
        BT /F1 8 Tf 20 100 Td (Scanned with Marram Scan, page 1) Tj ET";
    let url = studio.document(pdf_of(page)).await;
    let ingested = studio.ingest(event(&url)).await;
    assert_eq!(
        ingested.values["index-and-store"]["data"],
        json!({"chunkCount": 0})
    );
    let known = studio
        .deps
        .database
        .newest_knowledge(&WorkspaceId::new("w"), 5)
        .await
        .unwrap();
    let texts: Vec<&str> = known.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].starts_with("Colours: #"), "{texts:?}");
}

#[tokio::test]
async fn pages_that_show_nothing_fail_at_once_with_what_to_do() {
    let studio = Studio::new().await;
    let url = studio.document(blank_pdf()).await;
    let ingested = studio.ingest(event(&url)).await;
    let error = ingested.error();
    assert!(error.starts_with("the document says too little"), "{error}");
    assert!(error.contains("it has no text, only pictures"), "{error}");
    assert_eq!(ingested.failed_attempts, 1);
    assert_eq!(studio.status().await, IndexingStatus::Failed);
    assert_eq!(studio.fragments().await, 0);
}

#[tokio::test]
async fn a_document_without_colours_leaves_those_that_are_known() {
    let studio = Studio::new().await;
    let workspace = WorkspaceId::new("w");
    let colors = json!(["#0B6E4F", "#C8553D"]);
    let palette = json!([{"hex": "#0B6E4F", "name": "Dune Green"}]);
    let known = (
        json!({"coreIdentity": {"colors": colors, "slogans": ["Gone."]}}),
        json!({"manifesto": "Gone.", "palette": palette}),
    );
    let database = &studio.deps.database;
    let known = database.set_brand_profile(&workspace, &known.0, &known.1, 1);
    known.await.unwrap();
    let text = "BT /F1 12 Tf 20 150 Td (Tone of voice) Tj 0 -30 Td (Our voice is calm and dry. We never shout.) Tj \
        0 -30 Td (Logo) Tj 0 -30 Td (The logo must never be tilted.) Tj ET";
    let url = studio.document(pdf_of(text)).await;
    let ingested = studio.ingest(event(&url)).await;
    assert_eq!(
        ingested.run.status,
        RunStatus::Completed,
        "{:?}",
        ingested.run.error()
    );
    let shown = database.workspace(&workspace).await.unwrap().unwrap();
    let profile = shown.brand_profile.unwrap();
    assert_eq!(profile["coreIdentity"]["colors"], colors);
    assert_eq!(profile["coreIdentity"]["slogans"], json!([]));
    assert_eq!(shown.brand_summary.unwrap()["palette"], palette);
}

#[tokio::test]
async fn a_step_that_fails_for_a_moment_is_tried_again_alone() {
    let mut studio = Studio::new().await;
    let embedder = Faltering::new(0, true);
    let reader = Faltering::new(2, true);
    studio.deps.embedder = embedder.clone();
    studio.deps.extraction = BrandExtraction::new(reader.clone());
    let url = studio.document(SAMPLE).await;
    let ingested = studio.ingest(event(&url)).await;

    assert_eq!(ingested.run.status, RunStatus::Completed);
    assert_eq!(ingested.failed_attempts, 2);
    assert_eq!(reader.calls.load(Ordering::SeqCst), 3);
    assert_eq!(
        embedder.calls.load(Ordering::SeqCst),
        1,
        "what is recorded is not done again"
    );
    assert_eq!(studio.status().await, IndexingStatus::Idle);
}

#[tokio::test]
async fn a_provider_that_stays_away_fails_the_run_when_the_attempts_are_used_up() {
    let mut studio = Studio::new().await;
    let embedder = Faltering::new(usize::MAX, true);
    studio.deps.embedder = embedder.clone();
    let url = studio.document(SAMPLE).await;
    let ingested = studio.ingest(event(&url)).await;

    assert_eq!(embedder.calls.load(Ordering::SeqCst), 5);
    assert_eq!(ingested.failed_attempts, 5);
    assert_eq!(ingested.error(), "cannot embed brand.pdf");
    assert_eq!(studio.status().await, IndexingStatus::Failed);
}

#[tokio::test]
async fn a_provider_that_refuses_is_not_asked_again() {
    let mut studio = Studio::new().await;
    let reader = Faltering::new(usize::MAX, false);
    studio.deps.extraction = BrandExtraction::new(reader.clone());
    let url = studio.document(SAMPLE).await;
    let ingested = studio.ingest(event(&url)).await;

    assert_eq!(reader.calls.load(Ordering::SeqCst), 1);
    assert_eq!(
        ingested.steps(),
        [
            ("budget", false),
            ("index-and-store", false),
            ("extract-brand-dna", true),
            ("mark-failed", false),
        ]
    );
    assert_eq!(studio.status().await, IndexingStatus::Failed);
    // What was indexed can be found all the same.
    assert!(studio.fragments().await > 0);
}

#[tokio::test]
async fn a_failure_that_cannot_be_marked_is_still_the_one_that_is_told() {
    let mut studio = Studio::new().await;
    let reader = Closing(studio.deps.database.clone());
    studio.deps.extraction = BrandExtraction::new(Arc::new(reader));
    let url = studio.document(SAMPLE).await;
    let ingested = studio.ingest(event(&url)).await;

    assert_eq!(
        ingested.steps(),
        [
            ("budget", false),
            ("index-and-store", false),
            ("extract-brand-dna", true),
            ("mark-failed", true),
        ]
    );
    let error = ingested.error();
    assert!(
        error.contains("no provider could read the brand"),
        "{error}"
    );
    assert!(!error.contains("indexing status"), "{error}");
}

#[tokio::test]
async fn an_inspiration_is_found_and_defines_nothing() {
    let studio = Studio::new().await;
    let workspace = WorkspaceId::new("w");
    let (profile, summary) = (json!({"coreIdentity": "own"}), json!({"text": "own"}));
    let database = &studio.deps.database;
    let known = database.set_brand_profile(&workspace, &profile, &summary, 1);
    known.await.unwrap();
    let url = studio.document(SAMPLE).await;
    let mut event = event(&url);
    event.classification = Classification::IndexAsInspiration;
    let ingested = studio.ingest(event).await;

    assert_eq!(ingested.run.status, RunStatus::Completed);
    let value = &ingested.values["extract-brand-dna"]["data"];
    assert_eq!(value, &json!({"skipped": "INDEX_AS_INSPIRATION"}));
    assert_eq!(ingested.synthesis_requests, 1);
    assert_eq!(studio.status().await, IndexingStatus::Idle);
    assert!(studio.fragments().await > 5);
    let shown = database.workspace(&workspace).await.unwrap().unwrap();
    assert_eq!(shown.brand_profile, Some(profile));
    assert_eq!(shown.brand_summary, Some(summary));
}

#[tokio::test]
async fn a_scanned_inspiration_is_found_and_defines_nothing() {
    let studio = Studio::new().await;
    let url = studio.document(SCANNED).await;
    let mut event = event(&url);
    event.classification = Classification::IndexAsInspiration;
    let ingested = studio.ingest(event).await;

    assert_eq!(ingested.run.status, RunStatus::Completed);
    let value = &ingested.values["extract-brand-dna"]["data"];
    assert_eq!(value, &json!({"skipped": "INDEX_AS_INSPIRATION"}));
    assert_eq!(studio.status().await, IndexingStatus::Idle);
    let workspace = WorkspaceId::new("w");
    let known = studio.deps.database.newest_knowledge(&workspace, 5).await;
    let known = known.unwrap();
    assert_eq!(known.len(), 1);
    assert!(known[0].text.contains("landscape"), "{}", known[0].text);
    let shown = studio.deps.database.workspace(&workspace).await;
    let shown = shown.unwrap().unwrap();
    assert_eq!((shown.brand_profile, shown.brand_summary), (None, None));
}

#[tokio::test]
async fn a_scan_that_cannot_be_read_again_leaves_what_is_known() {
    let mut studio = Studio::new().await;
    let url = studio.document(SCANNED).await;
    studio.ingest(event(&url)).await;
    assert_eq!(studio.fragments().await, 1);
    studio.deps.extraction = BrandExtraction::new(Faltering::new(usize::MAX, false));
    let again = studio.ingest(event(&url)).await;
    assert_eq!(again.run.status, RunStatus::Failed);
    assert_eq!(studio.fragments().await, 1);
    assert_eq!(studio.status().await, IndexingStatus::Failed);
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn failures_are_logged_without_the_secrets_of_urls() {
    let kept = Log::default();
    let writer = kept.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    tracing::subscriber::with_default(subscriber.finish(), || {
        let event = event("https://ada:secret@example.com/a.pdf?signature=secret#secret");
        log(
            &event,
            "index-and-store",
            &Error::new("Error", "no network"),
        );
    });
    let logged = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("https://example.com/a.pdf"), "{logged}");
    assert!(
        !logged.contains("secret") && !logged.contains("ada"),
        "{logged}"
    );
}

#[tokio::test]
async fn a_workspaces_documents_start_a_minute_apart_and_replace_what_they_said() {
    let studio = Studio::new().await;
    let url = studio.document(SAMPLE).await;
    let clock = ManualClock::new(Timestamp::from_ms(1_767_225_600_000));
    let engine = studio
        .engine(Some(EngineClock::Manual(Arc::clone(&clock))))
        .await;

    let first = engine.send(event(&url)).await.unwrap();
    let first = engine.finished_runs(first).await.unwrap();
    assert_eq!(first[0].status, RunStatus::Completed);
    let fragments = studio.fragments().await;

    let second = engine.send(event(&url)).await.unwrap();
    let waiting = engine.runs_of_event(second).await.unwrap();
    assert_eq!(waiting[0].status, RunStatus::Scheduled);
    clock.advance_ms(59_000);
    // Another workspace's run passes by, and so shows that the engine has seen the time.
    let mut other = event(&url);
    other.workspace_id = "gone".to_owned();
    let other = engine.send(other).await.unwrap();
    engine.finished_runs(other).await.unwrap();
    let waiting = engine.runs_of_event(second).await.unwrap();
    assert_eq!(waiting[0].status, RunStatus::Scheduled);
    clock.advance_ms(1_001);
    let second = engine.finished_runs(second).await.unwrap();
    assert_eq!(second[0].status, RunStatus::Completed);
    assert_eq!(studio.fragments().await, fragments);
}

/// One page with nothing on it.
fn blank_pdf() -> Bytes {
    pdf_of("")
}

/// One page with this content.
fn pdf_of(content: &str) -> Bytes {
    testbed::pdf::pages((300, 200), &[content], "").into()
}
