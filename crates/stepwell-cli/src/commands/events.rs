//! `stepwell events`: sends events, and asks what came of them.

mod send;
mod verdict;

pub(super) use self::verdict::waits;

use crate::client::{Client, Target};
use crate::printing;
use crate::table::{Table, moment, plain, text};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// The most events of one page of the server's.
const PAGE_MAX: usize = 51;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send an event, or all events of a file.
    Send(send::Arguments),
    /// List events, newest first.
    List(List),
    /// Show an event and the runs that it started.
    Show {
        /// The event's internal id, as sending and listing print it.
        id: String,
    },
    /// Say why an event did, or did not, start each function that listens to its name.
    Verdicts {
        /// The event's internal id.
        id: String,
    },
}

#[derive(Debug, Args)]
struct List {
    /// Only events of this name.
    #[arg(long)]
    name: Option<String>,
    /// Only events that came in after this moment, e.g. 2026-01-31T12:00:00Z or 2026-01-31.
    #[arg(long, value_name = "MOMENT")]
    after: Option<String>,
    /// Only events that came in before this moment.
    #[arg(long, value_name = "MOMENT")]
    before: Option<String>,
    /// How many.
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> anyhow::Result<()> {
    let client = arguments.target.client()?;
    match &arguments.command {
        Command::Send(send) => send::run(&client, send, json),
        Command::List(list) => self::list(&client, list, json),
        Command::Show { id } => show(&client, id, json),
        Command::Verdicts { id } => verdicts(&client, id, json),
    }
}

fn list(client: &Client, list: &List, json: bool) -> anyhow::Result<()> {
    let wanted = list.limit as usize;
    let mut events: Vec<Value> = Vec::new();
    while events.len() < wanted {
        let mut query = Vec::new();
        for (key, value) in [
            ("name", &list.name),
            ("received_after", &list.after),
            ("received_before", &list.before),
        ] {
            query.extend(value.clone().map(|value| (key, value)));
        }
        let page = PAGE_MAX.min(wanted - events.len());
        query.push(("limit", page.to_string()));
        if let Some(last) = events.last() {
            query.push(("cursor", text(last, "/internal_id")));
        }
        let answer = client.get(&["v1", "events"], &query)?;
        let found = answer["data"].as_array().cloned().unwrap_or_default();
        let is_last = found.len() < page;
        events.extend(found);
        if is_last {
            break;
        }
    }
    if json {
        return printing::value(&Value::Array(events));
    }
    let mut table = Table::new(&["id", "received", "name", "data"]);
    for event in &events {
        table.row([
            text(event, "/internal_id"),
            moment(event, "/received_at"),
            text(event, "/name"),
            crate::table::shortened(&event["data"].to_string(), 80),
        ]);
    }
    printing::rows(&table, "there are no such events")
}

fn show(client: &Client, id: &str, json: bool) -> anyhow::Result<()> {
    let event = client.get(&["v1", "events", id], &[])?["data"].clone();
    let runs = client.get(&["v1", "events", id, "runs"], &[])?["data"].clone();
    if json {
        return printing::value(&json!({"event": event, "runs": runs}));
    }
    printing::line(&format!(
        "event     {}\nname      {}\nreceived  {}",
        plain(&text(&event, "/internal_id")),
        plain(&text(&event, "/name")),
        moment(&event, "/received_at"),
    ))?;
    let (own, internal) = (text(&event, "/id"), text(&event, "/internal_id"));
    if own != internal {
        printing::line(&format!("own id    {}", plain(&own)))?;
    }
    printing::line(&format!(
        "data      {}",
        serde_json::to_string_pretty(&event["data"])?
    ))?;
    let mut table = Table::new(&["run", "status", "started", "output"]);
    for run in runs.as_array().into_iter().flatten() {
        table.row([
            text(run, "/run_id"),
            text(run, "/status"),
            moment(run, "/run_started_at"),
            crate::table::shortened(&text(run, "/output"), 80),
        ]);
    }
    printing::line("")?;
    let none = "it started no run; `stepwell events verdicts` says why";
    printing::rows(&table, none)
}

fn verdicts(client: &Client, id: &str, json: bool) -> anyhow::Result<()> {
    let verdicts = client.get(&["v1", "events", id, "verdicts"], &[])?["data"].clone();
    if json {
        return printing::value(&verdicts);
    }
    let mut table = Table::new(&["function", "verdict", "why"]);
    for row in verdicts.as_array().into_iter().flatten() {
        table.row([
            text(row, "/function"),
            text(row, "/verdict"),
            verdict::explain(row),
        ]);
    }
    printing::rows(&table, "no function listens to the event's name")
}
