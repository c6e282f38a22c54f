//! What functions spend: counted once for each execution of a step.

mod attempted;

use super::budget::{self, Beside, Holding, Payer};
use super::{Charges, Prices};
use crate::APP_ID;
use crate::functions::Deps;
use async_trait::async_trait;
use attempted::Attempted;
pub use attempted::held_by;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stepwell::{Context, Error, RunStep, StepError};
use studio233_ai::{PassedOver, Usage};
use studio233_db::{Database, DbError, NewUsage, Standing, UsageKind, WorkspaceId};
use uuid::Uuid;

/// The kind of note that tells of models that did not do, and why, so that others were asked.
const PASSED_OVER: &str = "passed-over";

/// Answers that one execution of a step may add.
const USAGES_MAX: usize = 1000;

/// What was spent is noted so often before it is given up.
const RECORD_ATTEMPTS: u32 = 3;

/// Before the second attempt; each next wait is twice as long.
const RECORD_WAIT: Duration = Duration::from_millis(100);

/// Where what was spent is kept.
///
/// Contract: an amount counts once for its key, however often it is recorded; what `record` has returned from is in the
/// next `standings`.
#[async_trait]
pub trait Meter: Send + Sync + 'static {
    /// Records what was spent at a moment, in Unix milliseconds: all of it or nothing.
    async fn record(&self, used: &[NewUsage], now_ms: i64) -> Result<(), DbError>;

    /// How the budgets stand at a moment that a function's run for a workspace has to keep to.
    async fn standings(
        &self,
        workspace: &WorkspaceId,
        function: &str,
        now_ms: i64,
    ) -> Result<Vec<Standing>, DbError>;
}

#[async_trait]
impl Meter for Database {
    async fn record(&self, used: &[NewUsage], now_ms: i64) -> Result<(), DbError> {
        self.record_usage(used, now_ms).await.map(|_| ())
    }

    async fn standings(
        &self,
        workspace: &WorkspaceId,
        function: &str,
        now_ms: i64,
    ) -> Result<Vec<Standing>, DbError> {
        self.budget_standings(Some(workspace), Some(function), now_ms)
            .await
    }
}

/// What a step's code has spent so far. Clones share it.
#[derive(Clone, Default)]
pub struct Spent(Arc<Mutex<Vec<Usage>>>);

impl Spent {
    /// Adds what an answer cost, also when what comes after it fails.
    pub fn add(&self, usage: &Usage) {
        let mut usages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match usages.len() < USAGES_MAX {
            true => usages.push(usage.clone()),
            false => tracing::error!(
                provider = usage.provider,
                "a step spends more than {USAGES_MAX} times: the rest is not counted"
            ),
        }
    }

    fn so_far(&self) -> Vec<Usage> {
        let usages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        usages.clone()
    }
}

impl fmt::Debug for Spent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        formatter.debug_tuple("Spent").field(&*usages).finish()
    }
}

/// A step whose code spends something for a workspace: [`Step::run`](stepwell::Step::run), and what the code adds to its
/// [`Spent`] is counted. What the step records is what the code returns, and nothing else.
///
/// ```
/// # use stepwell::{Context, Error};
/// # use studio233_ai::{LanguageModel, LanguageRequest};
/// # use studio233_db::{UsageKind, WorkspaceId};
/// # use studio233_inngest::functions::Deps;
/// # use studio233_inngest::middleware::{budget::Payer, metered};
/// async fn summary(ctx: &Context, deps: &Deps, model: &dyn LanguageModel) -> Result<String, Error> {
///     let payer = Payer::new(WorkspaceId::new("w-1"), &[UsageKind::Tokens]);
///     let request = LanguageRequest::new::<String>("Sum it up.");
///     let said = metered(ctx, deps, "sum-up", &payer, |spent| async move {
///         let answer = model.ask::<String>(&request).await?;
///         spent.add(&answer.usage);
///         Ok(answer.value)
///     });
///     Ok(said.await?)
/// }
/// ```
///
/// - An attempt that fails has spent, too, and so has one that is cut off, for its run is cancelled, its worker stops or its
///   code panics: what it added is counted. Only a process that is killed counts nothing of what was under way.
/// - Each execution counts: one whose answer was lost has paid as well as the one after it.
/// - An answer that comes from a fallback is noted of the step: whom it stands in for, and why.
/// - An attempt after the first looks at the payer's budgets before it spends, for its run has held no place among those at
///   work since. Where one is used up the step records so, the run is held as [`budget::admit`] holds it, and then makes the
///   step anew, under the same id and with all its attempts.
/// - What cannot be recorded is logged, and the step goes on: to fail it would be to spend once more.
pub fn metered<'a, E, T, F, Fut>(
    ctx: &'a Context<E>,
    deps: &Deps,
    id: impl Into<String>,
    payer: &Payer,
    code: F,
) -> BoxFuture<'a, Result<T, StepError>>
where
    E: Send + Sync,
    F: FnOnce(Spent) -> Fut + Send + 'a,
    Fut: Future<Output = Result<T, Error>> + Send + 'a,
    T: Serialize + DeserializeOwned + Send + 'a,
{
    let step = Metered::new(ctx, deps, id.into(), payer, Beside::Nothing);
    Box::pin(step.run(code))
}

/// [`metered`] for a step beside others that need not wait for it, as [`RunStep::in_race`](stepwell::RunStep::in_race).
/// No other branch may use its id.
pub fn metered_in_race<'a, E, T, F, Fut>(
    ctx: &'a Context<E>,
    deps: &Deps,
    id: impl Into<String>,
    payer: &Payer,
    code: F,
) -> BoxFuture<'a, Result<T, StepError>>
where
    E: Send + Sync,
    F: FnOnce(Spent) -> Fut + Send + 'a,
    Fut: Future<Output = Result<T, Error>> + Send + 'a,
    T: Serialize + DeserializeOwned + Send + 'a,
{
    let step = Metered::new(ctx, deps, id.into(), payer, Beside::Others);
    Box::pin(step.run(code))
}

struct Metered<'a, E> {
    ctx: &'a Context<E>,
    deps: Deps,
    id: String,
    payer: Payer,
    beside: Beside,
}

impl<'a, E: Send + Sync> Metered<'a, E> {
    fn new(ctx: &'a Context<E>, deps: &Deps, id: String, payer: &Payer, beside: Beside) -> Self {
        Self {
            ctx,
            deps: deps.clone(),
            id,
            payer: payer.clone(),
            beside,
        }
    }

    async fn run<T, F, Fut>(self, code: F) -> Result<T, StepError>
    where
        F: FnOnce(Spent) -> Fut + Send + 'a,
        Fut: Future<Output = Result<T, Error>> + Send + 'a,
        T: Serialize + DeserializeOwned + Send + 'a,
    {
        // What is held leaves its code to the next step of the round.
        let code = Arc::new(Mutex::new(Some(code)));
        let held_id = format!("{}-held", self.id);
        let mut holding = Holding::new(self.ctx.step().clone(), held_id, self.beside);
        let mut looks = Looks::WhenTriedAgain;
        // Each round records two steps, and a run has a limit of them: it ends.
        loop {
            match self.step(Arc::clone(&code), looks).await? {
                Attempted::Done(value) => return Ok(value),
                Attempted::Held(held) => holding.hold(&held).await?,
            }
            looks = Looks::Always;
        }
    }

    fn step<T, F, Fut>(
        &self,
        code: Arc<Mutex<Option<F>>>,
        looks: Looks,
    ) -> RunStep<'a, Attempted<T>>
    where
        F: FnOnce(Spent) -> Fut + Send + 'a,
        Fut: Future<Output = Result<T, Error>> + Send + 'a,
        T: Serialize + DeserializeOwned + Send + 'a,
    {
        let ctx = self.ctx;
        let (deps, payer) = (self.deps.clone(), self.payer.clone());
        let step = ctx.step().run_identified(&self.id, move |step| async move {
            if (looks == Looks::Always || ctx.attempt() > 0)
                && let Some(held) = budget::look(ctx, &deps, &payer).await?
            {
                return Ok(Attempted::Held(held));
            }
            let account = Account {
                key: format!("{}/{step}/{}", ctx.run_id(), Uuid::new_v4()),
                meter: Arc::clone(&deps.meter),
                prices: deps.prices.clone(),
                workspace: payer.workspace,
                function: function_id(ctx).to_owned(),
            };
            let mut bill = Bill {
                ctx,
                account: Some(account),
                charges: deps.charges,
                spent: Spent::default(),
            };
            let code = code.lock().unwrap_or_else(PoisonError::into_inner).take();
            let code = code.expect("a call executes one step at most that is not held");
            let outcome = code(bill.spent.clone()).await;
            for usage in bill.spent.so_far() {
                if let Some(PassedOver { provider, reason }) = usage.passed_over {
                    ctx.step().note(PASSED_OVER, &json!({ provider: reason }));
                }
            }
            bill.pay().await;
            outcome.map(Attempted::Done)
        });
        match self.beside {
            Beside::Nothing => step,
            Beside::Others => step.in_race(),
        }
    }
}

/// When a metered step looks at the budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looks {
    WhenTriedAgain,
    /// It was held before.
    Always,
}

/// What an execution of a step spends: paid when its code is done, or else when the code is dropped.
struct Bill<'a, E> {
    ctx: &'a Context<E>,
    /// Who pays; nobody any more once it is paid.
    account: Option<Account>,
    charges: Charges,
    spent: Spent,
}

impl<E> Bill<'_, E> {
    async fn pay(&mut self) {
        if let Some(account) = &self.account {
            let now_ms = self.ctx.now().unix_ms();
            account.charge(&self.spent.so_far(), now_ms).await;
        }
        self.account = None;
    }
}

impl<E> Drop for Bill<'_, E> {
    /// Also in the middle of paying: an account counts an amount once.
    fn drop(&mut self) {
        let usages = self.spent.so_far();
        if let Some(account) = self.account.take()
            && !usages.is_empty()
        {
            let now_ms = self.ctx.now().unix_ms();
            self.charges
                .add(async move { account.charge(&usages, now_ms).await });
        }
    }
}

/// The id of a run's function, as budgets and usage name it: without the app's.
pub(super) fn function_id<E>(ctx: &Context<E>) -> &str {
    let public = ctx.function_id();
    let own = public.strip_prefix(APP_ID);
    own.and_then(|rest| rest.strip_prefix('-'))
        .unwrap_or(public)
}

/// Who pays for a piece of work: an execution of a step, or what is answered without a run.
pub struct Account {
    meter: Arc<dyn Meter>,
    prices: Prices,
    workspace: WorkspaceId,
    function: String,
    key: String,
}

impl fmt::Debug for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Account")
            .field("workspace", &self.workspace)
            .field("function", &self.function)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// A new account for one piece of work outside of runs, for a workspace. `name` stands in the place of a function's id.
    #[must_use]
    pub fn outside_of_runs(
        meter: Arc<dyn Meter>,
        prices: Prices,
        name: &str,
        workspace: &WorkspaceId,
    ) -> Self {
        Self {
            meter,
            prices,
            workspace: workspace.clone(),
            function: name.to_owned(),
            key: format!("{name}/{}", Uuid::new_v4()),
        }
    }

    /// Counts what was spent, at a moment in Unix milliseconds; once, however often it is called. What cannot be counted is
    /// logged.
    pub async fn charge(&self, usages: &[Usage], now_ms: i64) {
        let used: Vec<NewUsage> = usages
            .iter()
            .enumerate()
            .flat_map(|(number, usage)| self.lines(number, usage))
            .collect();
        if used.is_empty() {
            return;
        }
        let mut wait = RECORD_WAIT;
        for attempt in 1..=RECORD_ATTEMPTS {
            match self.meter.record(&used, now_ms).await {
                Ok(()) => return,
                Err(error) if attempt == RECORD_ATTEMPTS => tracing::error!(
                    key = self.key,
                    workspace_id = self.workspace.as_str(),
                    error = ?error,
                    "what a step spent is not counted"
                ),
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait *= 2;
        }
    }

    /// The amounts of one answer that are not nothing.
    fn lines(&self, number: usize, usage: &Usage) -> impl Iterator<Item = NewUsage> {
        let model = match usage.model.is_empty() {
            true => &usage.provider,
            false => &usage.model,
        };
        let amounts = [
            (
                UsageKind::Tokens,
                usage.input_tokens.saturating_add(usage.output_tokens),
            ),
            (UsageKind::Images, u64::from(usage.images)),
            // Casting saturates, and makes nothing of what is no number.
            (UsageKind::Seconds, (usage.seconds * 1000.0).ceil() as u64),
            (UsageKind::Currency, self.prices.cost(usage)),
        ];
        amounts
            .into_iter()
            .filter(|(_, amount)| *amount > 0)
            .map(move |(kind, amount)| NewUsage {
                key: format!("{}/{number}/{}", self.key, kind.as_str()),
                workspace_id: self.workspace.clone(),
                function_id: self.function.clone(),
                kind,
                model: model.clone(),
                amount,
            })
    }
}

#[cfg(test)]
mod tests;
