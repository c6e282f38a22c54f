//! What cleans up after vision.

use crate::studio::{Studio, assert_output, on_both};
use serde_json::json;
use std::time::{Duration, SystemTime};
use stepwell::embedded::RunStatus;
use studio233_inngest::events::vision::CleanupRequested;

on_both!(
    a_temporary_file_goes_after_five_minutes,
    a_file_elsewhere_is_refused_and_stays,
    on_sunday_what_is_old_goes,
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

async fn on_sunday_what_is_old_goes(studio: Studio) {
    let put = async |key: &str, days: u32| {
        studio.put(key, b"x".to_vec(), "application/json").await;
        let path = studio.folder.path().join("blobs").join(key);
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let at = SystemTime::now() - Duration::from_secs(24 * 60 * 60) * days;
        file.set_modified(at).unwrap();
    };
    put("vision/metadata/a/1.json", 60).await;
    put("vision/metadata/a/latest.json", 1).await;
    put("uploads/a.json", 60).await;
    // Other schedules have a tick each hour.
    for _ in 0..=7 * 24 {
        studio.tick().await;
        if studio.keys("vision").await.len() == 1 {
            break;
        }
    }
    assert_eq!(
        studio.keys("vision").await,
        ["vision/metadata/a/latest.json"]
    );
    assert_eq!(studio.keys("uploads").await.len(), 1);
}
