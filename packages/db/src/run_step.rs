use crate::database::{in_transaction, on_backend};
use crate::error::{corrupt, failed};
use crate::json::Json;
use crate::run::no_such_run;
use crate::{Database, DbError, NewStep, RunState, StateChange, WorkflowRunId};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::FromRow;

/// A node of a run: how far it is, and what came of it. JSON is camelCase, as the web app answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowStep {
    pub run_id: WorkflowRunId,
    pub node_id: String,
    pub name: String,
    pub state: RunState,
    /// Its place among the nodes.
    #[serde(rename = "order")]
    pub ordinal: u32,
    pub tool_name: Option<String>,
    pub input: Option<Value>,
    pub output: Option<Value>,
    /// `{"message": …}` when it failed.
    pub error: Option<Value>,
    pub started_at_ms: Option<i64>,
    pub finished_at_ms: Option<i64>,
}

#[derive(FromRow)]
struct Row {
    run_id: String,
    node_id: String,
    name: String,
    state: String,
    ordinal: i64,
    tool_name: Option<String>,
    input: Option<Json>,
    output: Option<Json>,
    error: Option<Json>,
    started_at_ms: Option<i64>,
    finished_at_ms: Option<i64>,
}

impl Row {
    fn into_step(self) -> Result<WorkflowStep, DbError> {
        let what =
            |column: &str| format!("{column} of step {} of run {}", self.node_id, self.run_id);
        Ok(WorkflowStep {
            state: RunState::parse(&self.state).map_err(corrupt(what("state")))?,
            ordinal: u32::try_from(self.ordinal).map_err(corrupt(what("place")))?,
            run_id: WorkflowRunId::new(self.run_id),
            node_id: self.node_id,
            name: self.name,
            tool_name: self.tool_name,
            input: self.input.map(|json| json.0),
            output: self.output.map(|json| json.0),
            error: self.error.map(|json| json.0),
            started_at_ms: self.started_at_ms,
            finished_at_ms: self.finished_at_ms,
        })
    }
}

/// What a step becomes, with what is written of it.
enum Next<'a> {
    Running { input: Option<&'a Value> },
    Completed { output: &'a Value },
    Failed { message: &'a str },
}

impl Next<'_> {
    fn state(&self) -> RunState {
        match self {
            Self::Running { .. } => RunState::Running,
            Self::Completed { .. } => RunState::Completed,
            Self::Failed { .. } => RunState::Failed,
        }
    }

    /// A run's law, but that a step may end without having been seen to start: its start may have been lost.
    fn change_from(&self, now: RunState) -> StateChange<RunState> {
        match StateChange::of_run(now, self.state()) {
            StateChange::Refused(RunState::Pending) => StateChange::Changed,
            change => change,
        }
    }
}

impl Database {
    /// The steps of a run, in order.
    pub async fn run_steps(&self, run: &WorkflowRunId) -> Result<Vec<WorkflowStep>, DbError> {
        let rows: Vec<Row> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT * FROM workflow_step WHERE run_id = $1 ORDER BY ordinal, node_id"
        )
        .bind(run.as_str())
        .fetch_all(pool)
        .await)
        .map_err(failed("read the steps of the run"))?;
        rows.into_iter().map(Row::into_step).collect()
    }

    /// The step is RUNNING, with its input. A run that was created without its row gets it here. Refused when the run
    /// has ended (with the run's state) or the step has.
    ///
    /// # Errors
    /// [`DbError::NoSuchRun`].
    pub async fn start_step(
        &self,
        run: &WorkflowRunId,
        step: &NewStep,
        input: Option<&Value>,
        now_ms: i64,
    ) -> Result<StateChange<RunState>, DbError> {
        self.move_step(run, step, Next::Running { input }, now_ms)
            .await
    }

    /// The step is COMPLETED, with its output. Refused as [`start_step`](Self::start_step) is.
    ///
    /// # Errors
    /// [`DbError::NoSuchRun`].
    pub async fn complete_step(
        &self,
        run: &WorkflowRunId,
        step: &NewStep,
        output: &Value,
        now_ms: i64,
    ) -> Result<StateChange<RunState>, DbError> {
        self.move_step(run, step, Next::Completed { output }, now_ms)
            .await
    }

    /// The step is FAILED, with the error `{message}`. Refused as [`start_step`](Self::start_step) is.
    ///
    /// # Errors
    /// [`DbError::NoSuchRun`].
    pub async fn fail_step(
        &self,
        run: &WorkflowRunId,
        step: &NewStep,
        message: &str,
        now_ms: i64,
    ) -> Result<StateChange<RunState>, DbError> {
        self.move_step(run, step, Next::Failed { message }, now_ms)
            .await
    }

    async fn move_step(
        &self,
        run: &WorkflowRunId,
        step: &NewStep,
        next: Next<'_>,
        now_ms: i64,
    ) -> Result<StateChange<RunState>, DbError> {
        let state = next.state();
        let change = in_transaction!(self, "change the state of the step", |tx| {
            // Writing first is locking the run: it does not end meanwhile.
            let run_state: Option<String> = sqlx::query_scalar(
                "UPDATE workflow_run SET state = state WHERE id = $1 RETURNING state",
            )
            .bind(run.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed("read the run"))?;
            let run_state = run_state.ok_or_else(|| no_such_run(run))?;
            let run_state =
                RunState::parse(&run_state).map_err(corrupt(format!("state of run {run}")))?;
            sqlx::query(
                "INSERT INTO workflow_step (run_id, node_id, name, ordinal, tool_name)
                 VALUES ($1, $2, $3,
                         (SELECT COALESCE(MAX(ordinal) + 1, 0) FROM workflow_step WHERE run_id = $1), $4)
                 ON CONFLICT (run_id, node_id) DO NOTHING",
            )
            .bind(run.as_str())
            .bind(&step.node_id)
            .bind(&step.name)
            .bind(&step.tool_name)
            .execute(&mut *tx)
            .await
            .map_err(failed("create the step"))?;
            let row: Row =
                sqlx::query_as("SELECT * FROM workflow_step WHERE run_id = $1 AND node_id = $2")
                    .bind(run.as_str())
                    .bind(&step.node_id)
                    .fetch_one(&mut *tx)
                    .await
                    .map_err(failed("read the step"))?;
            let before = row.into_step()?;
            let change = next.change_from(before.state);
            match change {
                StateChange::Changed if run_state.is_ended() => {
                    return Ok(StateChange::Refused(run_state));
                }
                StateChange::Changed => {}
                StateChange::Unchanged | StateChange::Refused(_) => return Ok(change),
            }
            let (input, output, error) = match &next {
                Next::Running { input } => (input.map(Json::of), None, None),
                Next::Completed { output } => (None, Some(Json::of(output)), None),
                Next::Failed { message } => (None, None, Some(Json(json!({ "message": message })))),
            };
            sqlx::query(
                "UPDATE workflow_step
                 SET state = $3, tool_name = COALESCE($4, tool_name), input = COALESCE($5, input),
                     output = $6, error = $7, started_at_ms = COALESCE(started_at_ms, $8),
                     finished_at_ms = $9
                 WHERE run_id = $1 AND node_id = $2",
            )
            .bind(run.as_str())
            .bind(&step.node_id)
            .bind(state.as_str())
            .bind(&step.tool_name)
            .bind(input)
            .bind(output)
            .bind(error)
            .bind(now_ms)
            .bind(state.is_ended().then_some(now_ms))
            .execute(&mut *tx)
            .await
            .map_err(failed("change the state of the step"))?;
            change
        });
        Ok(change)
    }
}
