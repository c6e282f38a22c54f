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
        if is_among(&budget, &said) {
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
    let mut said = Vec::new();
    for file_budget in budgets.iter().filter(|budget| budget.is_of(workspace)) {
        let budget = file_budget.budget(BudgetScope::Workspace(workspace.id.clone()));
        if !is_among(&budget, &said) {
            apply(&budget, FileSource::Studio, client, database).await?;
            said.push(budget);
        }
    }
    Ok(())
}

/// Whether one of them is for the same: the first counts.
fn is_among(budget: &Budget, said: &[Budget]) -> bool {
    let what = |budget: &Budget| (budget.scope.clone(), budget.kind, budget.period);
    said.iter().any(|other| what(other) == what(budget))
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

#[cfg(test)]
mod tests {
    use super::*;
    use stepwell::testing::TestApp;
    use stepwell::{Context, Function};
    use studio233_db::{NewWorkspace, Period, UsageKind, WorkspaceId};

    struct Studio {
        app: TestApp,
        database: Database,
        _folder: tempfile::TempDir,
    }

    async fn studio() -> Studio {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("studio.db");
        let told = async |_: Context| Ok::<_, stepwell::Error>(());
        let function = Function::new("told").on_event("studio/budget.changed");
        let app = TestApp::builder().function(function.handler(told));
        Studio {
            app: app.start().await.unwrap(),
            database: Database::open_sqlite(path).await.unwrap(),
            _folder: folder,
        }
    }

    fn of(owner: &str, limit: u64) -> FileBudget {
        FileBudget {
            owner: match owner.strip_prefix("function ") {
                Some(id) => BudgetOwner::Function(id.to_owned()),
                None => BudgetOwner::Workspace(owner.to_owned()),
            },
            kind: UsageKind::Tokens,
            period: Period::Day,
            limit,
        }
    }

    impl Studio {
        async fn make(&self, id: &str, name: &str) -> Workspace {
            let new = NewWorkspace {
                id: WorkspaceId::new(id),
                name: name.to_owned(),
                slug: studio233_db::workspace_slug(name),
                user_id: "ada".to_owned(),
            };
            self.database.create_workspace(&new, 1).await.unwrap()
        }

        async fn starts(&self, source: FileSource, budgets: &[FileBudget]) {
            let client = self.app.client();
            let set = set_budgets(budgets, source, client, &self.database);
            set.await.unwrap();
        }

        /// Of a workspace, with the day's limit of tokens.
        async fn limit(&self, id: &str) -> Option<u64> {
            let workspace = WorkspaceId::new(id);
            let standings = self.database.budget_standings(Some(&workspace), None, 1);
            standings.await.unwrap().first().map(|one| one.budget.limit)
        }

        /// How often runs were told of a budget.
        async fn told(&self) -> usize {
            self.app.settle().await.unwrap();
            self.app.runs_of("told").unwrap().len()
        }
    }

    #[tokio::test]
    async fn what_an_operator_raised_stays_until_the_file_changes() {
        let studio = studio().await;
        studio.make("w", "Solvane").await;
        studio
            .starts(FileSource::Studio, &[of("Solvane", 25)])
            .await;
        assert_eq!(
            (studio.limit("w").await, studio.told().await),
            (Some(25), 1)
        );
        let raised = of("Solvane", 40).budget(BudgetScope::Workspace(WorkspaceId::new("w")));
        studio.database.set_budget(&raised, 2).await.unwrap();
        for source in [FileSource::Studio, FileSource::Worker] {
            studio.starts(source, &[of("solvane!", 25)]).await;
            assert_eq!(
                (studio.limit("w").await, studio.told().await),
                (Some(40), 1)
            );
        }
        studio
            .starts(FileSource::Worker, &[of("Solvane", 30)])
            .await;
        assert_eq!(
            (studio.limit("w").await, studio.told().await),
            (Some(30), 2)
        );
    }

    #[tokio::test]
    async fn what_left_the_file_is_removed_and_runs_are_told() {
        let studio = studio().await;
        studio.make("w", "Solvane").await;
        let file = [of("Solvane", 25), of("function brand-ingestion", 7)];
        studio.starts(FileSource::Studio, &file).await;
        studio.starts(FileSource::Worker, &[]).await;
        assert_eq!(
            (studio.limit("w").await, studio.told().await),
            (Some(25), 2)
        );
        studio.starts(FileSource::Studio, &file[1..]).await;
        assert_eq!((studio.limit("w").await, studio.told().await), (None, 3));
        let standings = studio
            .database
            .budget_standings(None, Some("brand-ingestion"), 1)
            .await;
        assert_eq!(standings.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_budget_waits_for_its_workspace() {
        let studio = studio().await;
        let file = [of("Solvane", 25), of("function brand-ingestion", 7)];
        studio.starts(FileSource::Studio, &file).await;
        let waiting = waiting_budgets(&file, &studio.database).await.unwrap();
        assert_eq!(waiting, [&file[0]]);
        let workspace = studio.make("w", "SOLVANE").await;
        set_budgets_of(&workspace, &file, studio.app.client(), &studio.database)
            .await
            .unwrap();
        assert_eq!(studio.limit("w").await, Some(25));
        let waiting = waiting_budgets(&file, &studio.database).await.unwrap();
        assert!(waiting.is_empty());
    }

    #[tokio::test]
    async fn of_two_for_one_workspace_the_first_counts_at_each_start() {
        let studio = studio().await;
        let workspace = studio.make("w", "Solvane").await;
        for _ in 0..2 {
            let file = [of("w", 25), of("Solvane", 30)];
            studio.starts(FileSource::Studio, &file).await;
            set_budgets_of(&workspace, &file, studio.app.client(), &studio.database)
                .await
                .unwrap();
            assert_eq!(
                (studio.limit("w").await, studio.told().await),
                (Some(25), 1)
            );
        }
    }
}
