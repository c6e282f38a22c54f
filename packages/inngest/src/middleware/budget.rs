//! Budgets: what a workspace or a function may spend in a period, and what happens when that is spent.

use super::metering::function_id;
use crate::events::budget::{BudgetChanged, Kind};
use crate::functions::Deps;
use crate::functions::failure::classify;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use stepwell::{Client, Clock, Context, Error, EventId, Moment, SendError, SystemClock};
use studio233_db::{
    Budget, BudgetScope, Database, DbError, Period, Standing, UsageKind, WorkspaceId,
};

/// A held run looks again after this long at the latest. So it goes on, too, when it was never told that it may: a
/// producer that crashed between changing a budget and saying so, a server that does not look back.
pub const HELD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The step that looks. What it records is a [`Held`], or nothing when the run may go on.
pub const STEP: &str = "budget";

/// A change counts that came this long before a run began to wait for one: it looked at the budgets before that.
const LOOK_BACK: Duration = Duration::from_secs(10 * 60);

/// Changes that a run remembers to have looked at. After so many it waits for new ones only.
const CHANGES_SEEN_MAX: usize = 16;

/// Why a run is held: what the step `budget` records and notes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The budgets that are used up.
    pub budgets: Vec<UsedUp>,
    /// When it was looked, in Unix milliseconds.
    pub looked_at_ms: i64,
}

/// All budgets, one after another.
impl fmt::Display for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, budget) in self.budgets.iter().enumerate() {
            let before = if number == 0 { "" } else { "; " };
            write!(formatter, "{before}{budget}")?;
        }
        Ok(())
    }
}

/// A budget that is used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsedUp {
    /// Whose it is.
    #[serde(flatten)]
    pub scope: BudgetScope,
    /// What it limits.
    pub kind: UsageKind,
    /// How often it is full again.
    pub period: Period,
    /// What may be used in a period, in the unit of its kind.
    pub limit: u64,
    /// What was used in this one.
    pub used: u64,
    /// When the period turns, RFC 3339; none if it never does.
    pub until: Option<String>,
    /// The same in Unix milliseconds.
    pub until_ms: Option<i64>,
}

impl UsedUp {
    fn of(standing: Standing) -> Self {
        let until_ms = standing.resets_at_ms;
        Self {
            scope: standing.budget.scope,
            kind: standing.budget.kind,
            period: standing.budget.period,
            limit: standing.budget.limit,
            used: standing.used,
            until: until_ms.map(|ms| Moment::from_unix_ms(ms).to_string()),
            until_ms,
        }
    }
}

/// `the workspace w has used 1200 of 1000 tokens, until 2026-02-01T00:00:00.000Z`
impl fmt::Display for UsedUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            BudgetScope::Workspace(id) => write!(formatter, "the workspace {id}")?,
            BudgetScope::Function(id) => write!(formatter, "the function {id}")?,
        }
        let unit = match self.kind {
            UsageKind::Tokens => "tokens",
            UsageKind::Images => "images",
            UsageKind::Seconds => "milliseconds",
            UsageKind::Currency => "millionths of the currency",
        };
        write!(
            formatter,
            " has used {} of {} {unit}",
            self.used, self.limit
        )?;
        match &self.until {
            Some(until) => write!(formatter, ", until {until}"),
            None => write!(formatter, ", until it is raised"),
        }
    }
}

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
/// then at work; only a step that is tried again looks again ([`metered`](super::metered)).
///
/// # Errors
/// When the budgets could not be read in any attempt.
pub async fn admit<E: Send + Sync>(
    ctx: &Context<E>,
    deps: &Deps,
    payer: &Payer,
) -> Result<(), Error> {
    let step = ctx.step();
    let mut seen: Vec<String> = Vec::new();
    // Each round records two steps, and a run has a limit of them: it ends.
    loop {
        let look = || async {
            let held = look(ctx, deps, payer).await?;
            if let Some(held) = &held {
                step.note(STEP, held);
            }
            Ok(held)
        };
        let held: Option<Held> = step.run(STEP, look).await?;
        let Some(held) = held else {
            return Ok(());
        };
        let wait = step
            .wait_for_event::<BudgetChanged>("budget-held")
            .named(format!("held: {held}"))
            .when(change_of(&held, &seen))
            .timeout(held_for(&held));
        // One that looks back must not be ended by what was looked at before, and can name only so much of it.
        let change = if seen.len() < CHANGES_SEEN_MAX {
            wait.look_back(LOOK_BACK).await?
        } else {
            wait.await?
        };
        if let Some(change) = change
            && seen.len() < CHANGES_SEEN_MAX
        {
            seen.push(change.id);
        }
    }
}

/// Looks again, for an attempt of a step that was admitted before.
pub(super) async fn recheck<E>(ctx: &Context<E>, deps: &Deps, payer: &Payer) -> Result<(), Error> {
    match look(ctx, deps, payer).await? {
        None => Ok(()),
        Some(held) => {
            let wait = held_for(&held);
            Err(Error::from(UsedUpSince(held)).retry_after(wait))
        }
    }
}

/// A step that failed must not be tried again yet.
#[derive(Debug, thiserror::Error)]
#[error("cannot try again: {0}")]
struct UsedUpSince(Held);

async fn look<E>(ctx: &Context<E>, deps: &Deps, payer: &Payer) -> Result<Option<Held>, Error> {
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
        .map(UsedUp::of)
        .collect();
    Ok((!budgets.is_empty()).then_some(Held {
        budgets,
        looked_at_ms,
    }))
}

/// Until the last of the budgets is full again.
fn held_for(held: &Held) -> Duration {
    let wait_ms = held.budgets.iter().map(|budget| match budget.until_ms {
        Some(until_ms) => until_ms - held.looked_at_ms,
        None => i64::MAX,
    });
    let wait_ms = u64::try_from(wait_ms.max().unwrap_or_default()).unwrap_or_default();
    // A wait of no time would make a round of it.
    Duration::from_millis(wait_ms.max(1)).min(HELD_MAX)
}

/// The condition for a change of one of the budgets that was not looked at before.
fn change_of(held: &Held, seen: &[String]) -> String {
    let budgets = held.budgets.iter().map(|budget| {
        let (field, id) = match &budget.scope {
            BudgetScope::Workspace(id) => ("workspaceId", id.as_str()),
            BudgetScope::Function(id) => ("functionId", id.as_str()),
        };
        let kind = text(budget.kind.as_str());
        format!(
            "async.data.{field} == {} && async.data.kind == {kind}",
            text(id)
        )
    });
    let any = budgets.map(|one| format!("({one})")).collect::<Vec<_>>();
    let others = seen
        .iter()
        .map(|id| format!(" && async.id != {}", text(id)));
    format!("({}){}", any.join(" || "), others.collect::<String>())
}

/// A text as expressions write it, which is as JSON does.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
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
    let change = changed(
        &budget.scope,
        budget.kind,
        budget.period,
        Some(budget.limit),
    );
    tell(client, change).await
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
