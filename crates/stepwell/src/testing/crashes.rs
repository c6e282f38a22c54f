//! Crashing the engine before and after every commit of a scenario in turn.

use super::app::TestApp;
use super::builder::Builder;
use super::disk::{CrashPoint, Side};
use super::error::TestError;
use super::outcome::{Difference, Outcome, first_difference};
use crate::execution::panic_error;
use std::fmt::Debug;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use stepwell_engine::{Change, ItemKind};
use stepwell_protocol::{RunId, StepId};

/// Commits that are tried: what makes more of them makes for an endless test.
const COMMITS_MAX: usize = 10_000;
/// How much later the second uncrashed scenario begins, so that values which tell the time are known.
const LATER: Duration = Duration::from_millis(7);

/// Runs a scenario over and over, with a crash of the engine right before its first commit, right after it, before the
/// second, and so on, until none is left; returns how many crashes that were. Each time everything that was not recorded is
/// lost: calls in flight, answers, results. Another engine then goes on from the store, and in the end all must be as it is
/// without a crash: the runs and how they ended, the steps that were recorded with their results, the events that were
/// sent. Whatever differs between two scenarios without a crash, such as a random id, may be anything.
///
/// `app` makes the app anew each time, with its mocks and whatever its functions keep outside of steps. `scenario` sends
/// what it will; when it is done, everything that is left is carried out as [`TestApp::settle`] does. It may assert things
/// as well, as long as they hold whatever crashes: a step before whose commit the engine crashes is executed twice, and
/// recorded once.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use stepwell::testing::{TestApp, TestError, assert_survives_crashes};
/// use stepwell::{Context, Error, Function, OutgoingEvent};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let app = || {
///     let charge = async |ctx: Context| {
///         let receipt: u32 = ctx.step().run("charge", || async { Ok(17) }).await?;
///         ctx.step().run("ship", || async { Ok(receipt) }).await?;
///         Ok::<_, Error>(receipt)
///     };
///     TestApp::builder().function(Function::new("order").on_event("shop/ordered").handler(charge))
/// };
/// let crashes = assert_survives_crashes(app, async |app| {
///     app.run(OutgoingEvent::untyped("shop/ordered", serde_json::json!({}))).await?;
///     Ok::<_, TestError>(())
/// })
/// .await;
/// assert!(crashes >= 6);
/// # });
/// ```
///
/// # Panics
/// At the first difference, with the commit at which the engine was crashed, the step that it recorded, and the run's
/// history with and without the crash. If the scenario fails, with or without a crash.
#[track_caller]
pub fn assert_survives_crashes<E: Debug>(
    app: impl Fn() -> Builder,
    scenario: impl AsyncFn(&TestApp) -> Result<(), E>,
) -> impl Future<Output = usize> {
    let caller = Location::caller();
    async move {
        match survive(&app, &scenario).await {
            Ok(crashes) => crashes,
            Err(failure) => panic!("{failure} (called at {caller})"),
        }
    }
}

async fn survive<E: Debug>(
    app: &impl Fn() -> Builder,
    scenario: &impl AsyncFn(&TestApp) -> Result<(), E>,
) -> Result<usize, String> {
    let expected = play(app(), scenario, None).await;
    let expected = expected.and_then(Played::without_crash)?;
    let again = play(app().later(LATER), scenario, None).await;
    let again = again.and_then(Played::without_crash)?;
    let unstable = expected.unlike(&again);
    for nth in 1..=COMMITS_MAX {
        for side in [Side::Before, Side::After] {
            let played = play(app(), scenario, Some(CrashPoint { nth, side })).await?;
            let Some(crash) = &played.crash else {
                // All commits were had, unless it broke off before.
                let outcome = played.without_crash()?;
                return match first_difference(&expected, &outcome, &unstable) {
                    Some(Difference { what, .. }) => Err(format!(
                        "the scenario does not do the same each time it is played: {what}"
                    )),
                    None => Ok(2 * (nth - 1)),
                };
            };
            let outcome = played.outcome.map_err(|error| {
                format!(
                    "with a crash {crash}, the scenario fails, and without one it does not: {error}"
                )
            })?;
            if let Some(difference) = first_difference(&expected, &outcome, &unstable) {
                let Difference {
                    what,
                    with_crash,
                    without,
                } = difference;
                return Err(format!(
                    "the app does not survive a crash {crash}: {what}\n\nwith the crash: {with_crash}\n\nwithout: {without}\n"
                ));
            }
        }
    }
    Err(format!(
        "the scenario makes more than {COMMITS_MAX} commits: test a shorter one"
    ))
}

/// A scenario that was played to its end.
struct Played {
    outcome: Result<Outcome, String>,
    /// Where the engine was crashed, for people; nothing when it was not.
    crash: Option<String>,
}

impl Played {
    fn without_crash(self) -> Result<Outcome, String> {
        self.outcome
            .map_err(|error| format!("the scenario fails without any crash: {error}"))
    }
}

async fn play<E: Debug>(
    app: Builder,
    scenario: &impl AsyncFn(&TestApp) -> Result<(), E>,
    plan: Option<CrashPoint>,
) -> Result<Played, String> {
    let failed = |error: TestError| format!("{error:?}");
    let app = app.start().await.map_err(failed)?;
    if let Some(plan) = plan {
        app.parts.disk.plan_crash(plan);
    }
    let mut outcome = caught(scenario(&app)).await;
    if outcome.is_ok() {
        outcome = app.settle().await.map_err(failed);
    }
    let outcome = match outcome {
        Ok(()) => Outcome::of(&app).map_err(failed),
        Err(error) => {
            app.noting_failure();
            Err(error)
        }
    };
    let crashed = plan.zip(app.parts.disk.crashed_at());
    let crash = crashed.map(|(CrashPoint { nth, side }, changes)| {
        let changes = describe(&changes, &app);
        match side {
            Side::Before => format!("right before commit {nth}, which was to be: {changes}"),
            Side::After => format!("right after commit {nth}: {changes}"),
        }
    });
    Ok(Played { outcome, crash })
}

/// Plays a scenario; what it fails or panics with.
async fn caught<E: Debug>(scenario: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    let mut scenario = pin!(scenario);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| scenario.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(result.map_err(|error| format!("{error:?}"))),
            Err(payload) => Poll::Ready(Err(panic_error(&*payload).to_string())),
        }
    })
    .await
}

/// What a commit wrote, as far as a test knows of such things.
fn describe(changes: &[Change], app: &TestApp) -> String {
    let of = |run: &RunId| {
        let record = app.reader().run(*run).ok().flatten();
        let function = record.map(|record| app.parts.names.of(record.function));
        function.unwrap_or_else(|| run.to_string())
    };
    let step = |step: &StepId, name: &str| {
        let id = app.parts.stand_ins.label_of(step);
        let id = id.unwrap_or_else(|| name.to_owned());
        format!("step \"{id}\"")
    };
    let mut texts: Vec<String> = Vec::new();
    for change in changes {
        let text = match change {
            Change::StepPut(row) => {
                format!("{} of {} ends", step(&row.step, &row.name), of(&row.run))
            }
            Change::AttemptPut(row) => {
                let what = row.step.as_ref();
                let what = what.map_or_else(|| "the function".to_owned(), |id| step(id, &row.name));
                format!("an attempt of {what} of {} fails", of(&row.run))
            }
            Change::EventPut(row) => format!("event '{}' comes in", row.name),
            Change::RunPut(row) => {
                format!("a run of {} is scheduled", app.parts.names.of(row.function))
            }
            Change::RunEnd(end) => {
                let status = end.status.to_string().to_lowercase();
                format!("the run of {} ends: {status}", of(&end.id))
            }
            Change::DebouncePut(_) => "a debounce window opens or moves".to_owned(),
            Change::BatchEventPut(_) => "an event joins a batch".to_owned(),
            Change::ItemPut(row) => match &row.kind {
                ItemKind::Step(id) => format!("{} is planned", step(id, "")),
                ItemKind::Sleep(id) => format!("{} begins to sleep", step(id, "")),
                ItemKind::WaitForEvent(id)
                | ItemKind::WaitForSignal(id)
                | ItemKind::Invoke(id)
                | ItemKind::Gateway(id) => format!("{} begins to wait", step(id, "")),
                _ => continue,
            },
            _ => continue,
        };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.is_empty() {
        true => "nothing that a test sees".to_owned(),
        false => texts.join(", "),
    }
}
