use super::*;
use crate::functions::fixture::Fixture;
use serde_json::json;
use std::time::{Duration, SystemTime};
use stepwell::testing::{Builder, TestApp, TestError, TestRun, assert_survives_crashes};
use stepwell::{App, Config, Moment};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Blobs are as old as their files: a file's time is set back.
async fn put(fixture: &Fixture, key: &str, days_old: u32) {
    fixture.put(key, "x", "application/json").await;
    let path = fixture.folder.path().join("blobs").join(key);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let at = SystemTime::now() - DAY * days_old;
    file.set_modified(at).unwrap();
}

/// What is stored in `folder`, among it what must stay.
async fn fill(fixture: &Fixture) {
    for (key, days_old) in [
        ("vision/metadata/a/1.json", 31),
        ("vision/metadata/a/latest.json", 29),
        ("vision/metadata/b/1.json", 400),
        ("vision/source/a/source.bin", 31),
        ("vision/source/b/source.bin", 1),
        ("uploads/a.pdf", 400),
        ("visionary/a.json", 400),
    ] {
        put(fixture, key, days_old).await;
    }
}

async fn tick(app: &TestApp) -> Result<TestRun, TestError> {
    app.invoke("studio-233-cleanup-old-blobs", json!({})).await
}

#[tokio::test]
async fn what_is_older_than_thirty_days_goes_and_nothing_else() {
    let fixture = Fixture::new().await;
    fill(&fixture).await;
    let app = fixture
        .builder()
        .starts_at(SystemTime::now())
        .start()
        .await
        .unwrap();
    let run = tick(&app).await.unwrap();
    run.assert_output(json!({
        "status": "completed", "purged": 3, "category": "vision_artifacts", "threshold": "30d",
    }));
    assert_eq!(
        fixture.keys("vision").await,
        [
            "vision/metadata/a/latest.json",
            "vision/source/b/source.bin"
        ]
    );
    assert_eq!(fixture.keys("uploads").await.len(), 1);
    assert_eq!(fixture.keys("visionary").await.len(), 1);

    let again = tick(&app).await.unwrap();
    assert_eq!(again.output::<Output>().purged, 0);
}

#[tokio::test]
async fn it_runs_on_sundays_at_four() {
    let fixture = Fixture::new().await;
    // 2026-01-01 is a Thursday.
    let app = fixture.builder().start().await.unwrap();
    app.run_until("2026-01-11T05:00:00Z".parse::<Moment>().unwrap())
        .await
        .unwrap();
    let runs = app.runs_of("studio-233-cleanup-old-blobs").unwrap();
    let at: Vec<String> = runs.iter().map(|run| run.queued_at().to_string()).collect();
    assert_eq!(at, ["2026-01-04T04:00:00.000Z", "2026-01-11T04:00:00.000Z"]);
}

#[tokio::test]
async fn an_archive_of_several_pages_is_gone_through_a_step_for_each() {
    let fixture = Fixture::new().await;
    for number in 0..25 {
        let days_old = if number % 5 == 0 { 1 } else { 40 };
        put(&fixture, &format!("vision/{number:02}.json"), days_old).await;
    }
    let app = in_portions(&fixture, 10, PAGES_MAX).start().await.unwrap();
    let run = tick(&app).await.unwrap();
    assert_eq!(run.output::<Output>().purged, 20);
    assert_eq!(
        run.steps().len(),
        4,
        "three pages, and the purge of the last"
    );
    assert_eq!(fixture.keys("vision").await.len(), 5);
}

/// The function alone, in small portions.
fn in_portions(fixture: &Fixture, page: usize, pages: usize) -> Builder {
    let function = function_in(&fixture.deps, Portion { page, pages });
    let app = App::new(crate::client(Config::dev())).function(function);
    TestApp::builder().app(app).starts_at(SystemTime::now())
}

#[tokio::test]
async fn what_is_too_much_for_a_run_is_left_to_another_and_counted() {
    let fixture = Fixture::new().await;
    for number in 0..23 {
        let days_old = if number % 4 == 0 { 1 } else { 40 };
        put(&fixture, &format!("vision/{number:02}.json"), days_old).await;
    }
    let app = in_portions(&fixture, 3, 2).start().await.unwrap();
    let run = tick(&app).await.unwrap();
    assert_eq!(run.output::<Output>().purged, 17);
    let purge = "purge-old-vision-blobs";
    run.assert_steps([purge, purge, purge, "carry-on"]);
    assert_eq!(fixture.keys("vision").await.len(), 6);
    let runs = app.runs().unwrap();
    let counts = runs.iter().map(|run| run.output::<Output>().purged);
    // 23 blobs are eight pages, two a run; the first of them is the last to end.
    assert_eq!(counts.collect::<Vec<_>>(), [17, 13, 8, 4]);
}

#[tokio::test]
async fn nobody_has_it_delete_what_is_young() {
    let fixture = Fixture::new().await;
    fill(&fixture).await;
    let app = in_portions(&fixture, 10, 2).start().await.unwrap();
    let rest = json!({"beforeMs": i64::MAX, "after": "vision/metadata/a/latest.json"});
    let run = app.invoke(ID, rest).await.unwrap();
    assert_eq!(run.output::<Output>().purged, 2);
    assert_eq!(
        fixture.keys("vision").await,
        [
            "vision/metadata/a/1.json",
            "vision/metadata/a/latest.json",
            "vision/source/b/source.bin"
        ]
    );
}

#[tokio::test]
async fn it_survives_crashes_and_counts_right() {
    let fixture = Fixture::new().await;
    let refill = || futures::executor::block_on(fill(&fixture));
    let crashes = assert_survives_crashes(
        || {
            refill();
            in_portions(&fixture, 2, 1)
        },
        async |app| {
            let run = tick(app).await?;
            assert_eq!(run.output::<Output>().purged, 3);
            Ok::<_, TestError>(())
        },
    );
    assert!(crashes.await >= 6);
}
