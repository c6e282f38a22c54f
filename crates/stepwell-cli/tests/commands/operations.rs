//! What whoever runs a server does with it: copy its database, scrape it, take it out of rotation.

use crate::app::App;
use crate::server::{Folder, Server, client, stepwell};
use crate::{refused, run};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

const SIGNING_KEY: &str = "signkey-prod-00112233445566778899aabbccddeeff";

async fn get(url: &str) -> (u16, Value) {
    let answer = client().get(url).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

/// Sends orders one after another; their internal ids.
async fn send(url: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let order = json!({"name": "shop/order.placed", "data": {"cents": 250}});
        let request = client().post(format!("{url}/e/test")).json(&order);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        ids.push(answer["ids"][0].as_str().unwrap().to_owned());
    }
    ids
}

/// The runs that an event started.
async fn runs_of(url: &str, event: &str) -> Vec<Value> {
    let (_, answer) = get(&format!("{url}/v1/events/{event}/runs")).await;
    answer["data"].as_array().cloned().unwrap_or_default()
}

/// A server that has registered this app.
async fn serving(folder: &Folder, database: &str, app: &App) -> (Server, String) {
    let path = folder.path(database);
    let arguments = ["-u", &app.url, "--connect-gateway-port", "0"];
    let mut server = Server::start_by(stepwell(), folder, &path, &arguments);
    let url = server.url().await;
    while get(&format!("{url}/v1/functions")).await.1["data"] == json!([]) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (server, url)
}

#[tokio::test]
async fn a_backup_made_under_load_is_a_server_whose_runs_go_on() {
    let (folder, app) = (Folder::new(), App::start().await);
    let (server, url) = serving(&folder, "stepwell.db", &app).await;
    let before = send(&url, 20).await;
    let sending = {
        let url = url.clone();
        tokio::spawn(async move { send(&url, 200).await })
    };
    let (database, copy) = (folder.path("stepwell.db"), folder.path("copy.db"));
    let (database, copy) = (database.to_str().unwrap(), copy.to_str().unwrap());
    let made = run(&["backup", copy, "--db", database, "--json"]).await;
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{said}");
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(made["file"], copy);
    assert_eq!(made["bytes"], std::fs::metadata(copy).unwrap().len());
    let meanwhile = sending.await.unwrap();
    server.kill().await;

    let (server, url) = serving(&folder, "copy.db", &app).await;
    let mut kept = 0;
    for event in before.iter().chain(&meanwhile) {
        let (status, _) = get(&format!("{url}/v1/events/{event}")).await;
        if status == 404 {
            continue;
        }
        kept += 1;
        // It came with its run, which goes on to its end.
        loop {
            let runs = runs_of(&url, event).await;
            assert_eq!(runs.len(), 1, "{event}: {runs:?}");
            if !runs[0]["ended_at"].is_null() {
                assert_eq!(runs[0]["output"], json!({"paid": 250}), "{runs:?}");
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert!(kept >= before.len(), "{kept}");
    server.kill().await;
    let checked = run(&["doctor", "--offline", "--db", copy]).await;
    assert!(checked.status.success(), "{checked:?}");
}

#[tokio::test]
async fn a_backup_replaces_nothing_unless_told_to() {
    let folder = Folder::new();
    let mut server = Server::start(&folder, &[]);
    server.url().await;
    let (database, copy) = (folder.database(), folder.path("copy.db"));
    let (database, copy) = (database.to_str().unwrap(), copy.to_str().unwrap());
    std::fs::write(copy, "precious").unwrap();
    let said = refused(&["backup", copy, "--db", database], 1).await;
    assert_eq!(
        said,
        format!("error: {copy} exists; replace it with --force\n")
    );
    assert_eq!(std::fs::read(copy).unwrap(), b"precious");
    let made = run(&["backup", copy, "--db", database, "--force"]).await;
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(
        said.contains(&format!("of {database} copied to {copy} and checked")),
        "{said}"
    );
    let said = refused(&["backup", database, "--db", database, "--force"], 1).await;
    assert_eq!(
        said,
        format!("error: {database} belongs to the database itself\n")
    );
    let nowhere = folder.path("nowhere.db");
    let nowhere = nowhere.to_str().unwrap();
    let said = refused(&["backup", copy, "--db", nowhere, "--force"], 1).await;
    assert!(
        said.starts_with(&format!("error: cannot find {nowhere}")),
        "{said}"
    );
}

#[tokio::test]
async fn a_server_with_keys_shows_its_metrics_to_whoever_has_one() {
    let folder = Folder::new();
    let mut command = stepwell();
    command
        .args(["start", "--port", "0", "--connect-gateway-port", "0"])
        .args(["--event-key", "e", "--signing-key", SIGNING_KEY])
        .arg("--sqlite-dir")
        .arg(folder.path("state"))
        .env("STEPWELL_METRICS_TOKEN", "scrape-me");
    let mut server = Server::launch(command, &folder);
    let url = server.url().await;
    let scraped = |bearer| {
        let request = client().get(format!("{url}/metrics"));
        request.bearer_auth(bearer).send()
    };
    assert_eq!(scraped("no").await.unwrap().status(), 401);
    assert_eq!(scraped(SIGNING_KEY).await.unwrap().status(), 200);
    let text = scraped("scrape-me").await.unwrap().text().await.unwrap();
    let names: HashSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert!(names.contains("stepwell_connect_workers"), "{text}");
    let connections = text
        .lines()
        .find_map(|line| line.strip_prefix("stepwell_connections "));
    assert!(
        connections.is_some_and(|count| count.parse::<u32>().is_ok_and(|count| count > 0)),
        "{text}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_that_is_told_to_stop_says_first_that_it_is_not_ready() {
    let folder = Folder::new();
    let mut server = Server::start(&folder, &["--shutdown-delay", "600"]);
    let url = server.url().await;
    assert_eq!(get(&format!("{url}/ready")).await.0, 200);
    server.terminate();
    // The signal takes a moment to arrive.
    while get(&format!("{url}/ready")).await.0 == 200 {
        tokio::task::yield_now().await;
    }
    let (status, answer) = get(&format!("{url}/ready")).await;
    assert_eq!((status, &answer["reason"]), (503, &json!("stopping")));
    // What comes all the same is taken in.
    assert_eq!(send(&url, 1).await.len(), 1);
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0), "{}", folder.said());
}

/// What a server says that is started and stopped with this as its standard error.
#[cfg(unix)]
async fn logged(folder: &Folder, stderr: std::process::Stdio) {
    let ready = folder.path("ready");
    // The one before.
    std::fs::remove_file(&ready).unwrap_or_default();
    let mut server = stepwell()
        .args(["dev", "--port", "0", "--no-discovery", "--log", "info"])
        .arg("--ready-file")
        .arg(&ready)
        .stdout(std::process::Stdio::null())
        .stderr(stderr)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    while !ready.exists() {
        assert_eq!(server.try_wait().unwrap(), None, "it ends by itself");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pid = i32::try_from(server.id().unwrap()).unwrap();
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(server.wait().await.unwrap().success());
}

#[cfg(unix)]
#[tokio::test]
async fn logs_are_json_for_programs_and_text_on_a_terminal() {
    use std::io::Read;
    let folder = Folder::new();
    let file = folder.path("log");
    logged(&folder, std::fs::File::create(&file).unwrap().into()).await;
    let said = std::fs::read_to_string(&file).unwrap();
    let messages: Vec<String> = said
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["fields"]["message"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(messages.last().map(String::as_str), Some("stopped"));

    let terminal = nix::pty::openpty(None, None).unwrap();
    logged(&folder, terminal.slave.into()).await;
    let mut said = Vec::new();
    // A terminal that nobody writes to any more ends with an error.
    std::fs::File::from(terminal.master)
        .read_to_end(&mut said)
        .unwrap_or_default();
    let said = String::from_utf8(said).unwrap();
    let last = said.lines().last().unwrap();
    assert!(last.contains("INFO") && last.ends_with("stopped"), "{said}");
    assert!(serde_json::from_str::<Value>(last).is_err(), "{said}");
}
