use crate::database::on_backend;
use crate::error::{corrupt, failed};
use crate::text::{storable, storable_if_any};
use crate::{Database, DbError, UsageKind, WorkspaceId};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Unit, Zoned};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

/// Budgets that are listed at once.
pub const BUDGETS_MAX: u32 = 500;

/// Who has a budget.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "scope", content = "id", rename_all = "lowercase")]
pub enum BudgetScope {
    /// All that a workspace uses, whichever function uses it.
    Workspace(WorkspaceId),
    /// All that a function uses, for whichever workspace.
    Function(String),
}

impl BudgetScope {
    pub(crate) fn columns(&self) -> (&'static str, &str) {
        match self {
            Self::Workspace(id) => ("workspace", id.as_str()),
            Self::Function(id) => ("function", id),
        }
    }
}

/// After which time a budget is full again. Periods begin with the hour, day, week (on Monday) and month
/// of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    Hour,
    Day,
    Week,
    Month,
    /// Never: what is used up stays so until someone raises the budget.
    Ever,
}

impl Period {
    /// All of them, shortest first.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Ever];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Ever => "ever",
        }
    }

    /// When the period of a moment began, and when it ends if it does, in Unix milliseconds.
    pub fn around(self, now_ms: i64) -> (i64, Option<i64>) {
        let (unit, length) = match self {
            Self::Hour => (Unit::Hour, Span::new().hours(1)),
            Self::Day => (Unit::Day, Span::new().days(1)),
            Self::Week => (Unit::Week, Span::new().weeks(1)),
            Self::Month => (Unit::Month, Span::new().months(1)),
            Self::Ever => return (i64::MIN, None),
        };
        let now = Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let now = now.to_zoned(TimeZone::UTC);
        let start = start_of(unit, &now);
        let end = start.checked_add(length).ok();
        let ms = |moment: Zoned| moment.timestamp().as_millisecond();
        (ms(start), end.map(ms))
    }

    /// The period of that name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|period| period.as_str() == text);
        found.ok_or_else(|| format!("unknown period {text:?}"))
    }
}

fn start_of(unit: Unit, now: &Zoned) -> Zoned {
    let hour = if unit == Unit::Hour { now.hour() } else { 0 };
    let day = if unit == Unit::Month { 1 } else { now.day() };
    let into_week = match unit {
        Unit::Week => i64::from(now.weekday().to_monday_zero_offset()),
        _ => 0,
    };
    let start = now
        .with()
        .day(day)
        .hour(hour)
        .minute(0)
        .second(0)
        .subsec_nanosecond(0);
    let start = start.build().unwrap_or_else(|_| now.clone());
    let first = start.checked_sub(Span::new().days(into_week));
    first.unwrap_or(start)
}

/// How much of a kind may be used in each period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    #[serde(flatten)]
    pub scope: BudgetScope,
    pub kind: UsageKind,
    pub period: Period,
    /// In the unit of its kind. With 0, nothing may be used.
    pub limit: u64,
}

/// How much of a budget is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    #[serde(flatten)]
    pub budget: Budget,
    /// In this period.
    pub used: u64,
    /// When the period ends, in Unix milliseconds; none if it never does.
    pub resets_at_ms: Option<i64>,
}

impl Standing {
    pub fn remaining(&self) -> u64 {
        self.budget.limit.saturating_sub(self.used)
    }

    /// Nothing is left: what would use more has to wait.
    pub fn is_used_up(&self) -> bool {
        self.remaining() == 0
    }
}

#[derive(FromRow)]
pub(crate) struct Row {
    scope: String,
    scope_id: String,
    kind: String,
    period: String,
    limit_amount: i64,
}

impl Row {
    pub(crate) fn into_budget(self) -> Result<Budget, DbError> {
        let what =
            |column: &str| format!("{column} of the budget of {} {}", self.scope, self.scope_id);
        let unknown = || format!("unknown scope {:?}", self.scope);
        let kind = UsageKind::parse(&self.kind).map_err(corrupt(what("kind")))?;
        let period = Period::parse(&self.period).map_err(corrupt(what("period")))?;
        let limit = u64::try_from(self.limit_amount).map_err(corrupt(what("limit")))?;
        let scope = match self.scope.as_str() {
            "workspace" => BudgetScope::Workspace(WorkspaceId::new(self.scope_id)),
            "function" => BudgetScope::Function(self.scope_id),
            _ => return Err(corrupt(what("scope"))(unknown())),
        };
        Ok(Budget {
            scope,
            kind,
            period,
            limit,
        })
    }
}

#[derive(FromRow)]
struct StandingRow {
    #[sqlx(flatten)]
    budget: Row,
    used: f64,
}

impl StandingRow {
    fn into_standing(self, now_ms: i64) -> Result<Standing, DbError> {
        let budget = self.budget.into_budget()?;
        let (_, resets_at_ms) = budget.period.around(now_ms);
        Ok(Standing {
            budget,
            // Casting saturates.
            used: self.used as u64,
            resets_at_ms,
        })
    }
}

/// Budgets with what was used of each since its period began. The first parameters are when the [periods](Period::ALL)
/// did. Each sum is answered from an index alone; sums are of floats, which cannot overflow, and are exact up to 2^53.
macro_rules! standings {
    ($which:literal) => {
        concat!(
            "SELECT scope, scope_id, kind, period, limit_amount,
                    COALESCE(CASE scope
                        WHEN 'workspace' THEN
                            (SELECT SUM(CAST(amount AS DOUBLE PRECISION)) FROM usage
                             WHERE workspace_id = scope_id AND usage.kind = began.kind AND at_ms >= began_ms)
                        ELSE
                            (SELECT SUM(CAST(amount AS DOUBLE PRECISION)) FROM usage
                             WHERE function_id = scope_id AND usage.kind = began.kind AND at_ms >= began_ms)
                    END, 0.0) AS used
             FROM (SELECT scope, scope_id, kind, period, limit_amount,
                          CASE period WHEN 'hour' THEN $1 WHEN 'day' THEN $2 WHEN 'week' THEN $3
                                      WHEN 'month' THEN $4 ELSE $5 END AS began_ms
                   FROM budget) AS began
             WHERE ",
            $which
        )
    };
}

impl Database {
    /// Sets a budget, or raises or lowers the one of that scope, kind and period.
    pub async fn set_budget(&self, budget: &Budget, now_ms: i64) -> Result<(), DbError> {
        let (scope, scope_id) = budget.scope.columns();
        on_backend!(self, |pool| sqlx::query(
            "INSERT INTO budget
                 (scope, scope_id, kind, period, limit_amount, created_at_ms, updated_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $6)
             ON CONFLICT (scope, scope_id, kind, period)
             DO UPDATE SET limit_amount = excluded.limit_amount, updated_at_ms = excluded.updated_at_ms",
        )
        .bind(scope)
        .bind(storable(scope_id))
        .bind(budget.kind.as_str())
        .bind(budget.period.as_str())
        .bind(i64::try_from(budget.limit).unwrap_or(i64::MAX))
        .bind(now_ms)
        .execute(pool)
        .await
        .map(|_| ()))
        .map_err(failed("set the budget"))
    }

    /// Removes the budget of a scope, kind and period: there is no limit any more. False when there was none.
    pub async fn remove_budget(
        &self,
        scope: &BudgetScope,
        kind: UsageKind,
        period: Period,
    ) -> Result<bool, DbError> {
        let (scope, scope_id) = scope.columns();
        let removed = on_backend!(self, |pool| {
            sqlx::query(
            "DELETE FROM budget WHERE scope = $1 AND scope_id = $2 AND kind = $3 AND period = $4",
        )
        .bind(scope)
        .bind(storable(scope_id))
        .bind(kind.as_str())
        .bind(period.as_str())
        .execute(pool)
        .await
        .map(|done| done.rows_affected())
        })
        .map_err(failed("remove the budget"))?;
        Ok(removed > 0)
    }

    /// How the budgets stand that a function's run for a workspace has to keep to: the workspace's (if one is given) and
    /// the function's (likewise).
    pub async fn budget_standings(
        &self,
        workspace: Option<&WorkspaceId>,
        function: Option<&str>,
        now_ms: i64,
    ) -> Result<Vec<Standing>, DbError> {
        let [hour, day, week, month, ever] = Period::ALL.map(|period| period.around(now_ms).0);
        let rows: Vec<StandingRow> = on_backend!(self, |pool| sqlx::query_as(standings!(
            "(scope = 'workspace' AND scope_id = $6) OR (scope = 'function' AND scope_id = $7)
             ORDER BY scope DESC, kind, period"
        ))
        .bind(hour)
        .bind(day)
        .bind(week)
        .bind(month)
        .bind(ever)
        .bind(workspace.map(WorkspaceId::as_str))
        .bind(storable_if_any(&function))
        .fetch_all(pool)
        .await)
        .map_err(failed("read the budgets"))?;
        let standings = rows.into_iter().map(|row| row.into_standing(now_ms));
        standings.collect()
    }

    /// How the budgets stand that a user may know of: those of the user's workspaces, and those of functions. At most
    /// [`BUDGETS_MAX`].
    pub async fn budgets_of_user(
        &self,
        user_id: &str,
        now_ms: i64,
    ) -> Result<Vec<Standing>, DbError> {
        let [hour, day, week, month, ever] = Period::ALL.map(|period| period.around(now_ms).0);
        let rows: Vec<StandingRow> = on_backend!(self, |pool| sqlx::query_as(standings!(
            "scope = 'function' OR scope_id IN (SELECT id FROM workspace WHERE user_id = $6)
             ORDER BY scope DESC, scope_id, kind, period LIMIT $7"
        ))
        .bind(hour)
        .bind(day)
        .bind(week)
        .bind(month)
        .bind(ever)
        .bind(storable(user_id))
        .bind(i64::from(BUDGETS_MAX))
        .fetch_all(pool)
        .await)
        .map_err(failed("read the budgets"))?;
        let standings = rows.into_iter().map(|row| row.into_standing(now_ms));
        standings.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Period, Timestamp};

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn periods_begin_with_the_hour_the_day_the_week_and_the_month() {
        let now = at("2024-02-29T13:14:15.167Z");
        for (period, start, end) in [
            (Period::Hour, "2024-02-29T13:00:00Z", "2024-02-29T14:00:00Z"),
            (Period::Day, "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
            (Period::Week, "2024-02-26T00:00:00Z", "2024-03-04T00:00:00Z"),
            (
                Period::Month,
                "2024-02-01T00:00:00Z",
                "2024-03-01T00:00:00Z",
            ),
        ] {
            assert_eq!(period.around(now), (at(start), Some(at(end))), "{period:?}");
            assert_eq!(period.around(at(end)).0, at(end), "{period:?}");
        }
        assert_eq!(Period::Ever.around(now), (i64::MIN, None));
    }
}
