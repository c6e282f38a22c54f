//! `studio233 usage`: what a workspace has used.

use super::search::workspace_named;
use super::server::Server;
use crate::client::ApiClient;
use crate::terminal;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;
use std::process::ExitCode;
use studio233_db::{Period, UsageKind, amount};
use studio233_setup::{Failure, Settings};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The workspace.
    #[arg(long, short, default_value = super::ingest::WORKSPACE, value_name = "NAME")]
    workspace: String,
    /// What is counted: since the current hour, day, week or month began, by UTC, or ever, which reaches 400 days back.
    #[arg(long, default_value = Period::Month.as_str(),
          value_parser = PossibleValuesParser::new(Period::ALL.map(Period::as_str)))]
    period: String,
    /// Answer one JSON object.
    #[arg(long)]
    pub(super) json: bool,
    /// The studio to ask, instead of the data folder's.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

pub(crate) async fn run(arguments: Arguments, settings: Settings) -> Result<ExitCode, Failure> {
    let server = Server::find(arguments.url.as_deref(), &settings).await?;
    let answered = ask(&server.client, &arguments).await;
    server.leave().await;
    let answer = answered?;
    if arguments.json {
        terminal::line(answer.to_string());
    } else {
        show(&answer);
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(client: &ApiClient, arguments: &Arguments) -> Result<Value, Failure> {
    let workspace = workspace_named(client, &arguments.workspace).await?;
    let id = workspace["id"].as_str().unwrap_or_default();
    let query = [("workspaceId", id), ("period", &arguments.period)];
    client.get(&["api", "usage"], &query).await
}

fn show(answer: &Value) {
    let totals = answer["usage"].as_array().map_or(&[][..], Vec::as_slice);
    if totals.is_empty() {
        terminal::line("nothing was used");
    }
    for total in totals {
        let text = |key: &str| total[key].as_str().unwrap_or_default();
        let kind = UsageKind::parse(text("kind")).unwrap_or(UsageKind::Tokens);
        let used = amount::shown(kind, total["amount"].as_u64().unwrap_or_default());
        let unit = amount::unit(kind, answer["currency"].as_str());
        let (function, model) = (text("functionId"), text("model"));
        terminal::line(format!("{function}, {model}: {used} {unit}"));
    }
}
