//! `studio233 budgets`: what may be spent.

use super::search::workspace_named;
use super::server::Server;
use crate::client::ApiClient;
use crate::terminal;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;
use stepwell::Moment;
use studio233_db::{Period, UsageKind, amount};
use studio233_setup::{Failure, Settings};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Answer one JSON object.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// The studio to ask, instead of the data folder's.
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show how all budgets stand (the default).
    List,
    /// Set a budget, or raise or lower it. Runs that it holds look again at once.
    Set {
        #[command(flatten)]
        which: Which,
        /// How much may be used in each period: 2000000, or 12.5 for seconds and money.
        #[arg(long, value_name = "AMOUNT")]
        amount: String,
    },
    /// Remove a budget: there is no limit any more.
    Remove {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Debug, Args)]
struct Which {
    /// The workspace that it limits [default: the one that documents are read into].
    #[arg(long, short, value_name = "NAME", conflicts_with = "function")]
    workspace: Option<String>,
    /// The function that it limits, for all workspaces together.
    #[arg(long, value_name = "ID")]
    function: Option<String>,
    /// What it limits.
    #[arg(long, value_parser = PossibleValuesParser::new(UsageKind::ALL.map(UsageKind::as_str)))]
    unit: String,
    /// When it is full again, by UTC.
    #[arg(long, value_parser = PossibleValuesParser::new(Period::ALL.map(Period::as_str)))]
    period: String,
}

pub(crate) async fn run(arguments: Arguments, settings: Settings) -> Result<ExitCode, Failure> {
    let server = Server::find(arguments.url.as_deref(), &settings).await?;
    let answered = ask(&server.client, arguments.command.as_ref()).await;
    server.leave().await;
    let answer = answered?;
    if arguments.json {
        terminal::line(answer.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    match arguments.command {
        None | Some(Command::List) => show(&answer),
        Some(Command::Set { .. }) => terminal::line(line(&answer["budget"], &answer["currency"])),
        Some(Command::Remove { .. }) => terminal::line("the budget is removed"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(client: &ApiClient, command: Option<&Command>) -> Result<Value, Failure> {
    let path = ["api", "budgets"];
    match command {
        None | Some(Command::List) => client.get(&path, &[]).await,
        Some(Command::Set { which, amount }) => {
            let limit = amount::parse(which.kind()?, amount)
                .map_err(|told| Failure::new("bad_amount", format!("--amount: {told}")))?;
            let (key, id) = which.owner(client).await?;
            let body = json!({
                key: id, "kind": which.unit, "period": which.period, "limit": limit,
            });
            client.put(&path, &body).await
        }
        Some(Command::Remove { which }) => {
            let (key, id) = which.owner(client).await?;
            let query = [
                (key, id.as_str()),
                ("kind", which.unit.as_str()),
                ("period", which.period.as_str()),
            ];
            client.delete(&path, &query).await
        }
    }
}

impl Which {
    fn kind(&self) -> Result<UsageKind, Failure> {
        UsageKind::parse(&self.unit).map_err(|told| Failure::new("bad_unit", told))
    }

    async fn owner(&self, client: &ApiClient) -> Result<(&'static str, String), Failure> {
        if let Some(function) = &self.function {
            return Ok(("functionId", function.clone()));
        }
        let name = self.workspace.as_deref();
        let name = name.unwrap_or(super::ingest::WORKSPACE);
        let workspace = workspace_named(client, name).await?;
        let id = workspace["id"].as_str().unwrap_or_default();
        Ok(("workspaceId", id.to_owned()))
    }
}

fn show(answer: &Value) {
    let list = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    let (budgets, waiting) = (list("budgets"), list("waiting"));
    if budgets.is_empty() {
        let program = terminal::program();
        terminal::line("there is no budget: nothing is held");
        terminal::line(format!(
            "set one: {program} budgets set --unit tokens --amount 2000000 --period day"
        ));
    }
    for budget in budgets {
        terminal::line(line(&budget, &answer["currency"]));
    }
    for budget in waiting {
        terminal::line(waiting_line(&budget, &answer["currency"]));
    }
}

/// `workspace w: 1.2 of 5 EUR per month, full again 2026-02-01T00:00:00.000Z`
fn line(budget: &Value, currency: &Value) -> String {
    let text = |key: &str| budget[key].as_str().unwrap_or_default();
    let (kind, currency) = (kind_of(budget), currency.as_str());
    let shown = |key: &str| Some(amount::shown(kind, budget[key].as_u64()?));
    let how_much = match (shown("used"), shown("limit")) {
        (Some(used), Some(limit)) => {
            format!("{used} of {limit} {}", amount::unit(kind, currency))
        }
        // A function's, of which only its operator is told more.
        _ => kind.as_str().to_owned(),
    };
    let held = match budget["isUsedUp"].as_bool() {
        Some(true) => "; used up: further runs are held",
        _ => "",
    };
    let again = budget["resetsAtMs"].as_i64().map(Moment::from_unix_ms);
    let again = again.map(|at| format!(", full again {at}"));
    let (scope, id, per) = (text("scope"), text("id"), per(budget));
    let again = again.unwrap_or_default();
    format!("{scope} {id}: {how_much} {per}{again}{held}")
}

/// `workspace "Solvain" is not there: 5 EUR per month wait for it`
fn waiting_line(budget: &Value, currency: &Value) -> String {
    let kind = kind_of(budget);
    let limit = amount::shown(kind, budget["limit"].as_u64().unwrap_or_default());
    let unit = amount::unit(kind, currency.as_str());
    let (name, per) = (&budget["workspace"], per(budget));
    format!("workspace {name} is not there: {limit} {unit} {per} wait for it")
}

fn kind_of(budget: &Value) -> UsageKind {
    let kind = budget["kind"].as_str().unwrap_or_default();
    UsageKind::parse(kind).unwrap_or(UsageKind::Tokens)
}

fn per(budget: &Value) -> String {
    match budget["period"].as_str().unwrap_or_default() {
        "ever" => "in all".to_owned(),
        period => format!("per {period}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_told_in_a_line() {
        let budget = json!({
            "scope": "workspace", "id": "w", "kind": "currency", "period": "month", "limit": 5_000_000,
            "used": 1_200_000, "resetsAtMs": 1_769_904_000_000_i64, "isUsedUp": false,
        });
        assert_eq!(
            line(&budget, &json!("EUR")),
            "workspace w: 1.2 of 5 EUR per month, full again 2026-02-01T00:00:00.000Z"
        );
        let budget = json!({
            "scope": "function", "id": "f", "kind": "tokens", "period": "ever", "limit": 5,
            "used": 7, "resetsAtMs": null, "isUsedUp": true,
        });
        assert_eq!(
            line(&budget, &Value::Null),
            "function f: 7 of 5 tokens in all; used up: further runs are held"
        );
        let budget = json!({
            "scope": "function", "id": "f", "kind": "tokens", "period": "day",
            "resetsAtMs": null, "isUsedUp": true,
        });
        assert_eq!(
            line(&budget, &Value::Null),
            "function f: tokens per day; used up: further runs are held"
        );
    }

    #[test]
    fn a_budget_that_waits_names_what_it_waits_for() {
        let budget = json!({"workspace": "Solvain", "kind": "currency", "period": "month", "limit": 5_000_000});
        assert_eq!(
            waiting_line(&budget, &json!("EUR")),
            "workspace \"Solvain\" is not there: 5 EUR per month wait for it"
        );
    }
}
