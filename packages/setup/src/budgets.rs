//! Sets the budgets that stand in the settings' file.

use crate::settings::{BudgetOwner, FileBudget};
use crate::{Failure, chain};
use stepwell::{Client, Clock, SystemClock};
use studio233_db::{Budget, BudgetScope, Database, DbError, Workspace};
use studio233_inngest::middleware::budget::{self, ChangeError};

/// Sets those that are not as they stand in the file, and tells runs that they held. A workspace that is not there gets
/// its own when it is made ([`set_budgets_of`]).
///
/// # Errors
/// A [`Failure`] of code `start` when the database cannot be used.
pub async fn set_budgets(
    budgets: &[FileBudget],
    client: &Client,
    database: &Database,
) -> Result<(), Failure> {
    for file_budget in budgets {
        let scope = match &file_budget.owner {
            BudgetOwner::Function(id) => BudgetScope::Function(id.clone()),
            BudgetOwner::Workspace(name) => match database.workspace_named(name).await {
                Ok(Some(workspace)) => BudgetScope::Workspace(workspace.id),
                Ok(None) => {
                    tracing::warn!(
                        workspace = name,
                        "a budget waits for its workspace, which is not there"
                    );
                    continue;
                }
                Err(error) => return Err(Failure::of("start", &error)),
            },
        };
        set(file_budget, scope, client, database)
            .await
            .map_err(|error| Failure::of("start", &error))?;
    }
    Ok(())
}

/// Sets those of a workspace that was just made.
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
            let scope = BudgetScope::Workspace(workspace.id.clone());
            set(file_budget, scope, client, database).await?;
        }
    }
    Ok(())
}

async fn set(
    file_budget: &FileBudget,
    scope: BudgetScope,
    client: &Client,
    database: &Database,
) -> Result<(), DbError> {
    let (workspace, function) = match &scope {
        BudgetScope::Workspace(id) => (Some(id), None),
        BudgetScope::Function(id) => (None, Some(id.as_str())),
    };
    let budget = Budget {
        kind: file_budget.kind,
        period: file_budget.period,
        limit: file_budget.limit,
        scope: scope.clone(),
    };
    let now_ms = SystemClock.now().unix_ms();
    let standings = database.budget_standings(workspace, function, now_ms);
    if standings.await?.iter().any(|one| one.budget == budget) {
        return Ok(());
    }
    match budget::set(client, database, &budget).await {
        Ok(_) => Ok(()),
        Err(ChangeError::Store(error)) => Err(error),
        Err(error) => {
            // A program may start before the server that it sends to; held runs look again in their own time.
            tracing::warn!(error = chain(&error), "runs are not told of a budget");
            Ok(())
        }
    }
}
