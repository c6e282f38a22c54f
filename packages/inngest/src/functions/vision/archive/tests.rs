use super::*;
use crate::functions::fixture::{Fixture, keys_of};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use stepwell::testing::{TestError, assert_survives_crashes};
use studio233_rag::{FetchLimits, Fetcher, Origin};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nnot all of it";
const DATA_URL: &str =
    "data:image/gif;base64,R0lGODlhAQABAIAAAP8AAP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==";
const HASH: &str = "0a1b2c";

fn event(image_url: &str) -> ArchiveRequested {
    let metadata = json!({"objects": [{"id": "1", "label": "chair"}]});
    ArchiveRequested {
        image_url: image_url.to_owned(),
        image_hash: HASH.to_owned(),
        metadata: metadata.as_object().unwrap().clone(),
    }
}

/// A server of images on this machine, which is allowed to be fetched from.
async fn server(fixture: &mut Fixture) -> (String, Arc<AtomicU32>) {
    let requests = Arc::<AtomicU32>::default();
    let counted = Arc::clone(&requests);
    let image = move || {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match number {
                0 => StatusCode::BAD_GATEWAY.into_response(),
                _ => ([(header::CONTENT_TYPE, "image/jpeg")], PNG).into_response(),
            }
        }
    };
    let html = || async { ([(header::CONTENT_TYPE, "image/png")], "<html>") };
    let router = Router::new()
        .route("/image", get(image))
        .route("/html", get(html));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let limits = FetchLimits {
        retries_max: 0,
        ..FetchLimits::images()
    };
    let images = Fetcher::new(fixture.deps.blobs.clone(), limits);
    fixture.deps.images = images.allowing(Origin::parse(&origin));
    (origin, requests)
}

#[tokio::test]
async fn what_was_seen_and_the_image_are_kept() {
    let mut fixture = Fixture::new().await;
    let (origin, requests) = server(&mut fixture).await;
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event(&format!("{origin}/image"))).await.unwrap();

    run.assert_output(json!({"status": "completed", "imageHash": HASH}))
        .assert_steps(["archive-metadata", "archive-source-image"])
        // The server was away at first.
        .assert_attempts("archive-source-image", 2);
    let archived: Archived = run.step("archive-metadata").output();
    let time = run.events()[0].at.unix_ms().to_string();
    assert!(
        archived
            .key
            .starts_with(&format!("vision/metadata/{HASH}/{time}-")),
        "{archived:?}"
    );
    assert_eq!(
        fixture.keys("vision").await,
        [
            archived.key.clone(),
            format!("vision/metadata/{HASH}/latest.json"),
            format!("vision/source/{HASH}/source.bin"),
        ]
    );
    for key in [archived.key, archived.latest] {
        let (bytes, content_type) = fixture.get(&key).await;
        let metadata: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(metadata["objects"][0]["label"], "chair");
        assert_eq!(content_type, "application/json");
    }
    let source = format!("vision/source/{HASH}/source.bin");
    // The bytes decide, not the server.
    assert_eq!(
        fixture.get(&source).await,
        (PNG.to_vec(), "image/png".to_owned())
    );
    assert_eq!(requests.load(Ordering::SeqCst), 2);

    // The image is kept as it was; what was seen is kept again.
    let run = app.run(event(DATA_URL)).await.unwrap();
    run.assert_completed();
    let kept: Source = run.step("archive-source-image").output();
    assert_eq!(kept.content_type, "image/png");
    assert_eq!(fixture.get(&source).await.0, PNG);
    assert_eq!(fixture.keys("vision/metadata").await.len(), 3);
}

#[tokio::test]
async fn an_image_comes_out_of_its_url() {
    let fixture = Fixture::new().await;
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event(DATA_URL)).await.unwrap();
    let source: Source = run.step("archive-source-image").output();
    assert_eq!(source.content_type, "image/gif");
    assert!(fixture.get(&source.key).await.0.starts_with(b"GIF89a"));
}

#[tokio::test]
async fn what_a_crash_left_of_an_image_is_archived_again() {
    let fixture = Fixture::new().await;
    let source = format!("vision/source/{HASH}/source.bin");
    fixture
        .put(&source, "half", "application/octet-stream")
        .await;
    let app = fixture.builder().start().await.unwrap();
    app.run(event(DATA_URL)).await.unwrap().assert_completed();
    assert_eq!(fixture.get(&source).await.1, "image/gif");
}

#[tokio::test]
async fn what_is_no_image_or_must_not_be_reached_is_refused_at_once() {
    let mut fixture = Fixture::new().await;
    let (origin, _) = server(&mut fixture).await;
    for (url, told) in [
        ("http://127.0.0.1:9/a.png", "only public addresses"),
        (
            "http://169.254.169.254/latest/meta-data",
            "only public addresses",
        ),
        ("http://[::1]/a.png", "only public addresses"),
        ("file:///etc/passwd", "file: URLs are not fetched"),
        (
            "data:image/png;base64,PGh0bWw+",
            "neither PNG, JPEG, GIF nor WebP",
        ),
        ("data:text/html,<html>", "not a data: URL in base64"),
        (&format!("{origin}/html"), "neither PNG, JPEG, GIF nor WebP"),
    ] {
        let app = fixture.builder().start().await.unwrap();
        let run = app.run(event(url)).await.unwrap();
        run.assert_failed()
            .assert_attempts("archive-source-image", 1);
        let error = serde_json::to_string(&run.error().unwrap()).unwrap();
        assert!(error.contains(told), "{url}: {error}");
        assert!(fixture.keys("vision/source").await.is_empty());
    }
}

#[tokio::test]
async fn a_hash_that_would_lead_elsewhere_is_refused() {
    for hash in ["", "../../uploads", "a/b", "..", "a b", "ä"] {
        let fixture = Fixture::new().await;
        let app = fixture.builder().start().await.unwrap();
        let mut event = event(DATA_URL);
        event.image_hash = hash.to_owned();
        let run = app.run(event).await.unwrap();
        run.assert_failed_with("send the SHA-256 of the URL in hex")
            .assert_attempts("archive-metadata", 1);
    }
}

#[tokio::test]
async fn a_source_that_hangs_is_given_up_and_tried_again() {
    let mut fixture = Fixture::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    // Nobody accepts: the connection stands, and nothing comes.
    let limits = FetchLimits {
        retries_max: 0,
        timeout: Duration::from_millis(20),
        ..FetchLimits::images()
    };
    let images = Fetcher::new(fixture.deps.blobs.clone(), limits);
    fixture.deps.images = images.allowing(Origin::parse(&origin));
    let app = fixture.builder().start().await.unwrap();
    let run = app.run(event(&format!("{origin}/image"))).await.unwrap();
    run.assert_failed()
        .assert_attempts("archive-source-image", 5);
}

#[tokio::test]
async fn it_survives_crashes_and_leaves_one_result_of_a_run() {
    let fixture = RefCell::new(Fixture::new().await);
    let crashes = assert_survives_crashes(
        || {
            fixture.replace(Fixture::blocking());
            fixture.borrow().builder()
        },
        async |app| {
            app.run(event(DATA_URL)).await?.assert_completed();
            let blobs = fixture.borrow().deps.blobs.clone();
            let keys = keys_of(&blobs, "vision").await;
            assert_eq!(keys.len(), 3, "{keys:?}");
            Ok::<_, TestError>(())
        },
    )
    .await;
    assert!(crashes >= 6, "{crashes}");
}
