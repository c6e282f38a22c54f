use crate::database::{in_transaction, on_backend};
use crate::error::{corrupt, failed};
use crate::json::Json;
use crate::page::rows_for;
use crate::{BatchJobId, BatchJobStatus, Cursor, Database, DbError, Page, StateChange};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;

/// A job as stored. JSON is camelCase, as the web app answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchJob {
    pub id: BatchJobId,
    /// The jobs that were started together have the same.
    pub batch_id: String,
    pub user_id: String,
    pub status: BatchJobStatus,
    pub config: Value,
    pub result_summary: Option<Value>,
    pub error: Option<String>,
    /// Results that were made, or are being made.
    pub attempts: u32,
    pub items: Vec<BatchItem>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

/// One input of a job, and its output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItem {
    pub input_url: String,
    pub output_url: Option<String>,
    pub status: BatchJobStatus,
}

/// A job to be.
#[derive(Debug, Clone)]
pub struct NewBatchJob {
    pub id: BatchJobId,
    pub batch_id: String,
    pub user_id: String,
    /// A JSON object.
    pub config: Value,
    /// One item each.
    pub input_urls: Vec<String>,
}

/// How a job ends.
#[derive(Debug, Clone, Copy)]
pub enum BatchOutcome<'a> {
    /// Each item's output, in order of the inputs, and what there is to say of them all.
    Completed {
        output_urls: &'a [String],
        summary: &'a Value,
    },
    /// Why.
    Failed(&'a str),
    Canceled,
}

#[derive(FromRow)]
struct Row {
    id: String,
    batch_id: String,
    user_id: String,
    status: String,
    config: Json,
    result_summary: Option<Json>,
    error: Option<String>,
    attempts: i64,
    created_at_ms: i64,
    updated_at_ms: i64,
}

#[derive(FromRow)]
struct ItemRow {
    job_id: String,
    input_url: String,
    output_url: Option<String>,
    status: String,
}

impl Row {
    fn into_job(self, items: Vec<BatchItem>) -> Result<BatchJob, DbError> {
        let what = |column: &str| format!("{column} of batch job {}", self.id);
        Ok(BatchJob {
            status: BatchJobStatus::parse(&self.status).map_err(corrupt(what("status")))?,
            attempts: u32::try_from(self.attempts).map_err(corrupt(what("attempts")))?,
            id: BatchJobId::new(self.id),
            batch_id: self.batch_id,
            user_id: self.user_id,
            config: self.config.0,
            result_summary: self.result_summary.map(|json| json.0),
            error: self.error,
            items,
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
        })
    }
}

impl ItemRow {
    fn into_item(self) -> Result<BatchItem, DbError> {
        let status = BatchJobStatus::parse(&self.status).map_err(corrupt(format!(
            "status of an item of batch job {}",
            self.job_id
        )))?;
        Ok(BatchItem {
            input_url: self.input_url,
            output_url: self.output_url,
            status,
        })
    }
}

impl Database {
    /// Stores jobs with their items, all QUEUED, in one transaction. Jobs of those ids that exist already stay as they
    /// are. Returns how many were created now.
    pub async fn create_batch_jobs(
        &self,
        jobs: &[NewBatchJob],
        now_ms: i64,
    ) -> Result<u64, DbError> {
        let created = in_transaction!(self, "create the batch jobs", |tx| {
            let mut created = 0;
            for job in jobs {
                let inserted = sqlx::query(
                    "INSERT INTO batch_job
                         (id, batch_id, user_id, config, created_at_ms, updated_at_ms)
                     VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (id) DO NOTHING",
                )
                .bind(job.id.as_str())
                .bind(&job.batch_id)
                .bind(&job.user_id)
                .bind(Json::of(&job.config))
                .bind(now_ms)
                .execute(&mut *tx)
                .await
                .map_err(failed("create the batch job"))?;
                if inserted.rows_affected() == 0 {
                    continue;
                }
                created += 1;
                for (ordinal, input_url) in (0_i64..).zip(&job.input_urls) {
                    sqlx::query(
                        "INSERT INTO batch_job_item (job_id, ordinal, input_url)
                         VALUES ($1, $2, $3)",
                    )
                    .bind(job.id.as_str())
                    .bind(ordinal)
                    .bind(input_url)
                    .execute(&mut *tx)
                    .await
                    .map_err(failed("create the items of the batch job"))?;
                }
            }
            created
        });
        Ok(created)
    }

    /// The job of that id with its items, if there is one.
    pub async fn batch_job(&self, id: &BatchJobId) -> Result<Option<BatchJob>, DbError> {
        let row: Option<Row> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT * FROM batch_job WHERE id = $1"
        )
        .bind(id.as_str())
        .fetch_optional(pool)
        .await)
        .map_err(failed("read the batch job"))?;
        let Some(row) = row else { return Ok(None) };
        let items: Vec<ItemRow> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT * FROM batch_job_item WHERE job_id = $1 ORDER BY ordinal"
        )
        .bind(id.as_str())
        .fetch_all(pool)
        .await)
        .map_err(failed("read the items of the batch job"))?;
        let items: Result<Vec<_>, _> = items.into_iter().map(ItemRow::into_item).collect();
        row.into_job(items?).map(Some)
    }

    /// A user's jobs (of one batch, if given) without their items, newest first, `limit` (1 to
    /// [`PAGE_LIMIT_MAX`](crate::PAGE_LIMIT_MAX)) at a time.
    pub async fn batch_jobs(
        &self,
        user_id: &str,
        batch_id: Option<&str>,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<BatchJob>, DbError> {
        let (created_at_ms, id) = Cursor::bounds(after);
        let rows: Vec<Row> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT * FROM batch_job
             WHERE user_id = $1 AND ($2 IS NULL OR batch_id = $2)
                   AND (created_at_ms, id) < ($3, $4)
             ORDER BY created_at_ms DESC, id DESC LIMIT $5",
        )
        .bind(user_id)
        .bind(batch_id)
        .bind(created_at_ms)
        .bind(id)
        .bind(rows_for(limit))
        .fetch_all(pool)
        .await)
        .map_err(failed("list the batch jobs"))?;
        let jobs: Result<Vec<_>, _> = rows
            .into_iter()
            .map(|row| row.into_job(Vec::new()))
            .collect();
        Ok(Page::of(jobs?, limit, |job: &BatchJob| {
            Cursor::new(job.created_at_ms, job.id.as_str())
        }))
    }

    /// The job makes its `attempt`-th result (from 1), and its items with it: QUEUED or VERIFYING becomes PROCESSING.
    ///
    /// # Errors
    /// [`DbError::NoSuchBatchJob`].
    pub async fn process_batch_job(
        &self,
        id: &BatchJobId,
        attempt: u32,
        now_ms: i64,
    ) -> Result<StateChange<BatchJobStatus>, DbError> {
        self.move_job(id, BatchJobStatus::Processing, Some(attempt), None, now_ms)
            .await
    }

    /// The `attempt`-th result is looked at: PROCESSING becomes VERIFYING.
    ///
    /// # Errors
    /// [`DbError::NoSuchBatchJob`].
    pub async fn verify_batch_job(
        &self,
        id: &BatchJobId,
        attempt: u32,
        now_ms: i64,
    ) -> Result<StateChange<BatchJobStatus>, DbError> {
        self.move_job(id, BatchJobStatus::Verifying, Some(attempt), None, now_ms)
            .await
    }

    /// The job ends, and all of its items that have not.
    ///
    /// # Errors
    /// [`DbError::NoSuchBatchJob`].
    pub async fn end_batch_job(
        &self,
        id: &BatchJobId,
        outcome: BatchOutcome<'_>,
        now_ms: i64,
    ) -> Result<StateChange<BatchJobStatus>, DbError> {
        let status = match outcome {
            BatchOutcome::Completed { .. } => BatchJobStatus::Completed,
            BatchOutcome::Failed(_) => BatchJobStatus::Failed,
            BatchOutcome::Canceled => BatchJobStatus::Canceled,
        };
        self.move_job(id, status, None, Some(outcome), now_ms).await
    }

    async fn move_job(
        &self,
        id: &BatchJobId,
        status: BatchJobStatus,
        attempt: Option<u32>,
        outcome: Option<BatchOutcome<'_>>,
        now_ms: i64,
    ) -> Result<StateChange<BatchJobStatus>, DbError> {
        let (output_urls, summary, error) = match outcome {
            Some(BatchOutcome::Completed {
                output_urls,
                summary,
            }) => (output_urls, Some(Json::of(summary)), None),
            Some(BatchOutcome::Failed(error)) => (&[][..], None, Some(error)),
            Some(BatchOutcome::Canceled) | None => (&[][..], None, None),
        };
        let change = in_transaction!(self, "change the status of the batch job", |tx| {
            // Writing first is locking the row.
            let row: Option<Row> =
                sqlx::query_as("UPDATE batch_job SET status = status WHERE id = $1 RETURNING *")
                    .bind(id.as_str())
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(failed("read the batch job"))?;
            let row = row.ok_or_else(|| DbError::NoSuchBatchJob { id: id.to_string() })?;
            let before = row.into_job(Vec::new())?;
            let change = StateChange::of_job(before.status, status);
            if change != StateChange::Changed {
                return Ok(change);
            }
            sqlx::query(
                "UPDATE batch_job SET status = $2, attempts = $3, result_summary = $4, error = $5,
                                      updated_at_ms = $6
                 WHERE id = $1",
            )
            .bind(id.as_str())
            .bind(status.as_str())
            .bind(i64::from(before.attempts.max(attempt.unwrap_or_default())))
            .bind(summary)
            .bind(error)
            .bind(now_ms)
            .execute(&mut *tx)
            .await
            .map_err(failed("change the status of the batch job"))?;
            sqlx::query(
                "UPDATE batch_job_item SET status = $2
                 WHERE job_id = $1 AND status NOT IN ('COMPLETED', 'FAILED', 'CANCELED')",
            )
            .bind(id.as_str())
            .bind(status.as_str())
            .execute(&mut *tx)
            .await
            .map_err(failed("change the status of the job's items"))?;
            for (ordinal, output_url) in (0_i64..).zip(output_urls) {
                sqlx::query(
                    "UPDATE batch_job_item SET output_url = $3 WHERE job_id = $1 AND ordinal = $2",
                )
                .bind(id.as_str())
                .bind(ordinal)
                .bind(output_url)
                .execute(&mut *tx)
                .await
                .map_err(failed("note the outputs of the batch job"))?;
            }
            change
        });
        Ok(change)
    }
}
