//! How servers are started: keys, files of settings, apps that are found.

use crate::app::App;
use crate::server::{Folder, Server, client, stepwell};
use crate::{refused, run};
use serde_json::{Value, json};
use std::time::Duration;

const SIGNING_KEY: &str = "signkey-prod-00112233445566778899aabbccddeeff";

/// Waits until a server has said something.
async fn says(folder: &Folder, text: &str) {
    let said = async {
        while !folder.said().contains(text) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let patience = Duration::from_secs(60);
    if tokio::time::timeout(patience, said).await.is_err() {
        panic!("it never says '{text}': {}", folder.said());
    }
}

#[tokio::test]
async fn start_refuses_to_run_without_keys_and_says_how_to_make_them() {
    for (arguments, expected) in [
        (
            &["start"][..],
            "error: signing-key is required; at least one event-key is required\n",
        ),
        (
            &["start", "--event-key", "e"],
            "error: signing-key is required\n",
        ),
        (
            &["start", "--signing-key", SIGNING_KEY],
            "error: at least one event-key is required\n",
        ),
    ] {
        let said = refused(arguments, 1).await;
        assert!(said.starts_with(expected), "{said}");
        assert!(said.contains("stepwell keys new"), "{said}");
    }
    for (key, expected) in [
        (
            "signkey-prod-xyzxyz77",
            "signing-key must be valid hex string",
        ),
        (
            "0011223",
            "signing-key must be hex string with even number of chars",
        ),
    ] {
        let said = refused(&["start", "--event-key", "e", "--signing-key", key], 1).await;
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains(key), "a secret is not shown: {said}");
    }
    let only_fallback = ["dev", "--signing-key-fallback", SIGNING_KEY];
    let said = refused(&only_fallback, 1).await;
    assert!(said.contains("of use only beside --signing-key"), "{said}");
}

#[tokio::test]
async fn new_keys_open_a_server_that_was_started_with_them() {
    let made = run(&["keys", "new", "--name", "staging"]).await;
    assert!(made.status.success());
    let text = String::from_utf8(made.stdout).unwrap();
    let keys: Vec<(&str, &str)> = text
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .collect();
    let [
        ("INNGEST_EVENT_KEY", event_key),
        ("INNGEST_SIGNING_KEY", signing_key),
    ] = keys[..]
    else {
        panic!("{text}");
    };
    assert!(signing_key.starts_with("signkey-staging-"), "{signing_key}");
    let other: Value =
        serde_json::from_slice(&run(&["keys", "new", "--json"]).await.stdout).unwrap();
    assert_ne!(other["event_key"], event_key);

    let folder = Folder::new();
    let start = || {
        let mut command = stepwell();
        command
            .args(["start", "--port", "0", "--sqlite-dir"])
            .arg(folder.path("state"))
            .envs(keys.iter().copied());
        Server::launch(command, &folder)
    };
    let mut server = start();
    let url = server.url().await;
    let sent = |key: String| {
        let request = client().post(format!("{url}/e/{key}"));
        request.body(r#"{"name":"a/b"}"#).send()
    };
    assert_eq!(sent("other".to_owned()).await.unwrap().status(), 401);
    let answer = sent(event_key.to_owned()).await.unwrap();
    assert_eq!(answer.headers()["x-inngest-server-kind"], "cloud");
    let answer: Value = answer.json().await.unwrap();
    let id = answer["ids"][0].as_str().unwrap().to_owned();
    let events = client().get(format!("{url}/v1/events"));
    assert_eq!(events.send().await.unwrap().status(), 401);

    // What it was told is there after it was killed.
    server.kill().await;
    let mut server = start();
    let url = server.url().await;
    let events = client()
        .get(format!("{url}/v1/events"))
        .bearer_auth(signing_key);
    let events: Value = events.send().await.unwrap().json().await.unwrap();
    assert_eq!(events["data"][0]["internal_id"], json!(id));
    assert!(folder.path("state/stepwell.db").is_file());
}

#[tokio::test]
async fn a_file_of_settings_is_found_and_its_mistakes_are_named() {
    let folder = Folder::new();
    let database = folder.path("kept.db");
    let text = format!("port: 0\nno-discovery: true\ndb: {}\n", database.display());
    std::fs::write(folder.path("stepwell.yaml"), &text).unwrap();
    let mut command = stepwell();
    command.arg("dev").current_dir(folder.path(""));
    let mut server = Server::launch(command, &folder);
    server.url().await;
    assert!(database.is_file());

    std::fs::write(
        folder.path("stepwell.yaml"),
        "\nprot: 0\nsigning-key: [x, y]\n",
    )
    .unwrap();
    let mut command = stepwell();
    let output = command.arg("dev").current_dir(folder.path("")).output();
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("stepwell.yaml:2: unknown key 'prot'; did you mean 'port'?"),
        "{said}"
    );
    assert!(
        said.contains("stepwell.yaml:3: signing-key: takes one value, not a list"),
        "{said}"
    );
}

#[tokio::test]
async fn dev_finds_an_app_and_says_what_it_found() {
    let (folder, app) = (Folder::new(), App::start().await);
    let mut command = stepwell();
    command
        .args(["dev", "--port", "0", "--log", "info"])
        .env("PORT", app.port.to_string());
    let mut server = Server::launch(command, &folder);
    let url = server.url().await;
    says(&folder, "found an app").await;
    says(&folder, "app registered").await;
    assert!(folder.said().contains(&app.url), "{}", folder.said());
    let answer = client().get(format!("{url}/dev")).send().await.unwrap();
    let dev: Value = answer.json().await.unwrap();
    let handlers = dev["handlers"].as_array().unwrap();
    let found = handlers.iter().find(|handler| handler["url"] == app.url);
    assert_eq!(found.unwrap()["appName"], "shop", "{dev}");
}

#[tokio::test]
async fn dev_says_why_an_app_was_not_registered_and_what_else_listens() {
    let folder = Folder::new();
    let broken = App::with(|_| json!([{"id": "shop-f", "triggers": [{"event": "a"}]}])).await;
    // Something that is no app.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    tokio::spawn(async move { axum::serve(listener, axum::Router::new()).await });
    let mut command = stepwell();
    command
        .args(["dev", "--port", "0", "--log", "info", "-u", &broken.url])
        .args(["-u", "localhost:1/api/inngest"])
        .env("PORT", &port);
    let mut server = Server::launch(command, &folder);
    server.url().await;
    says(&folder, "Functions must contain one step").await;
    says(&folder, "nothing answers there").await;
    says(&folder, "something listens, but no app was found there").await;
    says(&folder, "/api/inngest is HTTP 404").await;
}
