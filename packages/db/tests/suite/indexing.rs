use crate::Opened;
use crate::sample::workspace;
use studio233_db::{AssetId, DbError, Indexed, IndexingStatus, WorkspaceId};

on_both!(
    a_workspace_is_indexing_until_the_last_document_is_read,
    one_failure_among_several_shows_until_the_next_document,
    ending_again_changes_nothing,
    what_nobody_reads_any_more_is_ended,
);

async fn status(db: &Opened, id: &WorkspaceId) -> IndexingStatus {
    db.workspace(id).await.unwrap().unwrap().indexing_status
}

async fn a_workspace_is_indexing_until_the_last_document_is_read(db: Opened) {
    let w = workspace(&db, "w").await;
    let (a, b) = (AssetId::new("a"), AssetId::new("b"));
    db.begin_indexing(&w, &a, 2).await.unwrap();
    db.begin_indexing(&w, &a, 3).await.unwrap();
    db.begin_indexing(&w, &b, 4).await.unwrap();
    let first = db.end_indexing(&w, &a, Indexed::Done, 5).await.unwrap();
    assert_eq!(
        (first, status(&db, &w).await),
        (IndexingStatus::Indexing, IndexingStatus::Indexing)
    );
    let last = db.end_indexing(&w, &b, Indexed::Done, 6).await.unwrap();
    assert_eq!(
        (last, status(&db, &w).await),
        (IndexingStatus::Idle, IndexingStatus::Idle)
    );

    let nobody = db.begin_indexing(&WorkspaceId::new("nobody"), &a, 7).await;
    assert!(
        matches!(nobody, Err(DbError::NoSuchWorkspace { .. })),
        "{nobody:?}"
    );
}

async fn one_failure_among_several_shows_until_the_next_document(db: Opened) {
    let w = workspace(&db, "w").await;
    let (a, b) = (AssetId::new("a"), AssetId::new("b"));
    db.begin_indexing(&w, &a, 2).await.unwrap();
    db.begin_indexing(&w, &b, 2).await.unwrap();
    db.end_indexing(&w, &a, Indexed::Failed, 3).await.unwrap();
    assert_eq!(status(&db, &w).await, IndexingStatus::Indexing);
    db.end_indexing(&w, &b, Indexed::Done, 4).await.unwrap();
    assert_eq!(status(&db, &w).await, IndexingStatus::Failed);
    db.begin_indexing(&w, &b, 5).await.unwrap();
    db.end_indexing(&w, &b, Indexed::Done, 6).await.unwrap();
    assert_eq!(status(&db, &w).await, IndexingStatus::Idle);
}

async fn ending_again_changes_nothing(db: Opened) {
    let w = workspace(&db, "w").await;
    let a = AssetId::new("a");
    for how in [
        Indexed::Failed,
        Indexed::Failed,
        Indexed::Done,
        Indexed::Done,
    ] {
        let expected = match how {
            Indexed::Done => IndexingStatus::Idle,
            Indexed::Failed => IndexingStatus::Failed,
        };
        assert_eq!(db.end_indexing(&w, &a, how, 2).await.unwrap(), expected);
    }
}

async fn what_nobody_reads_any_more_is_ended(db: Opened) {
    let w = workspace(&db, "w").await;
    db.begin_indexing(&w, &AssetId::new("a"), 10).await.unwrap();
    assert_eq!(db.end_stale_indexing(10, 20).await.unwrap(), 0);
    assert_eq!(db.end_stale_indexing(11, 20).await.unwrap(), 1);
    assert_eq!(status(&db, &w).await, IndexingStatus::Idle);
}
