//! `studio233 ingest`: a brand's PDF into a workspace.

use super::interrupted;
use super::report::{self, duration};
use super::server::{STUDIOS_MAX, Server};
use super::steps::Steps;
use crate::client::{ApiClient, unreadable};
use crate::terminal;
use clap::Args;
use futures::StreamExt;
use serde_json::{Map, Value, json};
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use studio233_inngest::functions::brand::ingestion;
use studio233_rag::pdf::{PdfLimits, looks_like_pdf};
use studio233_setup::Failure;
use studio233_setup::Settings;

/// Where documents go when no workspace is named.
pub(super) const WORKSPACE: &str = "default";
/// As shells report a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The PDF, or its http(s) URL.
    file: String,
    /// The workspace, made if it is not there.
    #[arg(long, short, default_value = WORKSPACE, value_name = "NAME")]
    workspace: String,
    /// Answer one JSON object; steps are told on standard error.
    #[arg(long)]
    pub(super) json: bool,
    /// The studio to use, instead of the data folder's.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// What came of it.
struct Outcome {
    workspace: Value,
    asset: Value,
    event: Value,
    run: Value,
}

impl Outcome {
    fn completed(&self) -> bool {
        self.run["status"] == "Completed"
    }

    /// Why the run did not complete, with all causes.
    fn failure(&self) -> Failure {
        let error = &self.run["error"];
        let status = self.run["status"].as_str().unwrap_or_default();
        let mut message = error["message"].as_str().unwrap_or(status).to_owned();
        let mut cause = &error["cause"];
        while let Some(text) = cause["message"].as_str() {
            message.push_str(": ");
            message.push_str(text);
            cause = &cause["cause"];
        }
        let run = self.run["id"].as_str().unwrap_or_default();
        Failure::new("run_failed", message).hint(format!(
            "mend that, then run the same command again (this was run {run})"
        ))
    }

    /// The next ingest of the document is a new one. Whether this arrives matters little: else the next one shows
    /// the same result again.
    async fn seen(&self, client: &ApiClient) {
        let asset = self.asset["id"].as_str().unwrap_or_default();
        let body = json!({"eventId": self.event["id"]});
        if let Err(failure) = client.post(&["api", "assets", asset, "seen"], &body).await {
            tracing::debug!(%failure, "the studio was not told that the result was shown");
        }
    }

    fn chunks(&self) -> Value {
        self.step("index-and-store")["result"]["data"]["chunkCount"].clone()
    }

    fn step(&self, name: &str) -> &Value {
        let steps = self.run["steps"].as_array().map_or(&[][..], Vec::as_slice);
        let found = steps.iter().find(|step| step["name"] == name);
        found.unwrap_or(&Value::Null)
    }

    fn to_json(&self, total_ms: u64) -> Value {
        let steps = self.run["steps"].as_array().map_or(&[][..], Vec::as_slice);
        let took: Map<String, Value> = steps
            .iter()
            .filter_map(|step| Some((step["name"].as_str()?.to_owned(), step["tookMs"].clone())))
            .collect();
        let status = if self.completed() {
            "completed"
        } else {
            "failed"
        };
        let mut answer = json!({
            "status": status,
            "runId": self.run["id"],
            "eventId": self.event["id"],
            "resumed": self.event["resumed"],
            "workspace": {"id": self.workspace["id"], "name": self.workspace["name"]},
            "asset": {"id": self.asset["id"], "name": self.asset["name"], "url": self.asset["url"]},
            "chunks": self.chunks(),
            "profile": self.workspace["brandProfile"],
            "summary": self.workspace["brandSummary"],
            "timings": {
                "totalMs": total_ms,
                "queuedMs": self.run["queuedMs"],
                "runMs": self.run["tookMs"],
                "stepsMs": took,
            },
            "steps": self.run["steps"],
            "failedAttempts": self.run["failedAttempts"],
        });
        if !self.completed() {
            // What an earlier document left in the workspace is not this one's.
            answer["profile"] = Value::Null;
            answer["summary"] = Value::Null;
            answer["error"] = json!(self.failure());
        }
        answer
    }
}

pub(crate) async fn run(arguments: Arguments, settings: Settings) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    if !is_url(&arguments.file) {
        check(Path::new(&arguments.file))?;
    }
    let mut studios = 0;
    loop {
        studios += 1;
        let server = Server::find(arguments.url.as_deref(), &settings).await?;
        let steps = Steps::new(arguments.json);
        let outcome = tokio::select! {
            outcome = ingest(&server.client, &arguments, &steps) => Some(outcome),
            () = interrupted() => None,
        };
        steps.finish();
        let own = server.is_own();
        if let Some(Ok(outcome)) = &outcome {
            tell(outcome, &arguments, begun);
            tokio::select! {
                () = outcome.seen(&server.client) => {}
                () = interrupted() => {}
            }
        }
        let left = matches!(&outcome, Some(Err(failure)) if server.has_left(failure));
        let stopped = match &outcome {
            Some(_) => server.leave().await,
            None => server.leave_interrupted().await,
        };
        match outcome {
            Some(Ok(outcome)) if outcome.completed() => return Ok(ExitCode::SUCCESS),
            Some(Ok(_)) => return Ok(ExitCode::FAILURE),
            // The run goes on in the next studio.
            Some(Err(_)) if left && studios < STUDIOS_MAX => {}
            Some(Err(failure)) => return Err(failure),
            None => {
                terminal::remark(match (own, stopped) {
                    (true, true) => {
                        "interrupted; run the same command again to go on with the same run"
                    }
                    (true, false) => {
                        "given up; run the same command again to go on with the same run"
                    }
                    (false, _) => "interrupted; the studio goes on with the run",
                });
                return Ok(ExitCode::from(INTERRUPTED));
            }
        }
    }
}

fn tell(outcome: &Outcome, arguments: &Arguments, begun: Instant) {
    let total_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    if arguments.json {
        terminal::line(outcome.to_json(total_ms).to_string());
    } else if outcome.completed() {
        tell_profile(outcome, arguments, total_ms);
    }
    if !outcome.completed() {
        terminal::failure(&outcome.failure());
    }
}

async fn ingest(
    client: &ApiClient,
    arguments: &Arguments,
    steps: &Steps,
) -> Result<Outcome, Failure> {
    steps.now("uploading");
    let new = json!({"name": arguments.workspace});
    let workspace = client.post(&["api", "workspaces"], &new).await?;
    let file = source(client, &arguments.file).await?;
    let new = json!({
        "name": file["name"],
        "url": file["url"],
        "size": file["size"],
        "mimeType": "application/pdf",
        "workspaceId": workspace["id"],
        "isBrandAsset": true,
        "resume": "unseen",
    });
    let registered = client.post(&["api", "assets"], &new).await?;
    let (asset, event) = (registered["asset"].clone(), registered["event"].clone());
    let run = run_of(client, &event).await?;
    let resumed = event["resumed"] == true;
    let name = workspace["name"].as_str().unwrap_or_default();
    let verb = if resumed { "going on with run" } else { "run" };
    steps.say(&format!(
        "ingesting {} into workspace '{name}', {verb} {run}",
        arguments.file
    ));
    let run = watch(client, &run, steps).await?;
    let id = workspace["id"].as_str().unwrap_or_default();
    let workspace = client.get(&["api", "workspaces", id], &[]).await?;
    Ok(Outcome {
        workspace,
        asset,
        event,
        run,
    })
}

/// The document's name, URL and size; a file is uploaded for it.
async fn source(client: &ApiClient, file: &str) -> Result<Value, Failure> {
    if is_url(file) {
        let path = file.split(['?', '#']).next().unwrap_or_default();
        let name = path.rsplit('/').find(|part| !part.is_empty());
        return Ok(json!({"name": name.unwrap_or("document.pdf"), "url": file, "size": 0}));
    }
    let path = Path::new(file);
    let name = path.file_name().unwrap_or(path.as_os_str());
    client.upload(&name.to_string_lossy(), path).await
}

fn is_url(file: &str) -> bool {
    file.starts_with("http://") || file.starts_with("https://")
}

async fn run_of(client: &ApiClient, event: &Value) -> Result<String, Failure> {
    let id = event["id"].as_str().unwrap_or_default();
    let found = client.get(&["api", "events", id, "runs"], &[]).await?;
    let runs = found["runs"].as_array().map_or(&[][..], Vec::as_slice);
    let run = runs.iter().find(|run| run["function"] == ingestion::ID);
    let run = run.and_then(|run| run["id"].as_str());
    run.map(str::to_owned).ok_or_else(|| {
        Failure::new(
            "no_run",
            format!("event {id} started no run of {}", ingestion::ID),
        )
        .hint("check that the studio is of this version")
    })
}

/// Shows a run to its end, and gives its whole record.
async fn watch(client: &ApiClient, run: &str, steps: &Steps) -> Result<Value, Failure> {
    let mut events = client.watch(run).await?;
    while let Some(event) = events.next().await {
        let event = event?;
        if event.kind == "ended" {
            return Ok(event.data);
        }
        steps.show(&event);
    }
    Err(
        Failure::new("unreachable", "the studio stopped before the run had ended")
            .hint("run the same command again: it goes on with the same run"),
    )
}

/// What can be told without sending the file anywhere.
fn check(file: &Path) -> Result<(), Failure> {
    let shown = file.display();
    let metadata = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    if !metadata.is_file() {
        return Err(Failure::new("not_a_file", format!("{shown} is not a file"))
            .hint("name the PDF of the brand's guideline"));
    }
    if metadata.len() == 0 {
        return Err(Failure::new("empty_file", format!("{shown} is empty"))
            .hint("export the document again"));
    }
    let limit = PdfLimits::default().bytes_max;
    if metadata.len() > limit {
        let mb = 1024 * 1024;
        return Err(Failure::new(
            "file_too_large",
            format!(
                "{shown} has {} MB; at most {} MB are read",
                metadata.len() / mb,
                limit / mb
            ),
        )
        .hint("export it with smaller images, or split it"));
    }
    let mut start = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(1024).read_to_end(&mut start))
        .map_err(|error| unreadable(file, &error))?;
    if !looks_like_pdf(&start) {
        return Err(Failure::new("not_a_pdf", format!("{shown} is not a PDF"))
            .hint("export the document as PDF"));
    }
    Ok(())
}

fn tell_profile(outcome: &Outcome, arguments: &Arguments, total_ms: u64) {
    terminal::line("");
    let colorful = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for line in report::profile(&outcome.workspace, colorful) {
        terminal::line(line);
    }
    let run = &outcome.run;
    let id = run["id"].as_str().unwrap_or_default();
    let took = |field: &str| duration(run[field].as_u64().unwrap_or_default());
    let chunks = outcome.chunks().as_u64().unwrap_or_default();
    terminal::line("");
    let fragments = match chunks {
        0 => "none of its own text: its pages are pictures; what they show is indexed".to_owned(),
        _ => format!("{chunks} fragments indexed"),
    };
    terminal::line(format!("  Knowledge   {fragments}"));
    terminal::line(format!(
        "  Run         {id}, completed in {} (queued {}, altogether {})",
        took("tookMs"),
        took("queuedMs"),
        duration(total_ms)
    ));
    let workspace = match arguments.workspace.as_str() {
        WORKSPACE => String::new(),
        name => format!(" --workspace '{name}'"),
    };
    terminal::line(format!(
        "  Ask         {} search \"primary colour\"{workspace}",
        terminal::program()
    ));
}
