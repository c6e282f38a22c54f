//! `/api/budgets` and `/api/usage`.

use super::Shared;
use super::error::ApiError;
use super::json::{JsonBody, Query};
use super::owner::User;
use super::workspaces::now_ms;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use studio233_db::{Budget, BudgetScope, Period, Standing, UsageKind};
use studio233_inngest::functions::SPENDING;
use studio233_inngest::middleware::budget::{self, ChangeError};
use studio233_setup::{BudgetOwner, FileBudget, waiting_budgets};

/// A budget as the API shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    scope: BudgetScope,
    kind: UsageKind,
    period: Period,
    /// How much all workspaces together may use and have used of a function's is the operator's business.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    amounts: Option<Amounts>,
    resets_at_ms: Option<i64>,
    /// Whether runs are held by it.
    is_used_up: bool,
}

#[derive(Serialize)]
struct Amounts {
    limit: u64,
    used: u64,
}

impl Shown {
    fn to(user: &User, standing: Standing) -> Self {
        let is_used_up = standing.is_used_up();
        let budget = standing.budget;
        let is_own = matches!(budget.scope, BudgetScope::Workspace(_));
        let amounts = Amounts {
            limit: budget.limit,
            used: standing.used,
        };
        Self {
            amounts: (is_own || user.is_operator()).then_some(amounts),
            scope: budget.scope,
            kind: budget.kind,
            period: budget.period,
            resets_at_ms: standing.resets_at_ms,
            is_used_up,
        }
    }
}

/// A budget of the file whose workspace is not there.
#[derive(Serialize)]
struct Waiting<'b> {
    workspace: &'b str,
    kind: UsageKind,
    period: Period,
    limit: u64,
}

/// Which budget.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Named {
    workspace_id: Option<String>,
    function_id: Option<String>,
    kind: UsageKind,
    period: Period,
}

/// A budget and how much it is, in the unit of its kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct New {
    workspace_id: Option<String>,
    function_id: Option<String>,
    kind: UsageKind,
    period: Period,
    limit: u64,
}

/// How the budgets of the caller's workspaces stand, and those of functions; to the operator, also those of the file that wait
/// for their workspace.
pub(crate) async fn list(
    State(shared): State<Shared>,
    user: User,
) -> Result<Json<Value>, ApiError> {
    let standings = shared.database.budgets_of_user(&user.0, now_ms()).await?;
    let shown = standings.into_iter().map(|one| Shown::to(&user, one));
    let mut answer = json!({
        "budgets": shown.collect::<Vec<_>>(),
        "currency": shared.money.prices.currency(),
    });
    if user.is_operator() {
        let waiting = waiting_budgets(&shared.money.budgets, &shared.database).await?;
        let waiting = waiting.into_iter().filter_map(|one| match &one.owner {
            BudgetOwner::Workspace(workspace) => Some(Waiting {
                workspace,
                kind: one.kind,
                period: one.period,
                limit: one.limit,
            }),
            BudgetOwner::Function(_) => None,
        });
        answer["waiting"] = json!(waiting.collect::<Vec<_>>());
    }
    Ok(Json(answer))
}

/// Sets, raises or lowers one; runs that it holds look again at once.
pub(crate) async fn set(
    State(shared): State<Shared>,
    user: User,
    JsonBody(new): JsonBody<New>,
) -> Result<Json<Value>, ApiError> {
    let limit_max = i64::MAX.unsigned_abs();
    if new.limit > limit_max {
        let message = format!("limit: at most {limit_max} can be");
        return Err(ApiError::bad("bad_body", message));
    }
    let budget = Budget {
        scope: scope(
            &shared,
            &user,
            new.workspace_id,
            new.function_id,
            (new.kind, new.period),
        )
        .await?,
        kind: new.kind,
        period: new.period,
        limit: new.limit,
    };
    budget::set(&shared.client, &shared.database, &budget).await?;
    let (workspace, function) = match &budget.scope {
        BudgetScope::Workspace(id) => (Some(id), None),
        BudgetScope::Function(id) => (None, Some(id.as_str())),
    };
    let standings = shared
        .database
        .budget_standings(workspace, function, now_ms());
    let mut standings = standings.await?.into_iter();
    let is_it = |one: &Standing| (one.budget.kind, one.budget.period) == (new.kind, new.period);
    let standing = standings.find(is_it).map(|one| Shown::to(&user, one));
    Ok(Json(
        json!({"budget": standing, "currency": shared.money.prices.currency()}),
    ))
}

/// Removes one; runs that it held look again at once.
pub(crate) async fn remove(
    State(shared): State<Shared>,
    user: User,
    Query(named): Query<Named>,
) -> Result<Json<Value>, ApiError> {
    let (kind, period) = (named.kind, named.period);
    let (workspace, function) = (named.workspace_id, named.function_id);
    let scope = scope(&shared, &user, workspace, function, (kind, period)).await?;
    let removed = budget::remove(&shared.client, &shared.database, &scope, kind, period).await?;
    match removed {
        true => Ok(Json(json!({"removed": true}))),
        false => {
            let (kind, period) = (kind.as_str(), period.as_str());
            Err(ApiError::new(
                StatusCode::NOT_FOUND,
                "no_such_budget",
                format!("there is no budget of {kind} per {period} there"),
            )
            .hint("GET /api/budgets lists them"))
        }
    }
}

/// What is limited, if the caller may: own workspaces; functions, which all share, and what stands in the file, only the studio's
/// operator.
async fn scope(
    shared: &Shared,
    user: &User,
    workspace_id: Option<String>,
    function_id: Option<String>,
    (kind, period): (UsageKind, Period),
) -> Result<BudgetScope, ApiError> {
    match (workspace_id, function_id) {
        (Some(id), None) => {
            let workspace = shared.own_workspace(&id, user).await?;
            let is_files = |one: &FileBudget| one.is_of(&workspace) && one.limits(kind, period);
            if !user.is_operator() && shared.money.budgets.iter().any(is_files) {
                return Err(ApiError::new(
                    StatusCode::FORBIDDEN,
                    "not_operator",
                    "this budget stands in the studio's file",
                )
                .hint("a workspace's owner sets others beside it; this one is the operator's"));
            }
            Ok(BudgetScope::Workspace(workspace.id))
        }
        (None, Some(id)) if !SPENDING.contains(&id.as_str()) => {
            let hint = format!("those that spend something are {}", SPENDING.join(", "));
            Err(ApiError::absent("function", &id).hint(hint))
        }
        (None, Some(id)) if user.is_operator() => Ok(BudgetScope::Function(id)),
        (None, Some(_)) => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "not_operator",
            "a function's budget holds the runs of all users",
        )
        .hint("its operator sets it, on the machine of the studio, without X-User-Id")),
        (Some(_), Some(_)) | (None, None) => Err(ApiError::bad(
            "bad_budget",
            "a budget is a workspace's or a function's: give workspaceId or functionId",
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Since {
    workspace_id: String,
    /// In the period of now; this month's without one.
    period: Option<Period>,
}

/// What a workspace of the caller's used in the current period, by function and model. What was used longer ago than 400 days
/// may be forgotten, so `ever` reaches back so far.
pub(crate) async fn usage(
    State(shared): State<Shared>,
    user: User,
    Query(since): Query<Since>,
) -> Result<Json<Value>, ApiError> {
    let workspace = shared.own_workspace(&since.workspace_id, &user).await?;
    let period = since.period.unwrap_or(Period::Month);
    let (from_ms, until_ms) = period.around(now_ms());
    let totals = shared.database.usage_totals(&workspace.id, from_ms).await?;
    let from_ms = (period != Period::Ever).then_some(from_ms);
    Ok(Json(json!({
        "usage": totals,
        "period": period,
        "fromMs": from_ms,
        "untilMs": until_ms,
        "currency": shared.money.prices.currency(),
    })))
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Store(error) => error.into(),
            error => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "runs_not_told",
                error.to_string(),
            ),
        }
    }
}
