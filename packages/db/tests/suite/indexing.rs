use crate::Opened;
use crate::sample::workspace;
use studio233_db::{AssetId, DbError, Indexed, IndexingRun, IndexingStatus, WorkspaceId};

on_both!(
    a_workspace_is_indexing_until_the_last_document_is_read,
    one_failure_among_several_shows_until_the_next_document,
    the_end_of_one_run_does_not_end_another_of_the_same_document,
    a_failure_counts_unless_somebody_else_reads_the_document,
    ending_again_changes_nothing,
    what_nobody_reads_any_more_is_ended,
);

/// Of one workspace: the document `a`, read by the run `1`, is `a1`.
struct Reading<'d> {
    db: &'d Opened,
    workspace: WorkspaceId,
}

impl<'d> Reading<'d> {
    async fn of(db: &'d Opened) -> Self {
        let workspace = workspace(db, "w").await;
        Self { db, workspace }
    }

    async fn begin(&self, what: &str) {
        let (asset, run_id) = what.split_at(1);
        let run = IndexingRun {
            workspace_id: &self.workspace,
            asset_id: &AssetId::new(asset),
            run_id,
        };
        self.db.begin_indexing(run, 10).await.unwrap();
        assert_eq!(self.status().await, IndexingStatus::Indexing);
    }

    async fn end(&self, what: &str, how: Indexed) -> IndexingStatus {
        let (asset, run_id) = what.split_at(1);
        let run = IndexingRun {
            workspace_id: &self.workspace,
            asset_id: &AssetId::new(asset),
            run_id,
        };
        let told = self.db.end_indexing(run, how, 20).await.unwrap();
        assert_eq!(self.status().await, told);
        told
    }

    async fn status(&self) -> IndexingStatus {
        let workspace = self.db.workspace(&self.workspace).await;
        workspace.unwrap().unwrap().indexing_status
    }
}

async fn a_workspace_is_indexing_until_the_last_document_is_read(db: Opened) {
    let reading = Reading::of(&db).await;
    reading.begin("a1").await;
    reading.begin("a1").await;
    reading.begin("b2").await;
    let first = reading.end("a1", Indexed::Done).await;
    assert_eq!(first, IndexingStatus::Indexing);
    let last = reading.end("b2", Indexed::GivenUp).await;
    assert_eq!(last, IndexingStatus::Idle);

    let nobody = IndexingRun {
        workspace_id: &WorkspaceId::new("nobody"),
        asset_id: &AssetId::new("a"),
        run_id: "1",
    };
    let nobody = db.begin_indexing(nobody, 7).await;
    assert!(
        matches!(nobody, Err(DbError::NoSuchWorkspace { .. })),
        "{nobody:?}"
    );
}

async fn one_failure_among_several_shows_until_the_next_document(db: Opened) {
    let reading = Reading::of(&db).await;
    reading.begin("a1").await;
    reading.begin("b2").await;
    reading.end("a1", Indexed::Failed).await;
    let both = reading.end("b2", Indexed::Done).await;
    assert_eq!(both, IndexingStatus::Failed);
    reading.begin("b3").await;
    let next = reading.end("b3", Indexed::Done).await;
    assert_eq!(next, IndexingStatus::Idle);
}

async fn the_end_of_one_run_does_not_end_another_of_the_same_document(db: Opened) {
    let reading = Reading::of(&db).await;
    for how in [Indexed::GivenUp, Indexed::Failed, Indexed::Done] {
        reading.begin("a1").await;
        reading.begin("a2").await;
        let first = reading.end("a1", how).await;
        assert_eq!(first, IndexingStatus::Indexing, "{how:?}");
        let both = reading.end("a2", Indexed::Done).await;
        assert_eq!(both, IndexingStatus::Idle, "{how:?}");
    }
}

async fn a_failure_counts_unless_somebody_else_reads_the_document(db: Opened) {
    let reading = Reading::of(&db).await;
    // Whoever could not even begin.
    let unread = reading.end("a1", Indexed::Failed).await;
    assert_eq!(unread, IndexingStatus::Failed);
    // What is given up mends nothing.
    let unread = reading.end("a2", Indexed::GivenUp).await;
    assert_eq!(unread, IndexingStatus::Failed);
    reading.begin("b3").await;
    reading.begin("a4").await;
    reading.end("a5", Indexed::Failed).await;
    reading.end("b3", Indexed::Done).await;
    let mended = reading.end("a4", Indexed::Done).await;
    assert_eq!(mended, IndexingStatus::Idle);
}

async fn ending_again_changes_nothing(db: Opened) {
    let reading = Reading::of(&db).await;
    for how in [
        Indexed::Failed,
        Indexed::Failed,
        Indexed::Done,
        Indexed::Done,
    ] {
        let expected = match how {
            Indexed::Failed => IndexingStatus::Failed,
            Indexed::Done | Indexed::GivenUp => IndexingStatus::Idle,
        };
        assert_eq!(reading.end("a1", how).await, expected);
    }
}

async fn what_nobody_reads_any_more_is_ended(db: Opened) {
    let reading = Reading::of(&db).await;
    reading.begin("a1").await;
    reading.begin("b2").await;
    reading.end("b2", Indexed::Failed).await;
    assert_eq!(db.end_stale_indexing(10, 20).await.unwrap(), 0);
    assert_eq!(db.end_stale_indexing(11, 20).await.unwrap(), 1);
    assert_eq!(reading.status().await, IndexingStatus::Failed);
}
