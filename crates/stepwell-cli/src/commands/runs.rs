//! `stepwell runs`: what runs did, and what becomes of them.

mod export;
mod filter;
mod tree;

use self::filter::Filter;
use crate::client::{Client, Target};
use crate::commands::events::waits;
use crate::printing;
use crate::table::{Table, duration, moment, plain, text};
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List runs, newest first.
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many.
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Show a run: where it stands, and its steps and attempts as a tree.
    Show {
        /// The run's id.
        id: String,
    },
    /// Cancel runs and give up their calls.
    Cancel {
        /// The runs' ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Run a run again, whole or from a step on.
    Rerun {
        /// The run's id.
        id: String,
        /// The name of the step to begin with; what was recorded before it is kept.
        #[arg(long, value_name = "STEP")]
        from_step: Option<String>,
        /// Other arguments for that step, a JSON array.
        #[arg(long, requires = "from_step", value_name = "JSON")]
        input: Option<String>,
    },
    /// Write runs with their output as JSON lines, oldest first.
    Export(export::Arguments),
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> anyhow::Result<()> {
    let client = arguments.target.client()?;
    match &arguments.command {
        Command::List { filter, limit } => list(&client, filter, *limit as usize, json),
        Command::Show { id } => show(&client, id, json),
        Command::Cancel { ids } => cancel(&client, ids, json),
        Command::Rerun {
            id,
            from_step,
            input,
        } => rerun(&client, id, from_step.as_deref(), input.as_deref(), json),
        Command::Export(export) => export::run(&client, export),
    }
}

fn list(client: &Client, filter: &Filter, limit: usize, json: bool) -> anyhow::Result<()> {
    let mut runs: Vec<Value> = Vec::new();
    filter.pages(client, &[], |page| {
        runs.extend(page);
        runs.len() < limit
    })?;
    runs.truncate(limit);
    if json {
        return printing::value(&Value::Array(runs));
    }
    let mut table = Table::new(&["id", "status", "function", "queued", "took", "trigger"]);
    for run in &runs {
        let trigger = match text(run, "/trigger/cronSchedule") {
            cron if cron.is_empty() => text(run, "/trigger/eventName"),
            cron => cron,
        };
        table.row([
            text(run, "/id"),
            text(run, "/status"),
            format!("{}/{}", text(run, "/app/id"), text(run, "/function/id")),
            moment(run, "/queuedAt"),
            took(run),
            trigger,
        ]);
    }
    printing::rows(&table, "there are no such runs")
}

fn took(run: &Value) -> String {
    let ms = text(run, "/durationMs").parse();
    ms.map_or_else(|_| String::new(), duration)
}

fn show(client: &Client, id: &str, json: bool) -> anyhow::Result<()> {
    let with_output = [("includeOutput", "true".to_owned())];
    let run = client.get(&["v2", "runs", id], &with_output)?["data"].clone();
    let trace = client.get(&["v2", "runs", id, "trace"], &with_output)?["data"].clone();
    let standing = client.get(&["v1", "runs", id, "standing"], &[])?["data"].clone();
    if json {
        return printing::value(
            &json!({"run": run, "standing": standing, "trace": trace["rootSpan"]}),
        );
    }
    let mut lines = Vec::new();
    let mut say = |what: &str, text: String| {
        if !text.is_empty() {
            lines.push(format!("{what:<9} {}", plain(&text)));
        }
    };
    say("run", text(&run, "/id"));
    let (app, function) = (text(&run, "/app/id"), text(&run, "/function/id"));
    say("function", format!("{app}/{function}"));
    say(
        "status",
        format!("{}{}", text(&run, "/status"), waits(&standing)),
    );
    say("trigger", text(&run, "/trigger/eventName"));
    say("schedule", text(&run, "/trigger/cronSchedule"));
    let events = run["trigger"]["eventIds"].as_array().into_iter().flatten();
    let events: Vec<&str> = events.filter_map(Value::as_str).collect();
    say("events", events.join(", "));
    say("repeats", text(&run, "/originalRunId"));
    say("queued", moment(&run, "/queuedAt"));
    say("started", moment(&run, "/startedAt"));
    say("ended", moment(&run, "/endedAt"));
    say("took", took(&run));
    say("output", text(&run, "/output"));
    printing::line(&lines.join("\n"))?;
    let tree = tree::render(&trace["rootSpan"]);
    if tree.is_empty() {
        return Ok(());
    }
    printing::line(&format!("\n{tree}"))
}

fn cancel(client: &Client, ids: &[String], json: bool) -> anyhow::Result<()> {
    let mut cancelled = Vec::new();
    for id in ids {
        client
            .post(&["v2", "runs", id, "cancel"], &json!({}))
            .with_context(|| format!("{id} was not cancelled"))?;
        if !json {
            printing::line(&format!("cancelled {id}"))?;
        }
        cancelled.push(id);
    }
    if json {
        printing::value(&json!({"cancelled": cancelled}))?;
    }
    Ok(())
}

fn rerun(
    client: &Client,
    id: &str,
    from_step: Option<&str>,
    input: Option<&str>,
    json: bool,
) -> anyhow::Result<()> {
    let mut body = json!({});
    if let Some(step) = from_step {
        body["fromStep"] = json!({"stepId": step});
        if let Some(input) = input {
            body["fromStep"]["input"] =
                serde_json::from_str(input).context("--input is not JSON")?;
        }
    }
    let run = client.post(&["v2", "runs", id, "rerun"], &body)?["data"].clone();
    if json {
        return printing::value(&run);
    }
    printing::line(&text(&run, "/runId"))
}
