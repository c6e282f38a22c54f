use crate::Opened;
use crate::sample::{at, chunk, new_asset, new_workspace, source, workspace};
use serde_json::json;
use studio233_db::{AssetId, NewChunk, WorkspaceId};

on_both!(
    knowledge_of_an_asset_is_replaced_whole,
    search_ranks_by_direction_within_the_workspace,
    parts_of_an_assets_knowledge_are_replaced_apart,
    the_newest_knowledge_comes_first_in_the_order_of_its_document,
    an_overview_counts_by_source_and_kind,
    text_with_nul_is_stored_without,
    replacing_at_the_same_time_leaves_one_set,
);

async fn knowledge_of_an_asset_is_replaced_whole(db: Opened) {
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

async fn search_ranks_by_direction_within_the_workspace(db: Opened) {
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

async fn parts_of_an_assets_knowledge_are_replaced_apart(db: Opened) {
    let w = workspace(&db, "w").await;
    let pages = [chunk("page 1", at(1., 0.)), chunk("page 2", at(1., 0.))];
    let seen = [chunk("seen", at(0., 1.))];
    let asset = source("w", "a");
    db.replace_knowledge(&asset, &pages, 1).await.unwrap();
    db.replace_knowledge_part(&asset, "visual_dna", &seen, 2)
        .await
        .unwrap();
    db.replace_knowledge_part(&asset, "visual_dna", &seen, 3)
        .await
        .unwrap();
    assert_eq!(db.knowledge_count(&w, None).await.unwrap(), 3);
    db.replace_knowledge(&asset, &[], 4).await.unwrap();
    let left = db.newest_knowledge(&w, 10).await.unwrap();
    assert_eq!((left.len(), left[0].text.as_str()), (1, "seen"));
}

async fn the_newest_knowledge_comes_first_in_the_order_of_its_document(db: Opened) {
    let w = workspace(&db, "w").await;
    let old: Vec<NewChunk> = (0..60).map(|n| chunk(&n.to_string(), at(1., 0.))).collect();
    db.replace_knowledge(&source("w", "old"), &old, 1)
        .await
        .unwrap();
    db.replace_knowledge(&source("w", "new"), &old[..2], 2)
        .await
        .unwrap();
    let newest = db.newest_knowledge(&w, 1000).await.unwrap();
    assert_eq!(newest.len(), 50);
    let order: Vec<_> = newest
        .iter()
        .take(4)
        .map(|one| (one.asset_id.as_str(), one.text.as_str()))
        .collect();
    assert_eq!(
        order,
        [("new", "0"), ("new", "1"), ("old", "0"), ("old", "1")]
    );
    assert_eq!(newest[13].text, "11", "chunks are ordered as numbers");
    assert_eq!(newest[0].metadata, json!({"page": 1}));
}

async fn an_overview_counts_by_source_and_kind(db: Opened) {
    let w = workspace(&db, "w").await;
    db.upsert_asset(&new_asset("pdf", "w"), 1).await.unwrap();
    let page = chunk("page", at(1., 0.));
    let seen = NewChunk {
        metadata: json!({"type": "visual_dna", "source": "Vision_Analysis"}),
        ..chunk("seen", at(1., 0.))
    };
    db.replace_knowledge(&source("w", "pdf"), &[page.clone(), page], 2)
        .await
        .unwrap();
    db.replace_knowledge_part(&source("w", "gone"), "visual_dna", &[seen], 3)
        .await
        .unwrap();
    let overview = serde_json::to_value(db.knowledge_overview(&w).await.unwrap()).unwrap();
    assert_eq!(
        overview,
        json!({
            "nodeCount": 3,
            "sources": [
                {"assetId": "gone", "name": "gone", "kind": "visual_dna", "fragments": 1, "newestAtMs": 3},
                {"assetId": "pdf", "name": "brand.pdf", "kind": "document", "fragments": 2, "newestAtMs": 2},
            ],
            "attributes": ["document", "visual_dna"],
        })
    );
}

async fn text_with_nul_is_stored_without(db: Opened) {
    let w = workspace(&db, "w").await;
    let odd = NewChunk {
        metadata: json!({"page": "\u{0}"}),
        ..chunk("a\0b", at(1., 0.))
    };
    db.replace_knowledge(&source("w", "a"), &[odd], 1)
        .await
        .unwrap();
    let stored = db.newest_knowledge(&w, 1).await.unwrap();
    assert_eq!(
        (stored[0].text.as_str(), &stored[0].metadata),
        ("ab", &json!({"page": "\u{0}"}))
    );
}

async fn replacing_at_the_same_time_leaves_one_set(db: Opened) {
    let w = workspace(&db, "w").await;
    let chunks: Vec<NewChunk> = (0..5).map(|n| chunk(&n.to_string(), at(1., 0.))).collect();
    let replace = |now_ms| {
        let (db, chunks) = (db.db.clone(), chunks.clone());
        tokio::spawn(async move {
            db.replace_knowledge(&source("w", "a"), &chunks, now_ms)
                .await
        })
    };
    let all: Vec<_> = (0..6).map(replace).collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    assert_eq!(db.knowledge_count(&w, None).await.unwrap(), 5);
}
