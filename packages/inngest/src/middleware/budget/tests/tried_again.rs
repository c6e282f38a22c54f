//! A step that is tried again under a used-up budget is held, and loses no attempt by it.

use super::*;
use crate::middleware::metered_in_race;
use std::sync::atomic::AtomicU32;

/// A provider that refuses so often, for 60 tokens each time, and asks to be left alone for a minute.
#[derive(Clone)]
struct Studio {
    deps: Deps,
    asked: Arc<AtomicU32>,
    refusals: u32,
}

impl Studio {
    async fn ask(&self, spent: Spent) -> Result<String, Error> {
        spent.add(&Usage {
            provider: "local".to_owned(),
            input_tokens: 60,
            ..Usage::default()
        });
        if self.asked.fetch_add(1, Ordering::SeqCst) < self.refusals {
            return Err(Error::from("too many requests").retry_after(Duration::from_secs(60)));
        }
        Ok("painted".to_owned())
    }
}

fn payer(workspace: &str) -> Payer {
    Payer::new(WorkspaceId::new(workspace), &[UsageKind::Tokens])
}

async fn one(ctx: Context<Paint>, studio: State<Studio>) -> Result<String, Error> {
    let (deps, payer) = (&studio.deps, payer(&ctx.data().workspace));
    admit(&ctx, deps, &payer).await?;
    let painted = metered(&ctx, deps, "paint", &payer, |spent| studio.ask(spent));
    Ok(painted.await?)
}

/// Two branches, each of which goes on as it can, and is paid by another.
async fn two(ctx: Context<Paint>, studio: State<Studio>) -> Result<Vec<String>, Error> {
    let branch = |id: &'static str, workspace: &str| {
        let (ctx, studio, payer) = (&ctx, &studio, payer(workspace));
        async move {
            let ask = |spent| studio.ask(spent);
            let painted = metered_in_race(ctx, &studio.deps, id, &payer, ask).await?;
            let framed = ctx.step().run(format!("{id}-frame"), || async {
                Ok(format!("{painted}, framed"))
            });
            framed.in_race().await
        }
    };
    let (left, right) = futures::join!(branch("left", "w"), branch("right", "v"));
    Ok(vec![left?, right?])
}

/// So often refused, with a budget of 100 tokens of which `used` are used up. A step has two attempts.
async fn prepared(period: Period, used: u64, refusals: u32) -> (Fixture, Studio) {
    let fixture = Fixture::new().await;
    let budget = of_workspace(UsageKind::Tokens, period, 100);
    spent(&fixture.deps, &budget, used).await;
    let studio = Studio {
        deps: fixture.deps.clone(),
        asked: Arc::default(),
        refusals,
    };
    (fixture, studio)
}

fn of_one(studio: &Studio) -> Builder {
    let function = Function::new("paint").on::<Paint>().retries(1);
    let function = function.state(studio.clone()).handler(one);
    TestApp::builder()
        .app(app_of(function))
        .starts_at(Moment::from_unix_ms(NOON_MS))
}

#[tokio::test]
async fn it_goes_on_with_all_its_attempts_when_the_month_turns() {
    let (_fixture, studio) = prepared(Period::Month, 50, 2).await;
    let app = of_one(&studio).start().await.unwrap();
    let run = app.run(event()).await.unwrap();
    // Refused once more in the new month, and tried again a minute later.
    run.assert_output("painted".to_owned())
        .assert_took(HOUR * (31 * 24 - 12) + Duration::from_secs(60));
    assert_eq!(studio.asked.load(Ordering::SeqCst), 3);
    let held = run.step("paint-held").name().to_owned();
    assert_eq!(
        held,
        "held: the workspace w has used 110 of 100 tokens, until 2026-02-01T00:00:00.000Z"
    );
}

#[tokio::test]
async fn it_goes_on_when_the_budget_is_raised() {
    let (fixture, studio) = prepared(Period::Ever, 50, 2).await;
    let app = of_one(&studio).start().await.unwrap();
    let sent = app.send(event()).await.unwrap();
    app.run_for(HOUR).await.unwrap();
    let held = app.runs_of_event(sent).unwrap().remove(0);
    held.assert_unfinished();
    assert_eq!(studio.asked.load(Ordering::SeqCst), 1);
    // Too little of a raise: it looks, and is held again.
    let raise = |limit| of_workspace(UsageKind::Tokens, Period::Ever, limit);
    change(&fixture, &app, &raise(110)).await;
    app.run_for(HOUR).await.unwrap();
    app.run_by_id(held.id()).unwrap().assert_unfinished();
    assert_eq!(studio.asked.load(Ordering::SeqCst), 1);
    change(&fixture, &app, &raise(1_000)).await;
    app.finish(held.id())
        .await
        .unwrap()
        .assert_output("painted".to_owned())
        .assert_took(2 * HOUR + Duration::from_secs(60));
}

#[tokio::test]
async fn branches_are_held_each_for_itself() {
    let (fixture, studio) = prepared(Period::Ever, 50, 2).await;
    let of = |workspace: &str, limit| Budget {
        scope: BudgetScope::Workspace(WorkspaceId::new(workspace)),
        ..of_workspace(UsageKind::Tokens, Period::Ever, limit)
    };
    let database = &fixture.deps.database;
    database.set_budget(&of("v", 50), NOON_MS).await.unwrap();
    let function = Function::new("paint").on::<Paint>().retries(1);
    let function = function.state(studio.clone()).handler(two);
    let app = TestApp::builder()
        .app(app_of(function))
        .starts_at(Moment::from_unix_ms(NOON_MS));
    let app = app.start().await.unwrap();
    let sent = app.send(event()).await.unwrap();
    app.run_for(HOUR).await.unwrap();
    let held = app.runs_of_event(sent).unwrap().remove(0);
    for (branch, workspace) in [("left", "w"), ("right", "v")] {
        let waits = held.step(&format!("{branch}-held")).name().to_owned();
        assert!(waits.starts_with(&format!("held: the workspace {workspace} has")));
    }
    change(&fixture, &app, &of("v", 1_000)).await;
    app.run_for(HOUR).await.unwrap();
    app.run_by_id(held.id())
        .unwrap()
        .assert_unfinished()
        .assert_step("right-frame", json!("painted, framed"))
        .assert_not_reached("left-frame");
    change(&fixture, &app, &of("w", 1_000)).await;
    app.finish(held.id())
        .await
        .unwrap()
        .assert_output(vec!["painted, framed".to_owned(); 2]);
}

/// Is refused at noon, and begins without asking whether it may.
async fn at_noon(ctx: Context<Paint>, deps: State<Deps>) -> Result<String, Error> {
    let payer = payer(&ctx.data().workspace);
    let is_noon = ctx.now().unix_ms() < NOON_MS + 30_000;
    let painted = metered(&ctx, &deps, "paint", &payer, |_| async move {
        match is_noon {
            true => Err(Error::from("too many requests").retry_after(Duration::from_secs(60))),
            false => Ok("painted".to_owned()),
        }
    });
    Ok(painted.await?)
}

#[tokio::test]
async fn it_survives_crashes() {
    let kept: RefCell<Option<Fixture>> = RefCell::new(None);
    let held = || {
        let fixture = Fixture::blocking();
        let budget = of_workspace(UsageKind::Tokens, Period::Day, 100);
        futures::executor::block_on(spent(&fixture.deps, &budget, 100));
        let function = Function::new("paint").on::<Paint>();
        let function = function.state(fixture.deps.clone()).handler(at_noon);
        kept.replace(Some(fixture));
        TestApp::builder()
            .app(app_of(function))
            .starts_at(Moment::from_unix_ms(NOON_MS))
    };
    let crashes = assert_survives_crashes(held, async |app| {
        let run = app.run(event()).await?;
        run.assert_output("painted".to_owned());
        Ok::<_, TestError>(())
    });
    assert!(crashes.await >= 8);
}

#[test]
fn what_a_step_records_is_its_value_or_why_it_was_held() {
    let held = json!({"heldByBudget": {"budgets": [], "lookedAtMs": 1}});
    assert!(crate::middleware::held_by(&held).is_some());
    for other in [
        json!({"heldByBudget": 1}),
        json!({"heldByBudget": {"budgets": [], "lookedAtMs": 1}, "more": 1}),
        json!(null),
    ] {
        assert!(crate::middleware::held_by(&other).is_none(), "{other}");
    }
}
