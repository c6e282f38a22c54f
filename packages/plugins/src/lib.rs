//! What a node of a workflow does.
