mod tried_again;

use super::held::{change_of, held_for};
use super::*;
use crate::functions::fixture::{Fixture, app_of};
use crate::middleware::{Meter, Spent, metered};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stepwell::embedded::Embedded;
use stepwell::testing::{Builder, TestApp, TestError, TestRun, assert_survives_crashes};
use stepwell::{App, Event, Function, Moment, OutgoingEvent, State};
use studio233_ai::Usage;
use studio233_db::{NewUsage, Standing};

/// The noon at which tests begin.
const NOON_MS: i64 = 1_767_268_800_000;
const HOUR: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "test/paint")]
struct Paint {
    workspace: String,
}

/// Asks whether it may, then spends 60 tokens and an image.
async fn paint(ctx: Context<Paint>, deps: State<Deps>) -> Result<String, Error> {
    let workspace = WorkspaceId::new(&ctx.data().workspace);
    let payer = Payer::new(workspace, &[UsageKind::Tokens, UsageKind::Images]);
    admit(&ctx, &deps, &payer).await?;
    let painted = metered(&ctx, &deps, "paint", &payer, |spent| async move {
        spent.add(&Usage {
            provider: "local".to_owned(),
            input_tokens: 50,
            output_tokens: 10,
            images: 1,
            ..Usage::default()
        });
        Ok("painted".to_owned())
    });
    Ok(painted.await?)
}

fn app(deps: &Deps) -> App {
    let function = Function::new("paint").on::<Paint>();
    let function = function.state(deps.clone()).handler(paint);
    app_of(function)
}

fn builder(deps: &Deps) -> Builder {
    let noon = Moment::from_unix_ms(NOON_MS);
    TestApp::builder().app(app(deps)).starts_at(noon)
}

fn event() -> Paint {
    Paint {
        workspace: "w".to_owned(),
    }
}

fn of_workspace(kind: UsageKind, period: Period, limit: u64) -> Budget {
    Budget {
        scope: BudgetScope::Workspace(WorkspaceId::new("w")),
        kind,
        period,
        limit,
    }
}

/// A budget of the workspace, and what was used of it this morning.
async fn spent(deps: &Deps, budget: &Budget, used: u64) {
    deps.database.set_budget(budget, NOON_MS).await.unwrap();
    let usage = NewUsage {
        key: format!("before/{}", budget.kind.as_str()),
        workspace_id: WorkspaceId::new("w"),
        function_id: "paint".to_owned(),
        kind: budget.kind,
        model: "local".to_owned(),
        amount: used,
    };
    let recorded = deps.database.record_usage(&[usage], NOON_MS - 1000).await;
    recorded.unwrap();
}

/// A studio where so much of a budget is spent.
async fn started(budget: &Budget, used: u64) -> (Fixture, TestApp) {
    let fixture = Fixture::new().await;
    spent(&fixture.deps, budget, used).await;
    let app = builder(&fixture.deps).start().await.unwrap();
    (fixture, app)
}

/// Puts another studio in the place of the one before, whose budget of 100 tokens is used up.
fn held_anew(fixture: &RefCell<Fixture>, period: Period) -> Builder {
    fixture.replace(Fixture::blocking());
    let deps = fixture.borrow().deps.clone();
    let budget = of_workspace(UsageKind::Tokens, period, 100);
    futures::executor::block_on(spent(&deps, &budget, 100));
    builder(&deps)
}

/// Sets a budget, and has runs told.
async fn change(fixture: &Fixture, app: &TestApp, budget: &Budget) {
    let changed = set(app.client(), &fixture.deps.database, budget);
    changed.await.unwrap();
}

async fn start_held(app: &TestApp) -> TestRun {
    let sent = app.send(event()).await.unwrap();
    app.run_for(HOUR).await.unwrap();
    let run = app.runs_of_event(sent).unwrap().remove(0);
    run.assert_unfinished().assert_not_reached("paint");
    run
}

#[tokio::test]
async fn below_its_budget_a_run_starts_and_what_it_spends_fills_it() {
    let fixture = Fixture::new().await;
    let budget = of_workspace(UsageKind::Tokens, Period::Day, 100);
    fixture
        .deps
        .database
        .set_budget(&budget, NOON_MS)
        .await
        .unwrap();
    let app = builder(&fixture.deps).start().await.unwrap();
    for _ in 0..2 {
        let run = app.run(event()).await.unwrap();
        run.assert_output("painted".to_owned())
            .assert_steps(["budget", "paint"])
            .assert_step("budget", Value::Null)
            .assert_took(Duration::ZERO);
    }
    // The second was admitted at 60 of 100 and finished at 120; the third is not.
    let run = app.run(event()).await.unwrap();
    run.assert_took(12 * HOUR);
    let held: Held = run.step("budget").output();
    let amounts = held.budgets[0].amounts.as_ref().unwrap();
    assert_eq!((amounts.used, amounts.limit), (120, 100));
}

#[tokio::test]
async fn a_held_run_says_why_and_goes_on_when_the_period_turns() {
    let (_fixture, app) = started(&of_workspace(UsageKind::Images, Period::Day, 5), 7).await;
    let run = app.run(event()).await.unwrap();
    run.assert_output("painted".to_owned())
        .assert_took(12 * HOUR)
        .assert_steps(["budget", "budget-held", "budget", "paint"]);
    let expected = json!({
        "budgets": [{
            "scope": "workspace", "id": "w", "kind": "images", "period": "day", "limit": 5, "used": 7,
            "until": "2026-01-02T00:00:00.000Z", "untilMs": NOON_MS + 12 * 3_600_000,
        }],
        "lookedAtMs": NOON_MS,
    });
    run.assert_step("budget", expected);
    assert_eq!(
        run.step("budget-held").name(),
        "held: the workspace w has used 7 of 5 images, until 2026-01-02T00:00:00.000Z"
    );
}

#[tokio::test]
async fn a_budget_of_the_function_holds_all_workspaces() {
    let fixture = Fixture::new().await;
    spent(
        &fixture.deps,
        &of_workspace(UsageKind::Tokens, Period::Day, 1_000_000),
        900,
    )
    .await;
    let budget = Budget {
        scope: BudgetScope::Function("paint".to_owned()),
        ..of_workspace(UsageKind::Tokens, Period::Month, 900)
    };
    fixture
        .deps
        .database
        .set_budget(&budget, NOON_MS)
        .await
        .unwrap();
    let app = builder(&fixture.deps).start().await.unwrap();
    let other = Paint {
        workspace: "another".to_owned(),
    };
    let run = app.run(other).await.unwrap();
    // January, from the noon of its first day.
    run.assert_took(HOUR * (31 * 24 - 12));
    // How much all workspaces together used is told to none of them.
    assert_eq!(
        run.step("budget-held").name(),
        "held: the function paint has used up its tokens, until 2026-02-01T00:00:00.000Z"
    );
    let held = run.step("budget").output::<Value>().to_string();
    assert!(!held.contains("900"), "{held}");
}

#[tokio::test]
async fn a_week_turns_on_monday() {
    let (_fixture, app) = started(&of_workspace(UsageKind::Tokens, Period::Week, 10), 10).await;
    // From the noon of a Thursday: three days and a half.
    app.run(event()).await.unwrap().assert_took(HOUR * 84);
}

#[tokio::test]
async fn what_a_function_does_not_spend_does_not_hold_it_but_money_does() {
    let (fixture, app) = started(&of_workspace(UsageKind::Seconds, Period::Day, 0), 0).await;
    app.run(event()).await.unwrap().assert_took(Duration::ZERO);
    spent(
        &fixture.deps,
        &of_workspace(UsageKind::Currency, Period::Day, 10),
        10,
    )
    .await;
    app.run(event()).await.unwrap().assert_took(12 * HOUR);
}

#[tokio::test]
async fn a_held_run_goes_on_when_its_budget_is_raised_or_removed() {
    let budget = of_workspace(UsageKind::Tokens, Period::Ever, 100);
    let (fixture, app) = started(&budget, 100).await;
    let database = &fixture.deps.database;
    let held = start_held(&app).await;
    let name = held.step("budget-held").name().to_owned();
    assert!(
        name.ends_with("100 of 100 tokens, until it is raised"),
        "{name}"
    );
    // Neither another workspace's, nor another kind's, nor too small a change lets it go.
    let others = [
        Budget {
            scope: BudgetScope::Workspace(WorkspaceId::new("v")),
            limit: 1_000,
            ..budget.clone()
        },
        of_workspace(UsageKind::Images, Period::Ever, 1_000),
        of_workspace(UsageKind::Tokens, Period::Ever, 90),
    ];
    for other in &others {
        change(&fixture, &app, other).await;
        app.run_for(HOUR).await.unwrap();
        app.run_by_id(held.id()).unwrap().assert_unfinished();
    }
    let raised = of_workspace(UsageKind::Tokens, Period::Ever, 160);
    change(&fixture, &app, &raised).await;
    app.finish(held.id())
        .await
        .unwrap()
        .assert_output("painted".to_owned())
        .assert_took(4 * HOUR);

    let held = start_held(&app).await;
    let scope = &budget.scope;
    let remove_it = || {
        remove(
            app.client(),
            database,
            scope,
            UsageKind::Tokens,
            Period::Ever,
        )
    };
    let removed = remove_it().await;
    assert!(removed.unwrap());
    app.finish(held.id())
        .await
        .unwrap()
        .assert_output("painted".to_owned())
        .assert_took(HOUR);
    let again = remove_it().await;
    assert!(!again.unwrap());
}

#[tokio::test]
async fn a_change_that_was_looked_at_wakes_a_run_once_at_most() {
    let budget = of_workspace(UsageKind::Tokens, Period::Day, 100);
    let (fixture, app) = started(&budget, 300).await;
    for limit in [150, 200] {
        let budget = of_workspace(UsageKind::Tokens, Period::Day, limit);
        change(&fixture, &app, &budget).await;
    }
    app.run_due().await.unwrap();
    let run = app.run(event()).await.unwrap();
    run.assert_took(12 * HOUR);
    let rounds = run
        .steps()
        .iter()
        .filter(|step| step.id() == "budget")
        .count();
    assert!(rounds <= 4, "{rounds}");
}

#[tokio::test]
async fn many_changes_just_before_do_not_make_a_held_run_look_for_ever() {
    let budget = of_workspace(UsageKind::Tokens, Period::Day, 100);
    let (fixture, app) = started(&budget, 300).await;
    for limit in 101..=120 {
        let budget = of_workspace(UsageKind::Tokens, Period::Day, limit);
        change(&fixture, &app, &budget).await;
    }
    app.run_due().await.unwrap();
    let run = app.run(event()).await.unwrap();
    run.assert_output("painted".to_owned())
        .assert_took(12 * HOUR);
}

#[tokio::test]
async fn a_change_that_nobody_told_of_is_found_within_a_day() {
    let (fixture, app) = started(&of_workspace(UsageKind::Tokens, Period::Ever, 100), 100).await;
    let held = start_held(&app).await;
    let raised = of_workspace(UsageKind::Tokens, Period::Ever, 1_000);
    fixture
        .deps
        .database
        .set_budget(&raised, NOON_MS)
        .await
        .unwrap();
    app.finish(held.id())
        .await
        .unwrap()
        .assert_completed()
        .assert_took(HELD_MAX);
}

/// Raises the budget right after it has read that it is used up.
struct RaisedMeanwhile {
    database: Database,
    client: std::sync::OnceLock<Client>,
    raised: AtomicBool,
}

#[async_trait]
impl Meter for RaisedMeanwhile {
    async fn record(&self, used: &[NewUsage], now_ms: i64) -> Result<(), DbError> {
        self.database.record(used, now_ms).await
    }

    async fn standings(
        &self,
        workspace: &WorkspaceId,
        function: &str,
        now_ms: i64,
    ) -> Result<Vec<Standing>, DbError> {
        let read = self.database.standings(workspace, function, now_ms).await;
        if !self.raised.swap(true, Ordering::SeqCst) {
            let raised = of_workspace(UsageKind::Tokens, Period::Ever, 1_000);
            set(self.client.get().unwrap(), &self.database, &raised)
                .await
                .unwrap();
        }
        read
    }
}

#[tokio::test]
async fn a_raise_between_the_look_and_the_wait_is_not_missed() {
    let mut fixture = Fixture::new().await;
    spent(
        &fixture.deps,
        &of_workspace(UsageKind::Tokens, Period::Ever, 100),
        100,
    )
    .await;
    let meter = Arc::new(RaisedMeanwhile {
        database: fixture.deps.database.clone(),
        client: std::sync::OnceLock::new(),
        raised: AtomicBool::new(false),
    });
    fixture.deps.meter = meter.clone();
    let app = builder(&fixture.deps).start().await.unwrap();
    assert!(meter.client.set(app.client().clone()).is_ok());
    let run = app.run(event()).await.unwrap();
    run.assert_output("painted".to_owned())
        .assert_steps(["budget", "budget-held", "budget", "paint"])
        .assert_took(Duration::ZERO);
}

#[tokio::test]
async fn being_held_survives_crashes() {
    let fixture = RefCell::new(Fixture::new().await);
    let held = || held_anew(&fixture, Period::Day);
    let crashes = assert_survives_crashes(held, async |app| {
        let run = app.run(event()).await?;
        run.assert_output("painted".to_owned());
        let database = fixture.borrow().deps.database.clone();
        let workspace = BudgetScope::Workspace(WorkspaceId::new("w"));
        let tokens = database.usage_since(&workspace, UsageKind::Tokens, 0).await;
        let executions = (tokens.unwrap() - 100) / 60;
        assert!(executions >= 1, "each counts");
        Ok::<_, TestError>(())
    });
    assert!(crashes.await >= 8);
}

#[tokio::test]
async fn being_raised_survives_crashes() {
    let fixture = RefCell::new(Fixture::new().await);
    let held = || held_anew(&fixture, Period::Ever);
    let crashes = assert_survives_crashes(held, async |app| {
        let sent = app.send(event()).await?;
        app.run_for(HOUR).await?;
        let database = fixture.borrow().deps.database.clone();
        let raised = of_workspace(UsageKind::Tokens, Period::Ever, 1_000);
        // A producer tries again until it is told that it was done.
        while set(app.client(), &database, &raised).await.is_err() {}
        app.settle().await?;
        let run = app.runs_of_event(sent)?.remove(0);
        run.assert_output("painted".to_owned());
        Ok::<_, TestError>(())
    });
    assert!(crashes.await >= 8);
}

#[tokio::test]
async fn people_who_look_at_a_held_run_see_the_note() {
    let fixture = Fixture::new().await;
    let budget = of_workspace(UsageKind::Tokens, Period::Ever, 100);
    spent(&fixture.deps, &budget, 100).await;
    let engine = Embedded::builder().app(app(&fixture.deps)).memory();
    let engine = engine.start().await.unwrap();
    let sent = engine.send(event()).await.unwrap();
    let noted = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Some(run) = engine.runs_of_event(sent).await.unwrap().first() {
                let id = run.id;
                let notes = engine
                    .handle()
                    .read(move |reader| reader.metadata(id))
                    .await;
                if let Some(note) = notes.unwrap().first() {
                    return note.clone();
                }
            }
            tokio::task::yield_now().await;
        }
    });
    let noted = format!("{:?}", noted.await.expect("the run is noted of"));
    assert!(
        noted.contains("userland.budget") && noted.contains("tokens"),
        "{noted}"
    );
}

#[test]
fn ids_cannot_get_out_of_the_condition() {
    let held = |id: &str| Held {
        budgets: vec![UsedUp {
            scope: BudgetScope::Workspace(WorkspaceId::new(id)),
            kind: UsageKind::Tokens,
            period: Period::Ever,
            amounts: None,
            until: None,
            until_ms: None,
        }],
        looked_at_ms: 0,
    };
    assert_eq!(
        change_of(&held("w\" || true || \""), &["e\"1".to_owned()]),
        r#"((async.data.workspaceId == "w\" || true || \"" && async.data.kind == "tokens")) && async.id != "e\"1""#
    );
    assert_eq!(held_for(&held("w")), HELD_MAX);
}

#[test]
fn a_change_is_of_a_workspace_or_of_a_function() {
    let both = json!({"workspaceId": "w", "functionId": "f", "kind": "tokens", "period": "day", "limit": 1});
    let neither = json!({"kind": "tokens", "period": "day", "limit": 1});
    for data in [both, neither] {
        let change: BudgetChanged = serde_json::from_value(data).unwrap();
        assert!(change.validate().is_err());
    }
    let scope = BudgetScope::Function("f".to_owned());
    let change = changed(&scope, UsageKind::Currency, Period::Month, Some(7));
    assert_eq!(
        OutgoingEvent::new(&change).data(),
        &json!({"functionId": "f", "kind": "currency", "period": "month", "limit": 7})
    );
}
