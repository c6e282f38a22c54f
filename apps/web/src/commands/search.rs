//! `studio233 search`: what a workspace's documents say.

use super::server;
use crate::client::ApiClient;
use crate::terminal;
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;
use studio233_setup::Failure;
use studio233_setup::Settings;

/// Columns of a fragment's text.
const TEXT_COLUMNS: usize = 96;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to look for, in a few words.
    query: String,
    /// The workspace to look in.
    #[arg(long, short, default_value = super::ingest::WORKSPACE, value_name = "NAME")]
    workspace: String,
    /// How many fragments to show.
    #[arg(short, long = "count", default_value_t = 5, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    k: u32,
    /// Answer one JSON object.
    #[arg(long)]
    pub(super) json: bool,
    /// The studio to ask, instead of the data folder's.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

pub(crate) async fn run(arguments: Arguments, settings: Settings) -> Result<ExitCode, Failure> {
    let question = async |client: &ApiClient| ask(client, &arguments).await;
    let (workspace, found) = server::ask(arguments.url.as_deref(), &settings, question).await?;
    if arguments.json {
        let answer = json!({
            "workspace": {"id": workspace["id"], "name": workspace["name"]},
            "query": found["query"],
            "fragments": found["fragments"],
        });
        terminal::line(answer.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    show(&workspace, &found);
    Ok(ExitCode::SUCCESS)
}

async fn ask(client: &ApiClient, arguments: &Arguments) -> Result<(Value, Value), Failure> {
    let workspace = workspace_named(client, &arguments.workspace).await?;
    let id = workspace["id"].as_str().unwrap_or_default();
    let k = arguments.k.to_string();
    let path = ["api", "workspaces", id, "search"];
    let found = client
        .get(&path, &[("q", &arguments.query), ("k", &k)])
        .await?;
    Ok((workspace, found))
}

/// The caller's workspace of that name.
pub(super) async fn workspace_named(client: &ApiClient, name: &str) -> Result<Value, Failure> {
    let path = ["api", "workspaces"];
    let found = client.get(&path, &[("name", name)]).await?;
    let workspace = found["workspaces"][0].clone();
    if workspace["id"].is_string() {
        return Ok(workspace);
    }
    let program = terminal::program();
    let hint = format!("fill one first: {program} ingest FILE.pdf --workspace '{name}'");
    let missing = format!("there is no workspace '{name}'");
    Err(Failure::new("no_such_workspace", missing).hint(hint))
}

fn show(workspace: &Value, found: &Value) {
    let fragments = found["fragments"].as_array().map_or(&[][..], Vec::as_slice);
    if fragments.is_empty() {
        let name = workspace["name"].as_str().unwrap_or_default();
        terminal::line(format!(
            "the workspace '{name}' knows nothing yet: ingest a document first"
        ));
        return;
    }
    for (number, fragment) in (1..).zip(fragments) {
        let page = match fragment["page"].as_u64() {
            Some(page) => format!("page {page}"),
            None => "no page".to_owned(),
        };
        let score = fragment["score"].as_f64().unwrap_or_default();
        let file = fragment["filename"].as_str().unwrap_or("unknown file");
        if number > 1 {
            terminal::line("");
        }
        terminal::line(format!("{number}. {file}, {page}  (score {score:.2})"));
        let text = fragment["text"].as_str().unwrap_or_default();
        for line in super::report::wrap(text, TEXT_COLUMNS) {
            terminal::line(format!("   {line}"));
        }
    }
}
