use crate::budget::Row;
use crate::database::{in_transaction, on_backend};
use crate::error::failed;
use crate::text::storable;
use crate::{Budget, Database, DbError};

/// Whose settings' file says what may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSource {
    /// The web app's.
    Studio,
    /// A worker's. Of several, each may have another file, or none.
    Worker,
}

impl FileSource {
    fn as_str(self) -> &'static str {
        match self {
            Self::Studio => "studio",
            Self::Worker => "worker",
        }
    }
}

impl Database {
    /// Sets a budget as a file says, unless the file said the same when it was last asked: what was changed since stays, a
    /// removal, too. True when the budget is another now.
    pub async fn apply_file_budget(
        &self,
        budget: &Budget,
        source: FileSource,
        now_ms: i64,
    ) -> Result<bool, DbError> {
        let (scope, scope_id) = budget.scope.columns();
        let (kind, period) = (budget.kind.as_str(), budget.period.as_str());
        let limit = i64::try_from(budget.limit).unwrap_or(i64::MAX);
        let changed = in_transaction!(self, "apply a budget of the file", |tx| {
            let said = sqlx::query(
                "INSERT INTO file_budget (scope, scope_id, kind, period, limit_amount, source)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (scope, scope_id, kind, period)
                 DO UPDATE SET limit_amount = excluded.limit_amount
                 WHERE file_budget.limit_amount <> excluded.limit_amount",
            )
            .bind(scope)
            .bind(storable(scope_id))
            .bind(kind)
            .bind(period)
            .bind(limit)
            .bind(source.as_str())
            .execute(&mut *tx)
            .await
            .map_err(failed("note what the file says of a budget"))?;
            if source == FileSource::Studio {
                sqlx::query(
                    "UPDATE file_budget SET source = 'studio'
                     WHERE scope = $1 AND scope_id = $2 AND kind = $3 AND period = $4
                           AND source <> 'studio'",
                )
                .bind(scope)
                .bind(storable(scope_id))
                .bind(kind)
                .bind(period)
                .execute(&mut *tx)
                .await
                .map_err(failed("note whose file has a budget"))?;
            }
            match said.rows_affected() {
                0 => false,
                _ => {
                    sqlx::query(
                        "INSERT INTO budget
                             (scope, scope_id, kind, period, limit_amount, created_at_ms, updated_at_ms)
                         VALUES ($1, $2, $3, $4, $5, $6, $6)
                         ON CONFLICT (scope, scope_id, kind, period)
                         DO UPDATE SET limit_amount = excluded.limit_amount, updated_at_ms = excluded.updated_at_ms
                         WHERE budget.limit_amount <> excluded.limit_amount",
                    )
                    .bind(scope)
                    .bind(storable(scope_id))
                    .bind(kind)
                    .bind(period)
                    .bind(limit)
                    .bind(now_ms)
                    .execute(&mut *tx)
                    .await
                    .map_err(failed("set a budget of the file"))?
                    .rows_affected()
                        > 0
                }
            }
        });
        Ok(changed)
    }

    /// Removes the budgets that the web app's file once said and does not say any more, those that nobody changed since;
    /// one that somebody changed is that person's from now on. Returns what is removed.
    pub async fn retain_file_budgets(&self, said: &[Budget]) -> Result<Vec<Budget>, DbError> {
        let rows: Vec<Row> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT scope, scope_id, kind, period, limit_amount FROM file_budget
             WHERE source = 'studio' ORDER BY scope DESC, scope_id, kind, period",
        )
        .fetch_all(pool)
        .await)
        .map_err(failed("read the file's budgets"))?;
        let mut removed = Vec::new();
        for row in rows {
            let once = row.into_budget()?;
            let is_said = |budget: &Budget| {
                (&budget.scope, budget.kind, budget.period) == (&once.scope, once.kind, once.period)
            };
            if !said.iter().any(is_said) && self.forget_file_budget(&once).await? {
                removed.push(once);
            }
        }
        Ok(removed)
    }

    /// True when the budget is removed.
    async fn forget_file_budget(&self, once: &Budget) -> Result<bool, DbError> {
        let (scope, scope_id) = once.scope.columns();
        let (kind, period) = (once.kind.as_str(), once.period.as_str());
        let limit = i64::try_from(once.limit).unwrap_or(i64::MAX);
        let removed = in_transaction!(self, "forget a budget of the file", |tx| {
            sqlx::query(
                "DELETE FROM file_budget
                 WHERE scope = $1 AND scope_id = $2 AND kind = $3 AND period = $4",
            )
            .bind(scope)
            .bind(storable(scope_id))
            .bind(kind)
            .bind(period)
            .execute(&mut *tx)
            .await
            .map_err(failed("forget what the file said of a budget"))?;
            sqlx::query(
                "DELETE FROM budget
                 WHERE scope = $1 AND scope_id = $2 AND kind = $3 AND period = $4
                       AND limit_amount = $5",
            )
            .bind(scope)
            .bind(storable(scope_id))
            .bind(kind)
            .bind(period)
            .bind(limit)
            .execute(&mut *tx)
            .await
            .map_err(failed("remove a budget of the file"))?
            .rows_affected()
                > 0
        });
        Ok(removed)
    }
}
