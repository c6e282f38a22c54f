use super::*;
use crate::functions::fixture::{Fixture, app_of};
use crate::middleware::Price;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use stepwell::embedded::Embedded;
use stepwell::testing::TestApp;
use stepwell::{Event, Function, State};
use studio233_db::BudgetScope;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "test/ask")]
struct Ask {
    failures: u32,
}

fn usage() -> Usage {
    Usage {
        provider: "gemini".to_owned(),
        model: "flash".to_owned(),
        input_tokens: 1_000,
        output_tokens: 200,
        images: 2,
        seconds: 1.25,
        passed_over: None,
    }
}

fn payer() -> Payer {
    Payer::new(WorkspaceId::new("w"), &[UsageKind::Tokens])
}

/// Spends, then fails as often as the event says.
async fn ask(ctx: Context<Ask>, deps: State<Deps>) -> Result<String, Error> {
    let payer = payer();
    let fails = ctx.attempt() < ctx.data().failures;
    let asked = metered(&ctx, &deps, "ask", &payer, |spent| async move {
        spent.add(&usage());
        match fails {
            true => Err("the answer could not be kept".into()),
            false => Ok("an answer".to_owned()),
        }
    });
    Ok(asked.await?)
}

async fn start(deps: &Deps) -> TestApp {
    let function = Function::new("ask").on::<Ask>();
    let function = function.state(deps.clone()).handler(ask);
    let app = app_of(function);
    TestApp::builder().app(app).start().await.unwrap()
}

async fn used(deps: &Deps, scope: BudgetScope) -> Vec<u64> {
    let mut amounts = Vec::new();
    for kind in [
        UsageKind::Tokens,
        UsageKind::Images,
        UsageKind::Seconds,
        UsageKind::Currency,
    ] {
        amounts.push(deps.database.usage_since(&scope, kind, 0).await.unwrap());
    }
    amounts
}

#[tokio::test]
async fn what_an_answer_cost_counts_for_workspace_and_function_and_does_not_show_in_the_step() {
    let mut fixture = Fixture::new().await;
    let price = Price {
        million_input_tokens: 300_000,
        million_output_tokens: 2_500_000,
        ..Price::default()
    };
    fixture.deps.prices = Prices::default().with("flash", price);
    let app = start(&fixture.deps).await;
    let run = app.run(Ask { failures: 0 }).await.unwrap();
    run.assert_output("an answer".to_owned())
        .assert_step("ask", json!("an answer"));
    let expected = [1_200, 2, 1_250, 300 + 500];
    let deps = &fixture.deps;
    let workspace = BudgetScope::Workspace(WorkspaceId::new("w"));
    assert_eq!(used(deps, workspace).await, expected);
    assert_eq!(
        used(deps, BudgetScope::Function("ask".to_owned())).await,
        expected
    );
    let other = BudgetScope::Workspace(WorkspaceId::new("v"));
    assert_eq!(used(deps, other).await, [0; 4]);
}

#[tokio::test]
async fn an_attempt_that_failed_has_spent_too() {
    let fixture = Fixture::new().await;
    let app = start(&fixture.deps).await;
    let run = app.run(Ask { failures: 2 }).await.unwrap();
    run.assert_output("an answer".to_owned())
        .assert_attempts("ask", 3);
    let used = used(&fixture.deps, BudgetScope::Function("ask".to_owned())).await;
    assert_eq!(used, [3 * 1_200, 6, 3 * 1_250, 0]);
}

/// Spends in two steps of one id.
async fn ask_twice(ctx: Context<Ask>, deps: State<Deps>) -> Result<u32, Error> {
    let payer = payer();
    for _ in 0..2 {
        let asked = metered(&ctx, &deps, "ask", &payer, |spent| async move {
            spent.add(&usage());
            Ok(())
        });
        asked.await?;
    }
    ctx.step().sleep("rest", Duration::from_secs(1)).await;
    Ok(2)
}

#[tokio::test]
async fn steps_of_one_id_count_each_and_replays_do_not() {
    let fixture = Fixture::new().await;
    let function = Function::new("ask").on::<Ask>();
    let function = function.state(fixture.deps.clone()).handler(ask_twice);
    let app = app_of(function);
    let app = TestApp::builder().app(app).start().await.unwrap();
    // Each call after the first goes through the steps that were recorded before it.
    let run = app.run(Ask { failures: 0 }).await.unwrap();
    run.assert_output(2);
    let used = used(&fixture.deps, BudgetScope::Function("ask".to_owned())).await;
    assert_eq!(used, [2 * 1_200, 4, 2 * 1_250, 0]);
}

/// Is away.
#[derive(Default)]
struct Away(AtomicU32);

#[async_trait]
impl Meter for Away {
    async fn record(&self, _: &[NewUsage], _: i64) -> Result<(), DbError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Err(DbError::NoSuchRun { id: "r".to_owned() })
    }

    async fn standings(&self, _: &WorkspaceId, _: &str, _: i64) -> Result<Vec<Standing>, DbError> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn what_cannot_be_counted_is_not_spent_again() {
    let mut fixture = Fixture::new().await;
    let away = Arc::new(Away::default());
    fixture.deps.meter = away.clone();
    let app = start(&fixture.deps).await;
    let run = app.run(Ask { failures: 0 }).await.unwrap();
    run.assert_output("an answer".to_owned())
        .assert_attempts("ask", 1);
    assert_eq!(away.0.load(Ordering::SeqCst), RECORD_ATTEMPTS);
}

/// Spends, says so, and then works for ever.
async fn ask_for_ever(ctx: Context<Ask>, deps: State<Asked>) -> Result<(), Error> {
    let now = Arc::clone(&deps.asked);
    let asked = metered(&ctx, &deps.deps, "ask", &payer(), |spent| async move {
        spent.add(&usage());
        now.notify_one();
        std::future::pending::<Result<(), Error>>().await
    });
    Ok(asked.await?)
}

#[derive(Clone)]
struct Asked {
    deps: Deps,
    asked: Arc<tokio::sync::Notify>,
}

#[tokio::test]
async fn a_step_that_is_cut_off_has_spent_too() {
    let fixture = Fixture::new().await;
    let asked = Asked {
        deps: fixture.deps.clone(),
        asked: Arc::default(),
    };
    let function = Function::new("ask").on::<Ask>();
    let function = function.state(asked.clone()).handler(ask_for_ever);
    let app = app_of(function);
    let engine = Embedded::builder().app(app).memory().start().await.unwrap();
    let sent = engine.send(Ask { failures: 0 }).await.unwrap();
    asked.asked.notified().await;
    let run = engine.runs_of_event(sent).await.unwrap()[0].id;
    let cancelled = engine.handle().cancel_run(run).await;
    cancelled.unwrap().unwrap();
    let scope = BudgetScope::Function("ask".to_owned());
    let counted = tokio::time::timeout(Duration::from_secs(20), async {
        while used(&fixture.deps, scope.clone()).await[0] == 0 {
            tokio::task::yield_now().await;
        }
    });
    counted.await.expect("it is counted");
    assert_eq!(used(&fixture.deps, scope).await, [1_200, 2, 1_250, 0]);
}

#[tokio::test]
async fn an_attempt_that_is_executed_again_counts_again() {
    let fixture = Fixture::new().await;
    let asked = Asked {
        deps: fixture.deps.clone(),
        asked: Arc::default(),
    };
    let function = Function::new("ask").on::<Ask>();
    let function = function.state(asked.clone()).handler(ask_for_ever);
    let app = app_of(function);
    let app = TestApp::builder().app(app).start().await.unwrap();
    app.send(Ask { failures: 0 }).await.unwrap();
    let scope = BudgetScope::Function("ask".to_owned());
    let twice = async {
        asked.asked.notified().await;
        app.crash().await.unwrap();
        asked.asked.notified().await;
        app.crash().await.unwrap();
        while used(&fixture.deps, scope.clone()).await[0] < 2 * 1_200 {
            tokio::task::yield_now().await;
        }
    };
    let twice = tokio::time::timeout(Duration::from_secs(20), twice);
    tokio::select! {
        _ = app.settle() => panic!("it never ends"),
        counted = twice => counted.expect("both are counted"),
    }
}
