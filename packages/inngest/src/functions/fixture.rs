//! What functions work with in tests: everything real, in a folder that goes with it.

use super::Deps;
use crate::middleware::Reporter;
use std::path::Path;
use stepwell::testing::{Builder, TestApp};
use stepwell::{App, Config, Function};
use studio233_blob::{BlobStore, ContentType, Key, Put};
use studio233_db::{Database, DatabaseUrl, NewWorkspace, WorkspaceId};

pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) deps: Deps,
}

/// An app with this function alone.
pub(crate) fn app_of(function: Function) -> App {
    App::new(crate::client(Config::dev())).function(function)
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let deps = deps(folder.path()).await;
        Self { folder, deps }
    }

    /// The same, with a PostgreSQL database of its own.
    pub(crate) async fn on_postgres() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let deps = deps_on_postgres(folder.path()).await;
        Self { folder, deps }
    }

    /// The same outside of an async function.
    pub(crate) fn blocking() -> Self {
        futures::executor::block_on(Self::new())
    }

    pub(crate) fn app(&self, reporter: impl Reporter) -> App {
        super::app(crate::client(Config::dev()), &self.deps, reporter)
    }

    /// All functions, to be tested. What steps keep outlives this, its folder does not.
    pub(crate) fn builder(&self) -> Builder {
        TestApp::builder().app(self.app(drop))
    }

    pub(crate) async fn put(&self, key: &str, bytes: impl Into<bytes::Bytes>, content_type: &str) {
        let key = Key::parse(key).unwrap();
        let content_type = ContentType::parse(content_type).unwrap();
        let put = self
            .deps
            .blobs
            .put(&key, bytes.into(), &content_type, Put::Overwrite);
        put.await.unwrap();
    }

    /// The keys below a folder of the store.
    pub(crate) async fn keys(&self, folder: &str) -> Vec<String> {
        keys_of(&self.deps.blobs, folder).await
    }

    /// A blob's bytes and its type.
    pub(crate) async fn get(&self, key: &str) -> (Vec<u8>, String) {
        let key = Key::parse(key).unwrap();
        let blob = self.deps.blobs.get(&key, 1 << 20).await.unwrap();
        let content_type = blob.meta.content_type.as_str().to_owned();
        (blob.bytes.to_vec(), content_type)
    }
}

pub(crate) async fn keys_of(blobs: &BlobStore, folder: &str) -> Vec<String> {
    let folder = Key::parse(folder).unwrap();
    let page = blobs.list(Some(&folder), None, 1000).await;
    let keys = page.unwrap().items.into_iter();
    keys.map(|blob| blob.key.to_string()).collect()
}

pub(crate) async fn deps(folder: &Path) -> Deps {
    let database = Database::open_sqlite(folder.join("studio.db")).await;
    deps_on(database.unwrap(), folder).await
}

/// A PostgreSQL database of its own, and the rest in a folder.
pub(crate) async fn deps_on_postgres(folder: &Path) -> Deps {
    let url = testbed::postgres::database().unwrap();
    let database = Database::open(&DatabaseUrl::parse(&url).unwrap()).await;
    deps_on(database.unwrap(), folder).await
}

/// The workspace `w`, of which nothing is known.
pub(crate) async fn make_workspace(deps: &Deps) {
    make_workspace_named(deps, "w").await;
}

/// One of that id.
pub(crate) async fn make_workspace_named(deps: &Deps, id: &str) {
    let workspace = NewWorkspace {
        id: WorkspaceId::new(id),
        name: id.to_uppercase(),
        slug: id.to_owned(),
        user_id: "local".to_owned(),
    };
    deps.database.create_workspace(&workspace, 1).await.unwrap();
}

async fn deps_on(database: Database, folder: &Path) -> Deps {
    let blobs = BlobStore::in_folder(folder.join("blobs")).await.unwrap();
    let temp_folder = folder.join("temp");
    std::fs::create_dir(&temp_folder).unwrap();
    Deps::local(database, blobs, temp_folder)
}
