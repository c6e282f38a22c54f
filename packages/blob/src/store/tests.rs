use super::*;

mod server;

const MB: u64 = 1024 * 1024;

/// Declares tests of a store, once for each kind.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod folder {
            $(#[tokio::test]
            async fn $name() {
                let (_folder, store) = super::store().await;
                super::$name(store).await;
            })+
        }
        mod bucket {
            $(#[tokio::test]
            async fn $name() {
                let server = super::server::Server::start().await;
                let store = super::BlobStore::in_bucket(&server.bucket()).await.unwrap();
                super::$name(store).await;
            })+
        }
    };
}

on_both!(
    what_is_put_is_got_with_its_type,
    create_only_never_replaces_and_overwrite_does,
    missing_blobs_are_named_and_deleting_them_is_fine,
    a_deleted_blobs_type_is_forgotten,
    a_blob_over_the_limit_is_not_read,
    listing_pages_through_a_folder_in_order,
    a_thousand_blobs_are_a_page,
    a_listing_tells_when_blobs_were_written,
);

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

async fn what_is_put_is_got_with_its_type(store: BlobStore) {
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

async fn create_only_never_replaces_and_overwrite_does(store: BlobStore) {
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

async fn missing_blobs_are_named_and_deleting_them_is_fine(store: BlobStore) {
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

async fn a_deleted_blobs_type_is_forgotten(store: BlobStore) {
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

async fn a_blob_over_the_limit_is_not_read(store: BlobStore) {
    put(&store, "big", "12345").await;
    let refused = store.get(&key("big"), 4).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the blob big has 5 bytes; at most 4 are read here"
    );
    assert!(store.get(&key("big"), 5).await.is_ok());
}

async fn listing_pages_through_a_folder_in_order(store: BlobStore) {
    for name in ["v/c", "v/a/2", "v/b", "v/a/1", "other/x", "v/~+@=d"] {
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
    assert_eq!(seen, ["v/a/1", "v/a/2", "v/b", "v/c", "v/~+@=d"]);
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

async fn a_thousand_blobs_are_a_page(store: BlobStore) {
    let names = (0..1003).map(|n| format!("vision/{n:04}"));
    futures::stream::iter(names)
        .for_each_concurrent(32, |name| {
            let store = &store;
            async move { put(store, &name, "x").await }
        })
        .await;
    let folder = key("vision");
    let first = store.list(Some(&folder), None, 5000).await.unwrap();
    assert_eq!(
        (first.items.len(), first.next.as_ref()),
        (1000, Some(&key("vision/0999")))
    );
    let rest = store
        .list(Some(&folder), first.next.as_ref(), 1000)
        .await
        .unwrap();
    let keys: Vec<_> = rest.items.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["vision/1000", "vision/1001", "vision/1002"]);
    assert_eq!(rest.next, None);
}

async fn a_listing_tells_when_blobs_were_written(store: BlobStore) {
    let before = Timestamp::now();
    put(&store, "a/b", "12345").await;
    let listed = store.list(None, None, 10).await.unwrap().items.remove(0);
    let head = store.head(&key("a/b")).await.unwrap();
    assert_eq!((listed.size_bytes, listed.key.as_str()), (5, "a/b"));
    // The protocol tells whole seconds in some answers.
    for told in [listed.modified_at, head.modified_at] {
        let apart = told.duration_since(before).abs();
        assert!(
            apart < jiff::SignedDuration::from_secs(60),
            "{told} is not about {before}"
        );
    }
}

#[tokio::test]
async fn one_of_many_creates_a_blob() {
    let (_folder, store) = store().await;
    let create = |n: u8| {
        let store = store.clone();
        let bytes = Bytes::from(vec![n]);
        tokio::spawn(async move {
            let kind = ContentType::octet_stream();
            store.put(&key("one"), bytes, &kind, Put::CreateOnly).await
        })
    };
    let all: Vec<_> = (0..8).map(create).collect();
    let mut created = 0;
    for one in all {
        match one.await.unwrap() {
            Ok(()) => created += 1,
            Err(BlobError::AlreadyExists { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(created, 1);
}

#[tokio::test]
async fn a_buckets_folder_hides_the_rest_of_it() {
    let server = server::Server::start().await;
    let whole = BlobStore::in_bucket(&server.bucket()).await.unwrap();
    let part = Bucket {
        folder: Some(key("team/a")),
        ..server.bucket()
    };
    let part = BlobStore::in_bucket(&part).await.unwrap();
    put(&whole, "other", "x").await;
    put(&part, "mine", "x").await;
    let keys = |page: Page| {
        page.items
            .into_iter()
            .map(|one| one.key.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(part.list(None, None, 10).await.unwrap()), ["mine"]);
    assert_eq!(
        keys(whole.list(None, None, 10).await.unwrap()),
        ["other", "team/a/mine"]
    );
}

#[tokio::test]
async fn wrong_keys_and_missing_buckets_are_told_at_once() {
    let server = server::Server::start().await;
    let wrong = Bucket {
        secret_access_key: "wrong-secret".into(),
        ..server.bucket()
    };
    let missing = Bucket {
        name: "missing".into(),
        ..server.bucket()
    };
    for bucket in [wrong, missing] {
        let error = BlobStore::in_bucket(&bucket).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot use the bucket {}", bucket.name)
        );
        assert!(
            !error.is_transient() && !format!("{error:?}").contains("wrong-secret"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_store_that_is_gone_may_come_back() {
    let server = server::Server::start().await;
    let store = BlobStore::in_bucket(&server.bucket()).await.unwrap();
    server.stop().await;
    let error = store.get(&key("a"), MB).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}
