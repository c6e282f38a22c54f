use crate::database::on_backend;
use crate::error::failed;
use crate::json::Json;
use crate::page::rows_for;
use crate::{Cursor, Database, DbError, Page, WorkflowId};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;

/// A saved workflow: a graph of nodes. JSON is camelCase, as the web app answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workflow {
    pub id: WorkflowId,
    pub name: String,
    pub nodes: Value,
    pub edges: Value,
    pub user_id: String,
    pub project_id: Option<String>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

/// A workflow to save.
#[derive(Debug, Clone)]
pub struct NewWorkflow {
    pub id: WorkflowId,
    pub name: String,
    /// A JSON array.
    pub nodes: Value,
    /// A JSON array.
    pub edges: Value,
    pub user_id: String,
    pub project_id: Option<String>,
}

/// What changes of a saved workflow; none leaves it.
#[derive(Debug, Clone, Default)]
pub struct WorkflowChange {
    pub name: Option<String>,
    pub nodes: Option<Value>,
    pub edges: Option<Value>,
}

#[derive(FromRow)]
struct Row {
    id: String,
    name: String,
    nodes: Json,
    edges: Json,
    user_id: String,
    project_id: Option<String>,
    created_at_ms: i64,
    updated_at_ms: i64,
}

impl Row {
    fn into_workflow(self) -> Workflow {
        Workflow {
            id: WorkflowId::new(self.id),
            name: self.name,
            nodes: self.nodes.0,
            edges: self.edges.0,
            user_id: self.user_id,
            project_id: self.project_id,
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
        }
    }
}

impl Database {
    /// Saves a new workflow. A taken id is [`DbError::IdTaken`].
    pub async fn create_workflow(
        &self,
        new: &NewWorkflow,
        now_ms: i64,
    ) -> Result<Workflow, DbError> {
        let row: Option<Row> = on_backend!(self, |pool| sqlx::query_as(
            "INSERT INTO workflow_definition
                 (id, name, nodes, edges, user_id, project_id, created_at_ms, updated_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
             ON CONFLICT (id) DO NOTHING RETURNING *",
        )
        .bind(new.id.as_str())
        .bind(&new.name)
        .bind(Json::of(&new.nodes))
        .bind(Json::of(&new.edges))
        .bind(&new.user_id)
        .bind(&new.project_id)
        .bind(now_ms)
        .fetch_optional(pool)
        .await)
        .map_err(failed("save the workflow"))?;
        row.map(Row::into_workflow).ok_or_else(|| DbError::IdTaken {
            what: "workflow",
            id: new.id.to_string(),
        })
    }

    /// The workflow of that id, if there is one.
    pub async fn workflow(&self, id: &WorkflowId) -> Result<Option<Workflow>, DbError> {
        let row: Option<Row> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT * FROM workflow_definition WHERE id = $1"
        )
        .bind(id.as_str())
        .fetch_optional(pool)
        .await)
        .map_err(failed("read the workflow"))?;
        Ok(row.map(Row::into_workflow))
    }

    /// A user's workflows (of one project, if given), newest first, `limit` (1 to
    /// [`PAGE_LIMIT_MAX`](crate::PAGE_LIMIT_MAX)) at a time.
    pub async fn workflows(
        &self,
        user_id: &str,
        project_id: Option<&str>,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<Workflow>, DbError> {
        let (created_at_ms, id) = Cursor::bounds(after);
        let rows: Vec<Row> = on_backend!(self, |pool| sqlx::query_as(
            "SELECT * FROM workflow_definition
             WHERE user_id = $1 AND ($2 IS NULL OR project_id = $2)
                   AND (created_at_ms, id) < ($3, $4)
             ORDER BY created_at_ms DESC, id DESC LIMIT $5",
        )
        .bind(user_id)
        .bind(project_id)
        .bind(created_at_ms)
        .bind(id)
        .bind(rows_for(limit))
        .fetch_all(pool)
        .await)
        .map_err(failed("list the workflows"))?;
        let workflows = rows.into_iter().map(Row::into_workflow).collect();
        Ok(Page::of(workflows, limit, |workflow: &Workflow| {
            Cursor::new(workflow.created_at_ms, workflow.id.as_str())
        }))
    }

    /// Changes a saved workflow; none when there is none of that id. Runs that were started go on with what they were started with.
    pub async fn update_workflow(
        &self,
        id: &WorkflowId,
        change: &WorkflowChange,
        now_ms: i64,
    ) -> Result<Option<Workflow>, DbError> {
        let row: Option<Row> = on_backend!(self, |pool| sqlx::query_as(
            "UPDATE workflow_definition
             SET name = COALESCE($2, name), nodes = COALESCE($3, nodes),
                 edges = COALESCE($4, edges), updated_at_ms = $5
             WHERE id = $1 RETURNING *",
        )
        .bind(id.as_str())
        .bind(&change.name)
        .bind(change.nodes.as_ref().map(Json::of))
        .bind(change.edges.as_ref().map(Json::of))
        .bind(now_ms)
        .fetch_optional(pool)
        .await)
        .map_err(failed("change the workflow"))?;
        Ok(row.map(Row::into_workflow))
    }

    /// Removes a saved workflow; its runs stay. False when there was none.
    pub async fn delete_workflow(&self, id: &WorkflowId) -> Result<bool, DbError> {
        let removed = on_backend!(self, |pool| sqlx::query(
            "DELETE FROM workflow_definition WHERE id = $1"
        )
        .bind(id.as_str())
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))
        .map_err(failed("remove the workflow"))?;
        Ok(removed > 0)
    }
}
