use crate::database::{in_transaction, on_backend};
use crate::error::{corrupt, failed};
use crate::text::storable;
use crate::{BudgetScope, Database, DbError, WorkspaceId};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

/// What is used, and in which unit amounts of it are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageKind {
    /// Tokens of a model, in and out.
    Tokens,
    /// Images made.
    Images,
    /// Time of a paid service; amounts are milliseconds.
    Seconds,
    /// Money; amounts are millionths of the currency that the studio pays in.
    Currency,
}

impl UsageKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tokens, Self::Images, Self::Seconds, Self::Currency];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Images => "images",
            Self::Seconds => "seconds",
            Self::Currency => "currency",
        }
    }

    /// The kind of that name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("unknown kind of usage {text:?}"))
    }
}

/// Something that was used.
#[derive(Debug, Clone)]
pub struct NewUsage {
    /// Tells this use from all others, however often it is noted: run, step and kind, say.
    pub key: String,
    pub workspace_id: WorkspaceId,
    /// Whose run used it.
    pub function_id: String,
    pub kind: UsageKind,
    /// The model or service.
    pub model: String,
    /// In the unit of its kind.
    pub amount: u64,
}

/// What a function used of a model in some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageTotal {
    pub function_id: String,
    pub model: String,
    pub kind: UsageKind,
    /// In the unit of its kind.
    pub amount: u64,
}

/// Totals that are listed at once.
pub const USAGE_TOTALS_MAX: u32 = 1000;

#[derive(FromRow)]
struct TotalRow {
    function_id: String,
    model: String,
    kind: String,
    amount: f64,
}

impl TotalRow {
    fn into_total(self) -> Result<UsageTotal, DbError> {
        let what = || format!("kind of usage of {}", self.function_id);
        Ok(UsageTotal {
            kind: UsageKind::parse(&self.kind).map_err(corrupt(what()))?,
            function_id: self.function_id,
            model: self.model,
            // Casting saturates.
            amount: self.amount as u64,
        })
    }
}

impl Database {
    /// What a workspace used from `from_ms` on, by function, model and kind. At most [`USAGE_TOTALS_MAX`] totals.
    pub async fn usage_totals(
        &self,
        workspace: &WorkspaceId,
        from_ms: i64,
    ) -> Result<Vec<UsageTotal>, DbError> {
        let rows: Vec<TotalRow> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT function_id, model, kind, SUM(CAST(amount AS DOUBLE PRECISION)) AS amount
             FROM usage WHERE workspace_id = $1 AND at_ms >= $2
             GROUP BY function_id, model, kind ORDER BY function_id, model, kind LIMIT $3",
        )
        .bind(workspace.as_str())
        .bind(from_ms)
        .bind(i64::from(USAGE_TOTALS_MAX))
        .fetch_all(pool)
        .await)
        .map_err(failed("sum up what was used"))?;
        rows.into_iter().map(TotalRow::into_total).collect()
    }

    /// Notes what was used at `now_ms`, all in one transaction. What was noted before under its key is left as it is
    /// and counts once. Returns how many are new.
    pub async fn record_usage(&self, used: &[NewUsage], now_ms: i64) -> Result<u64, DbError> {
        let recorded = in_transaction!(self, "note what was used", |tx| {
            let mut recorded = 0;
            for usage in used {
                recorded += sqlx::query(
                    "INSERT INTO usage (key, workspace_id, function_id, kind, model, amount, at_ms)
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (key) DO NOTHING",
                )
                .bind(storable(&usage.key))
                .bind(usage.workspace_id.as_str())
                .bind(storable(&usage.function_id))
                .bind(usage.kind.as_str())
                .bind(storable(&usage.model))
                .bind(i64::try_from(usage.amount).unwrap_or(i64::MAX))
                .bind(now_ms)
                .execute(&mut *tx)
                .await
                .map_err(failed("note what was used"))?
                .rows_affected();
            }
            recorded
        });
        Ok(recorded)
    }

    /// How much of a kind was used from `from_ms` on, in its unit.
    pub async fn usage_since(
        &self,
        scope: &BudgetScope,
        kind: UsageKind,
        from_ms: i64,
    ) -> Result<u64, DbError> {
        // Two statements, so that each is answered from its index alone. Sums are of floats, which cannot overflow;
        // they are exact up to 2^53.
        let sum: f64 = match scope {
            BudgetScope::Workspace(workspace) => on_backend!(self, |pool| sqlx::query_scalar(
                "SELECT COALESCE(SUM(CAST(amount AS DOUBLE PRECISION)), 0.0) FROM usage
                 WHERE workspace_id = $1 AND kind = $2 AND at_ms >= $3",
            )
            .bind(workspace.as_str())
            .bind(kind.as_str())
            .bind(from_ms)
            .fetch_one(pool)
            .await),
            BudgetScope::Function(function) => on_backend!(self, |pool| sqlx::query_scalar(
                "SELECT COALESCE(SUM(CAST(amount AS DOUBLE PRECISION)), 0.0) FROM usage
                 WHERE function_id = $1 AND kind = $2 AND at_ms >= $3",
            )
            .bind(storable(function))
            .bind(kind.as_str())
            .bind(from_ms)
            .fetch_one(pool)
            .await),
        }
        .map_err(failed("sum up what was used"))?;
        // Casting saturates.
        Ok(sum as u64)
    }

    /// Forgets what was used before `before_ms`, at most `limit` rows; how many they were. Call it until it answers less.
    /// What a budget without a period counts stays.
    pub async fn prune_usage(&self, before_ms: i64, limit: u32) -> Result<u64, DbError> {
        on_backend!(self, |pool| sqlx::query(
            "DELETE FROM usage WHERE key IN
                 (SELECT key FROM usage AS used
                  WHERE at_ms < $1
                        AND NOT EXISTS
                            (SELECT 1 FROM budget
                             WHERE period = 'ever' AND kind = used.kind
                                   AND ((scope = 'workspace' AND scope_id = used.workspace_id)
                                        OR (scope = 'function' AND scope_id = used.function_id)))
                  ORDER BY at_ms LIMIT $2)",
        )
        .bind(before_ms)
        .bind(i64::from(limit))
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))
        .map_err(failed("forget what was used long ago"))
    }
}
