use crate::sample::{new_workspace, workspace};
use crate::{Opened, Place};
use studio233_db::{Database, DatabaseUrl};

on_both!(
    what_was_stored_is_there_after_opening_again,
    several_open_one_database_at_once
);

async fn what_was_stored_is_there_after_opening_again(opened: Opened) {
    workspace(&opened, "w").await;
    opened.db.close().await;
    let db = Database::open(&opened.place.url).await.unwrap();
    assert!(db.workspace_by_slug("the-w").await.unwrap().is_some());
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
