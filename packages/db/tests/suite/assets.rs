use crate::Opened;
use crate::sample::{at, chunk, new_asset, new_workspace, source, workspace};
use studio233_db::{AssetEvent, AssetId, AssetType, DbError, NewAsset};

on_both!(
    registering_an_asset_twice_is_registering_it_once,
    one_of_two_producers_begins_an_assets_event,
    an_asset_without_a_workspace_stays_without_one,
    brand_assets_without_knowledge_are_found,
);

async fn registering_an_asset_twice_is_registering_it_once(db: Opened) {
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

async fn one_of_two_producers_begins_an_assets_event(db: Opened) {
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

async fn an_asset_without_a_workspace_stays_without_one(db: Opened) {
    workspace(&db, "w").await;
    let loose = NewAsset {
        workspace_id: None,
        ..new_asset("a", "w")
    };
    for now_ms in [1, 2] {
        assert_eq!(
            db.upsert_asset(&loose, now_ms).await.unwrap().workspace_id,
            None
        );
    }
    let error = db.upsert_asset(&new_asset("a", "w"), 3).await.unwrap_err();
    assert!(matches!(error, DbError::AssetElsewhere { .. }), "{error}");
}

async fn brand_assets_without_knowledge_are_found(db: Opened) {
    let w = workspace(&db, "w").await;
    workspace(&db, "v").await;
    for (id, now_ms) in [("late", 5), ("early", 2), ("known", 3)] {
        db.upsert_asset(&new_asset(id, "w"), now_ms).await.unwrap();
    }
    let plain = NewAsset {
        is_brand_asset: false,
        ..new_asset("plain", "w")
    };
    db.upsert_asset(&plain, 1).await.unwrap();
    db.upsert_asset(&new_asset("foreign", "v"), 1)
        .await
        .unwrap();
    db.replace_knowledge(&source("w", "known"), &[chunk("1", at(1., 0.))], 4)
        .await
        .unwrap();
    // What another workspace knows under the same id says nothing of this one.
    db.replace_knowledge(&source("v", "early"), &[chunk("1", at(1., 0.))], 4)
        .await
        .unwrap();

    let found = db.brand_assets(&w, 100).await.unwrap();
    let ids: Vec<_> = found
        .without_knowledge
        .iter()
        .map(|asset| asset.id.as_str())
        .collect();
    assert_eq!(ids, ["early", "late"]);
    assert_eq!((found.total, found.without_knowledge_total), (3, 2));
    let found = db.brand_assets(&w, 1).await.unwrap();
    assert_eq!(
        (found.without_knowledge.len(), found.without_knowledge_total),
        (1, 2)
    );
}
