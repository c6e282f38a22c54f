use crate::database::{in_transaction, on_backend};
use crate::error::{corrupt, failed};
use crate::json::Json;
use crate::page::rows_for;
use crate::{Cursor, Database, DbError, Page, RunState, StateChange, WorkflowId, WorkflowRunId};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::FromRow;

/// A run of a workflow as stored. JSON is camelCase, as the web app answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowRun {
    pub id: WorkflowRunId,
    /// None when the workflow was never saved, or is gone.
    pub workflow_id: Option<WorkflowId>,
    pub state: RunState,
    pub user_id: Option<String>,
    pub project_id: Option<String>,
    pub input: Option<Value>,
    pub output: Option<Value>,
    /// `{"message": …}` when it failed.
    pub error: Option<Value>,
    pub started_at_ms: Option<i64>,
    pub finished_at_ms: Option<i64>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

/// A run to be.
#[derive(Debug, Clone)]
pub struct NewWorkflowRun {
    pub id: WorkflowRunId,
    /// A saved workflow, if it is one.
    pub workflow_id: Option<WorkflowId>,
    pub user_id: Option<String>,
    pub project_id: Option<String>,
    pub input: Option<Value>,
    /// One for each node, in order.
    pub steps: Vec<NewStep>,
}

/// What is known of a node before it runs.
#[derive(Debug, Clone)]
pub struct NewStep {
    /// Unique in its run.
    pub node_id: String,
    /// What people call the node.
    pub name: String,
    /// The plugin that will run, if it is known already.
    pub tool_name: Option<String>,
}

/// Which runs are listed; none takes all.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub user_id: Option<String>,
    pub project_id: Option<String>,
    pub workflow_id: Option<WorkflowId>,
    pub state: Option<RunState>,
}

#[derive(FromRow)]
struct Row {
    id: String,
    workflow_id: Option<String>,
    state: String,
    user_id: Option<String>,
    project_id: Option<String>,
    input: Option<Json>,
    output: Option<Json>,
    error: Option<Json>,
    started_at_ms: Option<i64>,
    finished_at_ms: Option<i64>,
    created_at_ms: i64,
    updated_at_ms: i64,
}

impl Row {
    fn state(&self) -> Result<RunState, DbError> {
        RunState::parse(&self.state).map_err(corrupt(format!("state of run {}", self.id)))
    }

    fn into_run(self) -> Result<WorkflowRun, DbError> {
        Ok(WorkflowRun {
            state: self.state()?,
            id: WorkflowRunId::new(self.id),
            workflow_id: self.workflow_id.map(WorkflowId::new),
            user_id: self.user_id,
            project_id: self.project_id,
            input: self.input.map(|json| json.0),
            output: self.output.map(|json| json.0),
            error: self.error.map(|json| json.0),
            started_at_ms: self.started_at_ms,
            finished_at_ms: self.finished_at_ms,
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
        })
    }
}

/// What a run becomes, with what is written of it.
enum Next<'a> {
    Running,
    Completed { output: &'a Value },
    Failed { message: &'a str },
    Canceled,
}

impl Next<'_> {
    fn state(&self) -> RunState {
        match self {
            Self::Running => RunState::Running,
            Self::Completed { .. } => RunState::Completed,
            Self::Failed { .. } => RunState::Failed,
            Self::Canceled => RunState::Canceled,
        }
    }
}

impl Database {
    /// Stores a run and its steps, all PENDING, in one transaction. A run of that id that exists already is answered as
    /// it is: creating twice is creating once. True when it was created now.
    ///
    /// # Errors
    /// Two steps of one node id are [`DbError::IdTaken`]; a workflow id that is not saved is taken as none.
    pub async fn create_run(
        &self,
        new: &NewWorkflowRun,
        now_ms: i64,
    ) -> Result<(WorkflowRun, bool), DbError> {
        let row: Option<Row> = in_transaction!(self, "create the run", |tx| {
            let row: Option<Row> = sqlx::query_as(
                "INSERT INTO workflow_run
                     (id, workflow_id, user_id, project_id, input, created_at_ms, updated_at_ms)
                 VALUES ($1, (SELECT id FROM workflow_definition WHERE id = $2), $3, $4, $5, $6, $6)
                 ON CONFLICT (id) DO NOTHING RETURNING *",
            )
            .bind(new.id.as_str())
            .bind(new.workflow_id.as_ref().map(WorkflowId::as_str))
            .bind(&new.user_id)
            .bind(&new.project_id)
            .bind(new.input.as_ref().map(Json::of))
            .bind(now_ms)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed("create the run"))?;
            let steps = if row.is_some() { &new.steps[..] } else { &[] };
            for (ordinal, step) in (0_i64..).zip(steps) {
                let inserted = sqlx::query(
                    "INSERT INTO workflow_step (run_id, node_id, name, ordinal, tool_name)
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                )
                .bind(new.id.as_str())
                .bind(&step.node_id)
                .bind(&step.name)
                .bind(ordinal)
                .bind(&step.tool_name)
                .execute(&mut *tx)
                .await
                .map_err(failed("create the steps of the run"))?;
                if inserted.rows_affected() == 0 {
                    return Err(DbError::IdTaken {
                        what: "node",
                        id: step.node_id.clone(),
                    });
                }
            }
            row
        });
        match row {
            Some(row) => Ok((row.into_run()?, true)),
            None => {
                let run = self.run(&new.id).await?;
                let run = run.ok_or_else(|| no_such_run(&new.id))?;
                Ok((run, false))
            }
        }
    }

    /// The run of that id, if there is one.
    pub async fn run(&self, id: &WorkflowRunId) -> Result<Option<WorkflowRun>, DbError> {
        let row: Option<Row> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT * FROM workflow_run WHERE id = $1"
        )
        .bind(id.as_str())
        .fetch_optional(pool)
        .await)
        .map_err(failed("read the run"))?;
        row.map(Row::into_run).transpose()
    }

    /// Runs, newest first, `limit` (1 to [`PAGE_LIMIT_MAX`](crate::PAGE_LIMIT_MAX)) at a time.
    pub async fn runs(
        &self,
        filter: &RunFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<WorkflowRun>, DbError> {
        let (created_at_ms, id) = Cursor::bounds(after);
        let rows: Vec<Row> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT * FROM workflow_run
             WHERE ($1 IS NULL OR user_id = $1) AND ($2 IS NULL OR project_id = $2)
                   AND ($3 IS NULL OR workflow_id = $3) AND ($4 IS NULL OR state = $4)
                   AND (created_at_ms, id) < ($5, $6)
             ORDER BY created_at_ms DESC, id DESC LIMIT $7",
        )
        .bind(&filter.user_id)
        .bind(&filter.project_id)
        .bind(filter.workflow_id.as_ref().map(WorkflowId::as_str))
        .bind(filter.state.map(RunState::as_str))
        .bind(created_at_ms)
        .bind(id)
        .bind(rows_for(limit))
        .fetch_all(pool)
        .await)
        .map_err(failed("list the runs"))?;
        let runs: Result<Vec<_>, _> = rows.into_iter().map(Row::into_run).collect();
        Ok(Page::of(runs?, limit, |run: &WorkflowRun| {
            Cursor::new(run.created_at_ms, run.id.as_str())
        }))
    }

    /// PENDING becomes RUNNING: started now, without an error.
    ///
    /// # Errors
    /// [`DbError::NoSuchRun`].
    pub async fn start_run(
        &self,
        id: &WorkflowRunId,
        now_ms: i64,
    ) -> Result<StateChange<RunState>, DbError> {
        self.move_run(id, Next::Running, now_ms).await
    }

    /// RUNNING becomes COMPLETED. The keys of `output` (a JSON object) are merged into the run's output.
    ///
    /// # Errors
    /// [`DbError::NoSuchRun`].
    pub async fn complete_run(
        &self,
        id: &WorkflowRunId,
        output: &Value,
        now_ms: i64,
    ) -> Result<StateChange<RunState>, DbError> {
        self.move_run(id, Next::Completed { output }, now_ms).await
    }

    /// PENDING or RUNNING becomes FAILED, with the error `{message}`. Steps that have not ended become CANCELED.
    ///
    /// # Errors
    /// [`DbError::NoSuchRun`].
    pub async fn fail_run(
        &self,
        id: &WorkflowRunId,
        message: &str,
        now_ms: i64,
    ) -> Result<StateChange<RunState>, DbError> {
        self.move_run(id, Next::Failed { message }, now_ms).await
    }

    /// PENDING or RUNNING becomes CANCELED, and so do steps that have not ended.
    ///
    /// # Errors
    /// [`DbError::NoSuchRun`].
    pub async fn cancel_run(
        &self,
        id: &WorkflowRunId,
        now_ms: i64,
    ) -> Result<StateChange<RunState>, DbError> {
        self.move_run(id, Next::Canceled, now_ms).await
    }

    async fn move_run(
        &self,
        id: &WorkflowRunId,
        next: Next<'_>,
        now_ms: i64,
    ) -> Result<StateChange<RunState>, DbError> {
        let state = next.state();
        let change = in_transaction!(self, "change the state of the run", |tx| {
            // Writing first is locking the row.
            let row: Option<Row> =
                sqlx::query_as("UPDATE workflow_run SET state = state WHERE id = $1 RETURNING *")
                    .bind(id.as_str())
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(failed("read the run"))?;
            let row = row.ok_or_else(|| no_such_run(id))?;
            let change = StateChange::of_run(row.state()?, state);
            if change != StateChange::Changed {
                return Ok(change);
            }
            let output = match &next {
                Next::Completed { output } => Some(merged(row.output.map(|json| json.0), output)),
                _ => row.output,
            };
            let error = match &next {
                Next::Failed { message } => Some(Json(json!({ "message": message }))),
                _ => None,
            };
            let started_at_ms = match state {
                RunState::Running => Some(now_ms),
                _ => row.started_at_ms,
            };
            sqlx::query(
                "UPDATE workflow_run SET state = $2, output = $3, error = $4, started_at_ms = $5,
                                         finished_at_ms = $6, updated_at_ms = $7
                 WHERE id = $1",
            )
            .bind(id.as_str())
            .bind(state.as_str())
            .bind(output)
            .bind(error)
            .bind(started_at_ms)
            .bind(state.is_ended().then_some(now_ms))
            .bind(now_ms)
            .execute(&mut *tx)
            .await
            .map_err(failed("change the state of the run"))?;
            if matches!(state, RunState::Failed | RunState::Canceled) {
                sqlx::query(
                    "UPDATE workflow_step SET state = 'CANCELED', finished_at_ms = $2
                     WHERE run_id = $1 AND state IN ('PENDING', 'RUNNING')",
                )
                .bind(id.as_str())
                .bind(now_ms)
                .execute(&mut *tx)
                .await
                .map_err(failed("cancel the steps of the run"))?;
            }
            change
        });
        Ok(change)
    }
}

pub(crate) fn no_such_run(id: &WorkflowRunId) -> DbError {
    DbError::NoSuchRun { id: id.to_string() }
}

/// What is not an object has no keys to merge: it is replaced.
fn merged(before: Option<Value>, output: &Value) -> Json {
    let mut keys = match before {
        Some(Value::Object(keys)) => keys,
        _ => Map::new(),
    };
    match output {
        Value::Object(new) => keys.extend(new.clone()),
        other => return Json(other.clone()),
    }
    Json(Value::Object(keys))
}
