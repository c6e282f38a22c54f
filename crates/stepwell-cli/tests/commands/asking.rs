//! Commands that ask a running server, end to end.

use crate::app::App;
use crate::server::{Folder, Server, stepwell};
use serde_json::{Value, json};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const SIGNING_KEY: &str = "signkey-test-00112233445566778899aabbccddeeff";

/// Commands to one server.
struct Asker {
    url: String,
    key: Option<&'static str>,
}

impl Asker {
    async fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = stepwell();
        command.args(arguments).env("STEPWELL_URL", &self.url);
        command.env("STEPWELL_LOG", "error");
        if let Some(key) = self.key {
            command.env("INNGEST_SIGNING_KEY", key);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        // One that does not read has ended by now.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
        child.wait_with_output().await.expect("it ends")
    }

    /// What a command prints that must go well.
    async fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, "").await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).expect("it is text")
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let text = self.text(&arguments).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What a command says that must fail.
    async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, "").await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).expect("it is text")
    }

    /// The only run of an event, once it has ended.
    async fn ended(&self, event: &str) -> Value {
        let ended = async {
            loop {
                let mut shown = self.json(&["events", "show", event]).await;
                let run = shown["runs"][0].take();
                if run["ended_at"].is_string() {
                    return run;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let patience = Duration::from_secs(60);
        let ended = tokio::time::timeout(patience, ended).await;
        ended.expect("the run ends")
    }
}

/// A server with the app, once that has registered.
async fn with_app(folder: &Folder, options: &[&str]) -> (Server, Asker) {
    let app = App::start().await;
    let options = [&["-u", &app.url], options].concat();
    let mut server = Server::start(folder, &options);
    let url = server.url().await;
    let asker = Asker {
        url,
        key: options.contains(&SIGNING_KEY).then_some(SIGNING_KEY),
    };
    let registered = async {
        while asker.json(&["functions"]).await["functions"][0].is_null() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let patience = Duration::from_secs(60);
    let registered = tokio::time::timeout(patience, registered).await;
    registered.unwrap_or_else(|_| panic!("the app does not register: {}", folder.said()));
    (server, asker)
}

#[tokio::test]
async fn an_event_is_sent_and_its_run_is_followed_repeated_and_exported() {
    let folder = Folder::new();
    let (_server, asker) = with_app(&folder, &[]).await;
    let functions = asker.text(&["functions"]).await;
    assert_eq!(
        functions,
        "APP   FUNCTION  TRIGGERS                                     PAUSED  NAME\n\
         shop  invoice   shop/order.placed if event.data.cents > 100          Invoice\n"
    );

    let sent = asker
        .text(&["events", "send", "shop/order.placed", r#"{"cents": 4200}"#])
        .await;
    let event = sent.trim_end();
    let run = asker.ended(event).await;
    assert_eq!(
        (&run["status"], &run["output"]),
        (&json!("Completed"), &json!({"paid": 4200}))
    );
    let run = run["run_id"].as_str().unwrap();

    let shown = asker.text(&["runs", "show", run]).await;
    for expected in [
        format!(
            "run       {run}\nfunction  shop/invoice\nstatus    COMPLETED\ntrigger   shop/order.placed\n"
        ),
        format!("events    {event}\n"),
        "output    {\"paid\":4200}\n".to_owned(),
        "├─ charge".to_owned(),
        "└─ function success".to_owned(),
    ] {
        assert!(shown.contains(&expected), "{expected}: {shown}");
    }
    let shown = asker.json(&["runs", "show", run]).await;
    assert_eq!(shown["run"]["output"], json!({"paid": 4200}));
    assert_eq!(shown["trace"]["children"][0]["name"], "charge");

    let listed = asker
        .json(&[
            "runs",
            "list",
            "--status",
            "completed",
            "--app",
            "shop",
            "--since",
            "1h",
        ])
        .await;
    assert_eq!(listed[0]["id"], run);
    for nothing in [
        &["runs", "list", "--status", "failed,cancelled"][..],
        &["runs", "list", "--function", "shop/other"],
        &["runs", "list", "--until", "2020-01-31"],
    ] {
        assert_eq!(asker.json(nothing).await, json!([]), "{nothing:?}");
        assert_eq!(asker.text(nothing).await, "there are no such runs\n");
    }

    let again = asker
        .text(&[
            "runs",
            "rerun",
            run,
            "--from-step",
            "charge",
            "--input",
            "[1]",
        ])
        .await;
    let again = again.trim_end();
    assert_ne!(again, run);
    let refusal = asker
        .refused(&["runs", "rerun", run, "--from-step", "nowhere"])
        .await;
    assert_eq!(refusal, "error: Step not found in original run\n");

    let file = folder.path("runs.jsonl");
    let exported = asker
        .text(&[
            "runs",
            "export",
            "--trace",
            "--output",
            file.to_str().unwrap(),
        ])
        .await;
    assert_eq!(exported, "");
    let text = std::fs::read_to_string(&file).unwrap();
    let exported: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(exported[0]["id"], run, "the oldest comes first");
    assert_eq!(exported[0]["output"], json!({"paid": 4200}));
    assert_eq!(exported[0]["trace"]["children"][0]["name"], "charge");
    assert_eq!((exported.len(), &exported[1]["id"]), (2, &json!(again)));
    let nowhere = "http://127.0.0.1:1";
    asker
        .refused(&[
            "runs",
            "export",
            "--url",
            nowhere,
            "--output",
            file.to_str().unwrap(),
        ])
        .await;
    let left = std::fs::read_to_string(&file).unwrap();
    assert_eq!(left, text, "without an answer the file is left as it was");

    for (id, expected) in [
        (run, "has ended: Completed"),
        ("x", "The run ID specified is invalid"),
    ] {
        let refusal = asker.refused(&["runs", "cancel", id]).await;
        assert!(refusal.contains(expected), "{refusal}");
    }
}

/// A server with two pages of runs, which breaks before the second.
async fn breaking() -> Asker {
    let runs = axum::routing::get(async |query: axum::extract::RawQuery| {
        let query = query.0.unwrap_or_default();
        if query.contains("cursor") {
            return Err(axum::http::StatusCode::BAD_REQUEST);
        }
        let page = json!({"cursor": "next", "hasMore": !query.contains("COMPLETED")});
        Ok(axum::Json(json!({"data": [{"id": "01"}], "page": page})))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/v2/runs", runs);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Asker { url, key: None }
}

#[tokio::test]
async fn a_file_of_an_export_changes_when_all_is_in_it() {
    let (folder, asker) = (Folder::new(), breaking().await);
    let file = folder.path("runs.jsonl");
    std::fs::write(&file, "precious").unwrap();
    let export = ["runs", "export", "--output", file.to_str().unwrap()];
    asker.refused(&export).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    let fresh = folder.path("fresh.jsonl");
    let to_fresh = ["runs", "export", "--output", fresh.to_str().unwrap()];
    asker.refused(&to_fresh).await;
    assert!(!fresh.exists(), "half an export is none");

    let whole = [&export[..], &["--status", "completed"]].concat();
    #[cfg(unix)]
    {
        // A link leads to the file afterwards, too.
        let link = folder.path("link.jsonl");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let link = [
            "runs",
            "export",
            "--status",
            "completed",
            "--output",
            link.to_str().unwrap(),
        ];
        asker.text(&link).await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"id\":\"01\"}\n");
        std::fs::write(&file, "again").unwrap();
        let nowhere = [
            "runs",
            "export",
            "--status",
            "completed",
            "--output",
            "/dev/null",
        ];
        asker.text(&nowhere).await;
    }
    asker.text(&whole).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"id\":\"01\"}\n");
    let left = std::fs::read_dir(file.parent().unwrap()).unwrap();
    let drafts = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("partial")
    });
    assert_eq!(drafts.count(), 0);
}

#[tokio::test]
async fn events_come_from_arguments_files_and_the_standard_input() {
    let folder = Folder::new();
    let (_server, asker) = with_app(&folder, &[]).await;
    let send = async |arguments: &[&str], input: &str| {
        let arguments = [&["events", "send", "--json"], arguments].concat();
        let output = asker.run(&arguments, input).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        let sent: Value = serde_json::from_slice(&output.stdout).unwrap();
        sent["ids"].as_array().unwrap().len()
    };
    let path = folder.path("events.json");
    let file = path.to_str().unwrap();
    assert_eq!(send(&["a/none"], "").await, 1);
    assert_eq!(send(&["a/stdin", "-"], r#"{"n": 1}"#).await, 1);
    std::fs::write(&path, r#"{"n": 2}"#).unwrap();
    assert_eq!(
        send(
            &[
                "a/file",
                "--file",
                file,
                "--id",
                "mine",
                "--ts",
                "1767225600000"
            ],
            ""
        )
        .await,
        1
    );
    std::fs::write(
        &path,
        r#"[{"name": "a/one"}, {"name": "a/two", "data": {"n": 3}}]"#,
    )
    .unwrap();
    assert_eq!(send(&["--file", file], "").await, 2);
    let lines = "{\"name\": \"a/line\"}\n".repeat(1_000);
    assert_eq!(send(&["--file", "-"], &lines).await, 1_000);

    let listed = asker.json(&["events", "list", "--limit", "1100"]).await;
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 1_005, "page after page");
    let oldest: Vec<(&Value, &Value)> = listed
        .iter()
        .rev()
        .take(5)
        .map(|event| (&event["name"], &event["data"]))
        .collect();
    let expected = [
        (json!("a/none"), json!({})),
        (json!("a/stdin"), json!({"n": 1})),
        (json!("a/file"), json!({"n": 2})),
        (json!("a/one"), json!({})),
        (json!("a/two"), json!({"n": 3})),
    ];
    assert_eq!(oldest, expected.each_ref().map(|(name, data)| (name, data)));
    let named = asker.json(&["events", "list", "--name", "a/file"]).await;
    assert_eq!(
        (&named[0]["id"], &named[0]["ts"]),
        (&json!("mine"), &json!(1_767_225_600_000_u64))
    );

    for (arguments, expected) in [
        (&["a", "{"][..], "the data is not JSON"),
        (&["a", "[1]"], "the data is not a JSON object"),
        (&[], "name an event, as in `stepwell events send"),
        (&["a", "--file", "nowhere.json"], "cannot read nowhere.json"),
        (
            &["inngest/mine"],
            "event name is reserved for internal use: inngest/mine",
        ),
    ] {
        let arguments = [&["events", "send"], arguments].concat();
        let refusal = asker.refused(&arguments).await;
        assert!(refusal.contains(expected), "{arguments:?}: {refusal}");
    }
}

#[tokio::test]
async fn verdicts_say_why_in_words() {
    let folder = Folder::new();
    let (_server, asker) = with_app(&folder, &[]).await;
    let sent = asker
        .text(&["events", "send", "shop/order.placed", r#"{"cents": 7}"#])
        .await;
    let event = sent.trim_end();
    assert_eq!(
        asker.text(&["events", "verdicts", event]).await,
        "FUNCTION      VERDICT   WHY\n\
         shop-invoice  filtered  `event.data.cents > 100` is not met: event.data.cents is 7\n"
    );
    assert_eq!(
        asker.json(&["events", "verdicts", event]).await[0]["verdict"],
        "filtered"
    );
    let shown = asker.text(&["events", "show", event]).await;
    assert!(
        shown.contains("it started no run; `stepwell events verdicts` says why"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_or_locked_is_explained() {
    let nowhere = Asker {
        url: "http://127.0.0.1:1".to_owned(),
        key: None,
    };
    let refusal = nowhere.refused(&["functions"]).await;
    assert_eq!(
        refusal,
        "error: no server answers at http://127.0.0.1:1; start one with `stepwell dev`, or say where it is with --url or \
         STEPWELL_URL\n"
    );
    let refusal = nowhere.refused(&["runs", "list", "--json"]).await;
    let refusal: Value = serde_json::from_str(&refusal).unwrap();
    assert!(
        refusal["error"]
            .as_str()
            .unwrap()
            .starts_with("no server answers"),
        "{refusal}"
    );

    let folder = Folder::new();
    let options = ["--signing-key", SIGNING_KEY, "--event-key", "sesame"];
    let (_server, asker) = with_app(&folder, &options).await;
    let locked = |key| Asker {
        url: asker.url.clone(),
        key,
    };
    let refusal = locked(None).refused(&["events", "list"]).await;
    assert!(
        refusal.contains("the server wants its signing key"),
        "{refusal}"
    );
    let refusal = locked(Some("signkey-test-ff00"))
        .refused(&["events", "list"])
        .await;
    assert!(
        refusal.contains("the server refuses the signing key"),
        "{refusal}"
    );
    assert!(!refusal.contains("ff00"), "{refusal}");
    let refusal = asker.refused(&["events", "send", "a/b"]).await;
    assert!(
        refusal.contains("the server refuses the event key"),
        "{refusal}"
    );
    asker
        .text(&["events", "send", "a/b", "--event-key", "sesame"])
        .await;

    // A key does not go where others can read it.
    let far = Asker {
        url: "http://stepwell.test".to_owned(),
        key: Some(SIGNING_KEY),
    };
    let refusal = far.refused(&["functions"]).await;
    assert!(
        refusal.contains("keys are not sent over plain HTTP to another machine"),
        "{refusal}"
    );
}

#[tokio::test]
async fn the_doctor_tells_a_healthy_server_from_a_damaged_file() {
    let folder = Folder::new();
    let (server, asker) = with_app(&folder, &[]).await;
    let database = folder.database();
    let database = database.to_str().unwrap();
    let status = |found: &Value| -> Vec<(String, String)> {
        let checks = found["checks"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        checks
            .map(|check| (text(&check["name"]), text(&check["status"])))
            .collect()
    };
    let found = asker.json(&["doctor", "--db", database]).await;
    assert_eq!(found["ok"], true);
    let names = [
        "server", "clock", "audit", "work", "database", "schema", "queue", "disk",
    ];
    let found = status(&found);
    let told: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(told, names);
    for (name, status) in &found {
        // The disk is what it is.
        assert!(status == "ok" || name == "disk", "{name}: {status}");
    }

    server.kill().await;
    let found = asker.json(&["doctor", "--db", database, "--offline"]).await;
    assert_eq!(found["ok"], true);
    assert_eq!(status(&found)[0].0, "database");
    let output = asker.run(&["doctor", "--db", database], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stdout)
            .starts_with("server     FAILURE  no server answers")
    );

    // Once the log is folded in, the file alone is what there is.
    let store =
        stepwell_store::sqlite::open(&stepwell_store::sqlite::Options::new(database)).unwrap();
    drop(store);
    let mut bytes = std::fs::read(database).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0xaa);
    std::fs::write(database, bytes).unwrap();
    let output = asker
        .run(&["doctor", "--db", database, "--offline"], "")
        .await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("database   FAILURE"), "{said}");
}
