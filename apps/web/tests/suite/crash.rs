//! Killing an ingest, at any moment, and starting again.

use crate::cli::{answer, studio233, text};
use crate::files;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// An ingest that tells of every step as it starts and ends, on standard error.
fn ingest(folder: &Path) -> Command {
    let mut command = studio233(folder);
    command
        .args(["ingest", "--json"])
        .arg(files::sample())
        .env(
            "STUDIO233_LOG",
            "studio233_inngest=debug,studio233_web=debug",
        )
        .env("STUDIO233_LOG_FORMAT", "json");
    command
}

/// The steps that a process began to execute, by its log.
fn begun(lines: &[String]) -> Vec<String> {
    let logs = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let starts = logs.filter(|log| log["fields"]["message"] == "step started");
    starts
        .map(|log| log["fields"]["step"].as_str().unwrap().to_owned())
        .collect()
}

/// The steps that it told its user to have ended: they are recorded.
fn told(lines: &[String]) -> BTreeSet<String> {
    let steps = lines
        .iter()
        .filter_map(|line| line.trim_start().strip_prefix("✓ "));
    steps
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

/// Kills an ingest after it has written so many lines; what it wrote, or nothing when it ended by itself.
fn killed_after(folder: &Path, lines: usize) -> Option<Vec<String>> {
    let mut child = ingest(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let written: Vec<String> = stderr.lines().take(lines).map(Result::unwrap).collect();
    if written.len() < lines {
        assert!(child.wait().unwrap().success());
        return None;
    }
    // SIGKILL: nothing of it runs any more.
    child.kill().unwrap();
    child.wait().unwrap();
    Some(written)
}

#[test]
fn a_killed_ingest_goes_on_where_it_was_and_doubles_nothing() {
    let calm = tempfile::tempdir().unwrap();
    let undisturbed = answer(&ingest(calm.path()).output().unwrap());
    let mut killed = 0;
    for lines in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let Some(before) = killed_after(folder.path(), lines) else {
            break;
        };
        killed += 1;
        let output = ingest(folder.path()).output().unwrap();
        let log = text(&output.stderr);
        assert!(output.status.success(), "after {lines} lines: {log}");
        let after: Vec<String> = log.lines().map(str::to_owned).collect();
        let ingested = answer(&output);
        assert_eq!(ingested["status"], "completed");
        assert_eq!(ingested["chunks"], undisturbed["chunks"]);
        assert_eq!(ingested["profile"], undisturbed["profile"]);

        let first = before.iter().find_map(|line| line.split(", run ").nth(1));
        if let Some(run) = first {
            assert_eq!(ingested["runId"], run, "it goes on with the same run");
        }
        let recorded = told(&before);
        for step in begun(&after) {
            assert!(
                !recorded.contains(&step),
                "{step} was recorded and executed again"
            );
        }
        let steps = ingested["steps"].as_array().unwrap();
        let names: BTreeSet<&str> = steps
            .iter()
            .map(|step| step["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            (steps.len(), names.len()),
            (4, 4),
            "each step is recorded once"
        );

        let mut search = studio233(folder.path());
        search.args(["search", "logo", "-k", "100", "--json"]);
        let found = answer(&search.output().unwrap());
        let fragments = found["fragments"].as_array().unwrap().len();
        assert_eq!(fragments as u64, ingested["chunks"].as_u64().unwrap());
    }
    assert!(killed >= 6, "killed at {killed} points only");
}

#[test]
fn a_killed_studio_finishes_its_runs_when_it_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    // Killed while the first step executes, so that the run is begun and nothing of it is recorded.
    let mut child = ingest(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let started = stderr
        .by_ref()
        .map(Result::unwrap)
        .find(|line| line.contains("step started"));
    assert!(started.is_some());
    child.kill().unwrap();
    child.wait().unwrap();

    let mut serve = studio233(folder.path())
        .args(["serve", "--port", "0"])
        .env("STUDIO233_LOG", "studio233_inngest=info")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let logs = BufReader::new(serve.stderr.take().unwrap());
    let completed = logs
        .lines()
        .map(Result::unwrap)
        .find(|line| line.contains("run completed"));
    serve.kill().unwrap();
    serve.wait().unwrap();
    assert!(completed.is_some(), "nobody had to ask");
}
