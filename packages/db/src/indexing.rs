use crate::database::{in_transaction, on_backend};
use crate::error::failed;
use crate::text::storable;
use crate::workspace::no_such_workspace;
use crate::{AssetId, Database, DbError, IndexingStatus, WorkspaceId};

/// What [`Database::end_stale_indexing`] ends at once.
pub const STALE_INDEXING_MAX: u32 = 100;

/// How reading a document ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexed {
    /// It can be found now.
    Done,
    /// Nobody reads it any more, and nothing is wrong with the workspace.
    GivenUp,
    Failed,
}

/// Who reads which document.
#[derive(Debug, Clone, Copy)]
pub struct IndexingRun<'r> {
    pub workspace_id: &'r WorkspaceId,
    pub asset_id: &'r AssetId,
    /// Tells who reads it from all others who read it.
    pub run_id: &'r str,
}

impl Database {
    /// A document of the workspace is being read: its status is INDEXING until all who read something have ended. Beginning
    /// the same again changes nothing. What failed is forgotten: of the document, and of all when nothing else is being
    /// read.
    ///
    /// # Errors
    /// [`DbError::NoSuchWorkspace`].
    pub async fn begin_indexing(&self, run: IndexingRun<'_>, now_ms: i64) -> Result<(), DbError> {
        in_transaction!(self, "note that the workspace is being indexed", |tx| {
            // Writing first is locking the row: who begins and ends does so one after another.
            let status: Option<String> = sqlx::query_scalar(
                "UPDATE workspace SET updated_at_ms = $2 WHERE id = $1 RETURNING indexing_status",
            )
            .bind(run.workspace_id.as_str())
            .bind(now_ms)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed("read the indexing status"))?;
            let status = status.ok_or_else(|| no_such_workspace(run.workspace_id))?;
            let nothing_is_read = status != IndexingStatus::Indexing.as_str();
            sqlx::query(
                "DELETE FROM workspace_indexing
                 WHERE workspace_id = $1 AND ($3 OR (source = $2 AND state = 'FAILED'))",
            )
            .bind(run.workspace_id.as_str())
            .bind(run.asset_id.as_str())
            .bind(nothing_is_read)
            .execute(&mut *tx)
            .await
            .map_err(failed("forget what failed to be indexed"))?;
            sqlx::query(
                "INSERT INTO workspace_indexing (workspace_id, source, run_id, state, since_ms)
                 VALUES ($1, $2, $3, 'INDEXING', $4)
                 ON CONFLICT (workspace_id, source, run_id)
                 DO UPDATE SET state = 'INDEXING', since_ms = excluded.since_ms",
            )
            .bind(run.workspace_id.as_str())
            .bind(run.asset_id.as_str())
            .bind(storable(run.run_id))
            .bind(now_ms)
            .execute(&mut *tx)
            .await
            .map_err(failed("note what is being indexed"))?;
            sqlx::query("UPDATE workspace SET indexing_status = 'INDEXING' WHERE id = $1")
                .bind(run.workspace_id.as_str())
                .execute(&mut *tx)
                .await
                .map_err(failed("set the indexing status"))?;
        });
        Ok(())
    }

    /// A document has been read, or could not be, whether or not it was begun. Once nothing else is being read, the workspace's
    /// status is FAILED if something failed, else IDLE. What others read, of this document too, is left: while another
    /// run reads it, a failure of this one does not count. Ending again changes nothing but how it ended. Returns the
    /// status.
    ///
    /// # Errors
    /// [`DbError::NoSuchWorkspace`].
    pub async fn end_indexing(
        &self,
        run: IndexingRun<'_>,
        how: Indexed,
        now_ms: i64,
    ) -> Result<IndexingStatus, DbError> {
        let (status, _) = self.end_indexing_since(run, how, i64::MAX, now_ms).await?;
        Ok(status)
    }

    /// As [`end_indexing`](Self::end_indexing), if it was begun before `before_ms`. Also returns whether it was being read.
    async fn end_indexing_since(
        &self,
        run: IndexingRun<'_>,
        how: Indexed,
        before_ms: i64,
        now_ms: i64,
    ) -> Result<(IndexingStatus, bool), DbError> {
        let ended = in_transaction!(self, "note that the workspace was indexed", |tx| {
            let locked = sqlx::query("UPDATE workspace SET updated_at_ms = $2 WHERE id = $1")
                .bind(run.workspace_id.as_str())
                .bind(now_ms)
                .execute(&mut *tx)
                .await
                .map_err(failed("read the indexing status"))?;
            if locked.rows_affected() == 0 {
                return Err(no_such_workspace(run.workspace_id));
            }
            let was_read = sqlx::query(
                "DELETE FROM workspace_indexing
                 WHERE workspace_id = $1 AND source = $2 AND run_id = $3 AND state = 'INDEXING'
                       AND since_ms < $4",
            )
            .bind(run.workspace_id.as_str())
            .bind(run.asset_id.as_str())
            .bind(storable(run.run_id))
            .bind(before_ms)
            .execute(&mut *tx)
            .await
            .map_err(failed("note how indexing ended"))?
            .rows_affected();
            match how {
                Indexed::GivenUp => {}
                Indexed::Done => {
                    sqlx::query(
                        "DELETE FROM workspace_indexing
                         WHERE workspace_id = $1 AND source = $2 AND state = 'FAILED'",
                    )
                    .bind(run.workspace_id.as_str())
                    .bind(run.asset_id.as_str())
                    .execute(&mut *tx)
                    .await
                    .map_err(failed("forget what failed to be indexed"))?;
                }
                Indexed::Failed => {
                    sqlx::query(
                        "INSERT INTO workspace_indexing
                             (workspace_id, source, run_id, state, since_ms)
                         SELECT $1, $2, $3, 'FAILED', $4
                         WHERE NOT EXISTS (SELECT 1 FROM workspace_indexing
                                           WHERE workspace_id = $1 AND source = $2)",
                    )
                    .bind(run.workspace_id.as_str())
                    .bind(run.asset_id.as_str())
                    .bind(storable(run.run_id))
                    .bind(now_ms)
                    .execute(&mut *tx)
                    .await
                    .map_err(failed("note what failed to be indexed"))?;
                }
            }
            let (active, broken): (i64, i64) = sqlx::query_as(
                "SELECT COUNT(CASE state WHEN 'INDEXING' THEN 1 END),
                        COUNT(CASE state WHEN 'FAILED' THEN 1 END)
                 FROM workspace_indexing WHERE workspace_id = $1",
            )
            .bind(run.workspace_id.as_str())
            .fetch_one(&mut *tx)
            .await
            .map_err(failed("read what is being indexed"))?;
            let status = match (active, broken) {
                (0, 0) => IndexingStatus::Idle,
                (0, _) => IndexingStatus::Failed,
                _ => IndexingStatus::Indexing,
            };
            sqlx::query("UPDATE workspace SET indexing_status = $2 WHERE id = $1")
                .bind(run.workspace_id.as_str())
                .bind(status.as_str())
                .execute(&mut *tx)
                .await
                .map_err(failed("set the indexing status"))?;
            (status, was_read > 0)
        });
        Ok(ended)
    }

    /// Gives up what has been read since before `before_ms`: whoever read it was cancelled or is gone. At most
    /// [`STALE_INDEXING_MAX`] at a time; how many they were.
    pub async fn end_stale_indexing(&self, before_ms: i64, now_ms: i64) -> Result<u64, DbError> {
        let stale: Vec<(String, String, String)> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT workspace_id, source, run_id FROM workspace_indexing
             WHERE state = 'INDEXING' AND since_ms < $1 ORDER BY since_ms LIMIT $2",
        )
        .bind(before_ms)
        .bind(i64::from(STALE_INDEXING_MAX))
        .fetch_all(pool)
        .await)
        .map_err(failed("read what has been indexed for long"))?;
        let mut count = 0;
        for (workspace, asset, run) in stale {
            let run = IndexingRun {
                workspace_id: &WorkspaceId::new(workspace),
                asset_id: &AssetId::new(asset),
                run_id: &run,
            };
            match self
                .end_indexing_since(run, Indexed::GivenUp, before_ms, now_ms)
                .await
            {
                // One that was begun again meanwhile is not stale.
                Ok((_, ended)) => count += u64::from(ended),
                // It went meanwhile.
                Err(DbError::NoSuchWorkspace { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}
