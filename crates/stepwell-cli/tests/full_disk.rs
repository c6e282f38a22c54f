//! A disk that is really full: a small one of its own, mounted for the server alone.

#![cfg(target_os = "linux")]

#[path = "kill/server.rs"]
#[expect(dead_code, reason = "shared with tests that do more with servers")]
mod server;

use crate::server::{Folder, Server, client, stepwell};
use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// The disk's size, and the part of it that something else takes at first.
const DISK: &str = "size=6m";
const BALLAST: &str = "3M";
const EVENT_BYTES: usize = 60_000;
/// How long anything may take. Only a test that fails meets it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that runs a program with a small disk at `disk`, which only it and its children see.
fn with_small_disk(disk: &Path, program: &Command) -> Command {
    let mut command = Command::new("unshare");
    let script = r#"mount -t tmpfs -o "$1" tmpfs "$2" && head -c "$3" /dev/zero >"$2/ballast" && shift 3 && exec "$@""#;
    command
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
            DISK,
        ])
        .arg(disk)
        .arg(BALLAST)
        .arg(program.as_std().get_program());
    command
}

async fn post_json(url: &str, body: &Value) -> (u16, Value) {
    let answer = client()
        .post(url)
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn get_json(url: &str) -> (u16, Value) {
    let answer = client().get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn event(n: usize) -> Value {
    json!({"name": "go", "id": format!("event-{n}"), "data": {"n": n, "text": "x".repeat(EVENT_BYTES)}})
}

/// The run of an event, as soon as it has ended.
async fn ended(url: &str, event: &str) -> Value {
    let ended = async {
        loop {
            let (_, answer) = get_json(&format!("{url}/v1/events/{event}/runs")).await;
            let runs = answer["data"].as_array().unwrap();
            assert_eq!(runs.len(), 1, "{answer}");
            if !runs[0]["ended_at"].is_null() {
                return runs[0].clone();
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("the run ends")
}

#[tokio::test]
async fn a_full_disk_is_named_nothing_is_lost_and_work_goes_on_with_room() {
    let folder = Folder::new();
    let disk = folder.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let possible = with_small_disk(&disk, &Command::new("true")).status().await;
    if !possible.is_ok_and(|status| status.success()) {
        say("not tested: this system does not let a process mount a disk of its own");
        return;
    }

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = format!("http://{}/api/inngest", listener.local_addr().unwrap());
    let answer = || async { ([("x-inngest-sdk", "test:v0.1.0")], "\"done\"") };
    let router = Router::new()
        .route("/api/inngest", post(answer))
        .layer(axum::extract::DefaultBodyLimit::disable());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let command = with_small_disk(&disk, &stepwell());
    let mut server = Server::start_by(command, &folder, &disk.join("stepwell.db"), &[]);
    let url = server.url().await;
    let function = json!({
        "id": "app-f", "triggers": [{"event": "go"}], "steps": {"step": {"runtime": {"type": "http", "url": app}}},
    });
    let registration = json!({"url": app, "appName": "app", "functions": [function]});
    let (status, answer) = post_json(&format!("{url}/fn/register"), &registration).await;
    assert_eq!(status, 200, "{answer}");

    let mut acknowledged = Vec::new();
    let refusal = loop {
        assert!(acknowledged.len() < 1_000, "the disk never fills up");
        match post_json(&format!("{url}/e/test"), &event(acknowledged.len())).await {
            (200, answer) => acknowledged.push(answer["ids"][0].as_str().unwrap().to_owned()),
            (status, answer) => break (status, answer["error"].clone()),
        }
    };
    let full = "the disk that holds the database is full; make room and work goes on by itself";
    assert_eq!(
        refusal,
        (503, json!(format!("the store cannot be written: {full}")))
    );
    assert!(acknowledged.len() > 5, "{}", acknowledged.len());
    let (status, health) = get_json(&format!("{url}/health")).await;
    assert_eq!((status, &health["error"]), (503, &json!(full)));

    // Whatever took the room is deleted; the server notices by itself.
    let ballast = format!(
        "/proc/{}/root{}",
        server.pid(),
        disk.join("ballast").display()
    );
    std::fs::remove_file(ballast).expect("the server's disk can be reached");
    let recovered = async {
        while get_json(&format!("{url}/health")).await.0 != 200 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, recovered)
        .await
        .expect("the server goes on");
    let (status, answer) = post_json(&format!("{url}/e/test"), &event(acknowledged.len())).await;
    assert_eq!(status, 200, "{answer}");
    acknowledged.push(answer["ids"][0].as_str().unwrap().to_owned());
    for event in &acknowledged {
        let run = ended(&url, event).await;
        assert_eq!(
            (&run["status"], &run["output"]),
            (&json!("Completed"), &json!("done")),
            "{run}"
        );
    }
    server.terminate();
    assert!(server.ended().await.success(), "{}", folder.said());
}

#[expect(clippy::print_stderr, reason = "whoever reads the results should know")]
fn say(text: &str) {
    eprintln!("{text}");
}
