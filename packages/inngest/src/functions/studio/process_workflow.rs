//! `process-studio-workflow`: runs a graph of nodes over media files.
//!
//! | step | does |
//! |---|---|
//! | `load-run` | looks whether there is such a run, and whether it has ended |
//! | `budget`, `budget-held` | only when a node may cost money: holds the run while the workspace's or the function's budget is used up |
//! | `mark-running` | the run is RUNNING |
//! | `step-<node>-start` | the node is RUNNING, with the files that it gets |
//! | `step-<node>-execute` | runs the node's plugin; records what it made: where files are, not their bytes |
//! | `step-<node>-complete` | the node is COMPLETED, with what it made |
//! | `mark-completed` | the run is COMPLETED, with what its last nodes made |
//! | `mark-failed` | only when something failed for good: the nodes that failed are FAILED, and so is the run |
//!
//! A node runs as soon as the nodes have that it gets files from, beside all others that can. Once one has failed, no
//! other begins; those under way go on to their end. Each step may execute again after a crash: a plugin writes the same
//! blobs again, and a row that says so already is left alone. A run that somebody ends meanwhile, by cancelling it in the
//! web app, is left after the node at hand. The workspace that pays is the event's `workspaceId`; without one, only the
//! function's own budget counts.

use super::adapters::spending;
use super::{ALREADY_FINISHED, IS_DRY_RUN, RUN_MISSING, node};
use crate::events::Object;
use crate::events::studio::{Node, WorkflowRequested};
use crate::functions::Deps;
use crate::functions::failure::{classify, classify_as};
use crate::middleware::budget::{self, Payer};
use crate::middleware::{Spent, metered_in_race};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use stepwell::{Context, Error, Function, State, StepError};
use studio233_db::{DbError, RunState, StateChange, UsageKind, WorkflowRunId, WorkspaceId};
use studio233_plugins::{Graph, Handle, MediaFile, PluginError};

/// The function's id.
pub const ID: &str = "process-studio-workflow";

/// So many nodes of all runs execute at once.
pub const CONCURRENCY: u32 = 5;

/// What a run returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "status",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub enum Output {
    /// All nodes have run; what they made stands in the run's row.
    Completed {
        /// The studio's own id of the run.
        run_id: String,
        /// The nodes that nobody gets files from.
        sink_node_ids: Vec<String>,
        /// How many files they made.
        files: usize,
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

/// What `step-<node>-execute` records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Executed {
    /// The plugin that ran.
    pub plugin_id: String,
    /// Its config, without secrets.
    pub config: Object,
    /// The files that it made.
    pub outputs: Vec<MediaFile>,
    /// What it says about them all.
    pub metadata: Object,
}

/// What is written of a node that is done, to its row and to the run's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'r> {
    node_id: &'r str,
    plugin_id: &'r str,
    config: &'r Object,
    inputs: &'r [MediaFile],
    outputs: &'r [MediaFile],
    metadata: &'r Object,
    completed_at: &'r str,
}

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    Function::new(ID)
        .name("Process Studio Workflow")
        .on_if::<WorkflowRequested>(format!("!({IS_DRY_RUN})"))
        .concurrency(CONCURRENCY)
        .state(deps.clone())
        .handler(process)
}

async fn process(ctx: Context<WorkflowRequested>, deps: State<Deps>) -> Result<Output, Error> {
    let workspace = WorkspaceId::new(ctx.data().workspace_id.as_deref().unwrap_or_default());
    let kinds: &[UsageKind] = match spends(&ctx, &deps) {
        true => &[UsageKind::Tokens, UsageKind::Images, UsageKind::Seconds],
        false => &[],
    };
    let workflow = Workflow {
        ctx: &ctx,
        deps: &deps,
        run: WorkflowRunId::new(&ctx.data().run_id),
        payer: Payer::new(workspace, kinds),
    };
    match workflow.carry_out().await {
        Ok(output) => Ok(output),
        Err(failure) => {
            let marked = ctx
                .step()
                .run("mark-failed", || workflow.mark_failed(&failure));
            if let Err(unmarked) = marked.await {
                tracing::error!(
                    run_id = workflow.run.as_str(),
                    error = ?unmarked,
                    "the workflow run could not be marked as failed"
                );
            }
            // What failed first is what there is to mend.
            Err(failure.error)
        }
    }
}

/// Why a run failed.
struct Failure {
    /// Of the first node that failed, in the graph's order, or of the run itself.
    error: Error,
    /// The nodes that failed, and why.
    nodes: Vec<(String, StepError)>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let nodes = Vec::new();
        Self { error, nodes }
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        Error::from(error).into()
    }
}

/// A node that is done.
struct Done {
    inputs: Vec<MediaFile>,
    executed: Executed,
    completed_at: String,
}

impl Done {
    fn record<'r>(&'r self, node_id: &'r str) -> Record<'r> {
        Record {
            node_id,
            plugin_id: &self.executed.plugin_id,
            config: &self.executed.config,
            inputs: &self.inputs,
            outputs: &self.executed.outputs,
            metadata: &self.executed.metadata,
            completed_at: &self.completed_at,
        }
    }
}

/// How a node, or all of them, came out.
enum Outcome<T> {
    Done(T),
    /// The run was ended by somebody else.
    Left,
}

/// Whether a node may cost money. One without a plugin fails in its own time.
fn spends(ctx: &Context<WorkflowRequested>, deps: &Deps) -> bool {
    let mut nodes = ctx.data().nodes.iter();
    nodes.any(|node| node::plugin(&deps.plugins, node).is_ok_and(Handle::spends))
}

struct Workflow<'w> {
    ctx: &'w Context<WorkflowRequested>,
    deps: &'w Deps,
    run: WorkflowRunId,
    payer: Payer,
}

impl Workflow<'_> {
    async fn carry_out(&self) -> Result<Output, Failure> {
        let event = self.ctx.data();
        let step = self.ctx.step();
        let loaded: Option<RunState> = step.run("load-run", || self.load()).await?;
        match loaded {
            None => return Ok(Output::ignored(RUN_MISSING)),
            Some(state) if state.is_ended() => return Ok(Output::ignored(ALREADY_FINISHED)),
            Some(_) => {}
        }
        if !self.payer.kinds.is_empty() {
            budget::admit(self.ctx, self.deps, &self.payer).await?;
        }
        let running = step.run("mark-running", || async {
            let started = self.deps.database.start_run(&self.run, self.deps.now_ms());
            self.goes_on(started.await).await
        });
        if !running.await? {
            return Ok(Output::ignored(ALREADY_FINISHED));
        }
        let graph = node::graph(event)?;
        let Outcome::Done(done) = self.walk(&graph).await? else {
            return Ok(Output::ignored(ALREADY_FINISHED));
        };

        let sinks: Vec<String> = graph.sinks().map(str::to_owned).collect();
        let completed = step.run("mark-completed", || async {
            let steps = graph
                .order()
                .filter_map(|id| Some(done.get(id)?.record(id)));
            let output = json!({
                "status": "completed",
                "steps": steps.collect::<Vec<_>>(),
                "sinkNodeIds": sinks,
                "finalOutputs": outputs_of(&done, sinks.iter().map(String::as_str)),
            });
            let now_ms = self.deps.now_ms();
            let completed = self.deps.database.complete_run(&self.run, &output, now_ms);
            self.goes_on(completed.await).await
        });
        if !completed.await? {
            return Ok(Output::ignored(ALREADY_FINISHED));
        }
        let files = outputs_of(&done, sinks.iter().map(String::as_str)).len();
        Ok(Output::Completed {
            run_id: event.run_id.clone(),
            sink_node_ids: sinks,
            files,
        })
    }

    async fn load(&self) -> Result<Option<RunState>, Error> {
        let run = self.deps.database.run(&self.run).await.map_err(classify)?;
        Ok(run.map(|run| run.state))
    }

    /// Runs all nodes.
    async fn walk(&self, graph: &Graph) -> Result<Outcome<HashMap<String, Done>>, Failure> {
        let event = self.ctx.data();
        let nodes: HashMap<&str, &Node> = event
            .nodes
            .iter()
            .map(|node| (node.id.as_str(), node))
            .collect();
        let files = event.input.as_ref().and_then(|input| input.get("files"));
        let files = files.and_then(Value::as_array).into_iter().flatten();
        let initial: Vec<MediaFile> = files.filter_map(MediaFile::coerce).collect();

        let mut done: HashMap<String, Done> = HashMap::with_capacity(graph.len());
        let mut failed: HashMap<&str, StepError> = HashMap::new();
        let mut is_left = false;
        let mut waiting: Vec<&str> = graph.order().collect();
        let mut under_way = FuturesUnordered::new();
        loop {
            if failed.is_empty() && !is_left {
                waiting.retain(|id| {
                    let mut sources = graph.inputs(id).into_iter().flatten();
                    if !sources.all(|source| done.contains_key(source)) {
                        return true;
                    }
                    let sources: Vec<&str> = graph.inputs(id).into_iter().flatten().collect();
                    let inputs = match sources.is_empty() {
                        true => initial.clone(),
                        false => outputs_of(&done, sources),
                    };
                    under_way.push(self.node(nodes[*id], inputs));
                    false
                });
            }
            match under_way.next().await {
                None => break,
                Some((node, Ok(Outcome::Done(finished)))) => {
                    done.insert(node.id.clone(), finished);
                }
                Some((_, Ok(Outcome::Left))) => is_left = true,
                Some((node, Err(error))) => {
                    failed.insert(&node.id, error);
                }
            }
        }
        drop(under_way);
        if failed.is_empty() {
            return Ok(match is_left {
                true => Outcome::Left,
                false => Outcome::Done(done),
            });
        }
        let in_order = graph.order();
        let nodes = in_order.filter_map(|id| failed.remove(id).map(|error| (id.to_owned(), error)));
        let nodes: Vec<(String, StepError)> = nodes.collect();
        let (_, first) = nodes.first().expect("what failed is a node of the graph");
        Err(Failure {
            error: first.clone().into(),
            nodes,
        })
    }

    async fn node<'n>(
        &self,
        node: &'n Node,
        inputs: Vec<MediaFile>,
    ) -> (&'n Node, Result<Outcome<Done>, StepError>) {
        let ran = self.run_node(node, inputs).await;
        (node, ran)
    }

    /// The steps are marked as taking part in a race: what waits for this node need not wait for those beside it.
    async fn run_node(
        &self,
        node: &Node,
        inputs: Vec<MediaFile>,
    ) -> Result<Outcome<Done>, StepError> {
        let (step, id) = (self.ctx.step(), &node.id);
        let database = &self.deps.database;
        let row = node::row(node);
        let started = step.run(format!("step-{id}-start"), || async {
            let input = json!({ "files": inputs });
            let now_ms = self.deps.now_ms();
            let started = database.start_step(&self.run, &row, Some(&input), now_ms);
            self.goes_on(started.await).await
        });
        if !started.in_race().await? {
            return Ok(Outcome::Left);
        }
        let execute = format!("step-{id}-execute");
        let executed = metered_in_race(self.ctx, self.deps, execute, &self.payer, |spent| {
            self.execute(node, inputs.clone(), spent)
        });
        let mut done = Done {
            executed: executed.await?,
            inputs: inputs.clone(),
            completed_at: String::new(),
        };
        let completed = step.run(format!("step-{id}-complete"), || async {
            let completed_at = self.deps.clock.now().to_string();
            let record = Record {
                completed_at: &completed_at,
                ..done.record(id)
            };
            let record = serde_json::to_value(record)?;
            let now_ms = self.deps.now_ms();
            let completed = database.complete_step(&self.run, &row, &record, now_ms);
            let goes_on = self.goes_on(completed.await).await?;
            Ok(goes_on.then_some(completed_at))
        });
        match completed.in_race().await? {
            Some(completed_at) => {
                done.completed_at = completed_at;
                Ok(Outcome::Done(done))
            }
            None => Ok(Outcome::Left),
        }
    }

    async fn execute(
        &self,
        node: &Node,
        inputs: Vec<MediaFile>,
        spent: Spent,
    ) -> Result<Executed, Error> {
        let event = self.ctx.data();
        let plugin = node::plugin(&self.deps.plugins, node)
            .map_err(|problem| Error::new("NoPlugin", problem).non_retriable())?;
        let context = studio233_plugins::Context {
            run_id: event.run_id.clone(),
            workflow_id: event.workflow_id.clone(),
            node_id: node.id.clone(),
            project_id: event.project_id.clone(),
            user_id: event.user_id.clone(),
            spending: spending(spent),
        };
        let config = node.data.as_ref().and_then(|data| data.config.as_ref());
        let output = plugin.run(&context, config, inputs).await;
        let output = output.map_err(|error| {
            let error = failed(node, &error);
            tracing::warn!(run_id = event.run_id, node_id = node.id, %error, "a node failed");
            error
        })?;
        Ok(Executed {
            plugin_id: plugin.id().to_owned(),
            config: config.map_or_else(Object::new, |config| plugin.redacted_config(config)),
            outputs: output.files,
            metadata: output.metadata,
        })
    }

    async fn mark_failed(&self, failure: &Failure) -> Result<(), Error> {
        let database = &self.deps.database;
        let marked = async {
            for (id, error) in &failure.nodes {
                let mut nodes = self.ctx.data().nodes.iter();
                let Some(node) = nodes.find(|node| node.id == *id) else {
                    continue;
                };
                let now_ms = self.deps.now_ms();
                // What was ended by somebody else stays as it ended.
                let _ = database
                    .fail_step(&self.run, &node::row(node), error.message(), now_ms)
                    .await?;
            }
            let (message, now_ms) = (failure.error.to_string(), self.deps.now_ms());
            let _ = database.fail_run(&self.run, &message, now_ms).await?;
            Ok(())
        };
        match marked.await {
            Ok(()) | Err(DbError::NoSuchRun { .. }) => Ok(()),
            Err(error) => Err(classify(error)),
        }
    }

    /// Whether the run is still wanted. A node that another run of this function has completed is no reason to stop.
    async fn goes_on(&self, change: Result<StateChange<RunState>, DbError>) -> Result<bool, Error> {
        match change.map_err(classify)? {
            StateChange::Changed | StateChange::Unchanged => Ok(true),
            StateChange::Refused(_) => {
                let state = self.load().await?;
                Ok(state.is_some_and(|state| !state.is_ended()))
            }
        }
    }
}

fn outputs_of<'n>(
    done: &HashMap<String, Done>,
    nodes: impl IntoIterator<Item = &'n str>,
) -> Vec<MediaFile> {
    let done = nodes.into_iter().filter_map(|id| done.get(id));
    done.flat_map(|done| done.executed.outputs.iter().cloned())
        .collect()
}

/// The whole chain, since people see the message; it names the node, the plugin, and the file if it was one.
fn failed(node: &Node, error: &PluginError) -> Error {
    let message = format!("node {}: {}", node::shown(node), error.message());
    classify_as(error, "NodeFailed", message)
}

#[cfg(test)]
mod tests;
