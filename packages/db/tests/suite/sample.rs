//! Rows that tests start from.

use serde_json::json;
use studio233_db::{
    AssetId, Database, EMBEDDING_DIMENSIONS, Embedding, KnowledgeSource, NewAsset, NewChunk,
    NewWorkspace, WorkspaceId,
};

pub(crate) fn new_workspace(id: &str) -> NewWorkspace {
    NewWorkspace {
        id: WorkspaceId::new(id),
        name: format!("The {id}"),
        slug: format!("the-{id}"),
        user_id: "user".into(),
    }
}

pub(crate) async fn workspace(db: &Database, id: &str) -> WorkspaceId {
    let workspace = db.create_workspace(&new_workspace(id), 1).await.unwrap();
    workspace.id
}

pub(crate) fn new_asset(id: &str, workspace: &str) -> NewAsset {
    NewAsset {
        id: AssetId::new(id),
        name: "brand.pdf".into(),
        url: "blob:brand/a.pdf".into(),
        size_bytes: 1234,
        mime_type: "application/pdf".into(),
        metadata: json!({"pages": 3}),
        project_id: None,
        workspace_id: Some(WorkspaceId::new(workspace)),
        is_brand_asset: true,
    }
}

pub(crate) fn source(workspace: &str, asset: &str) -> KnowledgeSource {
    KnowledgeSource {
        workspace_id: WorkspaceId::new(workspace),
        asset_id: AssetId::new(asset),
    }
}

/// A vector in the plane of the first two axes.
pub(crate) fn at(x: f32, y: f32) -> Embedding {
    let mut values = vec![0.0; EMBEDDING_DIMENSIONS];
    (values[0], values[1]) = (x, y);
    Embedding::new(values).unwrap()
}

pub(crate) fn chunk(text: &str, embedding: Embedding) -> NewChunk {
    NewChunk {
        text: text.into(),
        embedding,
        metadata: json!({"page": 1}),
    }
}
