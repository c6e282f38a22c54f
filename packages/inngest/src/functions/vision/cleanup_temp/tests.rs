use super::*;
use crate::functions::fixture::Fixture;
use serde_json::json;
use stepwell::testing::{TestError, TestRun, assert_survives_crashes};

async fn run(fixture: &Fixture, path: &str) -> TestRun {
    let app = fixture.builder().start().await.unwrap();
    let event = CleanupRequested {
        path: path.to_owned(),
    };
    app.run(event).await.unwrap()
}

/// A file in the folder for temporary files.
fn file(fixture: &Fixture, name: &str) -> PathBuf {
    let path = fixture.deps.temp_folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "pixels").unwrap();
    path
}

#[tokio::test]
async fn a_file_goes_after_five_minutes_however_it_is_named() {
    let fixture = Fixture::new().await;
    for (name, is_absolute) in [
        ("a.png", true),
        ("b.png", false),
        ("c/d/e.png", false),
        ("./f.png", false),
    ] {
        let path = file(&fixture, name);
        let asked = match is_absolute {
            true => path.to_str().unwrap(),
            false => name,
        };
        let run = run(&fixture, asked).await;
        run.assert_output(json!({"status": "completed", "path": asked}))
            .assert_steps(["wait-for-safety-window", "prune-file"])
            .assert_took(SAFETY_WINDOW);
        assert!(!path.exists(), "{asked}");
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_fine() {
    let mut fixture = Fixture::new().await;
    file(&fixture, "file");
    for path in ["gone.png", "no/such/folder/gone.png", "file/below.png"] {
        let run = run(&fixture, path).await;
        run.assert_completed();
    }
    fixture.deps.temp_folder = fixture.folder.path().join("never-made");
    run(&fixture, "gone.png").await.assert_completed();
}

#[tokio::test]
async fn what_is_elsewhere_is_refused_and_stays() {
    let fixture = Fixture::new().await;
    let outside = fixture.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let secret = outside.join("secret.png");
    std::fs::write(&secret, "pixels").unwrap();
    let temp = &fixture.deps.temp_folder;
    std::os::unix::fs::symlink(&outside, temp.join("door")).unwrap();
    std::os::unix::fs::symlink(&secret, temp.join("link.png")).unwrap();
    std::fs::create_dir(temp.join("folder")).unwrap();
    let absolute = |name: &str| temp.join(name).to_str().unwrap().to_owned();
    for path in [
        secret.to_str().unwrap().to_owned(),
        "/etc/passwd".to_owned(),
        "../outside/secret.png".to_owned(),
        "folder/../../outside/secret.png".to_owned(),
        absolute("../outside/secret.png"),
        "door/secret.png".to_owned(),
        absolute("door/secret.png"),
        "link.png".to_owned(),
        "folder".to_owned(),
        String::new(),
        ".".to_owned(),
        absolute(""),
        "a\0b".to_owned(),
    ] {
        let run = run(&fixture, &path).await;
        run.assert_failed().assert_attempts("prune-file", 1);
        let told = run.error().unwrap().message;
        assert!(
            told.contains("only what is in there") || told.contains("is not a file"),
            "{path}: {told}"
        );
        assert!(
            secret.exists() && temp.join("link.png").is_symlink(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn it_survives_crashes() {
    let fixture = Fixture::new().await;
    let crashes = assert_survives_crashes(
        || {
            file(&fixture, "a.png");
            fixture.builder()
        },
        async |app| {
            let event = CleanupRequested {
                path: "a.png".to_owned(),
            };
            let run = app.run(event).await?;
            run.assert_completed();
            assert!(!fixture.deps.temp_folder.join("a.png").exists());
            Ok::<_, TestError>(())
        },
    );
    assert!(crashes.await >= 6);
}
