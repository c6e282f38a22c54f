use crate::database::{in_transaction, on_backend};
use crate::error::failed;
use crate::{AssetId, Database, DbError, IndexingStatus, WorkspaceId};

/// How reading a document ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexed {
    /// Or was given up: nothing is wrong with the workspace.
    Done,
    Failed,
}

impl Database {
    /// A document of the workspace is being read: its status is INDEXING until all that were begun have ended. Beginning
    /// the same again changes nothing; the first after all have ended forgets what failed before it.
    ///
    /// # Errors
    /// [`DbError::NoSuchWorkspace`].
    pub async fn begin_indexing(
        &self,
        workspace: &WorkspaceId,
        asset: &AssetId,
        now_ms: i64,
    ) -> Result<(), DbError> {
        in_transaction!(self, "note that the workspace is being indexed", |tx| {
            // Writing first is locking the row: who begins and ends does so one after another.
            let status: Option<String> = sqlx::query_scalar(
                "UPDATE workspace SET updated_at_ms = $2 WHERE id = $1 RETURNING indexing_status",
            )
            .bind(workspace.as_str())
            .bind(now_ms)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed("read the indexing status"))?;
            let status = status.ok_or_else(|| no_such_workspace(workspace))?;
            if status != IndexingStatus::Indexing.as_str() {
                sqlx::query("DELETE FROM workspace_indexing WHERE workspace_id = $1")
                    .bind(workspace.as_str())
                    .execute(&mut *tx)
                    .await
                    .map_err(failed("forget what failed to be indexed"))?;
            }
            sqlx::query(
                "INSERT INTO workspace_indexing (workspace_id, source, state, since_ms)
                 VALUES ($1, $2, 'INDEXING', $3)
                 ON CONFLICT (workspace_id, source)
                 DO UPDATE SET state = 'INDEXING', since_ms = excluded.since_ms",
            )
            .bind(workspace.as_str())
            .bind(asset.as_str())
            .bind(now_ms)
            .execute(&mut *tx)
            .await
            .map_err(failed("note what is being indexed"))?;
            sqlx::query("UPDATE workspace SET indexing_status = 'INDEXING' WHERE id = $1")
                .bind(workspace.as_str())
                .execute(&mut *tx)
                .await
                .map_err(failed("set the indexing status"))?;
        });
        Ok(())
    }

    /// A document has been read, or could not be. Once no other is being read, the workspace's status is FAILED if one of
    /// them failed, else IDLE. Ending again changes nothing but how it ended. Returns the status.
    ///
    /// # Errors
    /// [`DbError::NoSuchWorkspace`].
    pub async fn end_indexing(
        &self,
        workspace: &WorkspaceId,
        asset: &AssetId,
        how: Indexed,
        now_ms: i64,
    ) -> Result<IndexingStatus, DbError> {
        let status = in_transaction!(self, "note that the workspace was indexed", |tx| {
            let locked = sqlx::query("UPDATE workspace SET updated_at_ms = $2 WHERE id = $1")
                .bind(workspace.as_str())
                .bind(now_ms)
                .execute(&mut *tx)
                .await
                .map_err(failed("read the indexing status"))?;
            if locked.rows_affected() == 0 {
                return Err(no_such_workspace(workspace));
            }
            match how {
                Indexed::Done => sqlx::query(
                    "DELETE FROM workspace_indexing WHERE workspace_id = $1 AND source = $2",
                )
                .bind(workspace.as_str())
                .bind(asset.as_str())
                .execute(&mut *tx)
                .await
                .map(|_| ()),
                Indexed::Failed => sqlx::query(
                    "INSERT INTO workspace_indexing (workspace_id, source, state, since_ms)
                     VALUES ($1, $2, 'FAILED', $3)
                     ON CONFLICT (workspace_id, source)
                     DO UPDATE SET state = 'FAILED', since_ms = excluded.since_ms",
                )
                .bind(workspace.as_str())
                .bind(asset.as_str())
                .bind(now_ms)
                .execute(&mut *tx)
                .await
                .map(|_| ()),
            }
            .map_err(failed("note how indexing ended"))?;
            let (active, broken): (i64, i64) = sqlx::query_as(
                "SELECT COUNT(CASE state WHEN 'INDEXING' THEN 1 END),
                        COUNT(CASE state WHEN 'FAILED' THEN 1 END)
                 FROM workspace_indexing WHERE workspace_id = $1",
            )
            .bind(workspace.as_str())
            .fetch_one(&mut *tx)
            .await
            .map_err(failed("read what is being indexed"))?;
            let status = match (active, broken) {
                (0, 0) => IndexingStatus::Idle,
                (0, _) => IndexingStatus::Failed,
                _ => IndexingStatus::Indexing,
            };
            sqlx::query("UPDATE workspace SET indexing_status = $2 WHERE id = $1")
                .bind(workspace.as_str())
                .bind(status.as_str())
                .execute(&mut *tx)
                .await
                .map_err(failed("set the indexing status"))?;
            status
        });
        Ok(status)
    }

    /// Ends what has been read since before `before_ms`: whoever read it was cancelled or is gone. At most 100 at a time;
    /// how many they were.
    pub async fn end_stale_indexing(&self, before_ms: i64, now_ms: i64) -> Result<u64, DbError> {
        let stale: Vec<(String, String)> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT workspace_id, source FROM workspace_indexing
             WHERE state = 'INDEXING' AND since_ms < $1 ORDER BY since_ms LIMIT 100",
        )
        .bind(before_ms)
        .fetch_all(pool)
        .await)
        .map_err(failed("read what has been indexed for long"))?;
        let count = stale.len() as u64;
        for (workspace, asset) in stale {
            let (workspace, asset) = (WorkspaceId::new(workspace), AssetId::new(asset));
            match self
                .end_indexing(&workspace, &asset, Indexed::Done, now_ms)
                .await
            {
                // It went meanwhile.
                Ok(_) | Err(DbError::NoSuchWorkspace { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

fn no_such_workspace(id: &WorkspaceId) -> DbError {
    DbError::NoSuchWorkspace { id: id.to_string() }
}
