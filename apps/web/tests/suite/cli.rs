//! The commands, as processes.

use crate::files::{self, TEXT};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The binary on a data folder of the test's own, without the environment's settings.
pub(crate) fn studio233(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_studio233"));
    for (name, _) in std::env::vars() {
        let keys = [
            "GOOGLE_GENERATIVE_AI_API_KEY",
            "GEMINI_API_KEY",
            "FAL_KEY",
            "LLAMA_CLOUD_API_KEY",
            "SENTRY_DSN",
        ];
        let ours = name.starts_with("STUDIO233_") || name.starts_with("INNGEST_");
        if ours || keys.contains(&name.as_str()) {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder)
        .env("STUDIO233_DATA", folder.join("data"))
        .stdin(Stdio::null());
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// The one JSON object of standard output.
#[track_caller]
pub(crate) fn answer(output: &Output) -> Value {
    let stdout = text(&output.stdout);
    assert_eq!(stdout.lines().count(), 1, "one line: {stdout}");
    serde_json::from_str(&stdout).expect("it is JSON")
}

pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    studio233(folder).args(arguments).output().unwrap()
}

/// A running `serve`, ended when the test is.
pub(crate) struct Serve {
    child: Child,
    url: String,
}

impl Serve {
    pub(crate) fn start(folder: &Path) -> Self {
        let mut child = studio233(folder)
            .args(["serve", "--port", "0"])
            .env("STUDIO233_LOG", "off")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        let url = first.trim().strip_prefix("studio233 listens on ");
        let url = url.unwrap_or_else(|| panic!("it says where it listens: {first}"));
        Self {
            child,
            url: url.to_owned(),
        }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_sample_is_ingested_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let sample = files::sample();
    let sample = sample.to_str().unwrap();
    let output = run(folder.path(), &["ingest", sample, "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let ingested = answer(&output);
    assert_eq!(ingested["status"], "completed");
    let identity = &ingested["profile"]["coreIdentity"];
    assert_eq!(
        identity["colors"],
        serde_json::json!(["#E4572E", "#17263C", "#7FA08A", "#F2B134", "#F6EFE3"])
    );
    let fonts = identity["fonts"].as_array().unwrap().iter();
    let fonts: Vec<&str> = fonts.map(|font| font["family"].as_str().unwrap()).collect();
    assert_eq!(fonts, ["Sora", "EB Garamond", "Inter"]);
    let slogans = identity["slogans"].as_array().unwrap();
    assert!(slogans.contains(&"Power, shared.".into()));
    assert!(ingested["chunks"].as_u64().unwrap() > 5);
    for step in ["index-and-store", "extract-brand-dna", "trigger-synthesis"] {
        assert!(ingested["timings"]["stepsMs"][step].is_u64(), "{step}");
        assert!(text(&output.stderr).contains(&format!("✓ {step}")));
    }

    let output = run(
        folder.path(),
        &["search", "primary colour", "--json", "-k", "3"],
    );
    let found = answer(&output);
    let best = &found["fragments"][0];
    assert_eq!(best["page"], 4);
    assert!(best["text"].as_str().unwrap().contains("#E4572E"));
    assert_eq!(found["fragments"].as_array().unwrap().len(), 3);

    // The same for people, line by line when piped.
    let output = run(folder.path(), &["search", "primary colour"]);
    let shown = text(&output.stdout);
    assert!(
        shown.starts_with("1. brand-guidelines.pdf, page 4  (score 0."),
        "{shown}"
    );
    // What a prompt is told of it.
    let output = run(folder.path(), &["context", "primary colour", "-k", "1"]);
    let told = text(&output.stdout);
    assert!(
        told.contains("Colours: #E4572E (Ember, primary); "),
        "{told}"
    );
    assert!(
        told.contains("file=\"brand-guidelines.pdf\" page=\"4\">"),
        "{told}"
    );
    assert!(told.ends_with("</brand-context>\n"), "{told}");
    let output = run(folder.path(), &["context", "primary colour", "--json"]);
    assert_eq!(answer(&output)["sources"].as_array().unwrap().len(), 5);
    let output = run(folder.path(), &["ingest", sample, "--workspace", "Other"]);
    let shown = text(&output.stdout);
    assert!(output.status.success());
    for part in [
        "✓ index-and-store",
        "#E4572E Ember (primary)",
        "Sora",
        "Power, shared.",
        "fragments indexed",
        "Run ",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains('\x1b'), "no colour codes in a pipe");
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn files_that_cannot_be_read_are_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("empty.pdf"), b"").unwrap();
    std::fs::write(path("page.pdf"), b"<html></html>").unwrap();
    std::fs::write(path("locked.pdf"), files::encrypted()).unwrap();
    std::fs::write(path("blank.pdf"), files::pdf("", "")).unwrap();
    std::fs::write(path("broken.pdf"), b"%PDF-1.7\nnothing").unwrap();
    std::fs::write(path("note.pdf"), files::pdf(TEXT, "")).unwrap();
    let huge = std::fs::File::create(path("huge.pdf")).unwrap();
    huge.set_len(200 * 1024 * 1024).unwrap();
    std::fs::create_dir(path("folder.pdf")).unwrap();

    for (name, code, told) in [
        ("none.pdf", "no_such_file", "No such file"),
        ("folder.pdf", "not_a_file", "is not a file"),
        ("empty.pdf", "empty_file", "is empty"),
        ("page.pdf", "not_a_pdf", "is not a PDF"),
        (
            "huge.pdf",
            "file_too_large",
            "has 200 MB; at most 64 MB are read",
        ),
        (
            "locked.pdf",
            "run_failed",
            "locked.pdf is encrypted; save it without a password",
        ),
        (
            "blank.pdf",
            "run_failed",
            "it has no text, only pictures: export it with text",
        ),
        ("broken.pdf", "run_failed", "broken.pdf is damaged"),
        ("note.pdf", "run_failed", "says too little about a brand"),
    ] {
        // A workspace of its own: the documents of one start a minute apart.
        let output = run(
            folder.path(),
            &["ingest", &path(name), "--json", "--workspace", name],
        );
        assert_eq!(output.status.code(), Some(1), "{name}");
        let failed = answer(&output);
        assert_eq!(failed["status"], "failed");
        assert_eq!(failed["error"]["code"], code, "{failed}");
        let message = failed["error"]["message"].as_str().unwrap();
        assert!(message.contains(told), "{message}");
        let complaint = text(&output.stderr);
        assert!(
            complaint.contains("error: ") && complaint.contains("next: "),
            "{complaint}"
        );
    }
}

#[test]
fn a_scan_is_measured_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let scan = files::scanned();
    let scan = scan.to_str().unwrap();
    let output = run(folder.path(), &["ingest", scan]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for part in [
        "Colours     #0",
        "The pages are landscape",
        "cannot read the words in them",
        "none of its own text: its pages are pictures",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let output = run(folder.path(), &["search", "colours", "--json"]);
    let found = answer(&output);
    let best = found["fragments"][0]["text"].as_str().unwrap();
    assert!(best.starts_with("Colours: #0"), "{best}");
}

#[test]
fn urls_are_ingested_unless_they_lead_inside() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(
        folder.path(),
        &["ingest", "http://127.0.0.1:9/brand.pdf", "--json"],
    );
    assert_eq!(output.status.code(), Some(1));
    let message = answer(&output)["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("only public addresses are fetched"),
        "{message}"
    );
}

#[test]
fn commands_use_the_studio_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let serve = Serve::start(folder.path());
    let sample = files::sample();
    let sample = sample.to_str().unwrap();
    let output = run(folder.path(), &["ingest", sample, "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = run(
        folder.path(),
        &["search", "logo", "--json", "--url", &serve.url],
    );
    assert!(!answer(&output)["fragments"].as_array().unwrap().is_empty());

    // A second studio of the folder, or of the port, is not started.
    let output = run(folder.path(), &["serve", "--port", "0"]);
    assert_eq!(output.status.code(), Some(1));
    let pid = serve.child.id();
    let complaint = text(&output.stderr);
    assert!(
        complaint.contains(&format!("is in use by another process (pid {pid})")),
        "{complaint}"
    );
    let port = serve.url.rsplit(':').next().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let output = run(elsewhere.path(), &["--port", port]);
    assert_eq!(output.status.code(), Some(1));
    let complaint = text(&output.stderr);
    assert!(
        complaint.contains("cannot listen on 127.0.0.1:"),
        "{complaint}"
    );
    assert!(complaint.contains("choose one with --port"), "{complaint}");
}

#[test]
fn commands_that_start_at_once_share_a_studio_and_take_over_from_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let commands = (1..=4).map(|number| {
        let mut command = studio233(folder.path());
        command
            .arg("ingest")
            .arg(files::sample())
            .args(["--json", "--workspace", &format!("w{number}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    });
    let commands: Vec<Child> = commands.collect();
    for command in commands {
        let output = command.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(answer(&output)["steps"].as_array().unwrap().len(), 4);
    }
}

/// A studio that says that it is there, and stops as soon as it is asked for anything: `answer` is all it says.
fn stopping_studio(data: &Path, answer: &'static str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::fs::create_dir_all(data).unwrap();
    let file = data.join("server.json");
    let noted = serde_json::json!({"url": format!("http://{address}"), "pid": 1});
    std::fs::write(&file, noted.to_string()).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            let mut rest = String::new();
            while stream.read_line(&mut rest).unwrap() > 2 {}
            let (status, body) = match line.starts_with("GET /health ") {
                true => ("200 OK", r#"{"service": "studio233", "pid": 1}"#),
                false => {
                    let _ = std::fs::remove_file(&file);
                    ("503 Service Unavailable", answer)
                }
            };
            if !body.is_empty() {
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}"
                );
                let _ = write!(stream.get_mut(), "{head}\r\n\r\n{body}");
            }
        }
    });
}

#[test]
fn a_studio_that_stops_under_a_command_is_replaced() {
    let stopping = r#"{"error": {"code": "stopping", "message": "the studio stops"}}"#;
    let sample = files::sample();
    for answer_of_it in ["", stopping] {
        let folder = tempfile::tempdir().unwrap();
        stopping_studio(&folder.path().join("data"), answer_of_it);
        let output = run(folder.path(), &["search", "logo", "--json"]);
        assert_eq!(answer(&output)["error"]["code"], "no_such_workspace");

        stopping_studio(&folder.path().join("data"), answer_of_it);
        let output = run(
            folder.path(),
            &["ingest", sample.to_str().unwrap(), "--json"],
        );
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[cfg(unix)]
#[test]
fn a_second_interruption_gives_up_what_is_at_work() {
    let signal = |child: &Child| {
        let id = child.id().to_string();
        let kill = Command::new("kill").args(["-INT", &id]).status();
        assert!(kill.unwrap().success());
    };
    // Takes the request for the document and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut child = studio233(folder.path())
        .args(["ingest", &format!("{origin}/a.pdf"), "--json"])
        .args(["--allow-origin", &origin])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let fetching = silent.accept().unwrap();
    signal(&child);
    let told = stderr.by_ref().map(Result::unwrap);
    let asked = told
        .into_iter()
        .find(|line| line.contains("press Ctrl-C again"));
    assert!(asked.is_some());
    signal(&child);
    let rest: Vec<String> = stderr.map(Result::unwrap).collect();
    assert!(
        rest.iter().any(|line| line.contains("given up")),
        "{rest:?}"
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(fetching);
}

#[test]
fn a_termination_signal_ends_the_studio_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::start(folder.path());
    assert!(folder.path().join("data/server.json").exists());
    let kill = Command::new("kill")
        .arg(serve.child.id().to_string())
        .status();
    assert!(kill.unwrap().success());
    assert_eq!(serve.child.wait().unwrap().code(), Some(0));
    assert!(!folder.path().join("data/server.json").exists());
}

#[test]
fn what_is_not_there_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(
        folder.path(),
        &["search", "logo", "--workspace", "nowhere", "--json"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(answer(&output)["error"]["code"], "no_such_workspace");
    let output = run(
        folder.path(),
        &["search", "logo", "--url", "http://127.0.0.1:9"],
    );
    let complaint = text(&output.stderr);
    assert!(
        complaint.starts_with("error: no studio answers at http://127.0.0.1:9"),
        "{complaint}"
    );
    let output = run(folder.path(), &["serve", "--config", "none.toml"]);
    assert!(text(&output.stderr).starts_with("error: none.toml: "));
}
