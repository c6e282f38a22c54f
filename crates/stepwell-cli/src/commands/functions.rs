//! `stepwell functions`: what apps have registered.

use crate::client::{Client, Target};
use crate::printing;
use crate::table::{Table, text};
use clap::Args;
use serde_json::{Value, json};

/// The most of one page of the server's.
const PAGE_MAX: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Only functions of this app.
    #[arg(long)]
    app: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> anyhow::Result<()> {
    let client = arguments.target.client()?;
    let apps = match &arguments.app {
        Some(app) => vec![client.get(&["v2", "apps", app], &[])?["data"].clone()],
        None => all(&client, &["v2", "apps"])?,
    };
    let mut functions = Vec::new();
    for app in &apps {
        let name = text(app, "/id");
        functions.extend(all(&client, &["v2", "apps", &name, "functions"])?);
    }
    if json {
        return printing::value(&json!({"apps": apps, "functions": functions}));
    }
    let mut table = Table::new(&["app", "function", "triggers", "paused", "name"]);
    for function in &functions {
        let triggers = function["triggers"].as_array().into_iter().flatten();
        let triggers: Vec<String> = triggers.map(trigger).collect();
        let paused = function["isPaused"] == true;
        table.row([
            text(function, "/app/id"),
            text(function, "/id"),
            triggers.join(", "),
            if paused { "paused" } else { "" }.to_owned(),
            text(function, "/name"),
        ]);
    }
    let none = if apps.is_empty() {
        "no app has registered"
    } else {
        "the app has no functions"
    };
    printing::rows(&table, none)
}

fn trigger(trigger: &Value) -> String {
    let value = text(trigger, "/value");
    match text(trigger, "/if") {
        condition if condition.is_empty() => value,
        condition => format!("{value} if {condition}"),
    }
}

/// All entries of a list.
fn all(client: &Client, path: &[&str]) -> anyhow::Result<Vec<Value>> {
    let mut entries = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE_MAX.to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let mut answer = client.get(path, &query)?;
        if let Value::Array(page) = answer["data"].take() {
            entries.extend(page);
        }
        cursor = answer["page"]["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() || answer["page"]["hasMore"] != true {
            return Ok(entries);
        }
    }
}
