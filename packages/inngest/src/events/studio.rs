//! What the studio's users start.

use super::Object;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stepwell::Event;

/// Most attempts that an item may ask for.
pub const FASHION_ATTEMPTS_MAX: u32 = 20;

/// `studio.workflow.requested`: a node graph is to be run over media files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate, Event)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
#[event(name = "studio.workflow.requested")]
pub struct WorkflowRequested {
    /// The run, made by the producer; also the event's id, so that it starts once.
    #[garde(custom(super::id))]
    pub run_id: String,
    /// The workflow's definition.
    #[garde(custom(super::id))]
    pub workflow_id: String,
    /// The project.
    #[garde(custom(super::id))]
    pub project_id: String,
    /// Who asked.
    #[garde(custom(super::id))]
    pub user_id: String,
    /// The workspace that pays for what nodes spend; absent when none does.
    #[garde(inner(custom(super::id)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<String>,
    /// Equal keys ask for the same run.
    #[garde(custom(super::id))]
    pub idempotency_key: String,
    /// The graph's nodes.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// What flows where.
    #[serde(default)]
    pub edges: Vec<Edge>,
    /// What the first nodes get, e.g. `files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Object>,
    /// Absent means [`Mode::Run`], and is not written.
    #[serde(default, skip_serializing_if = "Mode::is_run")]
    pub mode: Mode,
}

/// Whether a workflow's nodes are executed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// They are.
    #[default]
    Run,
    /// The graph is only checked and walked.
    DryRun,
}

impl Mode {
    fn is_run(&self) -> bool {
        *self == Self::Run
    }
}

/// A node of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Unique in its graph.
    pub id: String,
    /// Where the editor shows it.
    pub position: Position,
    /// The editor's kind, e.g. `trigger`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<NodeData>,
}

/// A place on the editor's canvas.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// To the right.
    pub x: f64,
    /// Down.
    pub y: f64,
}

/// What a node does. Keys that are not listed are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeData {
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What it does, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the editor shows of its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The plugin that executes it; inferred from type and label when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_id: Option<String>,
    /// The plugin's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_version: Option<String>,
    /// Where it executes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor: Option<Executor>,
    /// The plugin's configuration, checked by the plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Object>,
    /// The editor's picture, in its own notation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<Value>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Object,
}

/// Where a node executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Executor {
    /// In the studio's own process.
    Native,
    /// As a function of its own.
    Inngest,
    /// In a Python sandbox.
    #[serde(rename = "python-e2b")]
    PythonE2b,
}

/// A connection from one node's output to another's input. Keys that are not listed are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// Unique in its graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The node whose output it takes.
    pub source: String,
    /// The node that gets it.
    pub target: String,
    /// Whether the editor animates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub animated: Option<bool>,
    /// How the editor draws its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker_end: Option<Object>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Object,
}

/// `studio/process-fashion-item`: a product photo is to be re-dressed on a reference mannequin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate, Event)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
#[event(name = "studio/process-fashion-item")]
pub struct ProcessFashionItem {
    /// The batch's job.
    #[garde(custom(super::id))]
    pub job_id: String,
    /// The product photo.
    #[garde(url)]
    pub image_url: String,
    /// The mannequin: a URL or the name of a built-in one.
    pub reference_image: String,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub timestamp: serde_json::Number,
    /// How often to try, 1 to [`FASHION_ATTEMPTS_MAX`]; the function's default when absent.
    #[garde(inner(range(min = 1, max = FASHION_ATTEMPTS_MAX)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
}
