use super::*;
use crate::{
    AssetEvent, AssetId, AssetType, EMBEDDING_DIMENSIONS, Embedding, IndexingStatus,
    KnowledgeSource, NewAsset, NewChunk, NewWorkspace, WorkspaceId,
};
use serde_json::json;

async fn database() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::open_sqlite(folder.path().join("studio.db"))
        .await
        .unwrap();
    (folder, db)
}

fn new_workspace(id: &str) -> NewWorkspace {
    NewWorkspace {
        id: WorkspaceId::new(id),
        name: format!("The {id}"),
        slug: format!("the-{id}"),
        user_id: "user".into(),
    }
}

fn new_asset(id: &str, workspace: &str) -> NewAsset {
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

fn source(workspace: &str, asset: &str) -> KnowledgeSource {
    KnowledgeSource {
        workspace_id: WorkspaceId::new(workspace),
        asset_id: AssetId::new(asset),
    }
}

/// A vector in the plane of the first two axes.
fn at(x: f32, y: f32) -> Embedding {
    let mut values = vec![0.0; EMBEDDING_DIMENSIONS];
    (values[0], values[1]) = (x, y);
    Embedding::new(values).unwrap()
}

fn chunk(text: &str, embedding: Embedding) -> NewChunk {
    NewChunk {
        text: text.into(),
        embedding,
        metadata: json!({"page": 1}),
    }
}

#[tokio::test]
async fn a_workspace_is_found_by_id_and_slug_and_its_slug_is_its_own() {
    let (_folder, db) = database().await;
    let created = db.create_workspace(&new_workspace("w"), 5).await.unwrap();
    assert_eq!(
        (created.indexing_status, created.created_at_ms),
        (IndexingStatus::Idle, 5)
    );
    assert_eq!(
        db.workspace(&created.id).await.unwrap(),
        Some(created.clone())
    );
    assert_eq!(db.workspace_by_slug("the-w").await.unwrap(), Some(created));
    assert_eq!(db.workspace_by_slug("other").await.unwrap(), None);

    let same_slug = NewWorkspace {
        id: WorkspaceId::new("x"),
        ..new_workspace("w")
    };
    let error = db.create_workspace(&same_slug, 6).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"the workspace slug "the-w" is taken; choose another"#
    );
}

#[tokio::test]
async fn profile_summary_and_status_are_kept() {
    let (_folder, db) = database().await;
    let id = db
        .create_workspace(&new_workspace("w"), 1)
        .await
        .unwrap()
        .id;
    let (profile, summary) = (json!({"coreIdentity": {}}), json!({"manifesto": "go"}));
    db.set_brand_profile(&id, &profile, &summary, 2)
        .await
        .unwrap();
    for status in [
        IndexingStatus::Indexing,
        IndexingStatus::Failed,
        IndexingStatus::Idle,
    ] {
        db.set_indexing_status(&id, status, 3).await.unwrap();
        assert_eq!(
            db.workspace(&id).await.unwrap().unwrap().indexing_status,
            status
        );
    }
    let stored = db.workspace(&id).await.unwrap().unwrap();
    assert_eq!(
        (stored.brand_profile, stored.brand_summary),
        (Some(profile.clone()), Some(summary))
    );

    db.set_brand_summary(&id, None, 4).await.unwrap();
    let stored = db.workspace(&id).await.unwrap().unwrap();
    assert_eq!(
        (stored.brand_profile, stored.brand_summary),
        (Some(profile), None)
    );
    assert_eq!((stored.created_at_ms, stored.updated_at_ms), (1, 4));

    let nobody = WorkspaceId::new("nobody");
    let error = db
        .set_indexing_status(&nobody, IndexingStatus::Idle, 5)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "there is no workspace nobody");
}

#[tokio::test]
async fn registering_an_asset_twice_is_registering_it_once() {
    let (_folder, db) = database().await;
    db.create_workspace(&new_workspace("w"), 1).await.unwrap();
    db.create_workspace(&new_workspace("v"), 1).await.unwrap();
    let first = db.upsert_asset(&new_asset("a", "w"), 2).await.unwrap();
    assert_eq!((first.kind, first.size_bytes), (AssetType::Document, 1234));
    let renamed = NewAsset {
        name: "new.pdf".into(),
        ..new_asset("a", "w")
    };
    let second = db.upsert_asset(&renamed, 3).await.unwrap();
    assert_eq!(
        (
            second.name.as_str(),
            second.created_at_ms,
            second.updated_at_ms
        ),
        ("new.pdf", 2, 3)
    );
    assert_eq!(db.asset(&AssetId::new("a")).await.unwrap(), Some(second));
    assert_eq!(db.asset(&AssetId::new("b")).await.unwrap(), None);

    let stolen = db.upsert_asset(&new_asset("a", "v"), 4).await.unwrap_err();
    assert!(matches!(stolen, DbError::AssetElsewhere { .. }), "{stolen}");
    let homeless = db
        .upsert_asset(&new_asset("b", "nowhere"), 4)
        .await
        .unwrap_err();
    assert_eq!(homeless.to_string(), "there is no workspace nowhere");
}

#[tokio::test]
async fn one_of_two_producers_begins_an_assets_event() {
    let (_folder, db) = database().await;
    db.create_workspace(&new_workspace("w"), 1).await.unwrap();
    let asset = db.upsert_asset(&new_asset("a", "w"), 2).await.unwrap();
    assert_eq!(asset.event, None);

    assert!(
        db.begin_asset_event(&asset.id, None, "e1", 3)
            .await
            .unwrap()
    );
    assert!(
        !db.begin_asset_event(&asset.id, None, "e2", 3)
            .await
            .unwrap()
    );
    db.finish_asset_event(&asset.id, "e2", "01B", 4)
        .await
        .unwrap();
    let begun = AssetEvent {
        id: "e1".into(),
        received_as: None,
        seen: false,
    };
    let stored = db.asset(&asset.id).await.unwrap().unwrap();
    assert_eq!(stored.event.as_ref(), Some(&begun));

    db.finish_asset_event(&asset.id, "e1", "01A", 5)
        .await
        .unwrap();
    db.see_asset_event(&asset.id, "01B").await.unwrap();
    let seen = async || {
        db.asset(&asset.id)
            .await
            .unwrap()
            .unwrap()
            .event
            .unwrap()
            .seen
    };
    assert!(!seen().await);
    db.see_asset_event(&asset.id, "01A").await.unwrap();
    assert!(seen().await);
    // Registering the asset again leaves its event.
    let again = db.upsert_asset(&new_asset("a", "w"), 6).await.unwrap();
    assert_eq!(again.event.unwrap().received_as.as_deref(), Some("01A"));
    assert!(
        db.begin_asset_event(&asset.id, Some("e1"), "e3", 7)
            .await
            .unwrap()
    );
    let stored = db.asset(&asset.id).await.unwrap().unwrap();
    let event = stored.event.unwrap();
    assert_eq!((event.received_as, event.seen), (None, false));
}

#[test]
fn the_asset_type_follows_the_mime_type() {
    for (mime_type, kind) in [
        ("application/pdf", AssetType::Document),
        ("Application/PDF; x=y", AssetType::Document),
        (
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            AssetType::Document,
        ),
        ("text/markdown", AssetType::Document),
        ("image/png", AssetType::Image),
        ("video/mp4", AssetType::Video),
        ("audio/mpeg", AssetType::Audio),
        ("model/gltf-binary", AssetType::Model),
        ("application/zip", AssetType::Other),
        ("nonsense", AssetType::Other),
    ] {
        assert_eq!(AssetType::of_mime_type(mime_type), kind, "{mime_type}");
    }
}

#[tokio::test]
async fn knowledge_of_an_asset_is_replaced_whole() {
    let (_folder, db) = database().await;
    db.create_workspace(&new_workspace("w"), 1).await.unwrap();
    let (w, a) = (WorkspaceId::new("w"), AssetId::new("a"));
    let three = [
        chunk("1", at(1., 0.)),
        chunk("2", at(0., 1.)),
        chunk("3", at(1., 1.)),
    ];
    assert_eq!(
        db.replace_knowledge(&source("w", "a"), &three, 1)
            .await
            .unwrap(),
        3
    );
    db.replace_knowledge(&source("w", "a"), &three, 2)
        .await
        .unwrap();
    db.replace_knowledge(&source("w", "b"), &three[..1], 2)
        .await
        .unwrap();
    assert_eq!(db.knowledge_count(&w, Some(&a)).await.unwrap(), 3);
    assert_eq!(db.knowledge_count(&w, None).await.unwrap(), 4);

    db.replace_knowledge(&source("w", "a"), &three[..1], 3)
        .await
        .unwrap();
    assert_eq!(db.knowledge_count(&w, Some(&a)).await.unwrap(), 1);
    db.replace_knowledge(&source("w", "a"), &[], 4)
        .await
        .unwrap();
    assert_eq!(db.knowledge_count(&w, None).await.unwrap(), 1);

    let nowhere = db
        .replace_knowledge(&source("nowhere", "a"), &three, 5)
        .await
        .unwrap_err();
    assert_eq!(nowhere.to_string(), "there is no workspace nowhere");
}

#[tokio::test]
async fn search_ranks_by_direction_within_the_workspace() {
    let (_folder, db) = database().await;
    for id in ["w", "v"] {
        db.create_workspace(&new_workspace(id), 1).await.unwrap();
    }
    let chunks = [
        chunk("opposite", at(-1., 0.)),
        chunk("same", at(7., 0.)),
        chunk("across", at(0., 1.)),
        chunk("diagonal", at(1., 1.)),
        chunk("nothing", at(0., 0.)),
    ];
    db.replace_knowledge(&source("w", "a"), &chunks, 1)
        .await
        .unwrap();
    db.replace_knowledge(&source("v", "a"), &[chunk("foreign", at(1., 0.))], 1)
        .await
        .unwrap();

    let found = db
        .search_knowledge(&WorkspaceId::new("w"), &at(1., 0.), 3)
        .await
        .unwrap();
    let texts: Vec<_> = found
        .iter()
        .map(|fragment| fragment.text.as_str())
        .collect();
    assert_eq!(texts, ["same", "diagonal", "across"]);
    let expected = [1.0, std::f64::consts::FRAC_1_SQRT_2, 0.0];
    for (fragment, expected) in found.iter().zip(expected) {
        assert!(
            (fragment.similarity - expected).abs() < 1e-6,
            "{fragment:?}"
        );
    }
    assert_eq!(found[0].metadata, json!({"page": 1}));
    let all = db
        .search_knowledge(&WorkspaceId::new("w"), &at(1., 0.), 0)
        .await
        .unwrap();
    assert_eq!(all.len(), 1, "a limit of nothing still answers one");
}

#[tokio::test]
async fn deleting_a_workspace_deletes_what_it_knows() {
    let (_folder, db) = database().await;
    db.create_workspace(&new_workspace("w"), 1).await.unwrap();
    db.upsert_asset(&new_asset("a", "w"), 1).await.unwrap();
    db.replace_knowledge(&source("w", "a"), &[chunk("1", at(1., 0.))], 1)
        .await
        .unwrap();
    let Backend::Sqlite(pool) = &db.backend;
    sqlx::query("DELETE FROM workspace")
        .execute(pool)
        .await
        .unwrap();
    assert_eq!(db.asset(&AssetId::new("a")).await.unwrap(), None);
    assert_eq!(
        db.knowledge_count(&WorkspaceId::new("w"), None)
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn what_was_stored_is_there_after_opening_again_and_the_journal_is_ahead() {
    let (folder, db) = database().await;
    db.create_workspace(&new_workspace("w"), 1).await.unwrap();
    db.close().await;
    let db = Database::open_sqlite(folder.path().join("studio.db"))
        .await
        .unwrap();
    assert!(db.workspace_by_slug("the-w").await.unwrap().is_some());
    let Backend::Sqlite(pool) = &db.backend;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(journal, "wal");
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let error = Database::open_sqlite("/nonexistent-folder/studio.db")
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("/nonexistent-folder/studio.db"),
        "{error}"
    );
}
