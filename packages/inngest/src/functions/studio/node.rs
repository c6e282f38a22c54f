//! What is known of a workflow's nodes before one runs.

use crate::events::studio::{Node, WorkflowRequested};
use serde_json::Value;
use stepwell::Error;
use studio233_db::NewStep;
use studio233_plugins::{Graph, GraphError, Handle, NodeHints, Registry, plugin_of};

/// Three steps for each, and some for the run, are what a run may have.
pub(super) const NODES_MAX: usize = 300;

/// The nodes in their order.
///
/// # Errors
/// Everything that is wrong with the graph, in a sentence; no other attempt mends it.
pub(super) fn graph(event: &WorkflowRequested) -> Result<Graph, Error> {
    let count = event.nodes.len();
    if count > NODES_MAX {
        let message = format!("the graph has {count} nodes; at most {NODES_MAX} are run");
        return Err(Error::new("GraphTooLarge", message).non_retriable());
    }
    let nodes = event.nodes.iter().map(|node| node.id.as_str());
    let edges = event.edges.iter();
    let edges = edges.map(|edge| (edge.source.as_str(), edge.target.as_str()));
    Graph::new(nodes, edges).map_err(|error: GraphError| Error::from(error).non_retriable())
}

/// A node as errors name it: `"Shrink" (n2)`, or `"n2"` when it has no label.
pub(super) fn shown(node: &Node) -> String {
    match label(node) {
        Some(label) => format!("{label:?} ({})", node.id),
        None => format!("{:?}", node.id),
    }
}

/// The label, else the id.
pub(super) fn title(node: &Node) -> &str {
    label(node).unwrap_or(&node.id)
}

fn label(node: &Node) -> Option<&str> {
    let label = node.data.as_ref()?.label.as_deref()?;
    (!label.is_empty()).then_some(label)
}

/// The node's row of the run.
pub(super) fn row(node: &Node) -> NewStep {
    NewStep {
        node_id: node.id.clone(),
        name: title(node).to_owned(),
        tool_name: plugin_of(&hints(node)).ok().map(str::to_owned),
    }
}

/// The plugin that runs the node.
///
/// # Errors
/// That there is none, naming the node, in a sentence.
pub(super) fn plugin<'r>(registry: &'r Registry, node: &Node) -> Result<&'r Handle, String> {
    let id = plugin_of(&hints(node)).map_err(|error| error.to_string())?;
    registry.get(id).ok_or_else(|| {
        let node = shown(node);
        format!("node {node} needs the plugin {id:?}, which this studio does not have")
    })
}

fn hints(node: &Node) -> NodeHints<'_> {
    let data = node.data.as_ref();
    NodeHints {
        id: &node.id,
        plugin_id: data.and_then(|data| data.plugin_id.as_deref()),
        kind: node.kind.as_deref(),
        category: data.and_then(|data| data.other.get("category").and_then(Value::as_str)),
        label: label(node),
    }
}
