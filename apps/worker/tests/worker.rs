//! A server and a worker, in one process and over a real connection.

use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use stepwell::{Config, OutgoingEvent};
use stepwell_runtime::{HttpInvoker, HttpOptions, Invokers, Options as RuntimeOptions, Runtime};
use stepwell_server::{ConnectOptions, Gateway, ServerOptions};
use stepwell_store::memory;
use studio233_db::{Database, NewWorkspace, WorkspaceId};
use studio233_inngest::Client;
use studio233_setup::Settings;
use studio233_worker::Options;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A failing test ends, some time.
const PATIENCE: Duration = Duration::from_secs(60);

async fn server() -> (Runtime, String) {
    let gateway = Gateway::new(ConnectOptions::default());
    let http = HttpInvoker::new(HttpOptions::default()).unwrap();
    let invokers = Invokers::none()
        .with("http", Arc::new(http))
        .with("wss", gateway.invoker());
    let runtime = Runtime::start(memory::open(), invokers, RuntimeOptions::default()).unwrap();
    let options = ServerOptions {
        connect: Some(gateway),
        ..ServerOptions::dev()
    };
    let router = stepwell_server::router(runtime.handle(), options);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (runtime, url)
}

#[tokio::test]
async fn a_worker_runs_the_studios_jobs_until_it_is_told_to_stop() {
    let (runtime, url) = server().await;
    let folder = tempfile::tempdir().unwrap();
    let config = Config::read(|name| match name {
        "INNGEST_DEV" => Some(url.clone()),
        _ => None,
    });
    let settings = Settings {
        inngest: config.unwrap(),
        ..Settings::in_folder(folder.path().join("data"))
    };
    let client: Client = studio233_inngest::client(settings.inngest.clone());
    let options = Options {
        concurrency: Some(4),
        name: Some("worker-of-a-test".to_owned()),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let data = settings.data.clone();
    let worker = tokio::spawn(async move {
        let told = async move { drop(stopped.await) };
        studio233_worker::run(&settings, &options, told).await
    });

    // The server knows the functions once the worker is ready.
    let handle = runtime.handle();
    let ready = async {
        while handle
            .read(|reader| reader.functions())
            .await
            .unwrap()
            .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready)
        .await
        .expect("the worker connects");
    let database = Database::open_sqlite(data.join("studio.db")).await.unwrap();
    let workspace = NewWorkspace {
        id: WorkspaceId::new("w"),
        name: "W".to_owned(),
        slug: "w".to_owned(),
        user_id: "local".to_owned(),
    };
    database.create_workspace(&workspace, 1).await.unwrap();

    let mut news = handle.watch();
    let gif = "data:image/gif;base64,R0lGODlhAQABAIAAAP8AAP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==";
    let image = json!({"workspaceId": "w", "assetId": "a", "url": gif, "filename": "red.gif"});
    let sent = client
        .send(OutgoingEvent::untyped("brand.asset.vision_sync", image))
        .await
        .unwrap();
    let output = async {
        loop {
            let runs = handle
                .read(move |reader| reader.runs_of_event(sent))
                .await
                .unwrap();
            if let [run] = &*runs
                && run.status.has_ended()
            {
                let output = run.output.as_ref().expect("it has one");
                return serde_json::from_str::<Value>(output.get()).unwrap();
            }
            news.recv().await.unwrap();
        }
    };
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .expect("the run ends");
    assert_eq!(output, json!({"status": "synchronized", "assetId": "a"}));
    let workspace = database.workspace(&workspace.id).await.unwrap().unwrap();
    let profile = workspace.brand_profile.unwrap();
    assert_eq!(profile["coreIdentity"]["colors"][0], "#FF0000");

    stop.send(()).unwrap();
    let ended = tokio::time::timeout(PATIENCE, worker)
        .await
        .expect("it stops");
    ended.unwrap().unwrap();
    runtime.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_worker_without_a_place_for_its_data_says_so() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = Settings::in_folder(file.path().join("data"));
    let refused = studio233_worker::run(&settings, &Options::default(), async {}).await;
    assert_eq!(refused.unwrap_err().code, "data_folder");
}
