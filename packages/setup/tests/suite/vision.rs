//! What keeps what vision saw, and what cleans up after it.

use crate::services::{Refusal, media};
use crate::studio::{Studio, assert_output, on_both};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use stepwell::embedded::{Run, RunStatus};
use studio233_inngest::events::Object;
use studio233_inngest::events::vision::{ArchiveRequested, CleanupRequested};
use studio233_inngest::functions::vision::cleanup_blobs;
use studio233_rag::FetchLimits;

on_both!(
    a_temporary_file_goes_after_five_minutes,
    a_file_elsewhere_is_refused_and_stays,
    on_sunday_what_is_old_goes,
    a_blob_that_cannot_be_deleted_holds_up_its_page_for_an_attempt,
    an_image_that_is_gone_or_too_large_is_not_archived_but_what_was_seen_is,
);

async fn a_temporary_file_goes_after_five_minutes(studio: Studio) {
    let path = studio.parts.deps.temp_folder.join("a.png");
    std::fs::write(&path, "pixels").unwrap();
    let event = CleanupRequested {
        path: "a.png".to_owned(),
    };
    let run = studio.run(event).await;
    assert_output(&run, &json!({"status": "completed", "path": "a.png"}));
    let took = run.ended_at.unwrap().ms_since(run.queued_at);
    assert!(took >= 5 * 60 * 1000, "{took}");
    assert!(!path.exists());
}

async fn a_file_elsewhere_is_refused_and_stays(studio: Studio) {
    let event = CleanupRequested {
        path: "../studio.toml".to_owned(),
    };
    let path = studio.folder.path().join("studio.toml");
    std::fs::write(&path, "kept").unwrap();
    let run = studio.run(event).await;
    assert_eq!(run.status, RunStatus::Failed);
    assert_eq!(studio.failures(&run).await.len(), 1);
    assert!(path.exists());
}

/// Makes a file as old as so many days.
fn age(studio: &Studio, key: &str, days: u32) {
    let path = studio.folder.path().join("blobs").join(key);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let at = SystemTime::now() - Duration::from_secs(24 * 60 * 60) * days;
    file.set_modified(at).unwrap();
}

/// Goes on from Saturday or whenever it is to when the weekly cleaning has run; gives its run.
async fn cleaned(studio: &Studio) -> Run {
    // Other schedules have a tick each hour.
    for _ in 0..=7 * 24 {
        studio.tick().await;
        let mut runs = studio.runs_of("inngest/scheduled.timer").await.into_iter();
        if let Some(run) = runs.find(|run| run.function_id.ends_with(cleanup_blobs::ID)) {
            return run;
        }
    }
    panic!("no cleaning in a week");
}

async fn on_sunday_what_is_old_goes(studio: Studio) {
    for (key, days) in [
        ("vision/metadata/a/1.json", 60),
        ("vision/metadata/a/latest.json", 1),
        ("uploads/a.json", 60),
    ] {
        studio.put(key, b"x".to_vec(), "application/json").await;
        age(&studio, key, days);
    }
    let run = cleaned(&studio).await;
    assert_eq!(run.output::<Value>().unwrap()["purged"], 1);
    assert_eq!(
        studio.keys("vision").await,
        ["vision/metadata/a/latest.json"]
    );
    assert_eq!(studio.keys("uploads").await.len(), 1);
}

async fn a_blob_that_cannot_be_deleted_holds_up_its_page_for_an_attempt(studio: Studio) {
    let blobs = studio.folder.path().join("blobs");
    std::fs::create_dir_all(blobs.join("vision")).unwrap();
    let count = cleanup_blobs::PAGE + 50;
    for number in 0..count {
        let key = format!("vision/{number:05}.json");
        std::fs::write(blobs.join(&key), "x").unwrap();
        age(&studio, &key, 60);
    }
    // Where the note of its type would be, which goes with it, is what cannot be deleted as a file.
    let in_the_way = blobs.join(".types/vision/00500.json/x");
    std::fs::create_dir_all(&in_the_way).unwrap();
    let run = cleaned(&studio).await;
    assert_eq!(run.status, RunStatus::Completed, "{:?}", run.error());
    let failures = studio.failures(&run).await;
    assert_eq!(failures.len(), 1, "{failures:?}");
    let (told, wait) = &failures[0];
    assert!(told.starts_with("purge-old-vision-blobs"), "{told}");
    let expected = "cannot delete vision/00500.json in the blob store";
    assert!(told.contains(expected), "{told}");
    assert!(wait.is_some());
    assert_eq!(run.output::<Value>().unwrap()["purged"], count);
    assert!(studio.keys("vision").await.is_empty());
}

async fn an_image_that_is_gone_or_too_large_is_not_archived_but_what_was_seen_is(studio: Studio) {
    let bytes_max = usize::try_from(FetchLimits::images().bytes_max).unwrap();
    let mut large = media("photo.jpg");
    large.resize(bytes_max + 1, 0);
    let large = studio.put("uploads/large.jpg", large, "image/jpeg").await;
    let gone = Refusal {
        status: 404,
        headers: Vec::new(),
        body: json!("there is no such image"),
    };
    studio.services.refuse("/images/gone.png", gone);
    let base = &studio.services.url;
    let too_large = format!("is larger than {bytes_max} bytes");
    let cases = [
        ("a1", format!("{base}/images/gone.png"), "404"),
        ("b2", "blob:uploads/none.png".to_owned(), "there is no blob"),
        ("c3", large, &*too_large),
    ];
    for (hash, image_url, expected) in cases {
        let event = ArchiveRequested {
            image_url,
            image_hash: hash.to_owned(),
            metadata: Object::from_iter([("objects".to_owned(), json!([]))]),
        };
        let run = studio.run(event).await;
        assert_eq!(run.status, RunStatus::Failed);
        let failures = studio.failures(&run).await;
        assert_eq!(failures.len(), 1, "{failures:?}");
        let (told, wait) = &failures[0];
        assert!(told.starts_with("archive-source-image: "), "{told}");
        assert!(told.contains(expected), "{told}");
        assert_eq!(*wait, None);
        let kept = studio.keys(&format!("vision/metadata/{hash}")).await;
        assert_eq!(kept.len(), 2, "{kept:?}");
    }
    assert!(studio.keys("vision/source").await.is_empty());
}
