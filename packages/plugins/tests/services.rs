//! Plugins that need someone else.

mod studio;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use studio::{Studio, media};
use studio233_plugins::{
    BackgroundRemover, Context, MediaFile, Object, Output, Pool, PoolSize, Provider,
    PythonExecutor, PythonJob, Removal, Removed, Secret, ServiceError, Services,
};
use tokio::sync::Semaphore;

type Answer = fn() -> Result<Bytes, ServiceError>;

/// Answers always the same, and notes who was asked with which key.
struct Remover {
    provider: Provider,
    answer: Answer,
    asked: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl BackgroundRemover for Remover {
    fn provider(&self) -> Provider {
        self.provider
    }

    async fn remove(&self, removal: Removal) -> Result<Removed, ServiceError> {
        let key = removal.api_key.as_ref().map_or("the app's", Secret::reveal);
        let note = format!(
            "{} with {key}: {}",
            self.provider.name(),
            removal.content_type
        );
        self.asked.lock().unwrap().push(note);
        (self.answer)().map(|image| Removed { image })
    }
}

fn cut_out() -> Result<Bytes, ServiceError> {
    Ok(media("alpha.png").into())
}

fn with_background() -> Result<Bytes, ServiceError> {
    Ok(media("rgb.webp").into())
}

fn no_picture() -> Result<Bytes, ServiceError> {
    Ok(Bytes::from_static(b"<html>"))
}

fn busy() -> Result<Bytes, ServiceError> {
    Err(ServiceError::transient("fal.ai has no room").retry_after(Duration::from_secs(7)))
}

fn refused() -> Result<Bytes, ServiceError> {
    Err(ServiceError::permanent("the picture is not allowed"))
}

/// Runs background removal over one photo. What came of it, and who was asked.
async fn removal(
    providers: &[(Provider, Answer)],
    config: Value,
) -> (Result<Output, studio233_plugins::PluginError>, Vec<String>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let studio = Studio::with(|mut services| {
        for (provider, answer) in providers {
            services = services.background_remover(Remover {
                provider: *provider,
                answer: *answer,
                asked: Arc::clone(&asked),
            });
        }
        services
    })
    .await;
    let photo = studio.put("photo.jpg", &media("photo.jpg")).await;
    let output = studio.run("background-removal", config, vec![photo]).await;
    let asked = asked.lock().unwrap().clone();
    (output, asked)
}

fn metadata(output: &Output) -> &Object {
    output.files[0].metadata.as_ref().unwrap()
}

/// Answers the first to ask when all others have their answer.
struct SlowWithTheFirst {
    asked: AtomicUsize,
    others: Semaphore,
}

const MANY: usize = 40;
const AT_ONCE: usize = 4;

/// What waits for ever is a failure, some time.
const PATIENCE: Duration = Duration::from_secs(120);

#[async_trait]
impl BackgroundRemover for SlowWithTheFirst {
    fn provider(&self) -> Provider {
        Provider::Local
    }

    async fn remove(&self, _: Removal) -> Result<Removed, ServiceError> {
        if self.asked.fetch_add(1, Ordering::Relaxed) == 0 {
            let others = self.others.acquire_many(MANY as u32 - 1).await;
            others.expect("it is never closed").forget();
        } else {
            self.others.add_permits(1);
        }
        cut_out().map(|image| Removed { image })
    }
}

#[tokio::test]
async fn a_file_that_takes_long_keeps_no_other_waiting_and_the_order_is_kept() {
    let studio = Studio::with(|services| {
        services.background_remover(SlowWithTheFirst {
            asked: AtomicUsize::new(0),
            others: Semaphore::new(0),
        })
    })
    .await;
    let mut photos = Vec::new();
    for number in 0..MANY {
        let name = format!("{number}.png");
        photos.push(studio.put(&name, &media("alpha.png")).await);
    }
    let run = studio.run("background-removal", json!({}), photos);
    let output = tokio::time::timeout(PATIENCE, run).await;
    let output = output.expect("the others are not kept waiting by the first");
    let made = output.unwrap().files;
    let names: Vec<String> = made.into_iter().map(|file| file.name).collect();
    let expected: Vec<String> = (0..MANY)
        .map(|number| format!("{number}_no_bg.png"))
        .collect();
    assert_eq!(names, expected);
}

/// Has no room for one picture until it is told that it has; the others it answers when that one has been refused.
#[derive(Clone)]
struct WithoutRoom(Arc<Room>);

struct Room {
    has_room: AtomicBool,
    asked: AtomicUsize,
    refused: Semaphore,
}

#[async_trait]
impl BackgroundRemover for WithoutRoom {
    fn provider(&self) -> Provider {
        Provider::Fal
    }

    async fn remove(&self, _: Removal) -> Result<Removed, ServiceError> {
        let Self(room) = self;
        let first = room.asked.fetch_add(1, Ordering::Relaxed) == 0;
        if first && !room.has_room.load(Ordering::Relaxed) {
            room.refused.add_permits(MANY);
            return Err(busy().unwrap_err());
        }
        let refused = room.refused.acquire().await;
        refused.expect("it is never closed").forget();
        cut_out().map(|image| Removed { image })
    }
}

#[tokio::test]
async fn what_was_paid_for_is_not_paid_for_again() {
    let room = Arc::new(Room {
        has_room: AtomicBool::new(false),
        asked: AtomicUsize::new(0),
        refused: Semaphore::new(0),
    });
    let equip = |services: Services| {
        let size = PoolSize {
            files: AT_ONCE,
            ..PoolSize::default()
        };
        services
            .pool(Pool::new(size))
            .background_remover(WithoutRoom(Arc::clone(&room)))
    };
    let studio = Studio::with(equip).await;
    let mut photos = Vec::new();
    for number in 0..MANY {
        let name = format!("{number}.png");
        photos.push(studio.put(&name, &media("alpha.png")).await);
    }

    let run = studio.run("background-removal", json!({}), photos.clone());
    let error = run.await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    let asked = room.asked.load(Ordering::Relaxed);
    assert_eq!(asked, AT_ONCE, "those at work, and no others");

    room.has_room.store(true, Ordering::Relaxed);
    room.refused.add_permits(MANY);
    let run = studio.run("background-removal", json!({}), photos.clone());
    let again = run.await.unwrap();
    assert_eq!(again.files.len(), MANY);
    // The one that was refused is asked for twice.
    assert_eq!(room.asked.load(Ordering::Relaxed), MANY + 1);

    // It is as if nothing had failed.
    let other = Studio::with(equip).await;
    room.refused.add_permits(MANY);
    for (number, photo) in photos.iter().enumerate() {
        let name = format!("{number}.png");
        assert_eq!(other.put(&name, &media("alpha.png")).await, *photo);
    }
    let run = other.run("background-removal", json!({}), photos);
    assert_eq!(run.await.unwrap(), again);
}

const FAL: &str = "fal with the app's: image/jpeg";
const GEMINI: &str = "gemini with the app's: image/jpeg";

#[tokio::test]
async fn fal_is_asked_first_and_alone_when_it_does_well() {
    let providers: [(_, Answer); 2] = [(Provider::Gemini, cut_out), (Provider::Fal, cut_out)];
    let (output, asked) = removal(&providers, json!({})).await;
    let output = output.unwrap();
    assert_eq!(asked, [FAL]);
    assert_eq!(output.files[0].name, "photo_no_bg.png");
    let metadata = metadata(&output);
    assert_eq!(metadata["provider"], "fal");
    assert_eq!(metadata["verified"], true);
    assert!(metadata["qualityScore"].as_f64().unwrap() > 0.9);
    assert_eq!(metadata["processedBy"], "background-removal");
}

#[tokio::test]
async fn gemini_is_asked_when_fal_fails_or_leaves_the_background() {
    for answer in [busy as Answer, refused, no_picture, with_background] {
        let providers: [(_, Answer); 2] = [(Provider::Fal, answer), (Provider::Gemini, cut_out)];
        let (output, asked) = removal(&providers, json!({})).await;
        assert_eq!(asked, [FAL, GEMINI]);
        assert_eq!(metadata(&output.unwrap())["provider"], "gemini");
    }
}

#[tokio::test]
async fn a_picture_that_still_has_its_background_is_not_called_verified() {
    let providers: [(_, Answer); 2] = [
        (Provider::Fal, with_background),
        (Provider::Gemini, refused),
    ];
    let (output, _) = removal(&providers, json!({})).await;
    let output = output.unwrap();
    assert_eq!(metadata(&output)["provider"], "fal");
    assert_eq!(metadata(&output)["verified"], false);
    assert_eq!(metadata(&output)["qualityScore"], 0.0);
}

#[tokio::test]
async fn the_studios_own_remover_is_the_last_and_never_stands_in_for_a_chosen_one() {
    let own: (_, Answer) = (Provider::Local, cut_out);
    let (output, _) = removal(&[own], json!({})).await;
    assert_eq!(metadata(&output.unwrap())["provider"], "local");
    let (output, asked) = removal(&[own, (Provider::Gemini, busy)], json!({})).await;
    assert_eq!(asked, [GEMINI, "local with the app's: image/jpeg"]);
    assert!(output.is_ok());
    let (output, asked) = removal(&[own], json!({"provider": "fal"})).await;
    assert!(output.is_err() && asked.is_empty());
}

#[tokio::test]
async fn the_chosen_provider_is_asked_alone_with_the_nodes_key() {
    let providers: [(_, Answer); 2] = [(Provider::Fal, cut_out), (Provider::Gemini, busy)];
    let config = json!({"provider": "gemini", "apiKey": "the node's"});
    let (output, asked) = removal(&providers, config).await;
    let error = output.unwrap_err();
    assert_eq!(asked, ["gemini with the node's: image/jpeg"]);
    assert!(error.is_retriable());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(
        error.message(),
        "background-removal cannot process photo.jpg: the background cannot be removed: fal.ai has no room"
    );
}

#[tokio::test]
async fn when_all_fail_one_that_may_work_later_decides() {
    let providers: [(_, Answer); 2] = [(Provider::Fal, refused), (Provider::Gemini, busy)];
    let (output, _) = removal(&providers, json!({})).await;
    assert!(output.unwrap_err().is_retriable());
    let providers: [(_, Answer); 2] = [(Provider::Fal, refused), (Provider::Gemini, refused)];
    let (output, _) = removal(&providers, json!({})).await;
    assert!(!output.unwrap_err().is_retriable());
}

#[tokio::test]
async fn without_a_provider_it_says_so() {
    for (config, expected) in [
        (
            json!({}),
            "background-removal cannot run: no provider is configured; it needs fal.ai or Gemini",
        ),
        (
            json!({"provider": "fal"}),
            "background-removal cannot run: fal.ai is not configured",
        ),
    ] {
        let (output, _) = removal(&[], config).await;
        let error = output.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!error.is_retriable());
    }
}

/// Returns the files, and the job in the metadata.
struct Echo;

#[async_trait]
impl PythonExecutor for Echo {
    async fn execute(&self, context: &Context, job: PythonJob) -> Result<Output, ServiceError> {
        let mut metadata = Object::new();
        metadata.insert("script".to_owned(), job.script.into());
        metadata.insert("args".to_owned(), job.args.into());
        metadata.insert("env".to_owned(), json!(job.env));
        metadata.insert("run".to_owned(), context.run_id.clone().into());
        Ok(Output {
            files: job.files,
            metadata,
        })
    }
}

#[tokio::test]
async fn only_scripts_on_the_list_are_run() {
    let scripts = ["blur", "sharpen"].map(str::to_owned);
    let studio = Studio::with(|services| services.python(Echo, scripts)).await;
    let file =
        MediaFile::coerce(&json!({"url": "https://x", "name": "a.mp4", "type": "video"})).unwrap();
    let config = json!({"scriptRef": "blur", "args": ["3"], "env": {"MODE": "soft"}});
    let output = studio
        .run("python-script", config, vec![file.clone()])
        .await
        .unwrap();
    assert_eq!(output.files, [file]);
    assert_eq!(
        Value::Object(output.metadata),
        json!({"script": "blur", "args": ["3"], "env": {"MODE": "soft"}, "run": "run-1", "processedBy": "python-script"})
    );
    for script in ["import os", "../blur", "Blur"] {
        let error = studio
            .run("python-script", json!({"scriptRef": script}), Vec::new())
            .await
            .unwrap_err();
        assert!(!error.is_retriable());
        assert_eq!(
            error.to_string(),
            format!(
                "the config of python-script is wrong: scriptRef: {script:?} is not an allowed script; allowed are: blur, sharpen"
            )
        );
    }
}

#[tokio::test]
async fn without_an_executor_python_says_so() {
    let studio = Studio::new().await;
    let error = studio
        .run("python-script", json!({"scriptRef": "blur"}), Vec::new())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "python-script cannot run: no Python executor is configured"
    );
    assert!(!error.is_retriable());
}
