//! `process-workflow-run`: the dry run of a workflow. It checks graph, plugins and configs, and reports all problems;
//! the nodes are walked, and no plugin runs.
//!
//! | step | does |
//! |---|---|
//! | `mark-run-running` | the run is RUNNING |
//! | `validate-workflow` | finds what is wrong with the graph, and with each node's plugin and config |
//! | `step-<node>-start` | the node is RUNNING |
//! | `step-<node>-complete` | the node is COMPLETED |
//! | `mark-run-complete` | the run is COMPLETED |
//! | `mark-run-failed` | only when there are problems, or something failed for good: the nodes at fault are FAILED, and so is the run |
//!
//! A workflow with problems is what a dry run is there to find: the function returns them and does not fail.

use super::{ALREADY_FINISHED, IS_DRY_RUN, RUN_MISSING, node};
use crate::events::studio::{Node, WorkflowRequested};
use crate::functions::Deps;
use crate::functions::failure::classify;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashMap;
use stepwell::{Context, Error, Function, State};
use studio233_db::{DbError, RunState, StateChange, WorkflowRunId};

/// The function's id.
pub const ID: &str = "process-workflow-run";

/// So many steps of all dry runs execute at once.
pub const CONCURRENCY: u32 = 4;

/// Something that is wrong with a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The node that it is about; none when it is the graph.
    pub node_id: Option<String>,
    /// What it is, in a sentence.
    pub message: String,
}

/// What a run returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "status",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub enum Output {
    /// The workflow can be run.
    Completed {
        /// The nodes in the order in which they were walked.
        node_ids: Vec<String>,
    },
    /// It cannot.
    Failed {
        /// All that is wrong; never empty.
        problems: Vec<Problem>,
    },
    /// There was nothing to do, or nobody wants it any more.
    Ignored {
        /// Why: `run missing` or `already finished`.
        reason: String,
    },
}

impl Output {
    fn ignored(reason: &str) -> Self {
        Self::Ignored {
            reason: reason.to_owned(),
        }
    }
}

/// Whether there is a run that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Standing {
    Running,
    Missing,
    Ended,
}

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    Function::new(ID)
        .name("Process Workflow Run (dry run)")
        .on_if::<WorkflowRequested>(IS_DRY_RUN)
        .concurrency(CONCURRENCY)
        .state(deps.clone())
        .handler(process)
}

async fn process(ctx: Context<WorkflowRequested>, deps: State<Deps>) -> Result<Output, Error> {
    let dry_run = DryRun {
        ctx: &ctx,
        deps: &deps,
        run: WorkflowRunId::new(&ctx.data().run_id),
    };
    let carried_out = dry_run.carry_out().await;
    let problems = match &carried_out {
        Ok(Output::Failed { problems }) => problems.clone(),
        Ok(_) => return carried_out,
        Err(error) => vec![Problem {
            node_id: None,
            message: error.to_string(),
        }],
    };
    let marked = ctx
        .step()
        .run("mark-run-failed", || dry_run.mark_failed(&problems));
    if let Err(unmarked) = marked.await {
        tracing::error!(
            run_id = dry_run.run.as_str(),
            error = ?unmarked,
            "the dry run could not be marked as failed"
        );
    }
    carried_out
}

struct DryRun<'r> {
    ctx: &'r Context<WorkflowRequested>,
    deps: &'r Deps,
    run: WorkflowRunId,
}

impl DryRun<'_> {
    async fn carry_out(&self) -> Result<Output, Error> {
        let event = self.ctx.data();
        let step = self.ctx.step();
        let running = step.run("mark-run-running", || async {
            let started = self.deps.database.start_run(&self.run, self.deps.now_ms());
            self.standing(started.await).await
        });
        match running.await? {
            Standing::Running => {}
            Standing::Missing => return Ok(Output::ignored(RUN_MISSING)),
            Standing::Ended => return Ok(Output::ignored(ALREADY_FINISHED)),
        }
        // Which plugins there are may change with a deployment, so what was found is recorded.
        let validated = step.run("validate-workflow", || async { Ok(self.validate()) });
        let problems: Vec<Problem> = validated.await?;
        if !problems.is_empty() {
            return Ok(Output::Failed { problems });
        }
        let graph = node::graph(event)?;
        let nodes = event.nodes.iter();
        let nodes: HashMap<&str, &Node> = nodes.map(|node| (node.id.as_str(), node)).collect();
        for id in graph.order() {
            if self.walk(nodes[id]).await? != Standing::Running {
                return Ok(Output::ignored(ALREADY_FINISHED));
            }
        }
        let node_ids: Vec<String> = graph.order().map(str::to_owned).collect();
        let completed = step.run("mark-run-complete", || async {
            let output = json!({"status": "completed", "mode": "dryRun", "nodeIds": node_ids});
            let now_ms = self.deps.now_ms();
            let completed = self.deps.database.complete_run(&self.run, &output, now_ms);
            self.standing(completed.await).await
        });
        match completed.await? {
            Standing::Running => Ok(Output::Completed { node_ids }),
            Standing::Missing | Standing::Ended => Ok(Output::ignored(ALREADY_FINISHED)),
        }
    }

    /// Everything that would keep the workflow from running.
    fn validate(&self) -> Vec<Problem> {
        let event = self.ctx.data();
        let mut problems = Vec::new();
        if let Err(error) = node::graph(event) {
            problems.push(Problem {
                node_id: None,
                message: error.to_string(),
            });
        }
        for node in event.nodes.iter().take(node::NODES_MAX) {
            let config = node.data.as_ref().and_then(|data| data.config.as_ref());
            let checked = node::plugin(&self.deps.plugins, node).and_then(|plugin| {
                let checked = plugin.check_ready(config);
                checked.map_err(|error| format!("node {}: {error}", node::shown(node)))
            });
            if let Err(message) = checked {
                problems.push(Problem {
                    node_id: Some(node.id.clone()),
                    message,
                });
            }
        }
        problems
    }

    async fn walk(&self, node: &Node) -> Result<Standing, Error> {
        let (step, id) = (self.ctx.step(), &node.id);
        let database = &self.deps.database;
        let row = node::row(node);
        let started = step.run(format!("step-{id}-start"), || async {
            let started = database.start_step(&self.run, &row, None, self.deps.now_ms());
            self.standing(started.await).await
        });
        let standing = started.await?;
        if standing != Standing::Running {
            return Ok(standing);
        }
        let completed = step.run(format!("step-{id}-complete"), || async {
            let description = node
                .data
                .as_ref()
                .and_then(|data| data.description.as_ref());
            let output = json!({
                "message": node::title(node),
                "description": description,
                "completedAt": self.deps.clock.now().to_string(),
            });
            let now_ms = self.deps.now_ms();
            let completed = database.complete_step(&self.run, &row, &output, now_ms);
            self.standing(completed.await).await
        });
        Ok(completed.await?)
    }

    async fn mark_failed(&self, problems: &[Problem]) -> Result<(), Error> {
        let database = &self.deps.database;
        let marked = async {
            for node in &self.ctx.data().nodes {
                let of_node = |problem: &&Problem| problem.node_id.as_ref() == Some(&node.id);
                if let Some(problem) = problems.iter().find(of_node) {
                    let now_ms = self.deps.now_ms();
                    // What was ended by somebody else stays as it ended.
                    let _ = database
                        .fail_step(&self.run, &node::row(node), &problem.message, now_ms)
                        .await?;
                }
            }
            let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
            let (message, now_ms) = (messages.join("; "), self.deps.now_ms());
            let _ = database.fail_run(&self.run, &message, now_ms).await?;
            Ok(())
        };
        match marked.await {
            Ok(()) | Err(DbError::NoSuchRun { .. }) => Ok(()),
            Err(error) => Err(classify(error)),
        }
    }

    async fn standing(
        &self,
        change: Result<StateChange<RunState>, DbError>,
    ) -> Result<Standing, Error> {
        match change {
            Ok(StateChange::Changed | StateChange::Unchanged) => Ok(Standing::Running),
            Ok(StateChange::Refused(_)) => {
                let run = self.deps.database.run(&self.run).await.map_err(classify)?;
                Ok(match run {
                    None => Standing::Missing,
                    Some(run) if run.state.is_ended() => Standing::Ended,
                    Some(_) => Standing::Running,
                })
            }
            Err(DbError::NoSuchRun { .. }) => Ok(Standing::Missing),
            Err(error) => Err(classify(error)),
        }
    }
}

#[cfg(test)]
mod tests;
