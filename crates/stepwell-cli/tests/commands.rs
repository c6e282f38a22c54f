//! The command line as people and init systems use it.

#[path = "kill/server.rs"]
mod server;

#[path = "commands/app.rs"]
mod app;
#[path = "commands/asking.rs"]
mod asking;
#[path = "commands/operations.rs"]
mod operations;
#[path = "commands/starting.rs"]
mod starting;

use crate::server::{Folder, Server, client, stepwell};
use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::connect::{Message, StartResponse};
use tokio::sync::{Notify, Semaphore};

async fn run(arguments: &[&str]) -> Output {
    stepwell()
        .args(arguments)
        .output()
        .await
        .expect("the binary starts")
}

/// Runs a command that must fail with this exit code; returns what it says.
async fn refused(arguments: &[&str], code: i32) -> String {
    let output = run(arguments).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

#[tokio::test]
async fn a_file_in_use_names_the_process_that_uses_it() {
    let folder = Folder::new();
    let mut first = Server::start(&folder, &[]);
    first.url().await;
    let database = folder.database();
    let database = database.to_str().expect("the path is text");
    let said = refused(&["dev", "--port", "0", "--db", database], 1).await;
    assert_eq!(
        said,
        format!(
            "error: {database} is in use by another process (pid {}); stop it, or give this one another file\n",
            first.pid()
        )
    );
}

#[tokio::test]
async fn a_dead_servers_file_is_free_at_once() {
    let folder = Folder::new();
    let mut first = Server::start(&folder, &[]);
    first.url().await;
    first.kill().await;
    let mut second = Server::start(&folder, &[]);
    second.url().await;
}

#[tokio::test]
async fn a_port_in_use_says_what_to_do() {
    let holder = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let said = refused(&["dev", "--port", &port], 1).await;
    let expected = format!(
        "error: cannot listen on 127.0.0.1:{port}; is another server running? choose another port with --port: "
    );
    assert!(said.starts_with(&expected), "{said}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_alone() {
    let folder = Folder::new();
    let path = folder.path("notes.txt");
    let text = "these are notes, not a database\n".repeat(200);
    std::fs::write(&path, &text).unwrap();
    let name = path.to_str().expect("the path is text");
    let said = refused(&["dev", "--port", "0", "--db", name], 1).await;
    assert!(
        said.contains(name) && said.contains("not a database"),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn wrong_options_are_explained() {
    for (arguments, expected) in [
        (
            &["dev", "--port", "http"][..],
            "invalid value 'http' for '--port <PORT>'",
        ),
        (&["dev", "--port", "70000"], "70000 is not in 0..=65535"),
        (&["dev", "--max-calls", "0"], "0 is not in 1..=100000"),
        (
            &["dev", "--db", "x.db", "--sync", "often"],
            "[possible values: full, process]",
        ),
        (&["dev", "--retry-interval", "-1"], "'-1'"),
        (
            &["dev", "--retain", "a week"],
            "'a week' is not a duration; write a number and a unit (ns, us, ms, s, m, h, d, w), e.g. 90s or 1d12h, or \
             forever",
        ),
        (
            &["dev", "--retain", "1h"],
            "invalid value '1h' for '--retain <AGE>': the least is 24h: as long as duplicates are found",
        ),
        (
            &["dev", "--db", "x.db", "--retain-size", "2"],
            "invalid value '2' for '--retain-size <SIZE>': write a number and a unit",
        ),
        (
            &["dev", "--db", "x.db", "--retain-size", "1MiB"],
            "the least is 16MiB",
        ),
        (&["dev", "--in-memory"], "unexpected argument '--in-memory'"),
        (
            &["dev", "--log-format", "xml"],
            "[possible values: text, json]",
        ),
        (
            &["dev", "--log", "info,=,"],
            "invalid value 'info,=,' for '--log <FILTER>'",
        ),
        (&["dev", "--connect-lease", "5"], "5 is not in 6..=3600"),
        (
            &["dev", "--connect-gateway-url", "https://jobs.example"],
            "write a WebSocket's URL, e.g. wss://jobs.example/v0/connect",
        ),
        (
            &["dev", "-u", "/api/inngest"],
            "write the URL of an app, e.g. http://localhost:3000/api/inngest",
        ),
        (&["develop"], "unrecognized subcommand 'develop'"),
        (&[], "Usage: stepwell"),
    ] {
        let said = refused(arguments, 2).await;
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_command_line_is_said_in_json_to_whoever_asks_for_json() {
    let folder = Folder::new();
    let settings = folder.path("stepwell.yaml");
    std::fs::write(&settings, "port: high\nprot: 1\n").unwrap();
    let settings = settings.to_str().expect("the path is text");
    for (arguments, expected) in [
        (
            &["--json", "dev", "--port", "http"][..],
            "invalid value 'http' for '--port <PORT>': invalid digit found in string".to_owned(),
        ),
        (
            &["runs", "list", "--json", "--statsu", "failed"],
            "unexpected argument '--statsu' found\n\n  tip: a similar argument exists: '--status'"
                .to_owned(),
        ),
        (
            &["develop", "--json"],
            "unrecognized subcommand 'develop'\n\n  tip: a similar subcommand exists: 'dev'"
                .to_owned(),
        ),
        (
            &["--json", "runs"],
            "a command is missing; --help shows which there are".to_owned(),
        ),
        (
            &["keys", "--json"],
            "'stepwell keys' requires a subcommand but one was not provided".to_owned(),
        ),
        (
            &["dev", "--json", "--config", settings],
            format!(
                "{settings}:2: unknown key 'prot'; did you mean 'port'?\n\
                 {settings}:1: port: 'high' cannot be used: invalid digit found in string"
            ),
        ),
    ] {
        let said = refused(arguments, 2).await;
        let said: Value = serde_json::from_str(&said)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}"));
        assert_eq!(said.as_object().map(serde_json::Map::len), Some(1));
        let said = said["error"].as_str().expect("it is a text");
        // Of commands that are missing clap adds a list.
        let (first, list) = said.split_once("\n  [subcommands").unwrap_or((said, ""));
        assert_eq!(first, expected, "{arguments:?}");
        assert!(list.is_empty() || first.contains("requires a subcommand"));
    }
    // Help is for people, whoever asks.
    let help = run(&["--json", "--help"]).await;
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("Usage: stepwell"));
    // Behind `--` everything is an argument.
    let said = refused(&["dev", "--", "--json"], 2).await;
    assert!(said.starts_with("error: unexpected argument"), "{said}");
}

#[tokio::test]
async fn what_needs_a_file_says_so() {
    for (option, value) in [("--sync", "full"), ("--retain-size", "2GiB")] {
        let said = refused(&["dev", option, value], 1).await;
        let expected = format!(
            "error: {option} is of use only where a file is kept: add --db <FILE> or --persist\n"
        );
        assert_eq!(said, expected);
    }
}

#[tokio::test]
async fn help_tells_every_option() {
    for (name, arguments) in [
        ("help", &["--help"][..]),
        ("dev_help", &["dev", "--help"]),
        ("start_help", &["start", "-h"]),
        ("events_help", &["events", "-h"]),
        ("events_send_help", &["events", "send", "-h"]),
        ("runs_help", &["runs", "-h"]),
        ("runs_list_help", &["runs", "list", "-h"]),
        ("doctor_help", &["doctor", "-h"]),
        ("backup_help", &["backup", "--help"]),
    ] {
        let output = run(arguments).await;
        assert!(output.status.success());
        insta::assert_snapshot!(name, String::from_utf8_lossy(&output.stdout));
    }
}

#[tokio::test]
async fn completions_and_manual_pages_know_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completions", shell]).await;
        assert!(output.status.success());
        let script = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            script.contains("verdicts") && script.contains("signing-key-fallback"),
            "{shell}"
        );
    }
    let folder = Folder::new();
    let output = run(&["man", folder.path("man").to_str().unwrap()]).await;
    assert!(output.status.success());
    for page in ["stepwell.1", "stepwell-dev.1", "stepwell-events-send.1"] {
        let text = std::fs::read_to_string(folder.path("man").join(page)).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
    assert!(
        !folder.path("man/stepwell-man.1").exists(),
        "hidden commands have no page"
    );
}

#[tokio::test]
async fn the_ready_file_says_where_the_server_is() {
    let folder = Folder::new();
    let mut server = Server::start(&folder, &[]);
    let url = server.url().await;
    let health: Value = client()
        .get(format!("{url}/health"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(health, json!({"status": 200, "message": "OK"}));
}

/// Asks a server where workers connect.
async fn gateway_of(url: &str) -> String {
    let answer = client()
        .post(format!("{url}/v0/connect/start"))
        .send()
        .await
        .unwrap();
    let started = StartResponse::decode(answer.bytes().await.unwrap()).unwrap();
    started.gateway_endpoint
}

#[tokio::test]
async fn workers_are_sent_to_the_gateways_port_or_to_a_free_one() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port_taken = taken.local_addr().unwrap().port().to_string();
    for port in ["0", &port_taken] {
        let folder = Folder::new();
        let mut server = Server::start(&folder, &["--connect-gateway-port", port]);
        let gateway = gateway_of(&server.url().await).await;
        let address = gateway
            .strip_prefix("ws://")
            .and_then(|rest| rest.strip_suffix("/v0/connect"))
            .unwrap_or_else(|| panic!("{gateway}"));
        let ready = client()
            .get(format!("http://{address}/ready"))
            .send()
            .await
            .unwrap();
        assert_eq!(ready.status(), 200, "{gateway}");
    }
}

#[tokio::test]
async fn workers_may_be_told_another_place() {
    let folder = Folder::new();
    let place = "wss://jobs.example/v0/connect";
    let mut server = Server::start(&folder, &["--connect-gateway-url", place]);
    assert_eq!(gateway_of(&server.url().await).await, place);
}

/// An app whose calls wait until they are let go.
struct SlowApp {
    url: String,
    called: Arc<Notify>,
    go: Arc<Semaphore>,
}

impl SlowApp {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/inngest", listener.local_addr().unwrap());
        let (called, go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
        let (call, gate) = (Arc::clone(&called), Arc::clone(&go));
        let router = Router::new().route(
            "/api/inngest",
            post(move || async move {
                call.notify_one();
                gate.acquire().await.unwrap().forget();
                ([("x-inngest-sdk", "test:v0.1.0")], "\"done\"")
            }),
        );
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, called, go }
    }

    async fn called(&self) {
        tokio::time::timeout(Duration::from_secs(60), self.called.notified())
            .await
            .expect("the app is called");
    }

    /// Registers with a server and sends it one event, whose internal id it returns.
    async fn put_to_work(&self, server: &str) -> String {
        let function = json!({
            "id": "slow-f", "name": "f", "triggers": [{"event": "slow/go"}],
            "steps": {"step": {"id": "step", "name": "step", "runtime": {"type": "http", "url": self.url}}},
        });
        let registration = json!({"url": self.url, "appName": "slow", "sdk": "rust:v0.1.0", "functions": [function]});
        let (status, answer) = post_json(&format!("{server}/fn/register"), registration).await;
        assert_eq!(status, 200, "{answer}");
        let (status, answer) =
            post_json(&format!("{server}/e/test"), json!({"name": "slow/go"})).await;
        assert_eq!(status, 200, "{answer}");
        answer["ids"][0].as_str().unwrap().to_owned()
    }
}

async fn post_json(url: &str, body: Value) -> (u16, Value) {
    let answer = client()
        .post(url)
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

/// The only run of an event, in the state in which the file has it.
fn run_in_file(folder: &Folder, event: &str) -> stepwell_store::RunRecord {
    let store =
        stepwell_store::sqlite::open(&stepwell_store::sqlite::Options::new(folder.database()))
            .unwrap();
    let mut runs = store.reader.runs_of_event(event.parse().unwrap()).unwrap();
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_that_is_told_to_stop_lets_calls_finish_and_takes_nothing_new() {
    let folder = Folder::new();
    let app = SlowApp::start().await;
    let mut server = Server::start(&folder, &["--grace", "600"]);
    let url = server.url().await;
    let event = app.put_to_work(&url).await;
    app.called().await;
    server.terminate();
    // The signal takes a moment to arrive.
    let refusal = loop {
        let (status, answer) =
            post_json(&format!("{url}/e/test"), json!({"name": "slow/other"})).await;
        if status != 200 {
            break (status, answer);
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        refusal,
        (
            503,
            json!({"error": "the server is shutting down", "data": null, "status": 503})
        )
    );
    app.go.add_permits(1);
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{}", folder.said());
    let run = run_in_file(&folder, &event);
    assert_eq!(run.status, stepwell_engine::RunStatus::Completed);
    assert_eq!(run.output.unwrap().get(), "\"done\"");
}

#[cfg(unix)]
#[tokio::test]
async fn a_call_that_does_not_finish_in_time_is_made_again_at_the_next_start() {
    let folder = Folder::new();
    let app = SlowApp::start().await;
    let mut server = Server::start(&folder, &["--grace", "0"]);
    let event = app.put_to_work(&server.url().await).await;
    app.called().await;
    server.terminate();
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{}", folder.said());
    assert!(
        folder
            .said()
            .contains("they are made again at the next start"),
        "{}",
        folder.said()
    );
    assert_eq!(
        run_in_file(&folder, &event).status,
        stepwell_engine::RunStatus::Running
    );

    let mut server = Server::start(&folder, &[]);
    server.url().await;
    app.called().await;
    app.go.add_permits(2);
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0), "{}", folder.said());
    assert_eq!(
        run_in_file(&folder, &event).status,
        stepwell_engine::RunStatus::Completed
    );
}

#[cfg(unix)]
#[tokio::test]
async fn asked_twice_a_server_stops_at_once() {
    let folder = Folder::new();
    let app = SlowApp::start().await;
    let mut server = Server::start(&folder, &["--grace", "600", "--log", "info"]);
    app.put_to_work(&server.url().await).await;
    app.called().await;
    server.terminate();
    while !folder.said().contains("stopping") {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0), "{}", folder.said());
}
