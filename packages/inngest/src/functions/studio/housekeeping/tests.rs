use super::{ID, INDEXING_MAX, USAGE_KEPT, in_ms};
use crate::functions::fixture::{Fixture, make_workspace};
use serde_json::json;
use std::time::Duration;
use stepwell::Moment;
use studio233_db::{
    AssetId, Budget, BudgetScope, IndexingRun, IndexingStatus, NewUsage, Period, UsageKind,
    WorkspaceId,
};

const START: &str = "2026-01-01T00:00:00Z";

fn start() -> Moment {
    START.parse().unwrap()
}

async fn begin(fixture: &Fixture, workspace: &str, ago: Duration) {
    let run = IndexingRun {
        workspace_id: &WorkspaceId::new(workspace),
        asset_id: &AssetId::new("a"),
        run_id: "r",
    };
    let at_ms = fixture.deps.now_ms() - in_ms(ago);
    let database = &fixture.deps.database;
    database.begin_indexing(run, at_ms).await.unwrap();
}

async fn status(fixture: &Fixture) -> IndexingStatus {
    let id = WorkspaceId::new("w");
    let workspace = fixture.deps.database.workspace(&id).await;
    workspace.unwrap().unwrap().indexing_status
}

/// A token of each workspace, used so long ago.
async fn used(fixture: &Fixture, count: usize, workspace: &str, ago: Duration) {
    let usage = |number: usize| NewUsage {
        key: format!("{workspace}-{}-{number}", ago.as_secs()),
        workspace_id: WorkspaceId::new(workspace),
        function_id: "f".to_owned(),
        kind: UsageKind::Tokens,
        model: "m".to_owned(),
        amount: 1,
    };
    let usages: Vec<NewUsage> = (0..count).map(usage).collect();
    let at_ms = start().unix_ms() - in_ms(ago);
    let database = &fixture.deps.database;
    database.record_usage(&usages, at_ms).await.unwrap();
}

async fn left(fixture: &Fixture, workspace: &str) -> u64 {
    let scope = BudgetScope::Workspace(WorkspaceId::new(workspace));
    let database = &fixture.deps.database;
    let left = database.usage_since(&scope, UsageKind::Tokens, i64::MIN);
    left.await.unwrap()
}

async fn what_nobody_ends_or_needs_goes_and_nothing_else(fixture: Fixture) {
    make_workspace(&fixture.deps).await;
    begin(&fixture, "w", INDEXING_MAX + Duration::from_secs(60)).await;
    let (day, kept) = (Duration::from_secs(24 * 60 * 60), USAGE_KEPT);
    used(&fixture, 1_001, "w", kept + day).await;
    used(&fixture, 2, "w", kept - day).await;
    used(&fixture, 3, "counted", kept + day).await;
    let ever = Budget {
        scope: BudgetScope::Workspace(WorkspaceId::new("counted")),
        kind: UsageKind::Tokens,
        period: Period::Ever,
        limit: 10,
    };
    fixture.deps.database.set_budget(&ever, 1).await.unwrap();

    let app = fixture.builder().starts_at(start()).start().await.unwrap();
    let run = app.invoke(ID, json!({})).await.unwrap();
    run.assert_output(json!({"indexingEnded": 1, "usagePruned": 1_001}))
        .assert_steps(["end-stale-indexing", "prune-usage", "prune-usage"]);
    assert_eq!(status(&fixture).await, IndexingStatus::Idle);
    assert_eq!(left(&fixture, "w").await, 2);
    assert_eq!(left(&fixture, "counted").await, 3, "a budget counts it");

    begin(&fixture, "w", INDEXING_MAX - Duration::from_secs(60)).await;
    let run = app.invoke(ID, json!({})).await.unwrap();
    run.assert_output(json!({"indexingEnded": 0, "usagePruned": 0}));
    assert_eq!(status(&fixture).await, IndexingStatus::Indexing);
}

#[tokio::test]
async fn what_nobody_ends_or_needs_goes_and_nothing_else_on_sqlite() {
    what_nobody_ends_or_needs_goes_and_nothing_else(Fixture::new().await).await;
}

#[tokio::test]
async fn what_nobody_ends_or_needs_goes_and_nothing_else_on_postgres() {
    what_nobody_ends_or_needs_goes_and_nothing_else(Fixture::on_postgres().await).await;
}

#[tokio::test]
async fn it_runs_each_hour() {
    let fixture = Fixture::new().await;
    let app = fixture.builder().starts_at(start()).start().await.unwrap();
    app.run_for(Duration::from_secs(3 * 60 * 60)).await.unwrap();
    let runs = app.runs_of(ID).unwrap();
    assert_eq!(runs.len(), 3);
    for run in runs {
        run.assert_completed();
    }
}
