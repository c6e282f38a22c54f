//! `stepwell runs export`.

use super::filter::Filter;
use crate::client::Client;
use anyhow::Context;
use clap::Args;
use serde_json::Value;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// Write to this file instead of the standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Add each run's steps and attempts, as `trace`.
    #[arg(long)]
    trace: bool,
}

pub(super) fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<()> {
    let (mut out, name): (Box<dyn Write>, String) = match &arguments.output {
        Some(path) => {
            let file = std::fs::File::create(path)
                .with_context(|| format!("cannot write {}", path.display()))?;
            (Box::new(file), path.display().to_string())
        }
        None => (
            Box::new(std::io::stdout().lock()),
            "the standard output".to_owned(),
        ),
    };
    let mut out = BufWriter::new(&mut out);
    let more = [
        ("includeOutput", "true".to_owned()),
        ("order", "ASC".to_owned()),
    ];
    let mut failure = None;
    arguments.filter.pages(client, &more, |page| {
        for run in page {
            if let Err(error) = write(client, &mut out, run, arguments.trace) {
                failure = Some(error);
                return false;
            }
        }
        true
    })?;
    let written = match failure {
        Some(error) => Err(error),
        None => out.flush().map_err(anyhow::Error::from),
    };
    match written {
        // A reader that has had enough, such as `head`.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        written => written.with_context(|| format!("cannot write all runs to {name}")),
    }
}

fn write(
    client: &Client,
    out: &mut impl Write,
    mut run: Value,
    with_trace: bool,
) -> anyhow::Result<()> {
    if with_trace && let Some(id) = run["id"].as_str() {
        let query = [("includeOutput", "true".to_owned())];
        let trace = client.get(&["v2", "runs", id, "trace"], &query)?;
        run["trace"] = trace["data"]["rootSpan"].clone();
    }
    writeln!(out, "{run}")?;
    Ok(())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
