use super::*;

const MB: u64 = 1024 * 1024;

async fn store() -> (tempfile::TempDir, BlobStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::in_folder(folder.path().join("blobs"))
        .await
        .unwrap();
    (folder, store)
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

async fn put(store: &BlobStore, name: &str, bytes: &'static str) {
    let bytes = Bytes::from_static(bytes.as_bytes());
    store
        .put(
            &key(name),
            bytes,
            &ContentType::octet_stream(),
            Put::Overwrite,
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_put_is_got_with_its_type() {
    let (_folder, store) = store().await;
    let (pdf, image) = (
        key("brand/a/source.pdf"),
        key("vision/source/ab/source.bin"),
    );
    store
        .put(
            &pdf,
            Bytes::from_static(b"%PDF"),
            &ContentType::pdf(),
            Put::Overwrite,
        )
        .await
        .unwrap();
    let png = ContentType::parse("image/png").unwrap();
    store
        .put(&image, Bytes::from_static(b"png"), &png, Put::CreateOnly)
        .await
        .unwrap();

    let blob = store.get(&pdf, MB).await.unwrap();
    assert_eq!(
        (blob.bytes.as_ref(), blob.meta.content_type),
        (&b"%PDF"[..], ContentType::pdf())
    );
    let meta = store.head(&image).await.unwrap();
    assert_eq!((meta.size_bytes, meta.content_type), (3, png));
    assert!(meta.modified_at > Timestamp::UNIX_EPOCH);
}

#[tokio::test]
async fn create_only_never_replaces_and_overwrite_does() {
    let (_folder, store) = store().await;
    put(&store, "a/b", "first").await;
    let png = ContentType::parse("image/png").unwrap();
    let second = Bytes::from_static(b"second");
    let refused = store
        .put(&key("a/b"), second.clone(), &png, Put::CreateOnly)
        .await;
    assert!(
        matches!(refused, Err(BlobError::AlreadyExists { .. })),
        "{refused:?}"
    );
    let blob = store.get(&key("a/b"), MB).await.unwrap();
    assert_eq!(
        (blob.bytes.as_ref(), blob.meta.content_type),
        (&b"first"[..], ContentType::octet_stream())
    );

    store
        .put(&key("a/b"), second, &png, Put::Overwrite)
        .await
        .unwrap();
    let blob = store.get(&key("a/b"), MB).await.unwrap();
    assert_eq!(
        (blob.bytes.as_ref(), blob.meta.content_type),
        (&b"second"[..], png)
    );
}

#[tokio::test]
async fn missing_blobs_are_named_and_deleting_them_is_fine() {
    let (_folder, store) = store().await;
    let missing = store.get(&key("no/such"), MB).await.unwrap_err();
    assert_eq!(missing.to_string(), "there is no blob no/such");
    assert!(matches!(
        store.head(&key("no")).await,
        Err(BlobError::NotFound { .. })
    ));
    store.delete(&key("no/such")).await.unwrap();

    put(&store, "a/b", "x").await;
    store.delete(&key("a/b")).await.unwrap();
    assert!(matches!(
        store.head(&key("a/b")).await,
        Err(BlobError::NotFound { .. })
    ));
}

#[tokio::test]
async fn a_deleted_blobs_type_is_forgotten() {
    let (_folder, store) = store().await;
    let png = ContentType::parse("image/png").unwrap();
    store
        .put(&key("a/b"), Bytes::new(), &png, Put::Overwrite)
        .await
        .unwrap();
    store.delete(&key("a/b")).await.unwrap();
    put(&store, "a/b", "x").await;
    assert_eq!(
        store.head(&key("a/b")).await.unwrap().content_type,
        ContentType::octet_stream()
    );
}

#[tokio::test]
async fn a_blob_over_the_limit_is_not_read() {
    let (_folder, store) = store().await;
    put(&store, "big", "12345").await;
    let refused = store.get(&key("big"), 4).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the blob big has 5 bytes; at most 4 are read here"
    );
    assert!(store.get(&key("big"), 5).await.is_ok());
}

#[tokio::test]
async fn listing_pages_through_a_folder_in_order() {
    let (_folder, store) = store().await;
    for name in ["v/c", "v/a/2", "v/b", "v/a/1", "other/x", "v/d"] {
        put(&store, name, "x").await;
    }
    let png = ContentType::parse("image/png").unwrap();
    store
        .put(&key("v/b"), Bytes::new(), &png, Put::Overwrite)
        .await
        .unwrap();

    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store
            .list(Some(&key("v")), after.as_ref(), 2)
            .await
            .unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(|meta| meta.key.to_string()));
        pages += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, ["v/a/1", "v/a/2", "v/b", "v/c", "v/d"]);
    assert_eq!(pages, 3);
    let all = store.list(None, None, 100).await.unwrap();
    assert_eq!(all.items.len(), 6, "the store's own notes are not listed");
    assert!(
        store
            .list(Some(&key("none")), None, 10)
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_file_where_the_folder_should_be_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taken");
    std::fs::write(&file, "x").unwrap();
    let error = BlobStore::in_folder(&file).await.unwrap_err();
    assert!(error.to_string().contains("taken"), "{error}");
}

/// What a power cut leaves cannot be tested here; that the disk is asked to keep it can.
#[tokio::test]
async fn what_is_put_is_synced_to_the_disk() {
    let (_folder, store) = store().await;
    let backend = format!("{:?}", store.backend);
    assert!(backend.contains("fsync: true"), "{backend}");
}
