//! A studio of one folder.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use studio233_blob::{BlobStore, ContentType, Key, Put};
use studio233_plugins::{
    BlobSource, Context, MediaFile, Output, PluginError, Registry, Services, Spending,
};

pub(crate) struct Studio {
    _folder: tempfile::TempDir,
    blobs: BlobStore,
    uploads: AtomicU32,
    pub(crate) registry: Registry,
}

impl Studio {
    pub(crate) async fn new() -> Self {
        Self::with(|services| services).await
    }

    pub(crate) async fn with(equip: impl FnOnce(Services) -> Services) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::in_folder(folder.path()).await.unwrap();
        let services = Services::new(BlobSource::new(blobs.clone()), blobs.clone());
        Self {
            _folder: folder,
            blobs,
            uploads: AtomicU32::new(0),
            registry: Registry::standard(&equip(services)),
        }
    }

    /// Uploads a file.
    pub(crate) async fn put(&self, name: &str, bytes: &[u8]) -> MediaFile {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        let key = Key::parse(&format!("uploads/{number}")).unwrap();
        self.blobs
            .put(
                &key,
                bytes.to_vec().into(),
                &ContentType::octet_stream(),
                Put::CreateOnly,
            )
            .await
            .unwrap();
        MediaFile::coerce(&json!({"url": format!("blob:{key}"), "name": name})).unwrap()
    }

    pub(crate) async fn run(
        &self,
        plugin: &str,
        config: Value,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        let handle = self.registry.get(plugin).unwrap();
        handle.run(&context(), config.as_object(), files).await
    }

    pub(crate) async fn bytes(&self, file: &MediaFile) -> Vec<u8> {
        let key = Key::parse(file.url.strip_prefix("blob:").unwrap()).unwrap();
        self.blobs.get(&key, 1 << 30).await.unwrap().bytes.to_vec()
    }

    /// The keys under a folder.
    pub(crate) async fn stored(&self, folder: &str) -> Vec<String> {
        let folder = Key::parse(folder).unwrap();
        let page = self.blobs.list(Some(&folder), None, 1000).await.unwrap();
        page.items.iter().map(|meta| meta.key.to_string()).collect()
    }
}

pub(crate) fn context() -> Context {
    Context {
        run_id: "run-1".to_owned(),
        workflow_id: "w1".to_owned(),
        node_id: "n1".to_owned(),
        project_id: "p1".to_owned(),
        user_id: "u1".to_owned(),
        spending: Spending::default(),
    }
}

/// One of the images that `packages/media` is tested with.
pub(crate) fn media(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../media/tests/files")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
