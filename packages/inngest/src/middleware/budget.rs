//! Budgets: what a workspace or a function may spend in a period, and what happens when that is spent.

mod held;

use super::metering::function_id;
use crate::events::budget::{BudgetChanged, Kind};
use crate::functions::Deps;
use crate::functions::failure::classify;
pub(super) use held::{Beside, Holding};
pub use held::{HELD_MAX, Held, UsedUp};
use stepwell::{Client, Clock, Context, Error, EventId, SendError, SystemClock};
use studio233_db::{Budget, BudgetScope, Database, DbError, Period, UsageKind, WorkspaceId};

/// The step that looks. What it records is a [`Held`], or nothing when the run may go on.
pub const STEP: &str = "budget";

/// Who pays for a run's steps, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payer {
    /// Whose budgets count, besides the function's.
    pub workspace: WorkspaceId,
    /// All that the steps spend, besides money, which counts always. With none, nothing is spent and no budget counts.
    pub kinds: Vec<UsageKind>,
}

impl Payer {
    /// A workspace that pays with so many kinds.
    #[must_use]
    pub fn new(workspace: WorkspaceId, kinds: &[UsageKind]) -> Self {
        Self {
            workspace,
            kinds: kinds.to_vec(),
        }
    }
}

/// Lets a run go on when it may spend; holds it while a budget of the workspace or of its function is used up. Call it
/// before the first step that spends.
///
/// ```
/// # use stepwell::{Context, Error};
/// # use studio233_db::{UsageKind, WorkspaceId};
/// # use studio233_inngest::functions::Deps;
/// # use studio233_inngest::middleware::budget::{self, Payer};
/// async fn handler(ctx: Context, deps: Deps) -> Result<(), Error> {
///     let kinds = [UsageKind::Tokens, UsageKind::Images];
///     let payer = Payer::new(WorkspaceId::new("w-1"), &kinds);
///     budget::admit(&ctx, &deps, &payer).await?;
///     // … metered steps
///     Ok(())
/// }
/// ```
///
/// The step `budget` looks, and says in its result and in a note why the run is held; `budget-held` waits until the period
/// turns or the budget is changed ([`set`]), and the run looks again. A held run costs nothing and takes no slot of its
/// function's concurrency. What was admitted when a budget runs out is finished, so a budget may be overdrawn by what was
/// then at work; only a step that is tried again looks again, and is held, too ([`metered`](super::metered)).
///
/// # Errors
/// When the budgets could not be read in any attempt.
pub async fn admit<E: Send + Sync>(
    ctx: &Context<E>,
    deps: &Deps,
    payer: &Payer,
) -> Result<(), Error> {
    let mut holding = Holding::new(ctx.step().clone(), "budget-held", Beside::Nothing);
    // Each round records two steps, and a run has a limit of them: it ends.
    loop {
        let look = || look(ctx, deps, payer);
        let held: Option<Held> = ctx.step().run(STEP, look).await?;
        match held {
            None => return Ok(()),
            Some(held) => holding.hold(&held).await?,
        }
    }
}

/// Which budgets are used up, if any is, with a note of it.
pub(super) async fn look<E>(
    ctx: &Context<E>,
    deps: &Deps,
    payer: &Payer,
) -> Result<Option<Held>, Error> {
    if payer.kinds.is_empty() {
        return Ok(None);
    }
    let looked_at_ms = ctx.now().unix_ms();
    let standings = deps
        .meter
        .standings(&payer.workspace, function_id(ctx), looked_at_ms)
        .await
        .map_err(classify)?;
    let counts = |kind| kind == UsageKind::Currency || payer.kinds.contains(&kind);
    let budgets: Vec<UsedUp> = standings
        .into_iter()
        .filter(|standing| standing.is_used_up() && counts(standing.budget.kind))
        .map(|standing| UsedUp::of(standing, deps.prices.currency()))
        .collect();
    if budgets.is_empty() {
        return Ok(None);
    }
    let held = Held {
        budgets,
        looked_at_ms,
    };
    ctx.step().note(STEP, &held);
    Ok(Some(held))
}

/// Why a budget is not changed, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// It is as it was.
    #[error("the budget is not changed")]
    Store(#[from] DbError),
    /// It is changed, and runs that it holds go on within [`HELD_MAX`].
    #[error("the budget is changed, but runs that it holds could not be told; change it again")]
    Tell(#[source] Box<SendError>),
}

/// Sets a budget, or raises or lowers the one of that scope, kind and period, and tells the runs that it holds.
///
/// ```no_run
/// # use studio233_inngest::{Client, middleware::budget};
/// # use studio233_db::{Budget, BudgetScope, Database, Period, UsageKind, WorkspaceId};
/// # async fn produce(client: &Client, database: &Database) -> Result<(), budget::ChangeError> {
/// let budget = Budget {
///     scope: BudgetScope::Workspace(WorkspaceId::new("w-1")),
///     kind: UsageKind::Tokens,
///     period: Period::Day,
///     limit: 2_000_000,
/// };
/// budget::set(client, database, &budget).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ChangeError`]; doing it again is harmless.
pub async fn set(
    client: &Client,
    database: &Database,
    budget: &Budget,
) -> Result<EventId, ChangeError> {
    let now_ms = SystemClock.now().unix_ms();
    database.set_budget(budget, now_ms).await?;
    tell_set(client, budget).await
}

/// Removes a budget, and tells the runs that it holds; whether there was one. They are told in any case: whoever removed it may
/// have failed to.
///
/// # Errors
/// [`ChangeError`].
pub async fn remove(
    client: &Client,
    database: &Database,
    scope: &BudgetScope,
    kind: UsageKind,
    period: Period,
) -> Result<bool, ChangeError> {
    let removed = database.remove_budget(scope, kind, period).await?;
    tell(client, changed(scope, kind, period, None)).await?;
    Ok(removed)
}

/// Tells the runs that a budget holds that it was set.
///
/// # Errors
/// [`ChangeError::Tell`].
pub async fn tell_set(client: &Client, budget: &Budget) -> Result<EventId, ChangeError> {
    let limit = Some(budget.limit);
    let change = changed(&budget.scope, budget.kind, budget.period, limit);
    tell(client, change).await
}

/// Tells the runs that a budget holds that it was removed.
///
/// # Errors
/// [`ChangeError::Tell`].
pub async fn tell_removed(client: &Client, budget: &Budget) -> Result<EventId, ChangeError> {
    let change = changed(&budget.scope, budget.kind, budget.period, None);
    tell(client, change).await
}

async fn tell(client: &Client, change: BudgetChanged) -> Result<EventId, ChangeError> {
    let sent = client.send(change).await;
    sent.map_err(|error| ChangeError::Tell(Box::new(error)))
}

fn changed(
    scope: &BudgetScope,
    kind: UsageKind,
    period: Period,
    limit: Option<u64>,
) -> BudgetChanged {
    use crate::events::budget::Period as Told;
    let (workspace_id, function_id) = match scope {
        BudgetScope::Workspace(id) => (Some(id.to_string()), None),
        BudgetScope::Function(id) => (None, Some(id.clone())),
    };
    BudgetChanged {
        workspace_id,
        function_id,
        kind: match kind {
            UsageKind::Tokens => Kind::Tokens,
            UsageKind::Images => Kind::Images,
            UsageKind::Seconds => Kind::Seconds,
            UsageKind::Currency => Kind::Currency,
        },
        period: match period {
            Period::Hour => Told::Hour,
            Period::Day => Told::Day,
            Period::Week => Told::Week,
            Period::Month => Told::Month,
            Period::Ever => Told::Ever,
        },
        limit,
    }
}

#[cfg(test)]
mod tests;
