//! `studio233 context`: what a prompt is told of a workspace's brand.

use super::search::workspace_named;
use super::server;
use crate::client::ApiClient;
use crate::terminal;
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;
use studio233_setup::{Failure, Settings};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What the prompt is about, in a few words.
    question: String,
    /// The workspace whose brand it is.
    #[arg(long, short, default_value = super::ingest::WORKSPACE, value_name = "NAME")]
    workspace: String,
    /// How many fragments to quote, if there is room.
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
    let (workspace, told) = server::ask(arguments.url.as_deref(), &settings, question).await?;
    let context = told["context"].as_str().unwrap_or_default();
    if arguments.json {
        let answer = json!({
            "workspace": {"id": workspace["id"], "name": workspace["name"]},
            "query": told["query"],
            "context": context,
            "sources": told["sources"],
        });
        terminal::line(answer.to_string());
    } else if context.is_empty() {
        let name = workspace["name"].as_str().unwrap_or_default();
        terminal::line(format!(
            "the workspace '{name}' knows nothing yet: ingest a document first"
        ));
    } else {
        terminal::line(context);
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(client: &ApiClient, arguments: &Arguments) -> Result<(Value, Value), Failure> {
    let workspace = workspace_named(client, &arguments.workspace).await?;
    let id = workspace["id"].as_str().unwrap_or_default();
    let k = arguments.k.to_string();
    let path = ["api", "workspaces", id, "context"];
    let question = [("q", arguments.question.as_str()), ("k", &k)];
    let told = client.get(&path, &question).await?;
    Ok((workspace, told))
}
