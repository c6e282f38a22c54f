use super::*;
use crate::functions::fixture::{Fixture, make_workspace, make_workspace_named};
use async_trait::async_trait;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use stepwell::testing::{TestApp, TestError, assert_survives_crashes};
use studio233_ai::local::LocalLanguageModel;
use studio233_ai::{Answer, LanguageError, LanguageModel, LanguageRequest, ProviderError, Usage};
use studio233_db::{
    AssetId, Budget, BudgetScope, Database, Embedding, KnowledgeSource, NewChunk, Period,
    SummaryRun,
};

const FACTS: [&str; 3] = [
    "Solvane makes outdoor gear that lasts. Our voice is plain, warm and exact.",
    "Our primary colour is ember. Photographs show people at work, in daylight.",
    "Leave clear space around the logo. Never stretch it, and never recolour it.",
];

/// A workspace `w` that knows these facts.
async fn studio(fixture: &Fixture, facts: &[&str]) {
    make_workspace(&fixture.deps).await;
    learn(fixture, facts).await;
}

/// All that it knows from now on.
async fn learn(fixture: &Fixture, facts: &[&str]) {
    learn_in("w", fixture, facts).await;
}

async fn learn_in(workspace: &str, fixture: &Fixture, facts: &[&str]) {
    let source = KnowledgeSource {
        workspace_id: WorkspaceId::new(workspace),
        asset_id: AssetId::new("a"),
    };
    let chunks: Vec<NewChunk> = facts
        .iter()
        .map(|fact| NewChunk {
            text: (*fact).to_owned(),
            embedding: Embedding::new(vec![0.0; 768]).unwrap(),
            metadata: json!({}),
        })
        .collect();
    let database = &fixture.deps.database;
    database
        .replace_knowledge(&source, &chunks, 1)
        .await
        .unwrap();
}

fn event() -> IntelligenceSyncRequested {
    IntelligenceSyncRequested {
        workspace_id: "w".to_owned(),
    }
}

/// Somebody else sums up, who was queued at this time: the latest to have read, so far.
async fn write(database: &Database, summary: Value, queued_ms: i64) {
    let workspace = WorkspaceId::new("w");
    let run = SummaryRun {
        run_id: "other",
        queued_ms,
    };
    let begun = database.begin_brand_summary(&workspace, run, queued_ms);
    assert!(begun.await.unwrap());
    let written = database.write_brand_summary(&workspace, "other", |_| Some(summary), 1);
    assert!(written.await.unwrap());
}

async fn summary(fixture: &Fixture) -> Option<Value> {
    let workspace = fixture
        .deps
        .database
        .workspace(&WorkspaceId::new("w"))
        .await;
    workspace.unwrap().unwrap().brand_summary
}

async fn what_is_known_is_summed_up(fixture: Fixture) {
    studio(&fixture, &FACTS).await;
    let palette = json!([{"hex": "#E4572E", "name": "Ember"}]);
    let earlier = json!({"manifesto": "old", "palette": palette});
    write(&fixture.deps.database, earlier, 1).await;
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event()).await.unwrap();

    run.assert_output(json!({"status": "synthesized", "workspaceId": "w"}))
        .assert_steps([
            "budget",
            "fetch-knowledge",
            "synthesize-dna",
            "update-workspace-summary",
        ])
        .assert_step("fetch-knowledge", json!(FACTS));
    let shown = summary(&fixture).await.unwrap();
    assert_eq!(shown["voice"], json!(["plain", "warm", "exact"]));
    assert_ne!(shown["manifesto"], "old");
    assert_eq!(shown["generatedBy"], "local");
    assert_eq!(shown["palette"], palette, "what documents name stays");
}

#[tokio::test]
async fn what_is_known_is_summed_up_on_sqlite() {
    what_is_known_is_summed_up(Fixture::new().await).await;
}

#[tokio::test]
async fn what_is_known_is_summed_up_on_postgres() {
    what_is_known_is_summed_up(Fixture::on_postgres().await).await;
}

#[tokio::test]
async fn where_nothing_is_known_nothing_is_said() {
    let fixture = Fixture::new().await;
    studio(&fixture, &[]).await;
    write(&fixture.deps.database, json!({"manifesto": "old"}), 1).await;
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event()).await.unwrap();

    run.assert_output(json!({"status": "cleared"}))
        .assert_steps(["budget", "fetch-knowledge", "clear-brand-summary"]);
    assert_eq!(summary(&fixture).await, None);
}

#[tokio::test]
async fn a_workspace_that_is_gone_ends_the_run() {
    let fixture = Fixture::new().await;
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event()).await.unwrap();
    run.assert_failed_with("there is no workspace w")
        .assert_attempts("fetch-knowledge", 1);
}

#[tokio::test]
async fn a_burst_is_summed_up_once_when_it_is_over() {
    let fixture = Fixture::new().await;
    studio(&fixture, &FACTS).await;
    let app = fixture.builder().start().await.unwrap();
    let seconds = Duration::from_secs;
    for at in [0, 6, 12, 18] {
        app.send_in(seconds(at), event());
    }
    app.run_for(seconds(27)).await.unwrap();
    assert!(
        app.runs_of(ID).unwrap().is_empty(),
        "it waits until none comes"
    );
    app.settle().await.unwrap();
    let runs = app.runs_of(ID).unwrap();
    assert_eq!(runs.len(), 1);
    runs[0].assert_completed();
}

#[tokio::test]
async fn a_burst_without_an_end_is_summed_up_all_the_same_and_alone() {
    let fixture = Fixture::new().await;
    studio(&fixture, &FACTS).await;
    let app = fixture.builder().start().await.unwrap();
    for number in 0..80 {
        app.send_in(Duration::from_secs(5 * number), event());
    }
    // Another workspace's requests are gathered by themselves.
    let mut other = event();
    other.workspace_id = "gone".to_owned();
    app.send(other).await.unwrap();
    app.run_for(Duration::from_secs(30)).await.unwrap();
    assert_eq!(app.runs_of(ID).unwrap().len(), 1, "the other's");
    app.run_for(DEBOUNCE_MAX).await.unwrap();
    assert_eq!(app.runs_of(ID).unwrap().len(), 2);
}

/// The local provider, which refuses at first, and sends a bill.
#[derive(Default)]
struct Writing(Mutex<VecDeque<LanguageError>>);

#[async_trait]
impl LanguageModel for Writing {
    fn provider(&self) -> &str {
        "writing"
    }

    async fn generate(&self, request: &LanguageRequest) -> Result<Answer<Value>, LanguageError> {
        if let Some(refusal) = self.0.lock().unwrap().pop_front() {
            return Err(refusal);
        }
        let answer = LocalLanguageModel.generate(request).await?;
        Ok(Answer::new(answer.value, spent(70)))
    }
}

fn spent(input_tokens: u64) -> Usage {
    Usage {
        provider: "writing".to_owned(),
        input_tokens,
        ..Usage::default()
    }
}

#[tokio::test]
async fn nonsense_is_paid_for_and_asked_again_and_a_refusal_is_an_answer() {
    let mut fixture = Fixture::new().await;
    studio(&fixture, &FACTS).await;
    let nonsense = LanguageError::InvalidJson {
        provider: "writing".to_owned(),
        at: "voice".to_owned(),
        problem: "it is a number".to_owned(),
        usage: Box::new(spent(30)),
    };
    let wait = Duration::from_secs(41);
    let busy = LanguageError::Call {
        provider: "writing".to_owned(),
        source: ProviderError::Status {
            status: 429,
            message: "busy".to_owned(),
            transient: true,
            retry_after: Some(wait),
        },
    };
    fixture.deps.language_model = Arc::new(Writing(Mutex::new([nonsense, busy].into())));
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event()).await.unwrap();
    run.assert_completed().assert_attempts("synthesize-dna", 3);
    let again = run.step("synthesize-dna").failed_attempts();
    assert_eq!(again.len(), 2);
    assert!(run.took().unwrap() >= wait, "it waits as it was told");
    let workspace = BudgetScope::Workspace(WorkspaceId::new("w"));
    let used = fixture
        .deps
        .database
        .usage_since(&workspace, UsageKind::Tokens, 0);
    assert_eq!(used.await.unwrap(), 100);

    let blocked = LanguageError::Blocked {
        provider: "writing".to_owned(),
        reason: "SAFETY".to_owned(),
        usage: Box::new(spent(1)),
    };
    fixture.deps.language_model = Arc::new(Writing(Mutex::new([blocked].into())));
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event()).await.unwrap();
    run.assert_failed_with("writing refuses to answer: SAFETY")
        .assert_attempts("synthesize-dna", 1);
    assert!(
        summary(&fixture).await.is_some(),
        "what was said before stays"
    );
}

/// The local provider, which is slow: somebody who has read later sums up meanwhile.
struct Overtaken(Database);

#[async_trait]
impl LanguageModel for Overtaken {
    fn provider(&self) -> &str {
        "overtaken"
    }

    async fn generate(&self, request: &LanguageRequest) -> Result<Answer<Value>, LanguageError> {
        write(&self.0, json!({"manifesto": "newer"}), i64::MAX).await;
        LocalLanguageModel.generate(request).await
    }
}

#[tokio::test]
async fn what_was_read_earlier_does_not_take_the_place_of_a_newer_summary() {
    let mut fixture = Fixture::new().await;
    studio(&fixture, &FACTS).await;
    fixture.deps.language_model = Arc::new(Overtaken(fixture.deps.database.clone()));
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event()).await.unwrap();
    run.assert_output(json!({"status": "superseded", "workspaceId": "w"}));
    assert_eq!(summary(&fixture).await, Some(json!({"manifesto": "newer"})));
}

#[tokio::test]
async fn a_run_that_reads_after_a_newer_one_does_not_take_its_place() {
    let fixture = Fixture::new().await;
    studio(&fixture, &FACTS).await;
    let database = &fixture.deps.database;
    write(database, json!({"manifesto": "newer"}), i64::MAX).await;
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event()).await.unwrap();
    run.assert_output(json!({"status": "superseded", "workspaceId": "w"}))
        .assert_steps(["budget", "fetch-knowledge"]);
    let workspace = WorkspaceId::new("w");
    let again = json!({"manifesto": "newer still"});
    let written = database.write_brand_summary(&workspace, "other", |_| Some(again), 2);
    assert!(written.await.unwrap(), "the newer one writes");
}

#[tokio::test]
async fn a_run_that_waits_to_be_tried_again_gives_way_to_the_next() {
    let mut fixture = Fixture::new().await;
    studio(&fixture, &FACTS).await;
    let hour = Duration::from_secs(3600);
    let busy = LanguageError::Call {
        provider: "writing".to_owned(),
        source: ProviderError::Status {
            status: 429,
            message: "busy".to_owned(),
            transient: true,
            retry_after: Some(hour),
        },
    };
    fixture.deps.language_model = Arc::new(Writing(Mutex::new([busy].into())));
    let app = fixture.builder().start().await.unwrap();
    app.send(event()).await.unwrap();
    app.run_for(Duration::from_secs(60)).await.unwrap();
    app.send(event()).await.unwrap();
    app.settle().await.unwrap();
    let runs = app.runs_of(ID).unwrap();
    assert_eq!(runs.len(), 2);
    runs[0].assert_cancelled();
    runs[1].assert_completed();
    assert!(runs[1].took().unwrap() < hour);
}

#[tokio::test]
async fn a_held_run_sums_up_what_is_known_when_it_goes_on() {
    let fixture = Fixture::new().await;
    studio(&fixture, &FACTS[..1]).await;
    let budget = Budget {
        scope: BudgetScope::Workspace(WorkspaceId::new("w")),
        kind: UsageKind::Tokens,
        period: Period::Day,
        limit: 0,
    };
    let app = fixture.builder().start().await.unwrap();
    let database = &fixture.deps.database;
    budget::set(app.client(), database, &budget).await.unwrap();
    app.send(event()).await.unwrap();
    app.run_for(Duration::from_secs(60)).await.unwrap();
    app.runs_of(ID).unwrap()[0].assert_unfinished();

    learn(&fixture, &FACTS).await;
    let raised = Budget {
        limit: 1_000_000,
        ..budget
    };
    budget::set(app.client(), database, &raised).await.unwrap();
    app.settle().await.unwrap();
    let run = &app.runs_of(ID).unwrap()[0];
    run.assert_completed();
    run.assert_step("fetch-knowledge", json!(FACTS));
}

#[tokio::test]
async fn it_survives_crashes_on_sqlite() {
    survives_crashes(&Fixture::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_survives_crashes_on_postgres() {
    survives_crashes(&Fixture::on_postgres().await).await;
}

async fn survives_crashes(fixture: &Fixture) {
    // Each play has a workspace of its own, in one database.
    let plays = AtomicU32::new(0);
    let crashes = assert_survives_crashes(
        || fixture.builder(),
        async |app: &TestApp| {
            let id = format!("w{}", plays.fetch_add(1, Ordering::Relaxed));
            make_workspace_named(&fixture.deps, &id).await;
            learn_in(&id, fixture, &FACTS).await;
            let event = || IntelligenceSyncRequested {
                workspace_id: id.clone(),
            };
            app.send(event()).await?;
            app.run(event()).await?.assert_completed();
            assert_eq!(app.runs_of(ID)?.len(), 1);
            let workspace = WorkspaceId::new(&id);
            let known = fixture.deps.database.workspace(&workspace).await;
            assert!(known.unwrap().unwrap().brand_summary.is_some());
            Ok::<_, TestError>(())
        },
    )
    .await;
    assert!(crashes >= 10, "{crashes}");
}
