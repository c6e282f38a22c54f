use crate::sample::{new_workspace, workspace};
use crate::{Opened, Place};
use studio233_db::{Database, DatabaseUrl, IndexingStatus};

on_both!(
    what_was_stored_is_there_after_opening_again,
    what_nobody_could_end_is_not_read_after_an_upgrade,
    several_open_one_database_at_once
);

async fn what_was_stored_is_there_after_opening_again(opened: Opened) {
    workspace(&opened, "w").await;
    opened.db.close().await;
    let db = Database::open(&opened.place.url).await.unwrap();
    assert!(db.workspace_by_slug("the-w").await.unwrap().is_some());
}

/// As runs left them that began before each had a row of its own.
const UNENDED: [&str; 3] = [
    "INSERT INTO workspace_indexing (workspace_id, source, run_id, state, since_ms)
     SELECT id, 'a', '', 'INDEXING', 1 FROM workspace",
    "INSERT INTO workspace_indexing (workspace_id, source, run_id, state, since_ms)
     SELECT id, 'b', '', 'FAILED', 1 FROM workspace WHERE slug = 'the-broken'",
    "UPDATE workspace SET indexing_status = 'INDEXING'",
];

async fn what_nobody_could_end_is_not_read_after_an_upgrade(opened: Opened) {
    let ids = [
        workspace(&opened, "whole").await,
        workspace(&opened, "broken").await,
    ];
    let before = "DELETE FROM _sqlx_migrations WHERE description = 'unended indexing'";
    for statement in UNENDED.into_iter().chain([before]) {
        opened.place.execute(statement).await;
    }
    opened.db.close().await;
    let db = Database::open(&opened.place.url).await.unwrap();
    let expected = [IndexingStatus::Idle, IndexingStatus::Failed];
    for (id, expected) in ids.iter().zip(expected) {
        let shown = db.workspace(id).await.unwrap().unwrap();
        assert_eq!(shown.indexing_status, expected, "{}", shown.name);
    }
}

async fn several_open_one_database_at_once(opened: Opened) {
    let url = || opened.place.url.clone();
    let open = |url: DatabaseUrl| async move { Database::open(&url).await };
    let all = [
        tokio::spawn(open(url())),
        tokio::spawn(open(url())),
        tokio::spawn(open(url())),
    ];
    for one in all {
        one.await.unwrap().unwrap();
    }
    assert_eq!(
        opened.place.folder.is_some(),
        opened.place.url.sqlite_file().is_some()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_make_one_file_at_once() {
    let place = Place::sqlite();
    let open = || {
        let url = place.url.clone();
        tokio::spawn(async move { Database::open(&url).await })
    };
    let all: Vec<_> = (0..8).map(|_| open()).collect();
    for one in all {
        let db = one.await.unwrap().unwrap();
        db.workspace_by_slug("the-w").await.unwrap();
    }
}

#[tokio::test]
async fn a_file_keeps_a_journal_ahead() {
    let Opened { db, place } = Place::sqlite().open().await;
    db.create_workspace(&new_workspace("w"), 1).await.unwrap();
    assert!(place.folder.unwrap().path().join("studio.db-wal").exists());
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

#[tokio::test]
async fn a_server_that_refuses_is_named_without_the_password() {
    let text = Place::postgres().text;
    let (_, at_host) = text.split_once('@').unwrap();
    let url = DatabaseUrl::parse(&format!("postgres://testbed:wrong-secret@{at_host}")).unwrap();
    let error = Database::open(&url).await.unwrap_err();
    let told = format!("{error}: {error:?}");
    assert!(
        error
            .to_string()
            .contains(&format!("postgres://testbed@{at_host}")),
        "{told}"
    );
    assert!(!told.contains("wrong-secret"), "{told}");
}

#[tokio::test]
async fn an_open_database_does_not_tell_its_password() {
    let opened = Place::postgres().open().await;
    let (before, _) = opened.place.text.split_once('@').unwrap();
    let (_, password) = before.rsplit_once(':').unwrap();
    assert!(!format!("{:?}", opened.db).contains(password));
}
