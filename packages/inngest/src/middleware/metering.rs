//! What functions spend: counted once for each attempt of a step.

use super::Prices;
use crate::APP_ID;
use crate::functions::Deps;
use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stepwell::{Context, Error, RunStep};
use studio233_ai::Usage;
use studio233_db::{Database, DbError, NewUsage, Standing, UsageKind, WorkspaceId};
use uuid::Uuid;

/// Answers that one attempt of a step may add.
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

    fn take(&self) -> Vec<Usage> {
        let mut usages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *usages)
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
/// # use studio233_db::WorkspaceId;
/// # use studio233_inngest::functions::Deps;
/// # use studio233_inngest::middleware::metered;
/// async fn summary(ctx: &Context, deps: &Deps, model: &dyn LanguageModel) -> Result<String, Error> {
///     let workspace = WorkspaceId::new("w-1");
///     let request = LanguageRequest::new::<String>("Sum it up.");
///     let said = metered(ctx, deps, "sum-up", &workspace, |spent| async move {
///         let answer = model.ask::<String>(&request).await?;
///         spent.add(&answer.usage);
///         Ok(answer.value)
///     });
///     Ok(said.await?)
/// }
/// ```
///
/// - An attempt that fails has spent, too: what it added is counted. The attempt after it counts anew.
/// - An attempt that is executed again after a crash counts once, for it is known by run, step and attempt. Steps of one
///   id in a run count each.
/// - What cannot be recorded is logged, and the step goes on: to fail it would be to spend once more.
pub fn metered<'a, E, T, F, Fut>(
    ctx: &'a Context<E>,
    deps: &Deps,
    id: impl Into<String>,
    workspace: &WorkspaceId,
    code: F,
) -> RunStep<'a, T>
where
    E: Send + Sync,
    F: FnOnce(Spent) -> Fut + Send + 'a,
    Fut: Future<Output = Result<T, Error>> + Send + 'a,
    T: Serialize + DeserializeOwned + Send + 'a,
{
    let mut account = Account {
        meter: Arc::clone(&deps.meter),
        prices: deps.prices.clone(),
        workspace: workspace.clone(),
        function: function_id(ctx).to_owned(),
        key: String::new(),
    };
    ctx.step().run_identified(id, move |step| async move {
        account.key = format!("{}/{step}/{}", ctx.run_id(), ctx.attempt());
        let spent = Spent::default();
        let outcome = code(spent.clone()).await;
        account.charge(&spent.take(), ctx.now().unix_ms()).await;
        outcome
    })
}

/// The id of a run's function, as budgets and usage name it: without the app's.
pub(super) fn function_id<E>(ctx: &Context<E>) -> &str {
    let public = ctx.function_id();
    let own = public.strip_prefix(APP_ID);
    own.and_then(|rest| rest.strip_prefix('-'))
        .unwrap_or(public)
}

/// Who pays for a piece of work: an attempt of a step, or what is answered without a run.
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
    /// Work of the studio outside of runs, for a workspace. `name` stands in the place of a function's id; the work itself
    /// counts each time that this is called.
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
