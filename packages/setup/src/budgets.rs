//! Sets the budgets that stand in the settings' file.

use crate::settings::{BudgetOwner, FileBudget};
use crate::{Failure, chain};
use stepwell::{Client, Clock, EventId, SystemClock};
pub use studio233_db::FileSource;
use studio233_db::{Budget, BudgetScope, Database, DbError, Workspace};
use studio233_inngest::middleware::budget::{self, ChangeError};

/// Sets those that the file says otherwise than before, and tells runs that they held: what was changed meanwhile stays
/// until the file changes. A workspace that is not there gets its own when it is made ([`set_budgets_of`]).
///
/// Those that the web app's file does not say any more are removed, unless somebody changed them meanwhile. A worker
/// removes none: another may have another file.
///
/// # Errors
/// A [`Failure`] of code `start` when the database cannot be used.
pub async fn set_budgets(
    budgets: &[FileBudget],
    source: FileSource,
    client: &Client,
    database: &Database,
) -> Result<(), Failure> {
    let done = set_all(budgets, source, client, database).await;
    done.map_err(|error| Failure::of("start", &error))
}

async fn set_all(
    budgets: &[FileBudget],
    source: FileSource,
    client: &Client,
    database: &Database,
) -> Result<(), DbError> {
    let mut said: Vec<Budget> = Vec::new();
    for file_budget in budgets {
        let Some(scope) = scope(file_budget, database).await? else {
            tracing::warn!(
                workspace = ?file_budget.owner,
                "a budget waits for its workspace, which is not there"
            );
            continue;
        };
        let budget = file_budget.budget(scope);
        let is_same = |other: &Budget| {
            (&other.scope, other.kind, other.period) == (&budget.scope, budget.kind, budget.period)
        };
        if said.iter().any(is_same) {
            tracing::warn!(
                workspace = ?file_budget.owner,
                "a budget is for the same workspace as one before it, and is left out"
            );
            continue;
        }
        apply(&budget, source, client, database).await?;
        said.push(budget);
    }
    if source == FileSource::Studio {
        for removed in database.retain_file_budgets(&said).await? {
            log_untold(budget::tell_removed(client, &removed).await);
        }
    }
    Ok(())
}

/// Sets those of a workspace that was just made, and those that whoever made it did not come to set.
///
/// # Errors
/// When the database cannot be used.
pub async fn set_budgets_of(
    workspace: &Workspace,
    budgets: &[FileBudget],
    client: &Client,
    database: &Database,
) -> Result<(), DbError> {
    for file_budget in budgets {
        if file_budget.is_of(workspace) {
            let budget = file_budget.budget(BudgetScope::Workspace(workspace.id.clone()));
            apply(&budget, FileSource::Studio, client, database).await?;
        }
    }
    Ok(())
}

/// Those that wait for a workspace that is not there.
///
/// # Errors
/// When the database cannot be used.
pub async fn waiting_budgets<'b>(
    budgets: &'b [FileBudget],
    database: &Database,
) -> Result<Vec<&'b FileBudget>, DbError> {
    let mut waiting = Vec::new();
    for file_budget in budgets {
        if scope(file_budget, database).await?.is_none() {
            waiting.push(file_budget);
        }
    }
    Ok(waiting)
}

async fn scope(
    file_budget: &FileBudget,
    database: &Database,
) -> Result<Option<BudgetScope>, DbError> {
    Ok(match &file_budget.owner {
        BudgetOwner::Function(id) => Some(BudgetScope::Function(id.clone())),
        BudgetOwner::Workspace(name) => {
            let workspace = database.workspace_named(name).await?;
            workspace.map(|workspace| BudgetScope::Workspace(workspace.id))
        }
    })
}

async fn apply(
    budget: &Budget,
    source: FileSource,
    client: &Client,
    database: &Database,
) -> Result<(), DbError> {
    let now_ms = SystemClock.now().unix_ms();
    if database.apply_file_budget(budget, source, now_ms).await? {
        log_untold(budget::tell_set(client, budget).await);
    }
    Ok(())
}

/// A program may start before the server that it sends to; held runs look again in their own time.
fn log_untold(told: Result<EventId, ChangeError>) {
    if let Err(error) = told {
        tracing::warn!(error = chain(&error), "runs are not told of a budget");
    }
}
